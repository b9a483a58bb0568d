//! The endpoint as a resource server: which tokens it takes, and what it says of those it does not.

use http::Method;
use serde_json::json;

use super::{SCOPES, WHO, ask, ask_as, both, call, gateway, list, token};
use crate::support::{
    client::{http1, request},
    dance::{Dance, claims},
    gateway::World,
    library,
    tokens::{self, KEYS, Served},
};

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_is_told_where_they_are_had() {
    let gateway = gateway("", "").await;
    let at = format!("http://{}", gateway.address);
    let got = ask(&gateway, None, &list()).await;
    assert_eq!(
        (got.http, got.code(), &got.json["error"]["data"]),
        (401, -32001, &json!("Missing Authorization header"))
    );
    let metadata = format!("{at}/.well-known/oauth-protected-resource/mcp/oauth");
    let want = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp\"");
    assert_eq!(got.header("www-authenticate"), want);
    let mut browser = Dance::new(gateway.address);
    let said = browser.get("/.well-known/oauth-protected-resource/mcp/oauth").await;
    assert_eq!((said.http, said.header("content-type")), (200, "application/json"));
    let said = said.json();
    assert_eq!(said["resource"], format!("{at}/mcp/oauth"));
    assert_eq!(said["authorization_servers"], json!([at]));
    assert_eq!(said["scopes_supported"], json!(["mcp", "books:read", "books:write"]));
    assert_eq!(browser.get("/.well-known/oauth-protected-resource").await.json(), said);
    let server = browser.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(server["issuer"], at);
    assert_eq!(server["authorization_endpoint"], format!("{at}/oauth/authorize"));
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(server["client_id_metadata_document_supported"], true);
    // Pages of others read it, as programs do that run in browsers.
    let page = [("origin", "https://inspector.example")];
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource"] {
        let told = browser.send(&Method::GET, path, &page, "").await;
        assert_eq!(told.header("access-control-allow-origin"), "*", "{path}");
    }
    // Another method of who calls is none here, and nor is the one for everybody.
    let basic = [("content-type", "application/json"), ("authorization", "Basic YTpi")];
    let basic =
        http1(gateway.address, request(&Method::POST, "/mcp/oauth", &basic, list().to_string())).await;
    assert_eq!(basic.status(), 401);
    let got = ask(&gateway, Some("nonsense"), &list()).await;
    assert_eq!((got.http, got.code()), (401, -32001));
    assert!(got.header("www-authenticate").contains("error=\"invalid_token\""), "{got:?}");
    assert!(got.header("www-authenticate").contains(&metadata), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_what_it_was_made_for_and_nowhere_else() {
    for (name, gateway, _servers) in both().await {
        let token = token(&gateway, "mcp").await;
        let said = claims(&token);
        assert_eq!(said["aud"], json!([format!("http://{}/mcp/oauth", gateway.address)]), "{name}");
        assert!(said["client_id"].as_str().is_some() && said["scope"] == "mcp", "{said}");
        let got = ask(&gateway, Some(&token), &list()).await;
        assert_eq!(got.http, 200, "{name}: {got:?}");
        assert!(super::super::names(got.result()).contains(&"GetBook"), "{name}");
        // Elsewhere here it is nothing: not for REST, not for the endpoint of everybody.
        let bearer = format!("Bearer {token}");
        let bearer = [("authorization", bearer.as_str())];
        let me = http1(gateway.address, request(&Method::GET, "/api/v1/auth/me", &bearer, "")).await;
        assert_eq!(me.status(), 401, "{name}");
        assert!(me.headers()["www-authenticate"].to_str().unwrap().contains("another audience"), "{name}");
        let refresh = json!({"refresh_token": token}).to_string();
        let json_type = [("content-type", "application/json")];
        let refreshed = request(&Method::POST, "/api/v1/auth/refresh", &json_type, refresh);
        assert_eq!(http1(gateway.address, refreshed).await.status(), 401, "{name}");
        // Nor is it good under another name, and one that a person has is not good here.
        let got = ask_as(&gateway, "other.example", Some(&token), &list()).await;
        assert_eq!((got.http, got.code()), (401, -32001), "{name}: {got:?}");
        let login = json!({"email": WHO.0, "password": WHO.1}).to_string();
        let login =
            http1(gateway.address, request(&Method::POST, "/api/v1/auth/login", &json_type, login)).await;
        let login: serde_json::Value = serde_json::from_slice(&login.into_body().0).unwrap();
        let got = ask(&gateway, login["access_token"].as_str(), &list()).await;
        assert_eq!((got.http, got.code()), (401, -32001), "{name}: {got:?}");
        assert!(got.header("www-authenticate").contains("invalid_token"), "{name}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_whole() {
    let gateway = gateway("", "").await;
    let base = token(&gateway, "mcp").await;
    // It is shown all the same: nobody asks for what they do not know of.
    let shown = ask(&gateway, Some(&base), &list()).await;
    assert!(super::super::names(shown.result()).contains(&"PutBook"), "{shown:?}");
    for (tool, want) in [("GetBook", "mcp books:read"), ("PutBook", "mcp books:write")] {
        let got = ask(&gateway, Some(&base), &call(tool)).await;
        assert_eq!((got.http, got.code()), (403, -32003), "{tool}: {got:?}");
        let said = got.header("www-authenticate");
        assert!(
            said.starts_with(&format!("Bearer error=\"insufficient_scope\", scope=\"{want}\"")),
            "{said}"
        );
        assert!(said.contains("resource_metadata=\""), "{said}");
    }
    let more = token(&gateway, "mcp books:read").await;
    assert_eq!(ask(&gateway, Some(&more), &call("GetBook")).await.result()["isError"], false);
    assert_eq!(ask(&gateway, Some(&more), &call("PutBook")).await.http, 403);
    // Without what every call needs nothing is done.
    let beside = token(&gateway, "books:read").await;
    let got = ask(&gateway, Some(&beside), &list()).await;
    assert_eq!(got.http, 403, "{got:?}");
    assert!(got.header("www-authenticate").contains("scope=\"mcp\""), "{got:?}");
    assert_eq!(ask(&gateway, Some(&base), &call("NoSuch")).await.code(), -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_issuer_s_tokens_are_taken_where_the_config_says_so() {
    let keys = Served::start(&KEYS.jwks()).await;
    let upstream = library::start().await;
    let gateway = World::with_library(upstream)
        .with_config(&format!(
            "[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"\n\
             [mcp.oauth]\nurl = \"https://gw.example\"\nissuer = \"idp\"\n{SCOPES}\
             [[auth.issuers]]\nname = \"idp\"\nissuer = \"https://idp.example\"\naudience = [\"api\"]\n\
             jwks = \"http://{}/\"\n",
            keys.address
        ))
        .start();
    let mut browser = Dance::new(gateway.address);
    let said = browser.get("/.well-known/oauth-protected-resource/mcp/oauth").await.json();
    assert_eq!(said["resource"], "https://gw.example/mcp/oauth");
    assert_eq!(said["authorization_servers"], json!(["https://idp.example"]));
    // Nobody is led to the gateway's own.
    assert_eq!(browser.get("/.well-known/oauth-authorization-server").await.http, 404);
    assert_eq!(browser.get("/oauth/authorize").await.http, 404);
    let made = |audience: serde_json::Value, more: serde_json::Value| {
        let mut claims = json!({"iss": "https://idp.example", "sub": "u", "exp": tokens::now() + 600, "aud": audience,
            "scope": "books:read"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        tokens::token(r#"{"alg":"EdDSA","kid":"ed"}"#, claims.to_string().as_bytes(), |text| KEYS.eddsa(text))
    };
    let good = made(json!("https://gw.example/mcp/oauth"), json!({}));
    let got = ask(&gateway, Some(&good), &call("GetBook")).await;
    assert_eq!(got.http, 200, "{got:?}");
    assert_eq!(ask(&gateway, Some(&good), &call("PutBook")).await.http, 403);
    let both = made(json!(["api", "https://gw.example/mcp/oauth"]), json!({}));
    assert_eq!(ask(&gateway, Some(&both), &list()).await.http, 200);
    for wrong in [
        made(json!("api"), json!({})),
        made(json!("https://gw.example/mcp"), json!({})),
        made(json!("https://gw.example/mcp/oauth"), json!({"exp": tokens::now() - 100})),
        made(json!("https://gw.example/mcp/oauth"), json!({"iss": "https://other.example"})),
    ] {
        let got = ask(&gateway, Some(&wrong), &list()).await;
        assert_eq!((got.http, got.code()), (401, -32001), "{got:?}");
        assert!(got.header("www-authenticate").contains("error=\"invalid_token\""), "{got:?}");
    }
    // What was made for the endpoint is for nothing else.
    let bearer = format!("Bearer {good}");
    let elsewhere = request(&Method::GET, "/api/v1/auth/me", &[("authorization", &bearer)], "");
    assert_eq!(http1(gateway.address, elsewhere).await.status(), 401);
}
