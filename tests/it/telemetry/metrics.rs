//! The gateway's numbers: that they are those of the calls that were made, and few enough.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use http::Method;

use super::exposition::Scrape;
use crate::support::{
    client::{frames, grpc, grpc_web, http1, request, rest},
    gateway::{TestGateway, World},
    library,
    recorder::Recorder,
    tools::needs,
};

const BOOK: &str = "library.v1.Book";
const GET_BOOK: &str = "/library.v1.Library/GetBook";
const FAIL: &str = "/library.v1.Library/Fail";

/// Calls over each surface, so many of each kind.
pub(super) async fn calls(gateway: &TestGateway) {
    let at = gateway.address;
    let ask = async |method: Method, path: &str, body: &'static str| {
        rest(at, request(&method, path, &[], body)).await;
    };
    for _ in 0..3 {
        ask(Method::GET, "/v1/shelves/1/books/2", "").await;
    }
    ask(Method::GET, "/v1/shelves/7/books/8?edition=x", "").await;
    ask(Method::POST, "/v1/fail", r#"{"code": 5, "message": "no"}"#).await;
    let book = || frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]);
    let fail = |code: &str| {
        frames("library.v1.FailRequest", &[&format!("{{\"code\": {code}, \"message\": \"no\"}}")])
    };
    for _ in 0..2 {
        grpc(at, GET_BOOK, &[], book(), BOOK).await;
    }
    grpc(at, FAIL, &[], fail("5"), BOOK).await;
    grpc(at, FAIL, &[], fail("13"), BOOK).await;
    grpc(at, "/library.v1.Library/Nothing", &[], book(), BOOK).await;
    grpc_web(at, false, GET_BOOK, &[], book(), BOOK).await;
    for path in ["/api/a", "/api/b/c?d=e"] {
        http1(at, request(&Method::POST, path, &[], "x")).await;
    }
    http1(at, request(&Method::GET, "/down/x", &[], "")).await;
    let brew = Method::from_bytes(b"BREW").unwrap();
    for path in ["/nope", "/nope/2"] {
        http1(at, request(&brew, path, &[], "")).await;
    }
    http1(at, request(&Method::GET, "/livez", &[], "")).await;
}

