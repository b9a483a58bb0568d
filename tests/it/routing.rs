//! Which route a request meets where several could: by host, path or prefix, method, headers and weight, over HTTP and over
//! gRPC; what they change of headers; and what is said of them.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{frames, grpc, http1, http2, request, rest},
    gateway::{TestGateway, World},
    library,
    recorder::Recorder,
};

/// Status, headers and body of one request over HTTP/1.1.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, http::HeaderMap, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (head, (body, _)) = http1(address, request(&method, path, headers, "")).await.into_parts();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (head.status.as_u16(), head.headers, body)
}

/// The routes of an API that is on its way to another version. Each marks what it sends on.
async fn api(more: &str) -> (TestGateway, Recorder, Recorder) {
    let (users, next) = (Recorder::start().await, Recorder::start().await);
    let config = format!(
        r#"
        [[upstreams]]
        name = "users"
        http = "http://{}"
        [[upstreams]]
        name = "next"
        http = "http://{}"
        [[routes]]
        prefix = "/api/users"
        upstream = "users"
        request_headers = {{ set = {{ x-route = "users" }} }}
        [[routes]]
        prefix = "/api/users"
        headers = {{ x-version = "2" }}
        upstream = "next"
        replace_prefix = "/v2"
        request_headers = {{ set = {{ x-route = "v2" }}, add = {{ x-seen = "gateway" }}, remove = ["x-version", "x-debug"] }}
        response_headers = {{ set = {{ cache-control = "no-store" }}, add = {{ set-cookie = "c=3" }} }}
        [[routes]]
        path = "/api/users/me"
        methods = ["GET"]
        upstream = "users"
        request_headers = {{ set = {{ x-route = "me" }} }}
        [[routes]]
        prefix = "/"
        hosts = ["*.shop.example", "shop.example"]
        upstream = "next"
        keep_host = true
        request_headers = {{ set = {{ x-route = "shop" }} }}
        [[routes]]
        prefix = "/old"
        hosts = ["shop.example"]
        redirect = {{ to = "/new/${{path.rest}}" }}
        [[routes]]
        prefix = "/api/split"
        upstreams = [{{ name = "users", weight = 3 }}, {{ name = "next", weight = 1 }}]
        {more}
        "#,
        users.address, next.address
    );
    (World::new().with_config(&config).start(), users, next)
}

#[tokio::test]
async fn a_request_meets_the_most_specific_route() {
    let (gateway, ..) = api("").await;
    type Row =
        (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);
    let rows: &[Row] = &[
        ("GET", "/api/users", &[], "users", "/api/users"),
        ("DELETE", "/api/users/7?x=1", &[], "users", "/api/users/7?x=1"),
        ("GET", "/api/users/me", &[], "me", "/api/users/me"),
        ("POST", "/api/users/me", &[], "users", "/api/users/me"),
        ("POST", "/api/users/me", &[("x-version", "2")], "v2", "/v2/me"),
        ("PUT", "/api/users", &[("x-version", "2")], "v2", "/v2"),
        ("PUT", "/api/users/?y", &[("x-version", "2")], "v2", "/v2/?y"),
        ("PUT", "/api/users/7", &[("x-version", "3")], "users", "/api/users/7"),
        ("GET", "/api/users/7", &[("host", "eu.shop.example:8080")], "shop", "/api/users/7"),
        ("GET", "/x", &[("host", "SHOP.example")], "shop", "/x"),
        ("GET", "/api/users/7", &[("host", "other.example")], "users", "/api/users/7"),
    ];
    for (method, path, headers, route, at) in rows {
        let (status, _, seen) = ask(gateway.address, method, path, headers).await;
        let got = (status, &seen["headers"]["x-route"], &seen["path"]);
        assert_eq!(got, (200, &json!(route), &json!(at)), "{method} {path} {headers:?}");
    }
    for (path, host, status) in
        [("/api/usersx", "a", 404), ("/nowhere", "a", 404), ("/old/a/b", "shop.example", 308)]
    {
        let (got, headers, body) = ask(gateway.address, "GET", path, &[("host", host)]).await;
        assert_eq!(got, status, "{path} {body}");
        if status == 308 {
            assert_eq!(headers["location"], "/new/a/b");
        }
    }
    // HTTP/2 says its host by :authority.
    let over_http2 =
        http2(gateway.address, request(&Method::GET, "/api/users", &[("x-version", "2")], "")).await;
    let seen: Value = serde_json::from_slice(&over_http2.body().0).unwrap();
    assert_eq!(seen["headers"]["x-route"], "v2");
    // The gateway's own pages stay where they are, whatever host a prefix is for.
    assert_eq!(ask(gateway.address, "GET", "/livez", &[("host", "shop.example")]).await.0, 200);
}

