//! OAuth's dance as a program and its user's browser do it: register, ask, log in, allow, redeem.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::client::{http1, request};

/// What a program shows with its code, and what it has said of that before (RFC 7636, appendix B).
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Where a program is sent back to.
pub(crate) const BACK: &str = "http://127.0.0.1:33418/back";

/// What an endpoint has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }

    /// The error that a program is told.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("an error: {self:?}")).to_owned()
    }

    /// A parameter of the address that a browser is sent to.
    pub(crate) fn sent(&self, name: &str) -> Option<String> {
        let (_, query) = self.header("location").split_once('?')?;
        let found =
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?;
        Some(percent_decode_str(found.1).decode_utf8().unwrap().into_owned())
    }

    /// What a form on a page would send, unseen.
    pub(crate) fn hidden(&self) -> Vec<(String, String)> {
        let field = |line: &str| {
            let name = line.split("name=\"").nth(1)?.split('"').next()?;
            let value = line.split("value=\"").nth(1)?.split('"').next()?;
            Some((name.to_owned(), value.replace("&amp;", "&").replace("&quot;", "\"").replace("&#39;", "'")))
        };
        self.text.lines().filter(|line| line.contains("type=\"hidden\"")).filter_map(field).collect()
    }
}

/// A program and a browser before one gateway, which they find under one name.
#[derive(Debug, Clone)]
pub(crate) struct Dance {
    at: SocketAddr,
    host: String,
    /// The browser's.
    pub(crate) cookie: Option<String>,
}

impl Dance {
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self::under(at, &at.to_string())
    }

    /// The same by another name.
    pub(crate) fn under(at: SocketAddr, host: &str) -> Self {
        Self { at, host: host.to_owned(), cookie: None }
    }

    /// The address of what tokens are made for.
    pub(crate) fn resource(&self) -> String {
        format!("http://{}/mcp/oauth", self.host)
    }

    pub(crate) async fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let cookie = self.cookie.clone();
        let mut all = vec![("host", self.host.as_str())];
        all.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
        all.extend(headers);
        let (head, (body, _)) = http1(self.at, request(method, path, &all, body)).await.into_parts();
        if let Some(cookie) = head.headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer { http: head.status.as_u16(), headers: head.headers, text }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(&Method::GET, path, &[], "").await
    }

    pub(crate) async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        self.send(&Method::POST, path, &[kind], query(fields)).await
    }

    /// Registers a program; its id.
    pub(crate) async fn register(&mut self, name: &str, redirects: &[&str]) -> String {
        let said = json!({"client_name": name, "redirect_uris": redirects}).to_string();
        let answer =
            self.send(&Method::POST, "/oauth/register", &[("content-type", "application/json")], said).await;
        assert_eq!(answer.http, 201, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// What a program asks with, but for what is given instead; an empty value takes one away.
    pub(crate) fn asking(client: &str, other: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", BACK),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "a state & more"),
        ];
        for (name, value) in other {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        format!("/oauth/authorize?{}", query(&fields))
    }

    /// Logs in on a page that asks for it.
    pub(crate) async fn log_in(&mut self, page: &Answer, email: &str, password: &str) -> Answer {
        let hidden = page.hidden();
        let mut fields: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend([("email", email), ("password", password)]);
        self.form("/oauth/authorize", &fields).await
    }

    /// Answers a page that asks whether a program may.
    pub(crate) async fn say(&mut self, page: &Answer, answer: &str) -> Answer {
        let hidden = page.hidden();
        let mut fields: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push(("answer", answer));
        self.form("/oauth/authorize", &fields).await
    }

    /// From the question to the code.
    pub(crate) async fn code(&mut self, asking: &str, (email, password): (&str, &str)) -> String {
        let page = self.get(asking).await;
        assert_eq!(page.http, 200, "{page:?}");
        let consent = self.log_in(&page, email, password).await;
        assert_eq!(consent.http, 200, "{consent:?}");
        let answer = self.say(&consent, "allow").await;
        assert_eq!(answer.http, 303, "{answer:?}");
        answer.sent("code").unwrap_or_else(|| panic!("a code: {answer:?}"))
    }

    /// Asks for tokens.
    pub(crate) async fn redeem(&mut self, client: &str, code: &str, other: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in other {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        self.form("/oauth/token", &fields).await
    }

    pub(crate) async fn refresh(&mut self, client: &str, token: &str, other: &[(&str, &str)]) -> Answer {
        let mut fields =
            vec![("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        fields.extend(other);
        self.form("/oauth/token", &fields).await
    }

    /// The whole dance: the tokens that a program gets for somebody.
    pub(crate) async fn whole(&mut self, who: (&str, &str), scope: &str) -> Value {
        let client = self.register("A test", &[BACK]).await;
        let code = self.code(&Self::asking(&client, &[("scope", scope)]), who).await;
        let answer = self.redeem(&client, &code, &[]).await;
        assert_eq!(answer.http, 200, "{answer:?}");
        answer.json()
    }
}

/// Parameters as a form sends them.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let coded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", coded(name), coded(value))).collect();
    pairs.join("&")
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
