//! One access table: caller × method × surface → outcome.

use http::Method;
use serde_json::json;

use super::{OPERATOR, everywhere, get, seen, start, told};
use crate::support::{
    client::{request, rest},
    tokens::good,
};

const RULES: &str = r#"
[access]
[[access.rules]]
match = ["library.v1.Library/GetBook"]
public = true
[[access.rules]]
match = ["library.v1.*"]
roles = ["student", "teacher"]
deny = ["user:suspended"]
[[access.rules]]
match = ["/v1/fail"]
scopes = ["break"]
[[access.rules]]
match = ["POST /v1/pages"]
permissions = ["read", "pages"]
"#;

/// Method, its request's type, REST's verb and path, a body, the code for each caller, and what is said.
type Row = (&'static str, &'static str, &'static str, &'static str, [i32; 6], &'static str);

#[tokio::test]
async fn one_table_through_every_surface() {
    let (gateway, _issuer) = start(RULES).await;
    let bearer = |user: &str, more| format!("Bearer {}", good(user, &more));
    let callers = [
        ("anonymous", None),
        ("student", Some(bearer("s", json!({ "roles": ["student"], "permissions": ["read", "pages"] })))),
        (
            "teacher",
            Some(bearer("t", json!({ "roles": ["teacher"], "scope": "see break", "permissions": ["read"] }))),
        ),
        ("admin", Some(format!("Bearer {OPERATOR}"))),
        (
            "suspended",
            Some(bearer("suspended", json!({ "roles": ["student"], "permissions": ["read", "pages"] }))),
        ),
        ("nobody", Some(bearer("n", json!({})))),
    ];
    // Codes by caller, in their order: 0 reached, 7 PERMISSION_DENIED, 16 UNAUTHENTICATED; and what is said.
    let table: [Row; 4] = [
        ("GetBook", "GetBookRequest", "GET /v1/books:get", "", [0, 0, 0, 0, 7, 0], ""),
        (
            "PutBook",
            "Book",
            "PUT /v1/shelves/1/books/2",
            "{}",
            [16, 0, 0, 7, 7, 7],
            "the role student or teacher is missing",
        ),
        (
            "ListPages",
            "FailRequest",
            "POST /v1/pages",
            "{}",
            [16, 0, 7, 7, 7, 7],
            "the permission pages is missing",
        ),
        // A path's rule is its method's, whatever the surface.
        (
            "Fail",
            "FailRequest",
            "POST /v1/fail",
            r#"{"code": 0}"#,
            [16, 7, 0, 7, 7, 7],
            "the scope break is missing",
        ),
    ];
    for (method, message, path, body, codes, words) in table {
        let (verb, path) = path.split_once(' ').unwrap();
        for ((caller, credentials), code) in callers.iter().zip(codes) {
            let headers: Vec<_> = credentials.iter().map(|value| ("authorization", value.as_str())).collect();
            let at = (verb.parse::<Method>().unwrap(), path, body);
            for (surface, outcome) in
                everywhere(gateway.address, method, &format!("library.v1.{message}"), at, &headers).await
            {
                let at = format!("{method} by {caller} over {surface}: {outcome:?}");
                // The upstream fails in ways of its own: then it was reached.
                let reached = ![7, 16].contains(&outcome.code);
                assert_eq!(if reached { 0 } else { outcome.code }, code, "{at}");
                if code == 7 && *caller != "suspended" && !(*caller == "admin" || *caller == "nobody") {
                    assert!(outcome.message.contains(words), "{at}");
                }
                if code == 7 && *caller == "suspended" {
                    assert!(outcome.message.contains("the caller is denied"), "{at}");
                }
                if surface == "REST" && !reached {
                    assert_eq!(outcome.http, if code == 7 { 403 } else { 401 }, "{at}");
                }
            }
        }
    }
    for (surface, outcome) in get(gateway.address, &[]).await {
        let seen = seen(&outcome);
        assert!(!seen.iter().any(|line| line.starts_with("x-user-")), "{surface}: {seen:?}");
    }
    let body = ("POST".parse().unwrap(), "/v1/pages", "{}");
    let teacher = bearer("t", json!({ "roles": ["teacher"], "permissions": ["read"] }));
    for (surface, outcome) in everywhere(
        gateway.address,
        "ListPages",
        "library.v1.FailRequest",
        body,
        &[("authorization", &teacher)],
    )
    .await
    {
        assert_eq!(outcome.details[0]["reason"], "PERMISSION_MISSING", "{surface}");
        assert_eq!(outcome.details[0]["metadata"]["permission"], "pages", "{surface}");
    }
}

#[tokio::test]
async fn the_gateways_own_services_have_a_table_of_their_own() {
    let (gateway, _issuer) = start("[access]\ndefault = \"authenticated\"").await;
    let student = format!("Bearer {}", good("s", &json!({ "roles": ["student"] })));
    let admin = format!("Bearer {OPERATOR}");
    let check = async |verb: Method, path: &str, headers: &[(&str, &str)], want: u16| {
        let outcome = rest(gateway.address, request(&verb, path, headers, "")).await;
        assert_eq!(outcome.http, want, "{verb} {path} {headers:?}: {outcome:?}");
        outcome
    };
    for open in ["/health", "/ping", "/livez", "/readyz"] {
        check(Method::GET, open, &[], 200).await;
        // Bad credentials do not matter where none are asked for.
        check(Method::GET, open, &[("authorization", "Bearer bad")], 200).await;
    }
    for near in ["/gateway/info", "/api/v1/routes"] {
        check(Method::GET, near, &[], 200).await;
        // What a proxy that nobody told us of sends is not of this machine.
        check(Method::GET, near, &[("x-forwarded-for", "203.0.113.7")], 401).await;
        let proxied = [("x-forwarded-for", "203.0.113.7"), ("authorization", student.as_str())];
        let outcome = check(Method::GET, near, &proxied, 403).await;
        assert!(outcome.message.contains("the role admin is missing"), "{outcome:?}");
        let proxied = [("x-forwarded-for", "203.0.113.7"), ("authorization", admin.as_str())];
        check(Method::GET, near, &proxied, 200).await;
    }
    let outcome = check(Method::GET, "/admin/users", &[], 401).await;
    assert_eq!(told(&outcome, "www-authenticate"), "Bearer");
    check(Method::GET, "/admin/users", &[("authorization", &student)], 403).await;
    check(Method::GET, "/admin/users", &[("authorization", &admin)], 200).await;
    // Who is on this machine may send SIGHUP too. A proxy and a browser's page are not the operator.
    check(Method::POST, "/admin/reload", &[], 200).await;
    check(Method::POST, "/admin/reload", &[("authorization", &admin)], 200).await;
    // Where credentials let in, bad ones are refused, also to who needs none.
    check(Method::POST, "/admin/reload", &[("authorization", "Bearer bad")], 401).await;
    check(Method::GET, "/gateway/info", &[("authorization", "Bearer bad")], 401).await;
    let (proxied, page) = (("x-forwarded-for", "203.0.113.7"), ("origin", "https://evil.example"));
    check(Method::POST, "/admin/reload", &[proxied], 401).await;
    check(Method::POST, "/admin/reload", &[proxied, ("authorization", &student)], 403).await;
    check(Method::POST, "/admin/reload", &[page], 403).await;
    check(Method::POST, "/admin/reload", &[page, ("authorization", &student)], 403).await;
}

#[test]
fn a_rule_about_nothing_is_a_mistake() {
    let check = |rule: &str, want: &str| {
        let world = crate::support::gateway::World::with_library("127.0.0.1:9".parse().unwrap());
        let (code, output) = world.with_config(&format!("[access]\n[[access.rules]]\n{rule}")).fails();
        assert_eq!(code, 78, "{output}");
        assert!(output.contains(want), "{output}\n not {want}");
    };
    check(
        "match = [\"library.v1.Library/GetBok\"]\npublic = true",
        "access.rules[0].match: library.v1.Library/GetBok is about nothing that is served (did you mean \"library.v1.Library/GetBook\"?)",
    );
    check(
        "match = [\"/v1/shelves/7/**\"]\npublic = true",
        "names some of the requests of library.v1.Library/",
    );
}

#[tokio::test]
async fn credentials_go_on_where_the_config_says_so() {
    let upstream = crate::support::library::start().await;
    let gateway = crate::support::gateway::World::with_library(upstream)
        .with_config("forward_credentials = true")
        .with_file("operator", OPERATOR.as_bytes())
        .with_config("[[auth.tokens]]\nname = \"operator\"\ntoken = { file = \"operator\" }\n[access]")
        .start();
    let bearer = format!("Bearer {OPERATOR}");
    for (surface, outcome) in get(gateway.address, &[("authorization", &bearer)]).await {
        let seen = seen(&outcome);
        assert!(seen.contains(&format!("authorization={bearer}")), "{surface}: {seen:?}");
    }
}
