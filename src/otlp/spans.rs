//! Calls as spans, by OpenTelemetry's semantic conventions for HTTP and RPC (1.40): the call is a span of the kind SERVER, each
//! sending to an endpoint one of the kind CLIENT, each part of its way one of the kind INTERNAL.

use std::{net::IpAddr, time::Duration};

use http::Version;
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link, SpanKind},
        status::StatusCode,
    },
};
use tonic::Code;

use super::{
    finished::{Finished, Tried, nanos},
    resource::{number, text},
};
use crate::{
    call::{
        Way,
        trace::{Fact, SpanId},
    },
    status::name,
};

pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.40.0";
/// The eight flags of W3C are the lowest; the two above say whether a parent is in another process (OTLP, `SpanFlags`).
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;

/// All spans of these calls.
pub(super) fn of(calls: Vec<Finished>, resource: &Resource) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: "propylon".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let mut spans = Vec::with_capacity(calls.iter().map(Finished::spans).sum());
    for call in calls {
        add(call, &mut spans);
    }
    ResourceSpans {
        resource: Some(resource.clone()),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.to_owned() }],
        schema_url: SCHEMA.to_owned(),
    }
}

fn add(mut call: Finished, spans: &mut Vec<Span>) {
    let (own, began) = (call.trace.own, call.began);
    let state = call.trace.state.as_ref().and_then(|state| state.to_str().ok()).unwrap_or_default();
    let flags = u32::from(own.flags());
    let blank = |id: SpanId, parent: Option<SpanId>, from: Duration, took: Duration| Span {
        trace_id: own.trace.0.to_vec(),
        span_id: id.0.to_vec(),
        parent_span_id: parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        trace_state: state.to_owned(),
        flags: flags | PARENT_KNOWN,
        start_time_unix_nano: began.saturating_add(nanos(from)),
        end_time_unix_nano: began.saturating_add(nanos(from + took)),
        ..Span::default()
    };
    for part in std::mem::take(&mut call.parts) {
        spans.push(Span {
            name: part.name.to_owned(),
            kind: SpanKind::Internal.into(),
            ..blank(part.span, Some(own.span), part.began, part.took)
        });
    }
    let attempts = std::mem::take(&mut call.attempts);
    let last = attempts.len();
    for (tried, number) in attempts.into_iter().zip(1..) {
        let span = blank(tried.span, Some(own.span), tried.began, tried.took);
        spans.push(client(&call, tried, (number, number == last), span));
    }
    let events = std::mem::take(&mut call.events).into_iter().map(|event| Event {
        time_unix_nano: began.saturating_add(nanos(event.at)),
        name: event.name.to_owned(),
        attributes: event.facts.into_iter().map(|(name, fact)| of_fact(name, fact)).collect(),
        ..Event::default()
    });
    let links = call.trace.link.map(|link| Link {
        trace_id: link.trace.0.to_vec(),
        span_id: link.span.0.to_vec(),
        flags: u32::from(link.flags()) | PARENT_KNOWN | PARENT_REMOTE,
        ..Link::default()
    });
    let mut span = blank(own.span, call.trace.parent, Duration::ZERO, call.took);
    (span.events, span.links) = (events.collect(), links.into_iter().collect());
    if call.trace.parent.is_some() {
        span.flags |= PARENT_REMOTE;
    }
    spans.push(server(call, span));
}

