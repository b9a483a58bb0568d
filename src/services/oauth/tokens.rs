//! Tokens for programs: for a code once, and for a refresh token again and again, another at each use. They are good for one
//! resource, and end with the session that they are of.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;

use super::{Error, Form, Refused, Server};
use crate::{
    auth::{Audience, Principal, Rate, digest},
    services::accounts::{principal, random_text},
    store::{Account, Digest, Grant, Micros, NewGrant, Redeemed, Redemption, Rotation},
};

/// What a refresh token of a program's begins with: it is none of a person's.
const REFRESH: &str = "ppo_";

/// What a program gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub lifetime: Duration,
    pub scopes: Vec<String>,
}

impl Server<'_> {
    /// Answers a request for tokens.
    ///
    /// # Errors
    /// As RFC 6749 (5.2) has it; too many from one address.
    pub async fn token(&self, form: &Form) -> Result<Tokens, Refused> {
        self.may("token", &Rate::of_seconds(120, 60, 60)).await?;
        match form.need("grant_type")? {
            "authorization_code" => self.redeem(form).await,
            "refresh_token" => self.refresh(form).await,
            _ => {
                let why = "grant_type is authorization_code or refresh_token";
                Err(Error::new("unsupported_grant_type", why).into())
            }
        }
    }

    async fn redeem(&self, form: &Form) -> Result<Tokens, Refused> {
        let (client, code) = (form.need("client_id")?, form.need("code")?);
        let challenge = challenge(form.need("code_verifier")?)?;
        let resource = self.named(form)?;
        let (refresh, digest) = refresh_token()?;
        let now = Micros::now();
        let new = NewGrant {
            family: uuid::Uuid::now_v7().to_string(),
            digest,
            expires_at: now.after(self.directory.rules.refresh_lifetime),
        };
        let shown = Redemption {
            code: &Digest::of(code.as_bytes()),
            client,
            redirect: form.get("redirect_uri"),
            challenge: &challenge,
            resource: resource.as_deref(),
        };
        let stores = &self.directory.stores;
        let invalid = |why: &str| Error::new("invalid_grant", why);
        match stores.oauth.redeem(&shown, &new, self.directory.until(now), now).await? {
            Redeemed::Granted(grant, account) => self.issue(&account, &grant, refresh, now),
            Redeemed::Wrong("resource is another than was asked for") => {
                Err(Error::new("invalid_target", "resource is another than was asked for").into())
            }
            Redeemed::Wrong(what) => Err(invalid(what).into()),
            Redeemed::Replayed(revoked) => {
                if let Some(revoked) = &revoked {
                    stores.revoked.insert(revoked);
                }
                tracing::warn!(
                    client,
                    "a code was shown that was used before; the tokens that came of it have ended"
                );
                Err(invalid("the code was used before").into())
            }
            Redeemed::Unknown => Err(invalid("there is no such code, or its time is over").into()),
        }
    }

    async fn refresh(&self, form: &Form) -> Result<Tokens, Refused> {
        let refused = || Error::new("invalid_grant", "the refresh token is not good, or is good no longer");
        let (shown, client) = (form.need("refresh_token")?, form.need("client_id")?);
        let (old, stores) = (digest_of(shown).ok_or_else(refused)?, &self.directory.stores);
        let mut grant = stores.oauth.grant(&old).await?.ok_or_else(refused)?;
        if grant.client != client {
            return Err(refused().into());
        }
        if self.named(form)?.is_some_and(|resource| resource != grant.resource) {
            return Err(Error::new("invalid_target", format!("the token is for {}", grant.resource)).into());
        }
        if let Some(asked) = form.get("scope") {
            let asked: Vec<String> =
                asked.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            if !asked.iter().all(|scope| grant.scopes.contains(scope)) {
                return Err(Error::new("invalid_scope", "it is more than was allowed").into());
            }
            grant.scopes = asked;
        }
        let (refresh, new) = refresh_token()?;
        let now = Micros::now();
        let expires_at = now.after(self.directory.rules.refresh_lifetime);
        let until = self.directory.until(now);
        match stores.refresh_tokens.rotate(&old, &new, expires_at, until, now).await? {
            Rotation::Rotated(_, account) => self.issue(&account, &grant, refresh, now),
            Rotation::Reused(session, revoked) => {
                stores.revoked.insert(&revoked);
                tracing::warn!(
                    client,
                    account = session.account,
                    "a program's refresh token was shown that was used before; its session has ended"
                );
                Err(refused().into())
            }
            Rotation::Ended(_) | Rotation::Unknown => Err(refused().into()),
        }
    }

    /// Gives a refresh token back, and with it all that came of it; what is unknown is no matter (RFC 7009, 2.2). True where
    /// it was one.
    ///
    /// # Errors
    /// It says not whose it is; a store is away.
    pub async fn give_back(&self, form: &Form) -> Result<bool, Refused> {
        self.may("token", &Rate::of_seconds(120, 60, 60)).await?;
        let (shown, client) = (form.need("token")?, form.need("client_id")?);
        let Some(digest) = digest_of(shown) else { return Ok(false) };
        if let Some(grant) = self.directory.stores.oauth.grant(&digest).await?
            && grant.client == client
        {
            self.directory.end(&grant.family).await?;
        }
        Ok(true)
    }

    /// Ends the session of an access token that a program has given back.
    ///
    /// # Errors
    /// A store is away.
    pub async fn end(&self, caller: &Principal, client: &str) -> Result<(), Status> {
        match &caller.session {
            Some(session) if caller.client.as_deref() == Some(client) => self.directory.end(session).await,
            _ => Ok(()),
        }
    }

    /// What a request for tokens says they are for.
    fn named(&self, form: &Form) -> Result<Option<String>, Error> {
        match form.get("resource") {
            None => Ok(None),
            Some(resource) if self.is_resource(resource) => Ok(Some(self.resource.clone())),
            Some(_) => {
                Err(Error::new("invalid_target", format!("tokens are made for {} alone", self.resource)))
            }
        }
    }

    fn issue(
        &self,
        account: &Account,
        grant: &Grant,
        refresh: String,
        now: Micros,
    ) -> Result<Tokens, Refused> {
        let caller = Principal {
            scopes: grant.scopes.iter().map(|scope| Arc::from(scope.as_str())).collect(),
            audience: Audience::resource(&grant.resource),
            client: Some(grant.client.as_str().into()),
            ..principal(account, &grant.family)
        };
        let token = self.directory.tokens.issue(&caller, now)?;
        Ok(Tokens {
            access: token.text,
            refresh,
            lifetime: token.expires_at.since(now),
            scopes: grant.scopes.clone(),
        })
    }
}

