//! Codes and tokens: once, for whom they were made, and all over when somebody else has them.

use http::Method;
use serde_json::{Value, json};

use super::{WHO, ask, both, list};
use crate::support::{
    client::{http1, request},
    dance::{BACK, Dance},
};

fn access(tokens: &Value) -> Option<&str> {
    tokens["access_token"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_and_ends_what_came_of_it_when_it_comes_again() {
    for (name, gateway, _servers) in both().await {
        let mut dance = Dance::new(gateway.address);
        let client = dance.register("A test", &[BACK]).await;
        let asking = Dance::asking(&client, &[("resource", &dance.resource())]);
        let code = dance.code(&asking, WHO).await;
        let resource = dance.resource();
        let first = dance.redeem(&client, &code, &[("resource", &resource)]).await;
        assert_eq!((first.http, first.header("cache-control")), (200, "no-store"), "{name}: {first:?}");
        let tokens = first.json();
        assert_eq!((&tokens["token_type"], &tokens["scope"]), (&json!("Bearer"), &json!("mcp")), "{name}");
        assert_eq!(ask(&gateway, access(&tokens), &list()).await.http, 200, "{name}");
        let again = dance.redeem(&client, &code, &[]).await;
        assert_eq!((again.http, again.error().as_str()), (400, "invalid_grant"), "{name}: {again:?}");
        let got = ask(&gateway, access(&tokens), &list()).await;
        assert_eq!(got.http, 401, "{name}: {got:?}");
        let refresh = dance.refresh(&client, tokens["refresh_token"].as_str().unwrap(), &[]).await;
        assert_eq!(refresh.error(), "invalid_grant", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_code_uses_it_up() {
    for (name, gateway, _servers) in both().await {
        let mut dance = Dance::new(gateway.address);
        let client = dance.register("A test", &[BACK]).await;
        let other = dance.register("Another", &[BACK]).await;
        let wrong_verifier = "a".repeat(43);
        for (field, value, want) in [
            ("client_id", other.as_str(), "invalid_grant"),
            ("redirect_uri", "http://127.0.0.1:1/back", "invalid_grant"),
            ("code_verifier", &wrong_verifier, "invalid_grant"),
        ] {
            let code = dance.code(&Dance::asking(&client, &[]), WHO).await;
            let refused = dance.redeem(&client, &code, &[(field, value)]).await;
            assert_eq!((refused.http, refused.error().as_str()), (400, want), "{name} {field}: {refused:?}");
            let after = dance.redeem(&client, &code, &[]).await;
            assert_eq!(after.error(), "invalid_grant", "{name} {field}");
        }
        // What no code fits leaves it as it is.
        let code = dance.code(&Dance::asking(&client, &[]), WHO).await;
        for (field, value, want) in [
            ("grant_type", "password", "unsupported_grant_type"),
            ("code_verifier", "short", "invalid_request"),
            ("code", "ppc_made-up", "invalid_grant"),
            ("resource", "https://evil.example/", "invalid_target"),
        ] {
            let refused = dance.redeem(&client, &code, &[(field, value)]).await;
            assert_eq!((refused.http, refused.error().as_str()), (400, want), "{name} {field}: {refused:?}");
        }
        assert_eq!(dance.redeem(&client, &code, &[]).await.http, 200, "{name}");
        let json_type = [("content-type", "application/json")];
        let wrong = dance.send(&Method::POST, "/oauth/token", &json_type, "{}").await;
        assert_eq!((wrong.http, wrong.error().as_str()), (400, "invalid_request"), "{name}");
        assert_eq!(dance.get("/oauth/token").await.http, 405, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_another_each_time_and_ends_all_when_one_comes_again() {
    for (name, gateway, _servers) in both().await {
        let mut dance = Dance::new(gateway.address);
        let client = dance.register("A test", &[BACK]).await;
        let other = dance.register("Another", &[BACK]).await;
        let code = dance.code(&Dance::asking(&client, &[("scope", "mcp books:read")]), WHO).await;
        let first = dance.redeem(&client, &code, &[]).await.json();
        let old = first["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(dance.refresh(&other, &old, &[]).await.error(), "invalid_grant", "{name}");
        assert_eq!(
            dance.refresh(&client, &old, &[("scope", "mcp books:write")]).await.error(),
            "invalid_scope"
        );
        let target = [("resource", "https://evil.example/")];
        assert_eq!(dance.refresh(&client, &old, &target).await.error(), "invalid_target", "{name}");
        // It is no refresh token of a person's.
        let body = json!({"refresh_token": old}).to_string();
        let elsewhere =
            request(&Method::POST, "/api/v1/auth/refresh", &[("content-type", "application/json")], body);
        assert_eq!(http1(gateway.address, elsewhere).await.status(), 401, "{name}");
        let second = dance.refresh(&client, &old, &[("scope", "mcp")]).await;
        assert_eq!(second.http, 200, "{name}: {second:?}");
        let second = second.json();
        assert_eq!(second["scope"], "mcp", "{name}");
        assert_ne!(second["refresh_token"], first["refresh_token"], "{name}");
        assert_eq!(ask(&gateway, access(&second), &list()).await.http, 200, "{name}");
        // Somebody has the old one still.
        assert_eq!(dance.refresh(&client, &old, &[]).await.error(), "invalid_grant", "{name}");
        let new = second["refresh_token"].as_str().unwrap();
        assert_eq!(dance.refresh(&client, new, &[]).await.error(), "invalid_grant", "{name}");
        assert_eq!(ask(&gateway, access(&second), &list()).await.http, 401, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gives_its_tokens_back() {
    for (name, gateway, _servers) in both().await {
        let mut dance = Dance::new(gateway.address);
        let client = dance.register("A test", &[BACK]).await;
        for which in ["refresh_token", "access_token"] {
            let code = dance.code(&Dance::asking(&client, &[]), WHO).await;
            let tokens = dance.redeem(&client, &code, &[]).await.json();
            let token = tokens[which].as_str().unwrap();
            for (client, still) in [("ppa_somebody", 200), (client.as_str(), 401)] {
                let given = dance.form("/oauth/revoke", &[("token", token), ("client_id", client)]).await;
                assert_eq!(given.http, 200, "{name} {which}: {given:?}");
                assert_eq!(
                    ask(&gateway, access(&tokens), &list()).await.http,
                    still,
                    "{name} {which} {client}"
                );
            }
        }
        let unknown = dance.form("/oauth/revoke", &[("token", "x"), ("client_id", &client)]).await;
        assert_eq!(unknown.http, 200, "{name}");
        assert_eq!(dance.form("/oauth/revoke", &[("token", "x")]).await.error(), "invalid_request", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_their_sessions_ends_what_programs_may_do_for_them() {
    for (name, gateway, _servers) in both().await {
        let mut dance = Dance::new(gateway.address);
        let client = dance.register("A test", &[BACK]).await;
        let tokens = dance.whole(WHO, "mcp").await;
        let waiting = dance.code(&Dance::asking(&client, &[]), WHO).await;
        let json_type = ("content-type", "application/json");
        let login = json!({"email": WHO.0, "password": WHO.1}).to_string();
        let login =
            http1(gateway.address, request(&Method::POST, "/api/v1/auth/login", &[json_type], login)).await;
        let login: Value = serde_json::from_slice(&login.into_body().0).unwrap();
        let bearer = format!("Bearer {}", login["access_token"].as_str().unwrap());
        let all = [json_type, ("authorization", bearer.as_str())];
        let ended = request(&Method::POST, "/api/v1/auth/logout", &all, json!({"all": true}).to_string());
        assert_eq!(http1(gateway.address, ended).await.status(), 200, "{name}");
        assert_eq!(ask(&gateway, access(&tokens), &list()).await.http, 401, "{name}");
        assert_eq!(dance.redeem(&client, &waiting, &[]).await.error(), "invalid_grant", "{name}");
    }
}
