//! How often callers may call, and what they are told of it.

use serde_json::json;

use super::{OPERATOR, get, start, told};
use crate::support::{
    client::{request, rest},
    streams::Socket,
    tokens::{good, now},
};

const ADDRESS: &str = "
[access]
default = \"public\"
[rate_limits]
address = 6
burst = 2
exempt = []
tiers = { free = 3, elite = 0 }
";

#[tokio::test]
async fn an_address_is_limited_over_all_surfaces_together() {
    let (gateway, _issuer) = start(ADDRESS).await;
    let mut left = 8;
    for _ in 0..3 {
        for (surface, outcome) in get(gateway.address, &[]).await {
            let at = format!("{surface}, {left} left: {outcome:?}");
            if left > 0 {
                left -= 1;
                assert_eq!(outcome.code, 0, "{at}");
                assert_eq!(told(&outcome, "x-ratelimit-remaining"), left.to_string(), "{at}");
            } else {
                assert_eq!(
                    (outcome.code, outcome.http),
                    (8, if surface == "REST" { 429 } else { 200 }),
                    "{at}"
                );
                assert!(outcome.message.contains("6 in 60s, and 2 more at once (address)"), "{at}");
                let retry: u64 = told(&outcome, "retry-after").parse().unwrap();
                assert!((1..=60).contains(&retry), "{at}");
                assert_eq!(outcome.details[0]["@type"], "type.googleapis.com/google.rpc.RetryInfo", "{at}");
                assert_eq!(told(&outcome, "x-ratelimit-remaining"), "0", "{at}");
            }
            assert_eq!(told(&outcome, "x-ratelimit-limit"), "8", "{at}");
            assert_eq!(told(&outcome, "ratelimit-policy"), "\"address\";q=8;w=60", "{at}");
            assert!(told(&outcome, "ratelimit").starts_with("\"address\";r="), "{at}");
            let reset: u64 = told(&outcome, "x-ratelimit-reset").parse().unwrap();
            assert!((now()..=now() + 120).contains(&reset), "{at}");
        }
    }
    // Who is known is not counted by its address.
    let bearer = format!("Bearer {OPERATOR}");
    for (surface, outcome) in get(gateway.address, &[("authorization", &bearer)]).await {
        assert_eq!((outcome.code, told(&outcome, "x-ratelimit-limit")), (0, ""), "{surface}");
    }
    let answer = rest(gateway.address, request(&http::Method::GET, "/v1/books:get", &[], "")).await;
    assert_eq!(answer.http, 429);
}

#[tokio::test]
async fn bad_credentials_are_counted_and_then_not_even_looked_at() {
    let (gateway, _issuer) = start(&ADDRESS.replace("public", "authenticated")).await;
    let mut codes = Vec::new();
    for number in 0..12 {
        let bearer = format!("Bearer {}x", good(&number.to_string(), &json!({})));
        let headers = [("authorization", bearer.as_str())];
        let answer = rest(gateway.address, request(&http::Method::GET, "/v1/books:get", &headers, "")).await;
        codes.push(answer.http);
    }
    assert_eq!(codes[..8], [401; 8]);
    assert_eq!(codes[8..], [429; 4]);
}

/// The address that it comes from, what it brings, and its headers.
type Refused<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Each kind of credential that is not good comes from an address of its own, over each surface, until the limit is met.
#[tokio::test]
async fn a_refused_call_is_counted_once_whatever_it_brings_and_is_told() {
    let proxied = "[gateway]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let (gateway, _issuer) = start(&format!("{proxied}{}", ADDRESS.replace("public", "authenticated"))).await;
    let bad = format!("Bearer {}x", good("a", &json!({})));
    let bearer = ("authorization", bad.as_str());
    let all: [Refused<'_>; 6] = [
        ("203.0.113.1", "nothing", &[]),
        ("203.0.113.2", "Basic", &[("authorization", "Basic dTpw")]),
        ("203.0.113.3", "a bad token", &[bearer]),
        ("203.0.113.4", "two tokens", &[bearer, bearer]),
        ("203.0.113.5", "two keys", &[("x-api-key", "ppk_a"), ("x-api-key", "ppk_b")]),
        ("203.0.113.6", "a token and a key", &[bearer, ("x-api-key", "ppk_a")]),
    ];
    for (address, brought, headers) in all {
        let headers = [headers, &[("x-forwarded-for", address)]].concat();
        let mut left = (0..8).rev();
        for _ in 0..3 {
            for (surface, outcome) in get(gateway.address, &headers).await {
                let at = format!("{brought} over {surface}: {outcome:?}");
                let (code, remaining) = left.next().map_or((8, 0), |left| (16, left));
                assert_eq!(outcome.code, code, "{at}");
                assert_eq!(told(&outcome, "x-ratelimit-remaining"), remaining.to_string(), "{at}");
                assert_eq!(told(&outcome, "x-ratelimit-limit"), "8", "{at}");
            }
        }
    }
}