#[tokio::test]
async fn a_route_changes_headers_both_ways() {
    let more = r#"
        [[routes]]
        prefix = "/marked"
        upstream = "users"
        replace_prefix = "/"
        response_headers = { remove = ["x-hop"], set = { x-own = "2" }, add = { set-cookie = "c=3" } }
    "#;
    let (gateway, ..) = api(more).await;
    let sent = [("x-version", "2"), ("x-debug", "1"), ("x-seen", "client"), ("x-route", "client")];
    let (_, headers, seen) = ask(gateway.address, "PUT", "/api/users/7", &sent).await;
    assert!(headers["cache-control"] == "no-store" && headers["set-cookie"] == "c=3", "{headers:?}");
    let headers = &seen["headers"];
    assert_eq!((&headers["x-seen"], &headers["x-route"]), (&json!("client | gateway"), &json!("v2")));
    assert!(headers["x-debug"].is_null() && headers["x-version"].is_null(), "{headers}");
    // What the upstream itself says is removed, set over, and added to.
    let (status, headers, _) = ask(gateway.address, "GET", "/marked/teapot", &[]).await;
    assert_eq!(status, 418, "{headers:?}");
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2", "c=3"]);
    assert_eq!(headers["x-own"], "2");
}

#[tokio::test]
async fn calls_are_shared_out_by_weight() {
    let (gateway, users, next) = api("").await;
    for _ in 0..200 {
        assert_eq!(ask(gateway.address, "GET", "/api/split/x", &[]).await.0, 200);
    }
    let (first, second) = (users.requests(), next.requests());
    assert_eq!(first + second, 200);
    // 50 of 200 are meant: six standard deviations on either side.
    assert!((14..=86).contains(&second), "{first} and {second}");
}

#[tokio::test]
async fn each_route_has_rules_of_its_own() {
    let more = r#"
        [[routes]]
        prefix = "/guarded"
        upstream = "users"
        [[routes]]
        prefix = "/guarded"
        headers = { x-open = "*" }
        upstream = "users"
        access = { public = true }
        request_bytes = 10
        cors = { origins = ["https://open.example"] }
        [access]
    "#;
    let (gateway, ..) = api(more).await;
    let status = async |method: &str, headers: &[(&str, &str)]| {
        ask(gateway.address, method, "/guarded/x", headers).await.0
    };
    assert_eq!(status("GET", &[]).await, 401);
    assert_eq!(status("GET", &[("x-open", "")]).await, 200);
    let long =
        rest(gateway.address, request(&Method::POST, "/guarded/x", &[("x-open", "1")], "x".repeat(11))).await;
    assert_eq!(long.http, 413, "{long:?}");
    // A preflight is answered by the route of the request that it asks for.
    let preflight = async |asks: &str| {
        let headers = [
            ("origin", "https://open.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", asks),
        ];
        ask(gateway.address, "OPTIONS", "/guarded/x", &headers)
            .await
            .1
            .contains_key("access-control-allow-origin")
    };
    assert!(preflight("content-type, x-open").await);
    assert!(!preflight("content-type").await);
}

