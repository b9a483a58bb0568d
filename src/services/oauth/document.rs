//! Clients that are described where their id leads (draft-ietf-oauth-client-id-metadata-document): read over https, from
//! public addresses alone, within bounds, and kept for a while. Nothing of what is read there is shown to who asked for it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Error, Refused, Server,
    clients::{Client, described},
};
use crate::auth::{Endpoint, Fetch, Rate};

/// The longest description.
const MOST_BYTES: usize = 8 << 10;
/// How long one is kept, and how long it is known that there is none.
const KEEP: Duration = Duration::from_secs(3600);
const NONE: Duration = Duration::from_secs(30);
/// How many are kept.
const MOST: usize = 1000;

/// Reads descriptions, and keeps them.
pub struct Documents {
    fetch: Arc<dyn Fetch>,
    known: Mutex<HashMap<String, Known>>,
}

/// What was found at an id, and until when that holds.
type Known = (Instant, Result<Client, Error>);

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Documents")
    }
}

impl Documents {
    /// Reads by what is given, which must refuse addresses that are not public.
    #[must_use]
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, known: Mutex::default() }
    }

    /// The client that is described at its id.
    pub(super) async fn client(&self, id: &str, server: &Server<'_>) -> Result<Client, Refused> {
        let now = Instant::now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some((_, known)) = known.filter(|(until, _)| now < *until) {
            return known.map_err(Refused::from);
        }
        // Whoever asks has the gateway send a request to a place of their choice.
        server.may("client document", &Rate::of_seconds(30, 60, 10)).await?;
        let read = self.read(id).await;
        let until = now + if read.is_ok() { KEEP } else { NONE };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, (until, _)| now < *until);
        }
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(id.to_owned(), (until, read.clone()));
        drop(all);
        read.map_err(Refused::from)
    }

    async fn read(&self, id: &str) -> Result<Client, Error> {
        let wrong = |why: &str| Error::new("invalid_client", format!("client_id: {why}"));
        let host = place(id).map_err(|why| wrong(&why))?;
        let at = Endpoint::parse(id).map_err(|_| wrong("it is no https address"))?;
        let body = self.fetch.get(&at, MOST_BYTES).await.map_err(|why| {
            tracing::info!(client = id, "a client's description cannot be read: {why}");
            wrong("its description cannot be read from there")
        })?;
        let said: Value = serde_json::from_slice(&body).map_err(|_| wrong("what is there is no JSON"))?;
        if said.get("client_id").and_then(Value::as_str) != Some(id) {
            return Err(wrong("what is there is not about this client"));
        }
        if !matches!(said.get("token_endpoint_auth_method").and_then(Value::as_str), None | Some("none")) {
            return Err(wrong("the client would show a secret or a key, which is not asked for here"));
        }
        let (name, redirects) = described(&said).map_err(|error| wrong(&error.why))?;
        Ok(Client { id: id.to_owned(), name, redirects, host: Some(host) })
    }
}

/// The host of an id that may be one: https, with a path, and with nothing that could be read in two ways.
fn place(id: &str) -> Result<String, String> {
    let no = |why: &str| Err(why.to_owned());
    if id.len() > 512 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return no("it is longer than 512 bytes, or not of visible ASCII");
    }
    let Some(uri) = id.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https")) else {
        return no("it is no https address");
    };
    let host = uri.host().unwrap_or_default();
    if host.is_empty() || id.contains(['#', '@', '\\', '?']) || id.contains("%2") {
        return no("it has a fragment, a query or a user's name in it");
    }
    if uri.path() == "/" || uri.path().split('/').any(|segment| matches!(segment, "." | "..")) {
        return no("it has no path, or one with dots");
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::*;

    const ID: &str = "https://app.example/oauth/client.json";

    /// Answers every reading with one text.
    struct Fixed(&'static str);

    impl Fetch for Fixed {
        fn get<'a>(&'a self, _: &'a Endpoint, _: usize) -> BoxFuture<'a, Result<Vec<u8>, String>> {
            Box::pin(async move { if self.0.is_empty() { Err("away".into()) } else { Ok(self.0.into()) } })
        }
    }

    #[tokio::test]
    async fn a_client_is_what_its_own_document_says() {
        let read = async |text: &'static str, id: &str| Documents::new(Arc::new(Fixed(text))).read(id).await;
        const GOOD: &str = r#"{"client_id":"https://app.example/oauth/client.json","client_name":"App",
            "redirect_uris":["http://127.0.0.1/cb"]}"#;
        let client = read(GOOD, ID).await.unwrap();
        assert_eq!((client.name.as_str(), client.host.as_deref()), ("App", Some("app.example")));
        let refused = async |text, id: &str, why: &str| {
            let error = read(text, id).await.unwrap_err();
            assert!(error.code == "invalid_client" && error.why.contains(why), "{error:?}");
        };
        refused(GOOD, "https://app.example/other.json", "not about this client").await;
        refused("", ID, "cannot be read").await;
        refused("nonsense", ID, "no JSON").await;
        refused(r#"{"client_id":"https://app.example/oauth/client.json"}"#, ID, "redirect_uris").await;
        const KEYED: &str = r#"{"client_id":"https://app.example/oauth/client.json",
            "token_endpoint_auth_method":"private_key_jwt","redirect_uris":["http://127.0.0.1/cb"]}"#;
        refused(KEYED, ID, "a secret or a key").await;
        for id in [
            "http://app.example/c",
            "https://app.example",
            "https://app.example/",
            "https://app.example/a/../b",
            "https://app.example/a?b",
            "https://app.example/a#b",
            "https://u@app.example/a",
            "https://app.example/%2e%2e/b",
        ] {
            assert!(place(id).is_err(), "{id}");
        }
    }
}