#[tokio::test]
async fn callers_are_limited_by_their_tier_and_apart() {
    let (gateway, _issuer) = start(ADDRESS).await;
    let call = async |user: &str, more: serde_json::Value| {
        let bearer = format!("Bearer {}", good(user, &more));
        let headers = [("authorization", bearer.as_str())];
        rest(gateway.address, request(&http::Method::GET, "/v1/books:get", &headers, "")).await
    };
    for user in ["a", "b"] {
        // Another token of the same user has no other count.
        for left in ["2", "1", "0"] {
            let answer = call(user, json!({ "jti": left })).await;
            let counted =
                (answer.http, told(&answer, "x-ratelimit-limit"), told(&answer, "x-ratelimit-remaining"));
            assert_eq!(counted, (200, "3", left), "{answer:?}");
        }
        assert_eq!(call(user, json!({})).await.http, 429);
    }
    for _ in 0..10 {
        assert_eq!(call("rich", json!({ "tier": "elite" })).await.http, 200);
    }
    // A tier that the config does not know has the default tier's limit.
    assert_eq!(told(&call("odd", json!({ "tier": "gold" })).await, "x-ratelimit-limit"), "3");
}

#[tokio::test]
async fn a_route_has_limits_of_its_own() {
    let rules = "
[access]
default = \"public\"
[rate_limits]
reset = \"delta\"
[[rate_limits.rules]]
name = \"books\"
match = [\"library.v1.Library/GetBook\"]
calls = 6
window = \"30s\"
by = \"everyone\"
";
    let (gateway, _issuer) = start(rules).await;
    let bearer = format!("Bearer {OPERATOR}");
    for (surface, outcome) in get(gateway.address, &[("authorization", &bearer)]).await {
        assert_eq!((outcome.code, told(&outcome, "x-ratelimit-limit")), (0, "6"), "{surface}");
        assert_eq!(told(&outcome, "ratelimit-policy"), "\"books\";q=6;w=30", "{surface}");
        let reset: u64 = told(&outcome, "x-ratelimit-reset").parse().unwrap();
        assert!(reset <= 30, "{surface}: {reset}");
    }
    let codes: Vec<i32> = get(gateway.address, &[]).await.iter().map(|(_, outcome)| outcome.code).collect();
    assert_eq!(codes, [0, 0, 8, 8]);
}

#[tokio::test]
async fn a_socket_is_told_what_is_left_when_it_is_opened() {
    let (gateway, _issuer) = start(ADDRESS).await;
    for left in ["7", "6"] {
        let socket = Socket::start(gateway.address, "/v1/chat").await;
        assert_eq!(socket.headers["x-ratelimit-remaining"], left);
        assert_eq!(socket.headers["ratelimit-policy"], "\"address\";q=8;w=60");
    }
}

#[tokio::test]
async fn who_a_trusted_proxy_speaks_for_is_counted_apart() {
    let config =
        format!("{}\n", ADDRESS.replace("address = 6", "address = 1").replace("burst = 2", "burst = 0"));
    let upstream = crate::support::library::start().await;
    let gateway = crate::support::gateway::World::with_library(upstream)
        .with_config("[gateway]\ntrusted_proxies = [\"127.0.0.0/8\"]")
        .with_config(&config)
        .start();
    let check = async |forwarded: &str, want: u16| {
        let headers = [("x-forwarded-for", forwarded)];
        let answer = rest(gateway.address, request(&http::Method::GET, "/v1/books:get", &headers, "")).await;
        assert_eq!(answer.http, want, "{forwarded}: {answer:?}");
    };
    check("203.0.113.1", 200).await;
    check("203.0.113.1", 429).await;
    check("203.0.113.2", 200).await;
    // What stands to the left was written by whoever came.
    check("198.51.100.9, 203.0.113.2", 429).await;
    check("203.0.113.3, 127.0.0.9", 200).await;
    check("203.0.113.3", 429).await;
    // One customer has a whole /64.
    check("2001:db8:1:2::1", 200).await;
    check("2001:db8:1:2:ffff::9", 429).await;
    check("2001:db8:1:3::1", 200).await;
}
