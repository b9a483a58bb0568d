//! The authorization server of MCP's endpoint: people let programs use tools for them. OAuth 2.1 with authorization codes and
//! PKCE alone, for public clients, over the gateway's own accounts. How it is spoken over HTTP, and what people are shown, is
//! for who serves it.
//!
//! ```text
//!  authorize ─▶ who asks, for what ─▶ login ─▶ ticket ─▶ yes ─▶ code ─▶ token ─▶ access token, refresh token
//!     refused here: a page; later: back to the program                     └ once, within a minute, with the verifier
//! ```
//! Sources: draft-ietf-oauth-v2-1, RFC 6749, 7009, 7591, 7636, 8252, 8414, 8707, 9068, 9207, and
//! draft-ietf-oauth-client-id-metadata-document.

mod clients;
mod document;
mod redirect;
mod tokens;

use std::{sync::Arc, time::Duration};

use tonic::Status;

pub use self::{
    clients::{Client, Registered},
    document::Documents,
    redirect::origin,
    tokens::Tokens,
};
use super::accounts::{Context, Directory, random_text};
use crate::{
    auth::email_key,
    store::{Digest, Micros, OauthLogin, OauthRequest},
};

/// How long one may think about what one is asked.
const TO_ANSWER: Duration = Duration::from_secs(600);
/// How long a code is good.
const CODE: Duration = Duration::from_secs(60);
/// No value of a request is longer.
const MOST_BYTES: usize = 2048;

/// What it lets programs do, and which.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What a program gets that does not say what it wants.
    pub scope: Option<Arc<str>>,
    /// What there is to be had, with words for people.
    pub scopes: Vec<(Arc<str>, Arc<str>)>,
    /// Programs may register themselves.
    pub registration: bool,
    /// Programs may be described at the address that is their id.
    pub documents: bool,
}

/// The authorization server over the accounts of a gateway.
pub struct Server<'a> {
    pub directory: &'a Directory,
    pub documents: &'a Documents,
    pub rules: Rules,
    /// Its own address, without a path: the issuer.
    pub origin: String,
    /// The address of what it makes tokens for.
    pub resource: String,
    /// Where the request comes from; empty where that is not known.
    pub client: String,
}

/// Parameters of a request by their names, as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// A refusal as OAuth has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// `invalid_grant` and its like.
    pub code: &'static str,
    /// In words, for who wrote the program.
    pub why: String,
}

/// Why something is not done.
#[derive(Debug)]
pub enum Refused {
    /// OAuth has a word for it.
    Oauth(Error),
    /// It has nothing to do with what was asked: too often, a store is away.
    Status(Status),
}

/// Why a request for authorization is not shown to people.
#[derive(Debug)]
pub enum NotAsked {
    /// Nobody knows where the answer would go.
    Here(Refused),
    /// The answer is no, and goes back.
    Back { redirect: String, state: String, error: Error },
}

/// What a person is asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub client: Client,
    pub request: OauthRequest,
}

/// What an answer sends to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub redirect: String,
    pub state: String,
    /// The code; or the error of one who has said no.
    pub outcome: Result<String, Error>,
}

impl Error {
    pub(super) fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Oauth(error)
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Status(error.into())
    }
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// A name given twice (RFC 6749, 3.1), or a value that is too long.
    pub fn read(text: &str) -> Result<Self, Error> {
        let invalid = |why: String| Error::new("invalid_request", why);
        let mut form: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(invalid("a parameter is no UTF-8".to_owned()));
            };
            let shown: String = name.chars().take(40).collect();
            if form.len() == 64 || value.len() > MOST_BYTES {
                return Err(invalid(format!("{shown} is longer than {MOST_BYTES} bytes, or one too many")));
            }
            if form.iter().any(|(known, _)| *known == name) {
                return Err(invalid(format!("{shown} is given twice")));
            }
            form.push((name, value));
        }
        Ok(Self(form))
    }

    /// The value of a parameter; an empty one is as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// `invalid_request`: it is not.
    pub fn need(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::new("invalid_request", format!("{name} is missing")))
    }
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

