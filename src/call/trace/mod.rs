//! W3C Trace Context and Baggage as they come and go on in headers, which are gRPC's metadata too: `traceparent`,
//! `tracestate`, `baggage`. Level 2 of the Recommendation: what it does not know of a later version stays behind.

mod ids;
mod notes;

use http::{HeaderMap, HeaderName, HeaderValue};

use self::ids::{hex, unhex};
pub use self::{
    ids::{SpanId, TraceId},
    notes::{Fact, Note, Part, What},
};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// `00-` id `-` id `-` flags
const LENGTH: usize = 55;
/// The most members that a `tracestate` has.
const MOST_MEMBERS: usize = 32;
/// As much of one goes on; the Recommendation asks for at least this.
const MOST_STATE: usize = 512;
/// As much of baggage goes on (W3C Baggage, 3.3.2).
const MOST_BAGGAGE: usize = 8192;
const MOST_ENTRIES: usize = 64;

/// Where somebody stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    pub trace: TraceId,
    pub span: SpanId,
    /// The span is recorded.
    pub sampled: bool,
    /// The trace's id is random in its last seven bytes.
    pub random: bool,
}

/// Where a request stands in a trace, as the gateway sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The request's own span: what upstreams are told as their parent, unless an attempt has one of its own.
    pub own: SpanContext,
    /// The caller's span, if it has said one that is believed.
    pub parent: Option<SpanId>,
    /// What the caller has said that is not believed: the request is part of a trace that begins here.
    pub link: Option<SpanContext>,
    /// The caller's `tracestate`, where it goes on.
    pub state: Option<HeaderValue>,
    /// Upstreams are told of it.
    pub goes_on: bool,
}

impl SpanContext {
    /// A trace that begins here.
    #[must_use]
    pub fn root() -> Self {
        Self { trace: TraceId::new(), span: SpanId::new(), sampled: false, random: true }
    }

    /// Reads a `traceparent`.
    ///
    /// `None`: it is none, and whoever gets it begins a trace of its own.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut version = [0];
        unhex(known.get(..2)?, &mut version)?;
        let well_ended = match version {
            [0xff] => false,
            [0] => rest.is_empty(),
            // A later version may have more behind another dash.
            _ => rest.first().is_none_or(|sign| *sign == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|place| known.get(*place) == Some(&b'-'));
        if !well_ended || !dashes {
            return None;
        }
        let (mut trace, mut span, mut flags) = ([0; 16], [0; 8], [0]);
        unhex(known.get(3..35)?, &mut trace)?;
        unhex(known.get(36..52)?, &mut span)?;
        unhex(known.get(53..55)?, &mut flags)?;
        let [flags] = flags;
        let there = trace != [0; 16] && span != [0; 8];
        there.then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            sampled: flags & SAMPLED != 0,
            random: flags & RANDOM != 0,
        })
    }

    /// What a request's headers say: one `traceparent`, or none that is believed.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let first = all.next()?;
        all.next().is_none().then(|| Self::parse(first.as_bytes())).flatten()
    }

    /// Its flags, as they are written.
    #[must_use]
    pub fn flags(&self) -> u8 {
        (u8::from(self.sampled) * SAMPLED) | (u8::from(self.random) * RANDOM)
    }

    /// As a `traceparent`.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let mut text = [b'-'; LENGTH];
        for (place, bytes) in
            [(0..2, &[0][..]), (3..35, &self.trace.0), (36..52, &self.span.0), (53..55, &[self.flags()])]
        {
            hex(bytes, text.get_mut(place).unwrap_or_default());
        }
        // Hexadecimal digits and dashes are a header's value.
        let mut value = HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""));
        // Never the same twice: it has no place in HPACK's table.
        value.set_sensitive(true);
        value
    }
}

impl TraceContext {
    /// As a `traceparent`, under a span of its own within the request's.
    #[must_use]
    pub fn header_under(&self, span: SpanId) -> HeaderValue {
        SpanContext { span, ..self.own }.header()
    }
}

/// The `tracestate` of these headers as one text; `None`: there is none, or one that is none, which goes no further.
#[must_use]
pub fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = headers.get_all(TRACESTATE).iter();
    let first = all.next()?;
    let whole = match all.next() {
        None => first.clone(),
        Some(second) => {
            let parts = [first, second].into_iter().chain(all).map(HeaderValue::as_bytes);
            let parts: Vec<&[u8]> = parts.filter(|part| !part.trim_ascii().is_empty()).collect();
            HeaderValue::from_bytes(&parts.join(&b","[..])).ok()?
        }
    };
    let (mut members, mut bytes) = (0, 0);
    for member in whole.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if member.is_empty() {
            continue;
        }
        let at = member.iter().position(|byte| *byte == b'=')?;
        let (key, value) = member.split_at_checked(at)?;
        if !is_key(key) || !is_value(value.get(1..)?) {
            return None;
        }
        (members, bytes) = (members + 1, bytes + member.len() + 1);
    }
    (members > 0 && members <= MOST_MEMBERS && bytes <= MOST_STATE + 1).then_some(whole)
}

