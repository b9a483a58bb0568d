//! One access table: caller × method × surface → outcome.

use std::net::SocketAddr;

use http::Method;
use serde_json::json;

use super::{OPERATOR, everywhere, get, seen, start, told};
use crate::support::{
    client::{frames, grpc, grpc_web, request, rest},
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

/// Who may call by what they are of and where they come from, in a table of its own: each row is a rule, with the outcome for
/// each caller. With a trusted proxy, so that a caller can come from elsewhere.
const PLACES: &str = r#"
[gateway]
trusted_proxies = ["127.0.0.1"]
[rate_limits]
enabled = false
[access]
[[access.rules]]
match = ["library.v1.Library/GetBook"]
tiers = ["elite"]
deny = ["network:198.51.100.0/24"]
[[access.rules]]
match = ["library.v1.Library/PutBook"]
roles = ["teacher"]
allow = ["tier:elite", "network:203.0.113.0/24"]
[[access.rules]]
match = ["POST /v1/pages"]
roles = ["nobody"]
allow = ["loopback", "role:student"]
[[access.rules]]
match = ["/v1/fail"]
scopes = ["break"]
tiers = ["elite"]
[[access.rules]]
match = ["/hello/**"]
roles = ["student"]
[[routes]]
path = "/hello/{name}"
respond = { body = "hello ${path.name}" }
"#;

/// An API key with these roles, scopes and tier, made by the operator.
async fn api_key(gateway: SocketAddr, more: serde_json::Value) -> String {
    let operator = format!("Bearer {OPERATOR}");
    let headers = [("authorization", operator.as_str()), ("content-type", "application/json")];
    let mut asked = json!({ "name": "of a test" });
    asked.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let made = rest(gateway, request(&Method::POST, "/admin/keys", &headers, asked.to_string())).await;
    assert_eq!(made.http, 200, "{made:?}");
    made.messages[0]["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_tiers_and_places_through_every_surface() {
    let (gateway, _issuer) = start(PLACES).await;
    let at = gateway.address;
    let bearer = |more| ("authorization", format!("Bearer {}", good("s", &more)));
    let from = |address: &str| ("x-forwarded-for", address.to_owned());
    let elite = ("x-api-key", api_key(at, json!({ "tier": "elite", "scopes": ["break"] })).await);
    let student_key = ("x-api-key", api_key(at, json!({ "roles": ["student"], "tier": "free" })).await);
    let suspended = json!({ "roles": ["student", "suspended"], "scope": "break", "tier": "elite" });
    let callers: [(&str, Vec<(&str, String)>); 9] = [
        ("anonymous here", vec![]),
        ("anonymous of 203.0.113.7", vec![from("203.0.113.7")]),
        ("a key of the tier elite", vec![elite.clone()]),
        ("that key, from 198.51.100.9", vec![elite, from("198.51.100.9")]),
        ("a student's key, from 192.0.2.1", vec![student_key, from("192.0.2.1")]),
        ("a bad key", vec![("x-api-key", "ppk_nothing".to_owned())]),
        (
            "a free student, from 192.0.2.1",
            vec![bearer(json!({ "roles": ["student"], "tier": "free" })), from("192.0.2.1")],
        ),
        (
            "a teacher, from 192.0.2.1",
            vec![bearer(json!({ "roles": ["teacher"], "scope": "break" })), from("192.0.2.1")],
        ),
        ("somebody suspended", vec![bearer(suspended)]),
    ];
    // 0 reached, 7 PERMISSION_DENIED, 16 UNAUTHENTICATED.
    let table: [(&str, &str, &str, &str, [i32; 9]); 4] = [
        ("GetBook", "GetBookRequest", "GET /v1/books:get", "", TABLE[0]),
        ("PutBook", "Book", "PUT /v1/shelves/1/books/2", "{}", TABLE[1]),
        ("ListPages", "FailRequest", "POST /v1/pages", "{}", TABLE[2]),
        ("Fail", "FailRequest", "POST /v1/fail", r#"{"code": 0}"#, TABLE[3]),
    ];
    for (method, message, path, body, codes) in table {
        let (verb, path) = path.split_once(' ').unwrap();
        for ((caller, headers), code) in callers.iter().zip(codes) {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let place = (verb.parse::<Method>().unwrap(), path, body);
            for (surface, outcome) in
                everywhere(at, method, &format!("library.v1.{message}"), place, &headers).await
            {
                let reached = ![7, 16].contains(&outcome.code);
                assert_eq!(
                    if reached { 0 } else { outcome.code },
                    code,
                    "{method} by {caller} over {surface}: {outcome:?}"
                );
            }
        }
    }
    // A path that the gateway answers by itself is as any other.
    let want = [401, 401, 403, 403, 200, 401, 200, 403, 200];
    for ((caller, headers), want) in callers.iter().zip(want) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let outcome = rest(at, request(&Method::GET, "/hello/ann", &headers, "")).await;
        assert_eq!(outcome.http, want, "/hello/ann by {caller}: {outcome:?}");
    }
}

/// Outcomes by method, for each caller of [`keys_tiers_and_places_through_every_surface`] in their order.
const TABLE: [[i32; 9]; 4] = [
    // The tier elite, from anywhere but 198.51.100.0/24.
    [16, 16, 0, 7, 7, 16, 7, 7, 0],
    // Teachers, the tier elite, and a network whoever it is.
    [16, 0, 0, 0, 7, 16, 7, 0, 0],
    // This machine, with no proxy in between, and students. Bad credentials are refused where only a place needs none.
    [0, 16, 0, 7, 0, 16, 0, 7, 0],
    // A scope and a tier.
    [16, 16, 0, 0, 7, 16, 7, 7, 0],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_about_everything_holds_where_no_other_does() {
    let rules = r#"
[access]
default = "public"
[[access.rules]]
match = ["/**"]
scopes = ["break"]
deny = ["role:suspended"]
[[access.rules]]
match = ["POST /v1/pages"]
roles = ["student"]
[[routes]]
path = "/hello/{name}"
respond = { body = "hello ${path.name}" }
"#;
    let (gateway, _issuer) = start(rules).await;
    let bearer = |more| format!("Bearer {}", good("s", &more));
    let callers = [
        None,
        Some(bearer(json!({ "roles": ["student"] }))),
        Some(bearer(json!({ "scope": "break" }))),
        Some(bearer(json!({ "roles": ["student", "suspended"], "scope": "break" }))),
    ];
    let table: [(&str, &str, &str, &str, [i32; 4]); 2] = [
        ("ListPages", "FailRequest", "POST /v1/pages", "{}", [16, 0, 7, 7]),
        ("PutBook", "Book", "PUT /v1/shelves/1/books/2", "{}", [16, 7, 0, 7]),
    ];
    for (caller, hello) in callers.iter().zip([401, 403, 200, 403]) {
        let headers: Vec<_> = caller.iter().map(|value| ("authorization", value.as_str())).collect();
        let outcome = rest(gateway.address, request(&Method::GET, "/hello/ann", &headers, "")).await;
        assert_eq!(outcome.http, hello, "/hello/ann by {caller:?}: {outcome:?}");
    }
    for (method, message, path, body, codes) in table {
        let (verb, path) = path.split_once(' ').unwrap();
        for (caller, code) in callers.iter().zip(codes) {
            let headers: Vec<_> = caller.iter().map(|value| ("authorization", value.as_str())).collect();
            let place = (verb.parse::<Method>().unwrap(), path, body);
            for (surface, outcome) in
                everywhere(gateway.address, method, &format!("library.v1.{message}"), place, &headers).await
            {
                let reached = ![7, 16].contains(&outcome.code);
                let got = if reached { 0 } else { outcome.code };
                assert_eq!(got, code, "{method} by {caller:?} over {surface}: {outcome:?}");
            }
        }
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
    let here = ("host", "localhost");
    check(Method::POST, "/admin/reload", &[here, page], 403).await;
    check(Method::POST, "/admin/reload", &[here, page, ("authorization", &student)], 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_table_holds_over_every_surface() {
    let (gateway, _issuer) = start("[access]\ndefault = \"public\"\n[rate_limits]\nenabled = false").await;
    let student = ("authorization", format!("Bearer {}", good("s", &json!({ "roles": ["student"] }))));
    let admin = ("authorization", format!("Bearer {OPERATOR}"));
    let key = ("x-api-key", api_key(gateway.address, json!({ "roles": ["student"] })).await);
    let admins_key = ("x-api-key", api_key(gateway.address, json!({ "roles": ["admin"] })).await);
    // So none of them is of this machine.
    let proxied = ("x-forwarded-for", "203.0.113.7".to_owned());
    let callers: [(&str, Vec<(&str, String)>); 6] = [
        ("anonymous here", vec![]),
        ("anonymous elsewhere", vec![proxied.clone()]),
        ("a student elsewhere", vec![student, proxied.clone()]),
        ("a student's key elsewhere", vec![key, proxied.clone()]),
        ("an admin elsewhere", vec![admin, proxied.clone()]),
        ("an admin's key elsewhere", vec![admins_key, proxied]),
    ];
    let near = [0, 16, 7, 7, 0, 0];
    let admins = [16, 16, 7, 7, 0, 0];
    let table = [
        ("HealthService/Ping", "GET /ping", [0; 6]),
        ("HealthService/Check", "GET /health", [0; 6]),
        ("RoutingService/GetInfo", "GET /gateway/info", near),
        ("RoutingService/ListRoutes", "GET /api/v1/routes", near),
        ("AdminService/Reload", "POST /admin/reload", near),
        ("AdminService/GetAdminStats", "GET /admin/stats", admins),
        ("AdminService/ListApiKeys", "GET /admin/keys", admins),
        ("AdminService/ListUsers", "GET /admin/users", admins),
        ("AdminService/ListAuditLines", "GET /admin/audit", admins),
        ("AuthService/GetCurrentUser", "GET /api/v1/auth/me", [16, 16, 0, 0, 0, 0]),
    ];
    for (rpc, path, codes) in table {
        let (verb, path) = path.split_once(' ').unwrap();
        let verb: Method = verb.parse().unwrap();
        let name = rpc.split_once('/').unwrap().1;
        let (message, reply) =
            (format!("propylon.gateway.v1.{name}Request"), format!("propylon.gateway.v1.{name}Response"));
        let (rpc, body) = (format!("/propylon.gateway.v1.{rpc}"), frames(&message, &["{}"]));
        for ((caller, headers), code) in callers.iter().zip(codes) {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let json = [&headers[..], &[("content-type", "application/json")]].concat();
            let sent = if verb == Method::GET { "" } else { "{}" };
            let at = gateway.address;
            let outcomes = [
                ("gRPC", grpc(at, &rpc, &headers, body.clone(), &reply).await),
                ("gRPC-Web", grpc_web(at, false, &rpc, &headers, body.clone(), &reply).await),
                ("gRPC-Web text", grpc_web(at, true, &rpc, &headers, body.clone(), &reply).await),
                ("REST", rest(at, request(&verb, path, &json, sent)).await),
            ];
            for (surface, outcome) in outcomes {
                assert_eq!(outcome.code, code, "{rpc} by {caller} over {surface}: {outcome:?}");
            }
        }
    }
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
        // What a proxy has added its client does not take off again.
        for listed in
            [name.to_owned(), format!("close, {}", name.to_uppercase()), format!("{name}, via, x-real-ip")]
        {
            let without = [said, ("connection", listed.as_str())];
            assert_eq!(ask(Method::GET, "/gateway/info", &without).await, 401, "{listed}");
            assert_eq!(ask(Method::POST, "/admin/reload", &without).await, 401, "{listed}");
        }
    };
    check("", "x-forwarded-for", "203.0.113.7").await;
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
