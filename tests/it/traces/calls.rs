//! One call, one trace: through the gateway and a traced upstream, which is another gateway, to a server that tells what it was
//! sent; by each surface, over each protocol of the collector's.

use bytes::Bytes;
use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{Begun, traced};
use crate::support::{
    certificates::Authority,
    client::{Outcome, frames, grpc, grpc_web, http1, request, rest},
    collector::{Collector, Got, Real, hex},
    gateway::{TestGateway, World},
    library,
    recorder::Recorder,
};

const GET_BOOK: &str = "/library.v1.Library/GetBook";

/// Calls by a surface, as a client that is traced.
async fn call(surface: &str, gateway: &TestGateway, headers: &[(&str, &str)]) -> Outcome {
    let message = || frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]);
    let outcome = match surface {
        "REST" => {
            let asked = request(&Method::GET, "/v1/shelves/1/books/2?edition=3", headers, "");
            rest(gateway.address, asked).await
        }
        "gRPC-Web" => grpc_web(gateway.address, false, GET_BOOK, headers, message(), "library.v1.Book").await,
        _ => grpc(gateway.address, GET_BOOK, headers, message(), "library.v1.Book").await,
    };
    assert_eq!((outcome.code, outcome.messages.len()), (0, 1), "{surface}: {outcome:?}");
    outcome
}

/// What the last server was told under a name.
fn told(outcome: &Outcome, name: &str) -> Option<String> {
    let all = outcome.messages[0]["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
    let mut values = all.filter_map(|tag| tag.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().map(str::to_owned);
    assert_eq!(values.next(), None, "{name} twice");
    value
}

fn one<'a>(got: &'a [Got], service: &str, kind: SpanKind) -> &'a Got {
    let all: Vec<&Got> = got.iter().filter(|got| got.is(service, kind)).collect();
    let [one] = all.as_slice() else { panic!("{service} {kind:?}: {all:#?}") };
    one
}

fn is_child(child: &Got, parent: &Got) {
    let (child, parent) = (&child.span, &parent.span);
    assert_eq!(child.parent_span_id, parent.span_id, "{} is no child of {}", child.name, parent.name);
    let within = parent.start_time_unix_nano <= child.start_time_unix_nano
        && child.end_time_unix_nano <= parent.end_time_unix_nano;
    // Each gateway has a clock of its own, which it read when the call ended.
    let apart = parent.start_time_unix_nano.abs_diff(child.start_time_unix_nano) < 5_000_000;
    assert!(within || apart, "{child:#?} is not within {parent:#?}");
}

/// Holds the trace of a call against what it is.
async fn whole(surface: &str, collector: &Collector, gateway: &TestGateway) {
    let begun = Begun::new(true);
    let headers =
        [("traceparent", &*begun.header), ("tracestate", "rojo=1,congo=2"), ("baggage", "user=ann,k=v%20w")];
    let outcome = call(surface, gateway, &headers).await;
    let parts = if surface == "REST" { 3 } else { 1 };
    let got = collector.trace(&begun.id, 2 + 2 + parts + 1).await;
    let (server, client) = (one(&got, "edge", SpanKind::Server), one(&got, "edge", SpanKind::Client));
    let (inner, last) = (one(&got, "inner", SpanKind::Server), one(&got, "inner", SpanKind::Client));
    assert_eq!(hex(&server.span.parent_span_id), begun.span);
    is_child(client, server);
    is_child(inner, client);
    is_child(last, inner);
    let mut names: Vec<&str> = Vec::new();
    for part in got.iter().filter(|got| got.span.kind() == SpanKind::Internal) {
        is_child(part, if part.service == "edge" { server } else { inner });
        names.push(&part.span.name);
    }
    names.sort_unstable();
    let policies = ["policies", "policies"];
    let transcoding = ["transcode request", "transcode response"];
    let transcoding = if surface == "REST" { &transcoding[..] } else { &[] };
    assert_eq!(names, [&policies[..], transcoding].concat(), "{surface}");
    assert!(got.iter().all(|got| got.span.trace_state == "rojo=1,congo=2"), "{got:#?}");
    // The last server is told of the span that called it, and what the client said beside it.
    let parent = told(&outcome, "traceparent").unwrap();
    assert_eq!(parent, format!("00-{}-{}-01", begun.id, hex(&last.span.span_id)), "{surface}");
    assert_eq!(told(&outcome, "tracestate").as_deref(), Some("rojo=1,congo=2"));
    assert_eq!(told(&outcome, "baggage").as_deref(), Some("user=ann,k=v%20w"));
    let is = |got: &Got, rows: &[(&str, &str)]| {
        for (name, want) in rows {
            assert_eq!(got.attribute(name).as_deref(), Some(*want), "{surface}: {name}");
        }
    };
    let rpc = [("rpc.system.name", "grpc"), ("rpc.method", "library.v1.Library/GetBook")];
    for got in [client, inner, last] {
        assert_eq!(got.span.name, "library.v1.Library/GetBook");
        is(got, &rpc);
        is(got, &[("rpc.response.status_code", "OK")]);
    }
    is(
        client,
        &[("propylon.upstream", "library"), ("server.address", "127.0.0.1"), ("propylon.attempt", "1")],
    );
    is(server, &[("client.address", "127.0.0.1")]);
    match surface {
        "REST" => {
            assert_eq!(server.span.name, "GET /v1/{name=shelves/*/books/*}");
            is(server, &[("url.path", "/v1/shelves/1/books/2"), ("http.response.status_code", "200")]);
            is(server, &[("http.request.method", "GET"), ("network.protocol.version", "1.1")]);
        }
        "gRPC-Web" => {
            assert_eq!(server.span.name, "POST /library.v1.Library/GetBook");
            is(server, &rpc);
            is(server, &[("http.response.status_code", "200"), ("rpc.response.status_code", "OK")]);
        }
        _ => {
            assert_eq!(server.span.name, "library.v1.Library/GetBook");
            is(server, &rpc);
            is(server, &[("rpc.response.status_code", "OK"), ("network.protocol.version", "2")]);
        }
    }
}

