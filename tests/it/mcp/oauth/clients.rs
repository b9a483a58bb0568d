//! Programs that register themselves.

use http::Method;
use serde_json::{Value, json};

use super::gateway;
use crate::support::dance::{Answer, Dance};

async fn register(dance: &mut Dance, said: &Value) -> Answer {
    let json_type = [("content-type", "application/json")];
    dance.send(&Method::POST, "/oauth/register", &json_type, said.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_registers_by_what_it_says_of_itself() {
    let gateway = gateway("", "").await;
    let mut dance = Dance::new(gateway.address);
    let said = json!({"client_name": "An editor", "redirect_uris": ["http://127.0.0.1/back", "cursor://x/cb"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post", "scope": "mcp"});
    let answer = register(&mut dance, &said).await;
    assert_eq!((answer.http, answer.header("cache-control")), (201, "no-store"), "{answer:?}");
    let told = answer.json();
    assert_eq!(told["token_endpoint_auth_method"], "none");
    assert_eq!(told["client_name"], "An editor");
    assert_eq!(told["redirect_uris"].as_array().unwrap().len(), 2);
    assert!(told["client_id"].as_str().unwrap().starts_with("ppa_") && told.get("client_secret").is_none());
    for (wrong, want) in [
        (json!({"redirect_uris": ["http://evil.example/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://a.example/#x"]}), "invalid_redirect_uri"),
        (json!({"client_name": "x"}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["https://a.example/"], "grant_types": ["password"]}),
            "invalid_client_metadata",
        ),
        (json!(7), "invalid_client_metadata"),
    ] {
        let answer = register(&mut dance, &wrong).await;
        assert_eq!((answer.http, answer.error().as_str()), (400, want), "{wrong}");
    }
    let form = dance.form("/oauth/register", &[("a", "b")]).await;
    assert_eq!((form.http, form.error().as_str()), (400, "invalid_client_metadata"));
    assert_eq!(dance.get("/oauth/register").await.http, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_registers_where_that_is_allowed_and_not_without_end() {
    let closed = gateway("", "[mcp.oauth]\nregistration = false\n").await;
    let mut dance = Dance::new(closed.address);
    let said = json!({"redirect_uris": ["http://127.0.0.1/"]});
    let answer = register(&mut dance, &said).await;
    assert_eq!((answer.http, answer.error().as_str()), (403, "access_denied"), "{answer:?}");
    let told = dance.get("/.well-known/oauth-authorization-server").await.json();
    assert!(told.get("registration_endpoint").is_none(), "{told}");
    let open = gateway("", "").await;
    let mut dance = Dance::new(open.address);
    let mut last = register(&mut dance, &said).await;
    for _ in 0..80 {
        last = register(&mut dance, &said).await;
    }
    assert_eq!((last.http, last.error().as_str()), (429, "temporarily_unavailable"), "{last:?}");
    assert!(!last.header("retry-after").is_empty(), "{last:?}");
}