impl Server<'_> {
    /// What a program asks a person for.
    ///
    /// # Errors
    /// It cannot ask so.
    pub async fn question(&self, form: &Form) -> Result<Question, NotAsked> {
        let here = |error: Error| NotAsked::Here(error.into());
        let id = form.need("client_id").map_err(here)?;
        let client = self.known(id).await.map_err(NotAsked::Here)?;
        let redirect = match (form.get("redirect_uri"), client.redirects.as_slice()) {
            (Some(asked), known) if redirect::matches(known, asked) => asked.to_owned(),
            (None, [one]) => one.clone(),
            (Some(_), _) => {
                let why = "redirect_uri is none of those that the client has registered";
                return Err(here(Error::new("invalid_request", why)));
            }
            (None, _) => return Err(here(Error::new("invalid_request", "redirect_uri is missing"))),
        };
        let state = form.get("state").unwrap_or_default().to_owned();
        match self.request(form, id, &redirect) {
            Ok(request) => Ok(Question { client, request: OauthRequest { state, ..request } }),
            Err(error) => Err(NotAsked::Back { redirect, state, error }),
        }
    }

    fn request(&self, form: &Form, client: &str, redirect: &str) -> Result<OauthRequest, Error> {
        if form.need("response_type")? != "code" {
            return Err(Error::new("unsupported_response_type", "response_type is code"));
        }
        let challenge = form.need("code_challenge")?;
        if form.get("code_challenge_method") != Some("S256") {
            return Err(Error::new("invalid_request", "code_challenge_method is S256"));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if challenge.len() != 43 || !challenge.bytes().all(fits) {
            return Err(Error::new("invalid_request", "code_challenge is no SHA-256 in base64url"));
        }
        if let Some(resource) = form.get("resource")
            && !self.is_resource(resource)
        {
            let why = format!("tokens are made for {} alone", self.resource);
            return Err(Error::new("invalid_target", why));
        }
        Ok(OauthRequest {
            client: client.to_owned(),
            redirect: redirect.to_owned(),
            challenge: challenge.to_owned(),
            resource: self.resource.clone(),
            scopes: self.scopes(form.get("scope"))?,
            state: String::new(),
        })
    }

    fn is_resource(&self, named: &str) -> bool {
        named.strip_suffix('/').unwrap_or(named) == self.resource
    }

    /// Of what is asked for what there is; what there is not is not given (RFC 6749, 3.3).
    fn scopes(&self, asked: Option<&str>) -> Result<Vec<String>, Error> {
        let Some(asked) = asked else {
            return Ok(self.rules.scope.iter().map(|scope| scope.to_string()).collect());
        };
        let there = |scope: &&str| self.rules.scopes.iter().any(|(name, _)| **name == **scope);
        let mut scopes: Vec<String> = asked.split(' ').filter(there).map(str::to_owned).collect();
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() && !self.rules.scopes.is_empty() {
            let all: Vec<&str> = self.rules.scopes.iter().map(|(name, _)| &**name).collect();
            return Err(Error::new("invalid_scope", format!("there is {}", all.join(", "))));
        }
        Ok(scopes)
    }

    /// Somebody logs in to answer: the ticket that their answer comes with, and who they are; `None` for a wrong password.
    /// `browser` is a digest of what their browser alone knows.
    ///
    /// # Errors
    /// Too many attempts; a store is away.
    pub async fn log_in(
        &self,
        question: &Question,
        email: &str,
        password: &str,
        browser: &str,
    ) -> Result<Option<(String, String)>, Status> {
        let context = Context::at(&self.client);
        for _ in 0..2 {
            let Some((account, hash)) = self.directory.recognise(&context, email, password).await? else {
                return Ok(None);
            };
            let (ticket, now) = (random_text(32).map_err(Status::internal)?, Micros::now());
            let login = OauthLogin {
                account: account.id.clone(),
                password: hash,
                browser: browser.to_owned(),
                ticket: Digest::of(ticket.as_bytes()),
                expires_at: now.after(TO_ANSWER),
            };
            if self.directory.stores.oauth.ask(&login, &question.request, now).await? {
                self.directory.changed(&account.id).await;
                self.directory.has_logged_in(&context, &email_key(&account.email)).await;
                return Ok(Some((ticket, account.email)));
            }
            // The password was changed meanwhile: once more.
        }
        Ok(None)
    }

    /// What somebody answers who has logged in; `None` where there is no such ticket in their browser, or they thought too
    /// long.
    ///
    /// # Errors
    /// A store is away.
    pub async fn answer(&self, ticket: &str, browser: &str, yes: bool) -> Result<Option<Answered>, Status> {
        let now = Micros::now();
        let code = format!("ppc_{}", random_text(32).map_err(Status::internal)?);
        let digest = Digest::of(code.as_bytes());
        let kept = yes.then_some((&digest, now.after(CODE)));
        let ticket = Digest::of(ticket.as_bytes());
        let answered = self.directory.stores.oauth.answer(&ticket, browser, kept, now).await?;
        let Some((OauthRequest { client, redirect, state, scopes, .. }, account)) = answered else {
            return Ok(None);
        };
        let (answer, scopes) = (if yes { "allowed" } else { "denied" }, scopes.join(" "));
        tracing::info!(account, client, scopes, answer, "a person was asked to let a program use tools");
        let denied = || Error::new("access_denied", "the person who was asked has said no");
        Ok(Some(Answered { redirect, state, outcome: if yes { Ok(code) } else { Err(denied()) } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_nothing_twice() {
        let form = Form::read("a=1&b=x%20y+z&c=&d").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1"), Some("x y z"), None));
        assert_eq!(form.need("d").unwrap_err().code, "invalid_request");
        for wrong in ["a=1&a=2", "a=%ff", &format!("a={}", "x".repeat(MOST_BYTES + 1)), &"a&".repeat(70)] {
            assert_eq!(Form::read(wrong).unwrap_err().code, "invalid_request", "{wrong}");
        }
        assert_eq!(Form::read("").unwrap(), Form::default());
    }
}