/// The call as it came.
fn server(call: Finished, span: Span) -> Span {
    let mut told = Vec::with_capacity(20);
    let (failed, span_name) = if call.way == Way::Grpc {
        let span_name = match &call.rpc {
            Some(rpc) => {
                rpc_names(rpc, &mut told);
                rpc.clone()
            }
            // Whatever was called: names are few.
            None => {
                rpc_names(OTHER, &mut told);
                "grpc".to_owned()
            }
        };
        let code = call.code.unwrap_or(Code::Ok);
        told.push(text(STATUS_CODE, name(code)));
        // What there is not is its client's mistake.
        let failed = is_servers(code) && !(call.rpc.is_none() && code == Code::Unimplemented);
        (failed.then(|| name(code).to_owned()), span_name)
    } else {
        let method = method(&call.method);
        told.push(text("http.request.method", method));
        if method == OTHER {
            told.push(text("http.request.method_original", call.method.as_str()));
        }
        told.push(text("url.scheme", if call.secure { "https" } else { "http" }));
        told.push(text("url.path", call.path.as_str()));
        let shown = if method == OTHER { "HTTP" } else { method };
        let span_name = match &call.route {
            Some(route) => format!("{shown} {route}"),
            None => shown.to_owned(),
        };
        told.extend(call.route.map(|route| text("http.route", route)));
        if let Some(rpc) = &call.rpc {
            rpc_names(rpc, &mut told);
            told.extend(call.code.map(|code| text(STATUS_CODE, name(code))));
        }
        if let Some((method, tool)) = call.asked {
            told.push(text("mcp.method.name", method));
            if let Some(tool) = tool {
                told.push(text("gen_ai.operation.name", "execute_tool"));
                told.push(text("gen_ai.tool.name", tool));
            }
        }
        let status = call.http_status.map(|status| status.as_u16());
        told.extend(status.map(|status| number("http.response.status_code", status.into())));
        told.extend(call.request_bytes.map(|bytes| number("http.request.body.size", long(bytes))));
        told.push(number("http.response.body.size", long(call.response_bytes)));
        let failed = status.filter(|status| *status >= 500).map(|status| status.to_string());
        // A failure that gRPC-Web tells in trailers comes with a 200.
        let unknown = call.rpc.is_none() && call.code == Some(Code::Unimplemented);
        let in_trailers = call.code.filter(|code| call.way == Way::GrpcWeb && is_servers(*code) && !unknown);
        (failed.or(in_trailers.map(|code| name(code).to_owned())), span_name)
    };
    if let Some(host) = &call.host {
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
            _ => (host.as_str(), None),
        };
        told.push(text("server.address", host.trim_matches(['[', ']'])));
        told.extend(port.map(|port| number("server.port", port)));
    }
    told.push(text("client.address", call.client.to_string()));
    told.push(text("network.peer.address", call.peer.to_string()));
    told.push(text("network.protocol.name", "http"));
    told.push(text("network.protocol.version", version(call.version)));
    told.extend(call.user_agent.map(|agent| text("user_agent.original", agent)));
    told.extend(call.user.map(|user| text("enduser.id", user)));
    told.extend(call.request_id.map(|id| text("propylon.request_id", id)));
    let status = failed.as_ref().map(|_| failure(call.message));
    match failed {
        Some(kind) => told.push(text("error.type", kind)),
        None if call.cancelled => told.push(text("error.type", "cancelled")),
        None => {}
    }
    Span { name: span_name, kind: SpanKind::Server.into(), attributes: told, status, ..span }
}

/// One sending of it. `last`: its answer is the call's, if it had one.
fn client(call: &Finished, tried: Tried, (count, last): (usize, bool), span: Span) -> Span {
    let Tried { upstream, endpoint, http_status, failed, answered, .. } = tried;
    let mut told = Vec::with_capacity(12);
    let failed = match (&call.sent_as, &call.rpc) {
        (None, Some(rpc)) => {
            rpc_names(rpc, &mut told);
            let code = match &failed {
                Some((code, _)) => Some(*code),
                None if last && answered => call.code,
                None => None,
            };
            told.extend(code.map(|code| text(STATUS_CODE, name(code))));
            let message = failed.map(|(_, message)| message).or_else(|| call.message.clone());
            code.filter(|code| *code != Code::Ok).map(|code| (name(code).to_owned(), message))
        }
        (sent_as, _) => {
            told.push(text("http.request.method", method(&call.method)));
            let (scheme, path) =
                sent_as.as_ref().map_or(("http", "/"), |(scheme, path)| (*scheme, path.as_str()));
            told.push(text("url.full", format!("{scheme}://{endpoint}{path}")));
            told.extend(http_status.map(|status| number("http.response.status_code", status.into())));
            if count > 1 {
                told.push(number("http.request.resend_count", long(count as u64 - 1)));
            }
            match (http_status, failed) {
                (Some(status @ 400..), failed) => Some((status.to_string(), failed.map(|(_, why)| why))),
                (_, Some((code, message))) => Some((name(code).to_owned(), Some(message))),
                (_, None) => None,
            }
        }
    };
    address(endpoint.ip(), &mut told);
    told.push(number("server.port", endpoint.port().into()));
    told.push(number("network.peer.port", endpoint.port().into()));
    told.push(text("propylon.upstream", upstream));
    told.push(number("propylon.attempt", long(count as u64)));
    let name = match (&call.sent_as, &call.rpc) {
        (None, Some(rpc)) => rpc.clone(),
        _ => method(&call.method).trim_start_matches('_').to_owned(),
    };
    let status = failed.map(|(kind, message)| {
        told.push(text("error.type", kind));
        failure(message)
    });
    Span { name, kind: SpanKind::Client.into(), attributes: told, status, ..span }
}

fn address(ip: IpAddr, told: &mut Vec<KeyValue>) {
    let ip = ip.to_string();
    told.push(text("server.address", ip.as_str()));
    told.push(text("network.peer.address", ip));
}

fn rpc_names(rpc: &str, told: &mut Vec<KeyValue>) {
    told.push(text("rpc.system.name", "grpc"));
    told.push(text("rpc.method", rpc));
}

fn failure(message: Option<String>) -> Status {
    Status { message: message.unwrap_or_default(), code: StatusCode::Error.into() }
}

/// True for a code that says that the server failed, not who calls it.
fn is_servers(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

const OTHER: &str = "_OTHER";
const STATUS_CODE: &str = "rpc.response.status_code";

/// A method that is known (RFC 9110, and PATCH): others are as many as clients like to make.
fn method(method: &str) -> &str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    if KNOWN.contains(&method) { method } else { OTHER }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn of_fact(name: &str, fact: Fact) -> KeyValue {
    match fact {
        Fact::Text(value) => text(name, value),
        Fact::Number(value) => number(name, value),
    }
}

fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
