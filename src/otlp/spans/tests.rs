//! Calls as spans: names, kinds, parents, times and attributes.

use std::collections::BTreeMap;

use http::StatusCode as Http;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::{
    call::trace::{SpanContext, TraceContext},
    otlp::{finished, resource},
};

fn spans(call: Finished) -> Vec<Span> {
    let resource = resource::resource("propylon", "i", "test", &[]);
    let all = of(vec![call], &resource);
    all.scope_spans.into_iter().next().unwrap().spans
}

fn told(span: &Span) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    span.attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn has(span: &Span, rows: &[(&str, &str)]) {
    let told = told(span);
    for (name, want) in rows {
        assert_eq!(told.get(*name).map(String::as_str), Some(*want), "{name} of {told:?}");
    }
}

fn tried(number: u64, failed: Option<(Code, String)>) -> Tried {
    Tried {
        span: SpanId::new(),
        upstream: "books".to_owned(),
        endpoint: ([10, 0, 0, 1], 9000).into(),
        began: Duration::from_millis(number),
        took: Duration::from_millis(2),
        http_status: None,
        answered: failed.is_none(),
        failed,
    }
}

#[test]
fn a_rest_call_is_a_span_of_http_above_one_of_rpc() {
    let refused = Some((Code::Unavailable, "refused".to_owned()));
    let parent = SpanId::new();
    let example = Finished::example();
    let call = Finished {
        trace: TraceContext { parent: Some(parent), ..example.trace.clone() },
        way: Way::Rest,
        path: "/v1/books/7".to_owned(),
        route: Some("/v1/books/{book}".to_owned()),
        rpc: Some("books.v1.Library/GetBook".to_owned()),
        host: Some("api.example:8080".to_owned()),
        code: Some(Code::NotFound),
        http_status: Some(Http::NOT_FOUND),
        message: Some("no such book".to_owned()),
        attempts: vec![tried(1, refused), tried(4, None)],
        parts: vec![finished::Part {
            name: "policies",
            span: SpanId::new(),
            began: Duration::from_micros(10),
            took: Duration::from_micros(30),
        }],
        events: vec![finished::Event {
            name: "retry",
            at: Duration::from_millis(3),
            facts: vec![("attempt", Fact::Number(2))],
        }],
        ..example
    };
    let own = call.trace.own;
    let all = spans(call);
    let [policies, first, second, server] = all.as_slice() else { panic!("{all:?}") };
    assert!(all.iter().all(|span| span.trace_id == own.trace.0 && span.span_id.len() == 8));
    assert!([policies, first, second].iter().all(|span| span.parent_span_id == own.span.0));
    assert_eq!(
        (server.span_id.as_slice(), server.parent_span_id.as_slice()),
        (&own.span.0[..], &parent.0[..])
    );
    assert_eq!((server.name.as_str(), server.kind()), ("GET /v1/books/{book}", SpanKind::Server));
    has(
        server,
        &[
            ("http.request.method", "GET"),
            ("http.route", "/v1/books/{book}"),
            ("url.path", "/v1/books/7"),
            ("url.scheme", "http"),
            ("http.response.status_code", "404"),
            ("rpc.method", "books.v1.Library/GetBook"),
            ("rpc.response.status_code", "NOT_FOUND"),
            ("server.address", "api.example"),
            ("server.port", "8080"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
        ],
    );
    // What its caller did wrong is no failure of the server's, but it is one to who asked the upstream.
    assert_eq!((server.status.as_ref(), told(server).get("error.type")), (None, None));
    assert_eq!((server.start_time_unix_nano, server.end_time_unix_nano), (1_000_000_000, 1_010_000_000));
    let event = &server.events[0];
    assert_eq!((event.name.as_str(), event.time_unix_nano), ("retry", 1_003_000_000));
    assert_eq!((policies.name.as_str(), policies.kind()), ("policies", SpanKind::Internal));
    assert_eq!(policies.end_time_unix_nano - policies.start_time_unix_nano, 30_000);
    assert_eq!((first.name.as_str(), first.kind()), ("books.v1.Library/GetBook", SpanKind::Client));
    has(
        first,
        &[
            ("rpc.system.name", "grpc"),
            ("rpc.method", "books.v1.Library/GetBook"),
            ("rpc.response.status_code", "UNAVAILABLE"),
            ("error.type", "UNAVAILABLE"),
            ("server.address", "10.0.0.1"),
            ("server.port", "9000"),
            ("propylon.upstream", "books"),
            ("propylon.attempt", "1"),
        ],
    );
    assert_eq!(first.status.as_ref().unwrap().message, "refused");
    has(
        second,
        &[("rpc.response.status_code", "NOT_FOUND"), ("error.type", "NOT_FOUND"), ("propylon.attempt", "2")],
    );
}

#[test]
fn a_grpc_call_is_a_span_of_rpc() {
    let grpc = |rpc: Option<&str>, code| Finished {
        way: Way::Grpc,
        method: "POST".to_owned(),
        version: Version::HTTP_2,
        rpc: rpc.map(str::to_owned),
        code: Some(code),
        message: Some("away".to_owned()),
        ..Finished::example()
    };
    let span = |call| spans(call).pop().unwrap();
    let went_well = span(grpc(Some("a.B/C"), Code::Ok));
    assert_eq!((went_well.name.as_str(), went_well.kind()), ("a.B/C", SpanKind::Server));
    has(
        &went_well,
        &[("rpc.system.name", "grpc"), ("rpc.method", "a.B/C"), ("rpc.response.status_code", "OK")],
    );
    assert_eq!(told(&went_well).get("http.request.method"), None);
    let failed = span(grpc(Some("a.B/C"), Code::Unavailable));
    has(&failed, &[("error.type", "UNAVAILABLE"), ("network.protocol.version", "2")]);
    assert_eq!(failed.status.unwrap().message, "away");
    // The caller's own mistake, and a method that there is not.
    assert_eq!(span(grpc(Some("a.B/C"), Code::InvalidArgument)).status, None);
    let unknown = span(grpc(None, Code::Unimplemented));
    assert_eq!((unknown.name.as_str(), &unknown.status), ("grpc", &None));
    has(&unknown, &[("rpc.method", "_OTHER"), ("rpc.response.status_code", "UNIMPLEMENTED")]);
    // gRPC-Web is HTTP, whose failures may be in trailers.
    let web = span(Finished { way: Way::GrpcWeb, ..grpc(Some("a.B/C"), Code::Internal) });
    has(&web, &[("http.response.status_code", "200"), ("rpc.method", "a.B/C"), ("error.type", "INTERNAL")]);
}

#[test]
fn what_is_passed_to_an_http_upstream_is_a_span_of_http() {
    let attempt = |status| Tried { http_status: Some(status), ..tried(1, None) };
    let call = Finished {
        route: Some("/shop/**".to_owned()),
        sent_as: Some(("https", "/items/7".to_owned())),
        http_status: Some(Http::BAD_GATEWAY),
        attempts: vec![attempt(503), attempt(502)],
        ..Finished::example()
    };
    let all = spans(call);
    let [first, second, server] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((first.name.as_str(), server.name.as_str()), ("GET", "GET /shop/**"));
    has(first, &[("http.response.status_code", "503"), ("url.full", "https://10.0.0.1:9000/items/7")]);
    assert_eq!(told(first).get("http.request.resend_count"), None);
    has(second, &[("http.request.resend_count", "1"), ("error.type", "502")]);
    has(server, &[("error.type", "502")]);
    assert_eq!(server.status.as_ref().unwrap().code(), StatusCode::Error);
}

#[test]
fn a_request_of_mcp_says_what_it_asks_for() {
    let call = Finished {
        way: Way::Mcp,
        method: "POST".to_owned(),
        secure: true,
        route: Some("/mcp".to_owned()),
        rpc: Some("books.v1.Library/GetBook".to_owned()),
        asked: Some(("tools/call".to_owned(), Some("get_book".to_owned()))),
        ..Finished::example()
    };
    let span = spans(call).pop().unwrap();
    assert_eq!(span.name, "POST /mcp");
    has(&span, &[("http.route", "/mcp"), ("url.scheme", "https"), ("mcp.method.name", "tools/call")]);
    has(&span, &[("gen_ai.tool.name", "get_book"), ("rpc.method", "books.v1.Library/GetBook")]);
}

#[test]
fn what_clients_make_up_names_no_span() {
    let call = Finished { method: "BREW".to_owned(), path: "/x".to_owned(), ..Finished::example() };
    let span = spans(call).pop().unwrap();
    assert_eq!(span.name, "HTTP");
    has(&span, &[("http.request.method", "_OTHER"), ("http.request.method_original", "BREW")]);
}

#[test]
fn flags_say_what_is_known_of_the_parent() {
    let trace = |parent, link| TraceContext { parent, link, ..Finished::example().trace };
    let flags = |trace: TraceContext| spans(Finished { trace, ..Finished::example() }).pop().unwrap();
    let root = flags(trace(None, None));
    assert_eq!((root.flags, root.links.len()), (0x103, 0));
    assert_eq!(flags(trace(Some(SpanId::new()), None)).flags, 0x303);
    let link = SpanContext { sampled: true, random: false, ..SpanContext::root() };
    let linked = flags(trace(None, Some(link)));
    assert_eq!((linked.links[0].flags, linked.links[0].trace_id.as_slice()), (0x301, &link.trace.0[..]));
}
