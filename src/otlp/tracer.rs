//! Where a request stands in a trace, when it comes; and, when it has ended, what is told of it, if it is recorded.

use std::{net::IpAddr, sync::Arc};

use http::HeaderMap;

use super::{
    finished::Finished,
    queue::Queue,
    sampler::{Sampler, Trust},
};
use crate::{
    auth::Proxies,
    call::{
        Ended, Observer,
        trace::{self, BAGGAGE, SpanContext, SpanId, TRACEPARENT, TRACESTATE, TraceContext},
    },
};

/// What the config says of which traces there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    pub sampler: Sampler,
    /// Whose word for a trace is believed.
    pub trust: Trust,
    pub proxies: Proxies,
    /// `traceparent` and `tracestate` are read and written; else they pass as any other header does.
    pub context: bool,
    /// `baggage` goes on.
    pub baggage: bool,
    /// Who called is told by id.
    pub users: bool,
}

/// Decides what is recorded, and takes what has ended to the queue.
#[derive(Debug)]
pub struct Tracer {
    terms: Terms,
    queue: Arc<Queue>,
}

impl Tracer {
    #[must_use]
    pub fn new(terms: Terms, queue: Arc<Queue>) -> Self {
        Self { terms, queue }
    }

    /// Where a request stands, whose connection comes from `peer`; its headers say from now on what goes on of that. One that
    /// is not recorded costs no more than a header.
    pub fn begin(&self, headers: &mut HeaderMap, peer: IpAddr) -> TraceContext {
        let terms = &self.terms;
        if headers.contains_key(BAGGAGE) && !(terms.baggage && trace::is_light(headers)) {
            headers.remove(BAGGAGE);
        }
        let came = if terms.context { SpanContext::of(headers) } else { None };
        let parent = came.filter(|_| terms.believes(peer));
        let mut own = parent.unwrap_or_else(SpanContext::root);
        own.sampled = terms.sampler.takes(&own.trace, parent.as_ref());
        if own.sampled && parent.is_some() {
            own.span = SpanId::new();
        }
        let state = parent.and_then(|_| trace::state(headers));
        if terms.context {
            // One that is not recorded passes as it came, if it says so itself.
            if parent.is_none_or(|parent| parent != own) {
                headers.insert(TRACEPARENT, own.header());
            }
            match &state {
                Some(state) if headers.get(TRACESTATE) != Some(state) => {
                    headers.insert(TRACESTATE, state.clone());
                }
                Some(_) => {}
                None => {
                    headers.remove(TRACESTATE);
                }
            }
        }
        let link = came.filter(|_| parent.is_none());
        TraceContext { own, parent: parent.map(|parent| parent.span), link, state, goes_on: terms.context }
    }
}

impl Terms {
    fn believes(&self, peer: IpAddr) -> bool {
        match self.trust {
            Trust::Everyone => true,
            Trust::Proxies => self.proxies.believes(peer),
            Trust::Nobody => false,
        }
    }
}

impl Observer for Tracer {
    fn ended(&self, call: &Ended<'_>) {
        // Most are not recorded, and nothing is asked for them.
        if let Some(finished) = Finished::of(call, self.terms.users) {
            self.queue.push(finished);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(change: impl FnOnce(&mut Terms)) -> Tracer {
        let mut terms = Terms {
            sampler: Sampler::new(true, 0.0),
            trust: Trust::Everyone,
            proxies: Proxies::default(),
            context: true,
            baggage: true,
            users: false,
        };
        change(&mut terms);
        Tracer::new(terms, Arc::new(Queue::new(10, 10)))
    }

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        let rows = rows
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        rows.for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn sent(headers: &HeaderMap) -> SpanContext {
        SpanContext::of(headers).unwrap()
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn a_recorded_call_is_a_child_of_its_callers_span() {
        let tracer = tracer(|_| {});
        let mut headers = headers(&[("traceparent", SENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        let trace = tracer.begin(&mut headers, PEER);
        assert_eq!(trace.own.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert!(trace.own.sampled && trace.own.span != trace.parent.unwrap() && trace.link.is_none());
        assert_eq!(sent(&headers), trace.own);
        assert_eq!(headers.get_all(TRACESTATE).iter().collect::<Vec<_>>(), ["a=1,b=2"]);
    }

    #[test]
    fn what_is_not_recorded_passes_as_it_came() {
        let tracer = tracer(|_| {});
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let mut headers = headers(&[("traceparent", unsampled), ("tracestate", "a=1"), ("baggage", "k=v")]);
        let before = headers.clone();
        assert!(!tracer.begin(&mut headers, PEER).own.sampled);
        assert_eq!(headers, before);
    }

    #[test]
    fn a_call_without_a_trace_begins_one_that_all_agree_about() {
        for share in [0.0, 1.0] {
            let tracer = tracer(|terms| terms.sampler = Sampler::new(true, share));
            let mut headers = headers(&[("traceparent", "junk"), ("tracestate", "a=1")]);
            let trace = tracer.begin(&mut headers, PEER);
            assert_eq!((trace.own.sampled, trace.own.random), (share > 0.5, true));
            assert_eq!((sent(&headers), trace.parent, trace.link), (trace.own, None, None));
            assert!(!headers.contains_key(TRACESTATE));
        }
    }

    #[test]
    fn who_is_not_believed_calls_in_a_trace_of_ours_that_links_to_his() {
        let believed = |trust, peer: IpAddr| {
            let networks = vec![crate::auth::Network::parse("10.0.0.0/8").unwrap()];
            let tracer = tracer(|terms| {
                terms.trust = trust;
                terms.proxies.networks = networks;
            });
            let mut headers = headers(&[("traceparent", SENT), ("tracestate", "a=1"), ("baggage", "k=v")]);
            let trace = tracer.begin(&mut headers, peer);
            assert_eq!(
                trace.link.map(|link| link.header()),
                trace.parent.is_none().then(|| SENT.parse().unwrap())
            );
            assert_eq!(headers.contains_key(TRACESTATE), trace.parent.is_some());
            assert!(headers.contains_key(BAGGAGE));
            assert_eq!(sent(&headers), trace.own);
            trace.parent.is_some()
        };
        let proxy = [10, 1, 2, 3].into();
        assert!(believed(Trust::Everyone, PEER) && believed(Trust::Proxies, proxy));
        assert!(!believed(Trust::Proxies, PEER) && !believed(Trust::Nobody, proxy));
    }

    #[test]
    fn propagators_that_are_off_leave_their_headers_alone_or_behind() {
        let tracer = tracer(|terms| (terms.context, terms.baggage) = (false, false));
        let mut headers = headers(&[("traceparent", "junk"), ("tracestate", "junk"), ("baggage", "k=v")]);
        let trace = tracer.begin(&mut headers, PEER);
        assert_eq!((trace.parent, trace.link), (None, None));
        assert_eq!(headers[TRACEPARENT], "junk");
        assert!(!headers.contains_key(BAGGAGE));
    }
}