/// A call by each surface, with its trace at a collector that passes it on to `receiver`.
async fn by_each_surface(receiver: &Collector, endpoint: std::net::SocketAddr, protocol: &str) {
    let library = library::start().await;
    let inner = traced(World::with_library(library), "inner", endpoint, protocol, "");
    let edge = traced(World::with_library(inner.address), "edge", endpoint, protocol, "");
    for surface in ["REST", "gRPC-Web", "gRPC"] {
        whole(surface, receiver, &edge).await;
    }
}

#[tokio::test]
async fn a_call_is_one_trace_over_grpc() {
    let collector = Collector::start().await;
    by_each_surface(&collector, collector.grpc, "grpc").await;
}

#[tokio::test]
async fn a_call_is_one_trace_over_http() {
    let collector = Collector::start().await;
    by_each_surface(&collector, collector.http, "http/protobuf").await;
}

#[tokio::test]
async fn a_real_collector_takes_every_trace_over_grpc() {
    let collector = Collector::start().await;
    let Some(real) = Real::start(&collector) else { return };
    by_each_surface(&collector, real.grpc, "grpc").await;
}

#[tokio::test]
async fn a_real_collector_takes_every_trace_over_http() {
    let collector = Collector::start().await;
    let Some(real) = Real::start(&collector) else { return };
    by_each_surface(&collector, real.http, "http/protobuf").await;
}

#[tokio::test]
async fn opentelemetrys_own_names_say_where_to_and_as_whom() {
    let (collector, library) = (Collector::start().await, library::start().await);
    let gateway = World::with_library(library)
        .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.http))
        .with_variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .with_variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret,x-team=edge")
        .with_variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .with_variable("OTEL_SERVICE_NAME", "named")
        .with_variable("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        .with_variable("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start();
    // What begins here is not recorded, and says so to the upstream; what its client records is.
    let outcome = call("REST", &gateway, &[]).await;
    let parent = told(&outcome, "traceparent").unwrap();
    assert!(parent.starts_with("00-") && parent.ends_with("-02"), "{parent}");
    let begun = Begun::new(true);
    call("gRPC", &gateway, &[("traceparent", &begun.header)]).await;
    let got = collector.trace(&begun.id, 3).await;
    assert!(got.iter().all(|got| got.service == "named"), "{got:#?}");
    let headers = collector.headers();
    assert_eq!(
        (&headers["api-key"], &headers["x-team"]),
        (&"a secret".parse().unwrap(), &"edge".parse().unwrap())
    );
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(collector.got().len(), 3);
    assert!(!gateway.program.output().contains("a secret"));
}