/// What a verifier is asked to be: SHA-256 of it, in base64url (RFC 7636, 4.2).
fn challenge(verifier: &str) -> Result<String, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(fits) {
        return Err(Error::new("invalid_request", "code_verifier is 43 to 128 letters, digits, - . _ ~"));
    }
    Ok(URL_SAFE_NO_PAD.encode(digest(verifier.as_bytes())))
}

fn refresh_token() -> Result<(String, Digest), Status> {
    let text = format!("{REFRESH}{}", random_text(32).map_err(Status::internal)?);
    let digest = Digest::of(text.as_bytes());
    Ok((text, digest))
}

fn digest_of(shown: &str) -> Option<Digest> {
    (shown.starts_with(REFRESH) && shown.len() <= 128).then(|| Digest::of(shown.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_rfc_7636() {
        let of_rfc = challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(of_rfc.as_deref(), Ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        for bad in ["short", &"a".repeat(129), &"ä".repeat(30), &" ".repeat(50)] {
            assert_eq!(challenge(bad).unwrap_err().code, "invalid_request");
        }
    }

    #[test]
    fn a_program_s_refresh_token_is_none_of_a_person_s() {
        let (text, digest) = refresh_token().unwrap();
        assert_eq!(digest_of(&text), Some(digest));
        assert_eq!(digest_of("ppr_0123456789"), None);
        assert_eq!(digest_of(&format!("{REFRESH}{}", "a".repeat(200))), None);
    }
}