#[tokio::test]
async fn a_grpc_service_has_routes_by_host_headers_and_weight() {
    let config = r#"
        [[upstreams]]
        name = "gone"
        grpc = "http://127.0.0.1:9"
        reflection = false
        [[routes]]
        service = "library.v1.Library"
        headers = { x-canary = "1" }
        upstream = "gone"
        [[routes]]
        service = "library.v1.Library/GetBook"
        hosts = ["canary.example"]
        upstreams = [{ name = "gone", weight = 1 }, { name = "library", weight = 0 }]
        [[routes]]
        service = "library.v1.Library"
        hosts = ["*.fast.example"]
        request_bytes = 5
        request_headers = { set = { x-fast = "yes" } }
        [[routes]]
        service = "legacy.*"
        hosts = ["legacy.example"]
        upstream = "gone"
    "#;
    let gateway = World::with_library(library::start().await).with_config(config).start();
    let body = frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]);
    let call = async |path: &str, headers: &[(&str, &str)]| {
        grpc(gateway.address, path, headers, body.clone(), "library.v1.Book").await
    };
    let get = "/library.v1.Library/GetBook";
    let gone = |outcome: &crate::support::client::Outcome| outcome.message.contains("upstream \"gone\"");
    let plain = call(get, &[]).await;
    assert_eq!(plain.code, 0, "{plain:?}");
    let canary = call(get, &[("x-canary", "1")]).await;
    assert!(canary.code == 14 && gone(&canary), "{canary:?}");
    // REST and gRPC-Web meet the same routes.
    let book = "/v1/shelves/1/books/2";
    for (headers, to_gone) in [
        (&[][..], false),
        (&[("x-canary", "1")][..], true),
        (&[("x-canary", "2")][..], false),
        (&[("host", "canary.example:80")][..], true),
    ] {
        let outcome = rest(gateway.address, request(&Method::GET, book, headers, "")).await;
        assert_eq!((outcome.code != 0, gone(&outcome)), (to_gone, to_gone), "{headers:?}: {outcome:?}");
    }
    let limited = rest(gateway.address, request(&Method::GET, book, &[("host", "x.fast.example")], "")).await;
    assert_eq!(limited.http, 413, "{limited:?}");
    // A service that is there for some calls alone.
    let none = call("/legacy.A/Get", &[]).await;
    let said = "no route of service legacy.A is for this host and these headers";
    assert_eq!((none.code, none.message.as_str()), (12, said));
}

#[tokio::test]
async fn what_routes_are_for_is_told() {
    let (gateway, ..) = api("").await;
    let (_, _, list) = ask(gateway.address, "GET", "/api/v1/routes", &[]).await;
    let paths = list["paths"].as_array().unwrap();
    let find = |path: &str, conditions: Value| {
        paths
            .iter()
            .find(|one| one["path"] == path && one["conditions"] == conditions)
            .unwrap_or_else(|| panic!("{list}"))
    };
    assert_eq!(find("/api/users/{rest=**}", json!(["x-version: 2"]))["target"], "next");
    assert_eq!(find("/{rest=**}", json!(["host *.shop.example or shop.example"]))["target"], "next");
    assert_eq!(find("/api/split/{rest=**}", json!([]))["target"], "users (3), next (1)");
    let explain = async |path: &str, headers: Value| {
        let asked = json!({"method": "PUT", "path": path, "headers": headers}).to_string();
        let headers = [("content-type", "application/json")];
        let response =
            http1(gateway.address, request(&Method::POST, "/api/v1/routes:explain", &headers, asked)).await;
        serde_json::from_slice::<Value>(&response.body().0).unwrap()
    };
    let v2 = explain("/api/users/7", json!({"x-version": "2"})).await;
    assert_eq!(v2["route"]["conditions"], json!(["x-version: 2"]), "{v2}");
    assert_eq!((&v2["destination"]["name"], &v2["outcome"]), (&json!("next"), &json!("passes")));
    let elsewhere = explain("/old/x", json!({"host": "other.example"})).await;
    let near = elsewhere["near_misses"].to_string();
    assert!(near.contains("its host is shop.example, not other.example"), "{elsewhere}");
}

#[tokio::test]
async fn thousands_of_routes_are_taken_over_and_found() {
    let upstream = Recorder::start().await;
    let config = |last: usize| {
        let mut config = format!("[[upstreams]]\nname = \"up\"\nhttp = \"http://{}\"\n", upstream.address);
        for number in 0..=last {
            config += &format!(
                "[[routes]]\nprefix = \"/api/v1/service{number}\"\nupstream = \"up\"\nstrip_segments = 2\n"
            );
        }
        config
    };
    let gateway = World::new().with_config(&config(999)).start();
    let (status, _, seen) = ask(gateway.address, "GET", "/api/v1/service999/x", &[]).await;
    assert_eq!((status, &seen["path"]), (200, &json!("/service999/x")));
    gateway.rewrite(&config(1000));
    let begun = std::time::Instant::now();
    while ask(gateway.address, "GET", "/api/v1/service1000", &[]).await.0 != 200 {
        assert!(begun.elapsed() < crate::support::library::PATIENCE, "the new routes are not there");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