#[tokio::test]
async fn a_collector_is_reached_over_tls_and_must_be_who_it_is() {
    let (collector, library) = (Collector::start().await, library::start().await);
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    // Another gateway speaks TLS for it.
    let secure = World::new()
        .with_file("tls.crt", pair.certificate.as_bytes())
        .with_file("tls.key", pair.key.as_bytes())
        .with_config(&format!(
            "[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n\
             [[upstreams]]\nname = \"grpc\"\ngrpc = \"http://{}\"\nreflection = false\nservices = [\"opentelemetry.*\"]\n\
             [[upstreams]]\nname = \"http\"\nhttp = \"http://{}\"\n\
             [[routes]]\npath = \"/v1/traces\"\nmethods = [\"POST\"]\nupstream = \"http\"\n",
            collector.grpc, collector.http
        ))
        .start();
    let port = secure.address.port();
    let start = |protocol: &str, authority: &Authority| {
        let lines = format!(
            "[otlp]\nendpoint = \"https://localhost:{port}\"\nprotocol = \"{protocol}\"\nca = \"ca.pem\"\n\
             [traces]\nsample = 1\ndelay = \"100ms\"\n"
        );
        World::with_library(library).with_file("ca.pem", authority.pem.as_bytes()).with_config(&lines).start()
    };
    for protocol in ["grpc", "http/protobuf"] {
        let gateway = start(protocol, &authority);
        let begun = Begun::new(true);
        call("gRPC", &gateway, &[("traceparent", &begun.header)]).await;
        collector.trace(&begun.id, 3).await;
        let taken = collector.got().len();
        let mut other = start(protocol, &Authority::new());
        call("gRPC", &other, &[]).await;
        let why =
            other.program.wait_for("traces cannot be sent to https://localhost", library::PATIENCE).unwrap();
        assert!(why.contains("TLS handshake"), "{why}");
        assert_eq!(collector.got().len(), taken);
    }
}

#[tokio::test]
async fn what_its_client_does_not_record_is_not_recorded_and_goes_on_as_it_came() {
    let (collector, library) = (Collector::start().await, library::start().await);
    let mut gateway = traced(World::with_library(library), "edge", collector.grpc, "grpc", "");
    let begun = Begun::new(false);
    for surface in ["REST", "gRPC-Web", "gRPC"] {
        let outcome = call(surface, &gateway, &[("traceparent", &begun.header)]).await;
        assert_eq!(told(&outcome, "traceparent").as_ref(), Some(&begun.header));
    }
    // The log says which trace they were part of all the same.
    let line = format!("\"trace_id\":\"{}\"", begun.id);
    gateway.program.wait_for(&line, library::PATIENCE).unwrap();
    // One that is recorded comes after them.
    let after = Begun::new(true);
    call("gRPC", &gateway, &[("traceparent", &after.header)]).await;
    collector.trace(&after.id, 3).await;
    assert_eq!(collector.got().len(), 3);
}

#[tokio::test]
async fn who_is_not_believed_begins_no_trace_of_ours() {
    let (collector, library) = (Collector::start().await, library::start().await);
    let gateway =
        traced(World::with_library(library), "edge", collector.grpc, "grpc", "trust = \"nobody\"\n");
    let begun = Begun::new(true);
    let outcome =
        call("gRPC", &gateway, &[("traceparent", &begun.header), ("tracestate", "a=1"), ("baggage", "k=v")])
            .await;
    let parent = told(&outcome, "traceparent").unwrap();
    let id = parent.split('-').nth(1).unwrap().to_owned();
    assert_ne!(id, begun.id);
    assert_eq!((told(&outcome, "tracestate"), told(&outcome, "baggage").as_deref()), (None, Some("k=v")));
    let got = collector.trace(&id, 3).await;
    let server = one(&got, "edge", SpanKind::Server);
    assert_eq!(server.span.parent_span_id, Vec::<u8>::new());
    let [link] = server.span.links.as_slice() else { panic!("{server:#?}") };
    assert_eq!((hex(&link.trace_id), hex(&link.span_id)), (begun.id, begun.span));
}

