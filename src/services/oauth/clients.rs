//! The programs: those that registered themselves (RFC 7591), and those that are described by a document at the address that
//! is their id. All are public: what they know is on their users' machines, and no secret.

use serde_json::{Value, json};
use tonic::Status;

use super::{Error, MOST_BYTES, Refused, Server, redirect};
use crate::{
    auth::Rate,
    services::accounts::{Context, name},
    store::{Micros, OauthClient},
};

/// The most places that one program has its answers sent to.
const MOST_REDIRECTS: usize = 20;
/// What one is called that does not say.
const NAMELESS: &str = "A program without a name";

/// A program that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub id: String,
    /// As it calls itself.
    pub name: String,
    pub redirects: Vec<String>,
    /// The host that stands for it, where its description is there.
    pub host: Option<String>,
}

/// What a program is told that has registered: the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered(pub Value);

/// What a description says, in a registration and in a document alike.
pub(super) fn described(said: &Value) -> Result<(String, Vec<String>), Error> {
    let wrong = |why: &str| Error::new("invalid_client_metadata", why);
    let Some(said) = said.as_object() else { return Err(wrong("client metadata are a JSON object")) };
    let redirects = match said.get("redirect_uris").and_then(Value::as_array) {
        Some(list) if (1..=MOST_REDIRECTS).contains(&list.len()) => list,
        _ => {
            let why = format!("redirect_uris is a list of 1 to {MOST_REDIRECTS} addresses");
            return Err(Error::new("invalid_redirect_uri", why));
        }
    };
    let mut checked = Vec::with_capacity(redirects.len());
    for redirect in redirects {
        let redirect = redirect.as_str().unwrap_or_default();
        redirect::check(redirect).map_err(|why| Error::new("invalid_redirect_uri", why))?;
        checked.push(redirect.to_owned());
    }
    let called = match said.get("client_name") {
        None | Some(Value::Null) => NAMELESS.to_owned(),
        Some(Value::String(called)) if called.trim().is_empty() => NAMELESS.to_owned(),
        Some(Value::String(called)) => name(called).map_err(|why| wrong(&format!("client_name: {why}")))?,
        Some(_) => return Err(wrong("client_name is a text")),
    };
    let all = |key: &str, known: &[&str]| match said.get(key) {
        None | Some(Value::Null) => true,
        Some(list) => list
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one.as_str().is_some_and(|one| known.contains(&one)))),
    };
    if !all("grant_types", &["authorization_code"]) {
        return Err(wrong("grant_types has authorization_code, which alone is given here"));
    }
    if !all("response_types", &["code"]) {
        return Err(wrong("response_types has code, which alone is given here"));
    }
    Ok((called, checked))
}

impl Server<'_> {
    /// The program of an id.
    pub(super) async fn known(&self, id: &str) -> Result<Client, Refused> {
        if id.starts_with("https://") && self.rules.documents {
            return self.documents.client(id, self).await;
        }
        let unknown = || Error::new("invalid_client", "there is no such client: it registers first");
        if id.len() > 64 {
            return Err(unknown().into());
        }
        let client = self.directory.stores.oauth.client(id).await?.ok_or_else(unknown)?;
        let OauthClient { id, name, redirects } = client;
        Ok(Client { id, name, redirects, host: None })
    }

    /// Registers a program by what it says of itself.
    ///
    /// # Errors
    /// It says something that cannot be; it is the next of too many from its address.
    pub async fn register(&self, body: &[u8]) -> Result<Registered, Refused> {
        if !self.rules.registration {
            let status = Status::permission_denied("clients do not register themselves here");
            return Err(crate::status::Fault::client().on(status).into());
        }
        self.may("register", &Rate::of_seconds(60, 3600, 20)).await?;
        let wrong = |why: &str| Error::new("invalid_client_metadata", why);
        let said: Value = serde_json::from_slice(body).map_err(|_| wrong("the body is no JSON"))?;
        if body.len() > 16 * MOST_BYTES {
            return Err(wrong("it is longer than any").into());
        }
        let (name, redirects) = described(&said)?;
        let id = format!("ppa_{}", crate::services::accounts::random_text(16).map_err(Status::internal)?);
        let (client, now) = (OauthClient { id, name, redirects }, Micros::now());
        self.directory.stores.oauth.register(&client, now).await?;
        tracing::info!(client = client.id, name = client.name, "a program has registered");
        Ok(Registered(json!({
            "client_id": client.id,
            "client_id_issued_at": now.seconds(),
            "client_name": client.name,
            "redirect_uris": client.redirects,
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        })))
    }

    /// Takes one attempt at something, of those that its sender's address has.
    pub(super) async fn may(&self, what: &str, rate: &Rate) -> Result<(), Status> {
        self.directory.may(what, &Context::at(&self.client), rate).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_is_and_where_its_answers_go() {
        let good = json!({"redirect_uris": ["http://127.0.0.1/cb"], "client_name": " Editor ", "logo_uri": 7,
            "grant_types": ["authorization_code", "refresh_token", "implicit"], "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_post"});
        let want = ("Editor".to_owned(), vec!["http://127.0.0.1/cb".to_owned()]);
        assert_eq!(described(&good), Ok(want));
        let nameless =
            described(&json!({"redirect_uris": ["https://a.example/"], "client_name": null})).unwrap();
        assert_eq!(nameless.0, NAMELESS);
        let check = |said: Value, want: &str| assert_eq!(described(&said).unwrap_err().code, want, "{said}");
        let with = |key: &str, value: Value| {
            let mut said = json!({"redirect_uris": ["https://a.example/"]});
            said[key] = value;
            said
        };
        check(json!([]), "invalid_client_metadata");
        check(json!({}), "invalid_redirect_uri");
        check(with("redirect_uris", json!([])), "invalid_redirect_uri");
        check(with("redirect_uris", json!(["javascript:alert(1)"])), "invalid_redirect_uri");
        check(with("redirect_uris", json!([7])), "invalid_redirect_uri");
        check(with("redirect_uris", json!(vec!["https://a.example/"; 21])), "invalid_redirect_uri");
        check(with("client_name", json!(7)), "invalid_client_metadata");
        check(with("client_name", json!("a\u{202e}b")), "invalid_client_metadata");
        check(with("grant_types", json!(["implicit"])), "invalid_client_metadata");
        check(with("response_types", json!(["token"])), "invalid_client_metadata");
    }
}