/// Scrapes until it is so: what is told of a call is told when all of it has gone.
pub(super) async fn until(gateway: &TestGateway, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let begun = std::time::Instant::now();
    loop {
        let scrape = Scrape::of(gateway, "").await;
        if is_so(&scrape) {
            return scrape;
        }
        assert!(begun.elapsed() < library::PATIENCE, "never so:\n{}", scrape.text);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub(super) async fn start(metrics: &str) -> TestGateway {
    start_with(metrics, &[]).await
}

/// The same with these variables.
pub(super) async fn start_with(metrics: &str, variables: &[(&str, &str)]) -> TestGateway {
    let (library, http) = (library::start().await, Recorder::start().await);
    let world = variables
        .iter()
        .fold(World::with_library(library), |world, (name, value)| world.with_variable(name, value));
    world
        .with_config(&format!(
            "{metrics}\n[[upstreams]]\nname = \"http\"\nhttp = \"http://{}\"\n[[upstreams]]\nname = \"down\"\nhttp = \"http://127.0.0.1:9\"\n\
             [[routes]]\npath = \"/api/{{rest=**}}\"\nupstream = \"http\"\n[[routes]]\npath = \"/down/{{x}}\"\nupstream = \"down\"",
            http.address
        ))
        .start()
}

#[tokio::test]
async fn calls_are_counted_exactly_by_what_they_were() {
    let gateway = start("").await;
    calls(&gateway).await;
    let scrape = Scrape::of(&gateway, "").await;
    assert_eq!(scrape.content_type, "text/plain; version=0.0.4; charset=utf-8");
    let check = |name: &str, labels: &str, want: f64| {
        assert_eq!(scrape.sum(name, labels), Some(want), "{name}{{{labels}}} in\n{}", scrape.text);
    };
    let http = "http_server_request_duration_seconds_count";
    let template = "/v1/{name=shelves/*/books/*}";
    let of = |method: &str, route: &str, status: u16, surface: &str, error: &str| {
        format!(
            "http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{status}\",\
             url_scheme=\"http\",propylon_surface=\"{surface}\",error_type=\"{error}\""
        )
    };
    check(http, &of("GET", template, 200, "rest", ""), 3.0);
    check(http, &of("GET", template, 400, "rest", ""), 1.0);
    check(http, &of("POST", "/v1/fail", 404, "rest", ""), 1.0);
    check(http, &of("POST", "/api/{rest=**}", 200, "http", ""), 2.0);
    check(http, &of("GET", "/down/{x}", 503, "http", "503"), 1.0);
    check(http, &of("OTHER", "unmatched", 404, "http", ""), 2.0);
    check(http, &of("GET", "/livez", 200, "http", ""), 1.0);
    check(http, "", 11.0);
    let rpc = "rpc_server_call_duration_seconds_count";
    let of = |method: &str, code: &str, surface: &str, error: &str| {
        format!(
            "rpc_system_name=\"grpc\",rpc_method=\"{method}\",rpc_response_status_code=\"{code}\",\
             propylon_surface=\"{surface}\",error_type=\"{error}\""
        )
    };
    check(rpc, &of("library.v1.Library/GetBook", "OK", "grpc", ""), 2.0);
    check(rpc, &of("library.v1.Library/GetBook", "OK", "grpc_web", ""), 1.0);
    check(rpc, &of("library.v1.Library/Fail", "NOT_FOUND", "grpc", ""), 1.0);
    check(rpc, &of("library.v1.Library/Fail", "INTERNAL", "grpc", "INTERNAL"), 1.0);
    // What there is not is its client's mistake.
    check(rpc, "rpc_response_status_code=\"UNIMPLEMENTED\",rpc_method=\"unmatched\",error_type=\"\"", 1.0);
    check(rpc, "", 6.0);
    // The scrape itself is on its way.
    check("http_server_active_requests", "url_scheme=\"http\"", 1.0);
    // Of those that reached an upstream; what it says is an answer.
    let requests = "propylon_upstream_requests_total";
    check(requests, "upstream=\"library\",result=\"answered\"", 3.0 + 1.0 + 2.0 + 2.0 + 1.0);
    check(requests, "upstream=\"library\",result=\"failed\"", 0.0);
    check(requests, "upstream=\"http\",result=\"answered\"", 2.0);
    check(requests, "upstream=\"down\",result=\"failed\"", 1.0);
    check("propylon_upstream_attempts_total", "upstream=\"library\"", 9.0);
    check("propylon_upstream_request_duration_seconds_count", "upstream=\"http\"", 2.0);
    check("propylon_upstream_in_flight", "upstream=\"library\"", 0.0);
    check("propylon_upstream_endpoints", "upstream=\"library\",state=\"healthy\"", 1.0);
    check("propylon_store_up", "store=\"database\"", 1.0);
    assert!(scrape.sum("propylon_store_latency_seconds", "store=\"database\"").unwrap() > 0.0);
    check("propylon_config_generation", "", 1.0);
    check("propylon_build_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1.0);
    assert!(scrape.sum("propylon_connections", "listener=\"port\"").unwrap() >= 1.0, "{}", scrape.text);
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(scrape.sum(name, "").unwrap() > 0.0, "{name}");
    }
    for path in ["/nope", "shelves/1", "/api/a", "scrape"] {
        assert!(!scrape.text.contains(path), "{path} is no label:\n{}", scrape.text);
    }
}

#[tokio::test]
async fn the_same_calls_have_other_names_where_the_config_says_so() {
    let gateway = start("[metrics]\nnames = \"gateway_http\"\nbuckets = [0.1, 2.5]\n[metrics.info]\nname = \"shop_info\"\nlabels = { version = \"1.0.0\" }").await;
    calls(&gateway).await;
    let scrape = Scrape::of(&gateway, "").await;
    let (requests, durations) = ("gateway_http_requests_total", "gateway_http_request_duration_seconds");
    for line in [
        "# TYPE gateway_http_requests_total counter",
        "# TYPE gateway_http_request_duration_seconds histogram",
        "gateway_http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 1",
        "# TYPE shop_info gauge",
        "shop_info{version=\"1.0.0\"} 1",
    ] {
        assert!(scrape.text.lines().any(|known| known == line), "{line} is not in\n{}", scrape.text);
    }
    assert_eq!(scrape.sum(requests, ""), Some(17.0));
    assert_eq!(
        scrape.sum(requests, "route=\"/library.v1.Library/GetBook\",method=\"POST\",status=\"200\""),
        Some(3.0)
    );
    assert_eq!(scrape.sum(requests, "route=\"unmatched\",method=\"OTHER\",status=\"404\""), Some(2.0));
    assert_eq!(scrape.sum(&format!("{durations}_bucket"), "route=\"/livez\",le=\"2.5\""), Some(1.0));
    assert_eq!(scrape.sum(&format!("{durations}_bucket"), "route=\"/livez\",le=\"+Inf\""), Some(1.0));
    let gateway = start("[metrics]\nnames = \"gateway\"").await;
    calls(&gateway).await;
    let scrape = Scrape::of(&gateway, "").await;
    assert_eq!(scrape.sum("gateway_requests_total", "surface=\"grpc_web\",status=\"200\""), Some(1.0));
    assert_eq!(scrape.sum("gateway_request_duration_seconds_count", ""), Some(17.0));
    assert!(scrape.sum("gateway_active_connections", "listener=\"port\"").unwrap() >= 1.0, "{}", scrape.text);
    let gateway = start("[metrics]\nenabled = false").await;
    let response = http1(gateway.address, request(&Method::GET, "/metrics", &[], "")).await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn a_thousand_routes_are_few_series() {
    let routes: String = (0..1000)
        .map(|n| format!("[[routes]]\npath = \"/r{n}/{{x}}\"\nrespond = {{ body = \"{n}\" }}\n"))
        .collect();
    let gateway = World::new().with_config(&routes).start();
    for n in 0..1000 {
        let response = http1(gateway.address, request(&Method::GET, &format!("/r{n}/1"), &[], "")).await;
        assert_eq!(response.status(), 200);
    }
    let scrape = Scrape::of(&gateway, "").await;
    assert!(scrape.series() < 2000, "{} series", scrape.series());
    let count = |labels: &str| scrape.sum("http_server_request_duration_seconds_count", labels);
    assert_eq!((count(""), count("http_route=\"other\"")), (Some(1000.0), Some(900.0)));
    assert_eq!((count("http_route=\"/r99/{x}\""), count("http_route=\"/r100/{x}\"")), (Some(1.0), None));
}

#[tokio::test]
async fn a_thousand_routes_with_methods_and_statuses_are_few_series_and_nothing_is_lost() {
    let routes: String = (0..1000)
        .map(|n| {
            format!(
                "[[routes]]\npath = \"/r{n}/{{x}}\"\nmethods = [\"GET\", \"POST\", \"DELETE\"]\nrespond = {{ body = \"{n}\" }}\n"
            )
        })
        .collect();
    for (names, count, total) in [
        ("semantic", "http_server_request_duration_seconds_count", ""),
        ("gateway_http", "gateway_http_request_duration_seconds_count", "gateway_http_requests_total"),
        ("gateway", "gateway_request_duration_seconds_count", "gateway_requests_total"),
    ] {
        let config = format!(
            "[metrics]\nnames = \"{names}\"\n[rate_limits]\nenabled = false\n[log]\nrequests = false\n{routes}"
        );
        let gateway = World::new().with_config(&config).start();
        let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for n in 0..1000 {
            let path = format!("/r{n}/1");
            for method in [Method::GET, Method::POST, Method::DELETE] {
                for (timeout, status) in [("", 200), ("never", 400)] {
                    let headers = [("host", "test"), ("x-request-timeout", timeout)];
                    let headers = if timeout.is_empty() { &headers[..1] } else { &headers[..] };
                    let asked = request(&method, &path, headers, "").map(http_body_util::Full::new);
                    let response = sender.send_request(asked).await.unwrap();
                    assert_eq!(response.status(), status, "{method} {path}");
                    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
                }
            }
        }
        let scrape = Scrape::of(&gateway, "").await;
        assert!(scrape.series() < 2000, "{names}: {} series", scrape.series());
        assert_eq!(scrape.sum(count, ""), Some(6000.0), "{names}");
        if !total.is_empty() {
            assert_eq!(scrape.sum(total, ""), Some(6000.0), "{names}");
        }
        // What came first is told of by its name.
        let label = if names == "semantic" { "http_route" } else { "route" };
        assert_eq!(scrape.sum(count, &format!("{label}=\"/r1/{{x}}\"")), Some(6.0), "{names}");
    }
}

#[tokio::test]
async fn a_route_that_is_gone_gives_its_place_to_another() {
    let config = |names: &[&str]| {
        let routes = names
            .iter()
            .map(|name| format!("[[routes]]\npath = \"/{name}\"\nrespond = {{ body = \"x\" }}\n"));
        "[metrics]\nmax_routes = 2\n".to_owned() + &routes.collect::<String>()
    };
    let gateway = World::new().with_config(&config(&["a", "b", "c"])).start();
    let ask = async |path: &str| {
        http1(gateway.address, request(&Method::GET, path, &[], "")).await.status().as_u16()
    };
    for path in ["/a", "/b", "/c"] {
        assert_eq!(ask(path).await, 200);
    }
    let count = |scrape: &Scrape, route: &str| {
        scrape.sum("http_server_request_duration_seconds_count", &format!("http_route=\"{route}\""))
    };
    let scrape = Scrape::of(&gateway, "").await;
    assert_eq!(
        (count(&scrape, "/a"), count(&scrape, "/c"), count(&scrape, "other")),
        (Some(1.0), None, Some(1.0))
    );
    gateway.rewrite(&config(&["b", "c"]));
    let begun = std::time::Instant::now();
    while ask("/a").await == 200 {
        assert!(begun.elapsed() < library::PATIENCE, "it is not taken over");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for path in ["/b", "/c"] {
        assert_eq!(ask(path).await, 200);
    }
    let scrape = Scrape::of(&gateway, "").await;
    assert_eq!(
        (count(&scrape, "/a"), count(&scrape, "/b"), count(&scrape, "/c")),
        (None, Some(2.0), Some(1.0))
    );
}

#[tokio::test]
async fn what_is_asked_before_a_call_is_told_by_its_route() {
    let gateway =
        World::with_library(library::start().await).with_config("[cors]\norigins = [\"*\"]\n").start();
    let headers = [("origin", "http://page.example"), ("access-control-request-method", "GET")];
    let asked = request(&Method::OPTIONS, "/v1/shelves/1/books/2", &headers, "");
    assert_eq!(http1(gateway.address, asked).await.status(), 204);
    let scrape = Scrape::of(&gateway, "").await;
    let labels = "http_request_method=\"OPTIONS\",http_route=\"/v1/{name=shelves/*/books/*}\"";
    assert_eq!(
        scrape.sum("http_server_request_duration_seconds_count", labels),
        Some(1.0),
        "{}",
        scrape.text
    );
}

#[tokio::test]
async fn the_page_is_what_prometheus_reads() {
    let Some(promtool) = needs("promtool") else { return };
    let gateway = start("").await;
    calls(&gateway).await;
    let scrape = Scrape::of(&gateway, "text/plain").await;
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(scrape.text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\n{}", scrape.text);
    let open = Scrape::of(&gateway, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(open.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(
        open.text.ends_with("# EOF\n") && open.text.contains("# TYPE propylon_upstream_requests counter\n")
    );
}

#[tokio::test]
async fn who_may_read_the_numbers() {
    let token = "the-one-token-that-is-good-0123456789";
    let gateway = World::new()
        .with_variable("API_TOKEN", token)
        .with_config("[admin]\nlisten = \"127.0.0.1:0\"\n[access]\ndefault = \"authenticated\"\n[rate_limits]\naddress = 2\nexempt = []\nburst = 0\n")
        .start();
    let ask = async |headers: &[(&str, &str)]| {
        http1(gateway.address, request(&Method::GET, "/metrics", headers, "")).await.status().as_u16()
    };
    assert_eq!(ask(&[]).await, 200);
    // By a proxy nobody is on this machine.
    let elsewhere = ("x-forwarded-for", "203.0.113.9");
    assert_eq!(ask(&[elsewhere]).await, 401);
    let bearer = format!("Bearer {token}");
    let known = ask(&[elsewhere, ("authorization", &bearer)]).await;
    assert!(known == 200 || known == 403, "{known}: it is known, whatever it may do");
    assert_eq!(ask(&[elsewhere, ("authorization", "Bearer bad")]).await, 429, "the address has called twice");
    let scrape = Scrape::of_as(&gateway, &[("authorization", &bearer)]).await;
    let sum = |name: &str, labels: &str| scrape.sum(name, labels);
    assert_eq!(sum("propylon_limit_refusals_total", "limit=\"address\""), Some(1.0), "{}", scrape.text);
    assert_eq!(sum("propylon_credentials_total", "result=\"verified\""), Some(1.0), "{}", scrape.text);
    assert_eq!(sum("propylon_cache_entries", "cache=\"credentials\""), Some(1.0), "{}", scrape.text);
}