#[tokio::test]
async fn each_attempt_is_a_span_and_a_retry_is_told() {
    let (collector, library) = (Collector::start().await, library::start().await);
    // Nobody listens at the first of two addresses; where nothing is drawn by lot, it is asked first.
    let closed = crate::support::servers::free_port();
    let lines = format!(
        "[[upstreams]]\nname = \"library\"\ngrpc = [\"http://127.0.0.1:{closed}\", \"http://{library}\"]\n\
         descriptors = \"library.binpb\"\nbalance = \"round_robin\"\n"
    );
    let world = World::new().with_file("library.binpb", library::DESCRIPTORS.as_slice()).with_config(&lines);
    let gateway = traced(world, "edge", collector.grpc, "grpc", "");
    let mut retried = None;
    // By turns one of the two is first.
    for _ in 0..2 {
        let begun = Begun::new(true);
        let outcome = call("gRPC", &gateway, &[("traceparent", &begun.header)]).await;
        let parent = told(&outcome, "traceparent").unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let got: Vec<Got> =
            collector.got().into_iter().filter(|got| hex(&got.span.trace_id) == begun.id).collect();
        if got.len() == 4 {
            retried = Some((got, parent));
            break;
        }
    }
    let (got, parent) = retried.expect("a call that was sent twice");
    let server = one(&got, "edge", SpanKind::Server);
    let attempts: Vec<&Got> = got.iter().filter(|got| got.span.kind() == SpanKind::Client).collect();
    let [first, second] = attempts.as_slice() else { panic!("{attempts:#?}") };
    is_child(first, server);
    is_child(second, server);
    assert!(parent.contains(&hex(&second.span.span_id)), "{parent}");
    assert_eq!(first.attribute("server.port"), Some(closed.to_string()));
    assert_eq!(first.attribute("error.type").as_deref(), Some("UNAVAILABLE"));
    assert_eq!(
        (second.attribute("propylon.attempt").as_deref(), second.attribute("error.type")),
        (Some("2"), None)
    );
    let [event] = server.span.events.as_slice() else { panic!("{server:#?}") };
    assert_eq!(event.name, "retry");
}

#[tokio::test]
async fn refusals_are_told_by_the_span_of_the_call() {
    let collector = Collector::start().await;
    let closed = crate::support::servers::free_port();
    let lines = format!(
        "[[upstreams]]\nname = \"library\"\ngrpc = \"http://127.0.0.1:{closed}\"\ndescriptors = \"library.binpb\"\n\
         breaker = {{ consecutive_failures = 2, open = \"1m\" }}\n"
    );
    let world = World::new().with_file("library.binpb", library::DESCRIPTORS.as_slice()).with_config(&lines);
    let gateway = traced(world, "edge", collector.grpc, "grpc", "");
    let mut events = Vec::new();
    for _ in 0..4 {
        let begun = Begun::new(true);
        let asked = request(&Method::GET, "/v1/shelves/1/books/2", &[("traceparent", &begun.header)], "");
        let outcome = rest(gateway.address, asked).await;
        assert_eq!(outcome.http, 503, "{outcome:?}");
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        let got: Vec<Got> =
            collector.got().into_iter().filter(|got| hex(&got.span.trace_id) == begun.id).collect();
        let server = one(&got, "edge", SpanKind::Server);
        assert_eq!(server.attribute("error.type").as_deref(), Some("503"));
        assert!(server.span.status.as_ref().is_some_and(|status| status.message.contains("library")));
        events.extend(server.span.events.iter().map(|event| event.name.clone()));
    }
    assert_eq!(events, ["breaker opened", "breaker open", "breaker open"]);
}

#[tokio::test]
async fn an_http_upstream_is_told_too() {
    let (collector, upstream) = (Collector::start().await, Recorder::start().await);
    let lines = format!(
        "[[upstreams]]\nname = \"users\"\nhttp = \"http://{}\"\n[[routes]]\npath = \"/api/{{rest=**}}\"\nupstream = \"users\"\n\
         strip_segments = 1\n",
        upstream.address
    );
    let gateway = traced(World::new().with_config(&lines), "edge", collector.grpc, "grpc", "");
    let begun = Begun::new(true);
    let headers = [("traceparent", &*begun.header), ("baggage", "k=v")];
    let response =
        http1(gateway.address, request(&Method::POST, "/api/users/7?secret=1", &headers, Bytes::from("x")))
            .await;
    let seen: serde_json::Value = serde_json::from_slice(&response.body().0).unwrap();
    let got = collector.trace(&begun.id, 3).await;
    let (server, client) = (one(&got, "edge", SpanKind::Server), one(&got, "edge", SpanKind::Client));
    is_child(client, server);
    let parent = format!("00-{}-{}-01", begun.id, hex(&client.span.span_id));
    assert_eq!(
        (&seen["headers"]["traceparent"], &seen["headers"]["baggage"]),
        (&parent.into(), &"k=v".into())
    );
    assert_eq!((server.span.name.as_str(), client.span.name.as_str()), ("POST /api/{rest=**}", "POST"));
    let url = format!("http://{}/users/7", upstream.address);
    assert_eq!(client.attribute("url.full"), Some(url));
    assert_eq!(client.attribute("http.response.status_code").as_deref(), Some("200"));
    assert!(!format!("{got:?}").contains("secret"), "{got:#?}");
}
