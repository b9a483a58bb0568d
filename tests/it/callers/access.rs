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
deny = ["user:main/suspended"]
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
    let (proxied, page) = (("x-forwarded-for", "203.0.113.7"), ("origin", "https://evil.example"));
    check(Method::POST, "/admin/reload", &[proxied], 401).await;
    check(Method::POST, "/admin/reload", &[proxied, ("authorization", &student)], 403).await;
    let here = ("host", "localhost");
    check(Method::POST, "/admin/reload", &[here, page], 403).await;
    check(Method::POST, "/admin/reload", &[here, page, ("authorization", &student)], 403).await;
}

#[tokio::test]
async fn who_is_spoken_for_is_never_of_this_machine() {
    let check = async |gateway: &str, name: &str, value: &str| {
        let (gateway, _issuer) = start(&format!("[gateway]\n{gateway}")).await;
        let student = format!("Bearer {}", good("s", &json!({ "roles": ["student"] })));
        let ask = async |verb: Method, path: &str, headers: &[(&str, &str)]| {
            rest(gateway.address, request(&verb, path, headers, "")).await.http
        };
        let said = (name, value);
        assert_eq!(ask(Method::GET, "/gateway/info", &[]).await, 200);
        assert_eq!(ask(Method::GET, "/gateway/info", &[said]).await, 401, "{name}: {value}");
        assert_eq!(ask(Method::GET, "/gateway/info", &[said, ("authorization", &student)]).await, 403);
        assert_eq!(ask(Method::POST, "/admin/reload", &[said]).await, 401, "{name}: {value}");
    };
    let trusted = "trusted_proxies = [\"127.0.0.1\"]";
    check(trusted, "x-forwarded-for", "127.0.0.1").await;
    check("trusted_proxies = [\"nearest\"]", "x-forwarded-for", "::1").await;
    let forwarded = format!("{trusted}\nforwarded_header = \"forwarded\"");
    check(&forwarded, "forwarded", "for=127.0.0.1").await;
}

#[tokio::test]
async fn a_page_under_a_name_of_its_own_is_not_of_this_machine() {
    let (gateway, _issuer) = start("[access]\ndefault = \"authenticated\"").await;
    let (evil, near) = (("host", "evil.example"), ("host", "localhost:8080"));
    for (headers, want) in [
        (vec![evil, ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], 401),
        (vec![evil, ("accept-language", "en")], 401),
        (vec![near, ("origin", "http://localhost:8080"), ("accept-language", "en")], 200),
        (vec![evil], 200),
    ] {
        for path in ["/api/v1/routes", "/gateway/info"] {
            let outcome = rest(gateway.address, request(&Method::GET, path, &headers, "")).await;
            assert_eq!(outcome.http, want, "{path} {headers:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_rule_that_only_denies_leaves_the_default_table() {
    let (gateway, _issuer) =
        start("[access]\n[[access.rules]]\nmatch = [\"*\"]\ndeny = [\"role:banned\"]").await;
    let bearer = |role: &str| format!("Bearer {}", good("s", &json!({ "roles": [role] })));
    let (student, banned) = (bearer("student"), bearer("banned"));
    let proxied = ("x-forwarded-for", "203.0.113.7");
    for (path, headers, want) in [
        ("/health", &[][..], 200),
        ("/health", &[("authorization", &*banned)], 403),
        ("/gateway/info", &[], 200),
        ("/gateway/info", &[("authorization", &*banned)], 403),
        ("/gateway/info", &[proxied, ("authorization", &*student)], 403),
        ("/admin/users", &[("authorization", &*student)], 403),
        ("/v1/books:get", &[], 401),
        ("/v1/books:get", &[("authorization", &*student)], 200),
        ("/v1/books:get", &[("authorization", &*banned)], 403),
    ] {
        let outcome = rest(gateway.address, request(&Method::GET, path, headers, "")).await;
        assert_eq!(outcome.http, want, "{path} {headers:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_user_of_one_issuer_is_not_anothers() {
    let rules = "[access]\n[[access.rules]]\nmatch = [\"library.v1.*\"]\nroles = [\"nobodys\"]";
    for (allow, want) in [("user:main/7", 0), ("user:7", 7), ("user:legacy/7", 7)] {
        let (gateway, _issuer) = start(&format!("{rules}\nallow = [\"{allow}\"]")).await;
        let seven = format!("Bearer {}", good("7", &json!({ "email": "boss@a.example" })));
        for (surface, outcome) in get(gateway.address, &[("authorization", &seven)]).await {
            assert_eq!(outcome.code, want, "{allow} over {surface}: {outcome:?}");
        }
    }
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