/// `vendor`, or `tenant@vendor`: small letters, digits, `_`, `-`, `*`, `/`; a letter or a digit first.
fn is_key(key: &[u8]) -> bool {
    let signs = |part: &[u8]| {
        part.iter().all(|sign| matches!(sign, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let begins = |part: &[u8]| part.first().is_some_and(|sign| matches!(sign, b'a'..=b'z' | b'0'..=b'9'));
    match key.iter().position(|sign| *sign == b'@') {
        None => key.len() <= 256 && begins(key) && signs(key),
        Some(at) => {
            let (tenant, vendor) = (&key[..at], &key[at + 1..]);
            tenant.len() <= 241
                && vendor.len() <= 14
                && [tenant, vendor].iter().all(|part| begins(part) && signs(part))
        }
    }
}

/// What can be printed, without `,` and `=`, not a blank last.
fn is_value(value: &[u8]) -> bool {
    let printed = |sign: &u8| matches!(sign, b' '..=b'~') && !matches!(sign, b',' | b'=');
    !value.is_empty() && value.len() <= 256 && value.last() != Some(&b' ') && value.iter().all(printed)
}

/// True where the baggage of these headers may go on: it is as short as all of its way carries.
#[must_use]
pub fn is_light(headers: &HeaderMap) -> bool {
    let (mut entries, mut bytes) = (0, 0);
    for value in headers.get_all(BAGGAGE) {
        entries += value.as_bytes().split(|byte| *byte == b',').count();
        bytes += value.len() + 1;
    }
    entries <= MOST_ENTRIES && bytes <= MOST_BAGGAGE + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let check = |text: &str, sampled: bool, random: bool, again: &str| {
            let context = SpanContext::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(context.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736", "{text}");
            assert_eq!(context.span.to_string(), "00f067aa0ba902b7", "{text}");
            assert_eq!((context.sampled, context.random), (sampled, random), "{text}");
            assert_eq!(context.header(), again, "{text}");
        };
        let with = |end: &str| format!("{}{end}", &GOOD[..53]);
        check(GOOD, true, false, GOOD);
        check(&with("00"), false, false, &with("00"));
        check(&with("03"), true, true, &with("03"));
        // Flags that nobody knows are not passed on.
        check(&with("fe"), false, true, &with("02"));
        // A later version: what is known of it is read, and this one is written.
        check(&GOOD.replacen("00-", "cc-", 1), true, false, GOOD);
        check(&format!("{}-what-comes", GOOD.replacen("00-", "01-", 1)), true, false, GOOD);
    }

    #[test]
    fn what_is_no_traceparent_begins_another_trace() {
        for text in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-00"),
            &format!("{GOOD} "),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replacen("00-", "0-0", 1),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &GOOD.replace("00f067aa0ba902b7", "0000000000000000"),
            &GOOD.replace("4bf9", "4bg9"),
            &GOOD.replace('-', "_"),
            &format!("{}.x", GOOD.replacen("00-", "01-", 1)),
        ] {
            assert_eq!(SpanContext::parse(text.as_bytes()), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(SpanContext::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(SpanContext::of(&headers), None);
    }

    #[test]
    fn a_bad_tracestate_is_dropped_whole() {
        let check = |values: &[&str], want: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
            }
            let state = state(&headers);
            assert_eq!(state.as_ref().map(|state| state.to_str().unwrap()), want, "{values:?}");
        };
        check(&[], None);
        check(&["rojo=00f067aa0ba902b7"], Some("rojo=00f067aa0ba902b7"));
        check(&["rojo=1, congo=t61rcWkgMzE"], Some("rojo=1, congo=t61rcWkgMzE"));
        check(&["rojo=1", "", "congo=2"], Some("rojo=1,congo=2"));
        check(&["a@b=1,0x@1=y z"], Some("a@b=1,0x@1=y z"));
        check(&["rojo=1,,"], Some("rojo=1,,"));
        for bad in ["", "rojo", "rojo=", "=1", "Rojo=1", "a=1=2", "a b=1", "@b=1", "a@=1", "a=\u{e4}"] {
            check(&[bad], None);
        }
        let many = |count: usize| (0..count).map(|at| format!("a{at}=1")).collect::<Vec<_>>().join(",");
        check(&[&many(32)], Some(&many(32)));
        check(&[&many(33)], None);
        check(&[&format!("a={}", "x".repeat(256))], Some(&format!("a={}", "x".repeat(256))));
        check(&[&format!("a={}", "x".repeat(257))], None);
    }

    #[test]
    fn heavy_baggage_stays_behind() {
        let light = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(BAGGAGE, HeaderValue::from_str(value).unwrap());
            is_light(&headers)
        };
        assert!(light("userId=alice,serverNode=DF%2028;ttl=1"));
        assert!(light(&vec!["a=1"; 64].join(",")));
        assert!(!light(&vec!["a=1"; 65].join(",")));
        assert!(!light(&format!("a={}", "x".repeat(8192))));
    }
}
