//! `GET /admin/stats`: what an administrator is told of traffic.

use http::Method;
use serde_json::Value;

use super::metrics;
use crate::support::client::{request, rest};

#[tokio::test]
async fn an_administrator_sees_what_calls_were_like() {
    let variables = [("ADMIN_EMAIL", "root@example.com"), ("ADMIN_PASSWORD", "a-long-Password-of-9-words")];
    let gateway = metrics::start_with("", &variables).await;
    metrics::calls(&gateway).await;
    let login = r#"{"email": "root@example.com", "password": "a-long-Password-of-9-words"}"#;
    let session = rest(gateway.address, request(&Method::POST, "/api/v1/auth/login", &[], login)).await;
    let token = format!("Bearer {}", session.messages[0]["access_token"].as_str().unwrap());
    let ask = async |token: &str| {
        rest(gateway.address, request(&Method::GET, "/admin/stats", &[("authorization", token)], "")).await
    };
    assert_eq!(ask("").await.http, 401);
    let stats = ask(&token).await;
    assert_eq!(stats.http, 200, "{stats:?}");
    let (users, traffic) = (&stats.messages[0]["users"], &stats.messages[0]["traffic"]);
    assert_eq!(users, 1, "{traffic}");
    // 17 calls, the login, and the one that was refused; this one has not ended.
    let requests = &traffic["requests"];
    assert_eq!(
        (requests["total"].as_f64(), requests["errors"].as_f64()),
        (Some(19.0), Some(2.0)),
        "{traffic}"
    );
    assert_eq!(requests["client_errors"].as_f64(), Some(7.0), "{traffic}");
    let quantile = |name: &str| requests[name].as_f64().unwrap();
    assert!(quantile("p50_ms") > 0.0 && quantile("p50_ms") <= quantile("p95_ms"), "{requests}");
    assert!(quantile("p95_ms") <= quantile("p99_ms") && quantile("p99_ms") < 60_000.0, "{requests}");
    assert!(traffic["requests_per_second"].as_f64().unwrap() > 0.0, "{traffic}");
    assert_eq!((traffic["in_flight"].as_i64(), traffic["since"].is_string()), (Some(1), true), "{traffic}");
    assert!(traffic["connections"].as_i64().unwrap() >= 1, "{traffic}");
    let route = |route: &str, surface: &str| -> Value {
        let routes = traffic["routes"].as_array().unwrap().iter();
        let found = routes.clone().find(|one| one["route"] == route && one["surface"] == surface);
        found.unwrap_or_else(|| panic!("no {route} by {surface} in {traffic}"))["requests"].clone()
    };
    let books = route("/v1/{name=shelves/*/books/*}", "rest");
    assert_eq!((books["total"].as_f64(), books["client_errors"].as_f64()), (Some(4.0), Some(1.0)), "{books}");
    assert_eq!(route("/library.v1.Library/GetBook", "grpc")["total"].as_f64(), Some(2.0));
    let failing = route("/library.v1.Library/Fail", "grpc");
    assert_eq!((failing["errors"].as_f64(), failing["client_errors"].as_f64()), (Some(1.0), Some(1.0)));
    assert_eq!(route("unmatched", "http")["client_errors"].as_f64(), Some(2.0));
    let upstreams: Vec<_> =
        traffic["upstreams"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(upstreams, ["down", "http", "library"]);
    assert_eq!(traffic["upstreams"][2]["healthy_endpoints"].as_i64(), Some(1));
    assert_eq!(traffic["credentials"]["verified"].as_f64(), Some(0.0), "this call has not ended: {traffic}");
    let again = ask(&token).await;
    let traffic = &again.messages[0]["traffic"];
    // The token was verified for the first of the two, and was known for this one; that has not ended.
    assert_eq!(traffic["caches"]["credentials"]["misses"].as_f64(), Some(1.0), "{traffic}");
    assert_eq!(traffic["caches"]["credentials"]["entries"].as_f64(), Some(1.0), "{traffic}");
    assert!(traffic["caches"]["memory"]["hits"].is_number(), "{traffic}");
    let credentials = &traffic["credentials"];
    assert_eq!(credentials["verified"].as_f64(), Some(1.0), "{credentials}");
}
