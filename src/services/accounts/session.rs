//! Sessions: the tokens of a login, and of each refresh after it.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;

use super::{Context, Directory, user};
use crate::{
    auth::{Means, Minter, Principal, email_key},
    proto::gateway_v1::User,
    status::Fault,
    store::{Account, Digest, Ending, Micros, NewFamily, PasswordHash, Rotation, StoreError},
};

/// What a refresh token begins with, so that a scanner can find a leaked one.
const PREFIX: &str = "ppr_";
/// No refresh token is longer.
const MOST_BYTES: usize = 128;

/// Issues access tokens.
pub trait Tokens: Send + Sync {
    /// A token for a caller; its session is [`Principal::session`].
    ///
    /// # Errors
    /// UNAVAILABLE while there is no key to sign with; INTERNAL.
    fn issue(&self, caller: &Principal, now: Micros) -> Result<AccessToken, Status>;
}

/// An access token that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub text: String,
    pub expires_at: Micros,
}

impl Tokens for Minter {
    fn issue(&self, caller: &Principal, now: Micros) -> Result<AccessToken, Status> {
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let token = self.access_token(caller, seconds).map_err(|why| {
            tracing::error!("an access token cannot be signed: {why}");
            Status::internal("an access token could not be signed")
        })?;
        let expires_at = Micros::from_seconds(i64::try_from(token.expires).unwrap_or(i64::MAX));
        Ok(AccessToken { text: token.text, expires_at })
    }
}

/// What a login answers.
#[derive(Debug)]
pub(in crate::services) struct Session {
    pub(in crate::services) user: User,
    pub(in crate::services) access_token: String,
    pub(in crate::services) refresh_token: String,
    /// Seconds.
    pub(in crate::services) expires_in: i32,
}

impl Directory {
    /// The account of somebody who shows its password, with the password's hash; `None` where it is not so, and then it takes as
    /// long. An attempt is counted.
    ///
    /// # Errors
    /// Too many attempts; a store is away.
    pub(in crate::services) async fn recognise(
        &self,
        context: &Context,
        email: &str,
        password: &str,
    ) -> Result<Option<(Account, PasswordHash)>, Status> {
        // What no account can have is nobody's, and is answered as such.
        let key = email_key(&super::email(email).unwrap_or_default());
        let found = self.stores.accounts.by_email(&key).await?;
        let hash = found.as_ref().map(|(_, hash)| hash);
        self.may_log_in(context, &key, hash).await?;
        let good = self.passwords.verify(password, hash).await?;
        let Some((account, mut hash)) = found.filter(|(account, _)| good && account.active) else {
            return Ok(None);
        };
        if self.passwords.outdated(&hash) {
            let new = self.passwords.hash(password.to_owned()).await?;
            self.stores.accounts.rehash(&account.id, &hash, &new).await?;
            hash = new;
        }
        Ok(Some((account, hash)))
    }

    /// Begins a session for an account whose password was shown; `login`: it is noted as one. `None` where the account has
    /// another password by now, is not active, or is gone.
    pub(in crate::services) async fn begin(
        &self,
        account: &Account,
        password: &PasswordHash,
        login: bool,
    ) -> Result<Option<Session>, Status> {
        let now = Micros::now();
        let id = uuid::Uuid::now_v7().to_string();
        let (refresh_token, digest) = refresh_token()?;
        // Without a key to sign with, nothing begins.
        let expected = self.tokens.issue(&principal(account, &id), now)?;
        let expires_at = now.after(self.rules.refresh_lifetime);
        let (family, password) = (id.clone(), password.clone());
        let new = NewFamily { id: family, account: account.id.clone(), digest, expires_at, password, login };
        let Some(found) = self.stores.refresh_tokens.begin(&new, now).await? else { return Ok(None) };
        let token = self.token(expected, account, &found, &id, now)?;
        Ok(Some(session(&found, token, refresh_token, now)))
    }

    /// A token for an account as it was found at last: the one that was expected, unless the account has changed.
    fn token(
        &self,
        expected: AccessToken,
        account: &Account,
        found: &Account,
        session: &str,
        now: Micros,
    ) -> Result<AccessToken, Status> {
        let new = principal(found, session);
        if principal(account, session) == new { Ok(expected) } else { self.tokens.issue(&new, now) }
    }

    /// Goes on with the session of a refresh token, which is used up.
    ///
    /// # Errors
    /// UNAUTHENTICATED in the same words whatever is wrong with it.
    pub(in crate::services) async fn go_on(&self, shown: &str) -> Result<Session, Status> {
        let now = Micros::now();
        let (old, tokens) = (digest_of(shown)?, &self.stores.refresh_tokens);
        let known = tokens.session(&old).await?.ok_or_else(refused)?;
        let account = self.stores.accounts.get(&known.account).await?.ok_or_else(refused)?;
        // Whatever can fail comes first: what was used up cannot be shown again.
        let expected = self.tokens.issue(&principal(&account, &known.family), now)?;
        let (refresh_token, new) = refresh_token()?;
        let expires_at = now.after(self.rules.refresh_lifetime);
        match tokens.rotate(&old, &new, expires_at, self.until(now), now).await? {
            Rotation::Rotated(ours, found) => {
                let token = self.token(expected, &account, &found, &ours.family, now)?;
                Ok(session(&found, token, refresh_token, now))
            }
            Rotation::Reused(session, revoked) => {
                self.stores.revoked.insert(&revoked);
                tracing::warn!(
                    account = session.account,
                    session = session.family,
                    "a refresh token was shown that was used before; its session has ended"
                );
                Err(refused())
            }
            Rotation::Ended(_) | Rotation::Unknown => Err(refused()),
        }
    }

    /// Ends the session of a refresh token; one that is unknown has none.
    pub(in crate::services) async fn end_of(&self, shown: &str) -> Result<(), Status> {
        if let Ok(digest) = digest_of(shown)
            && let Some(session) = self.stores.refresh_tokens.session(&digest).await?
        {
            self.end(&session.family).await?;
        }
        Ok(())
    }

    /// Ends a session with its tokens.
    pub(in crate::services) async fn end(&self, session: &str) -> Result<(), Status> {
        let now = Micros::now();
        let revoked = self.stores.refresh_tokens.end(session, self.until(now), now).await?;
        self.stores.revoked.insert(&revoked);
        Ok(())
    }

    /// Ends all sessions of an account with their tokens, and has its API keys looked up again.
    pub(in crate::services) async fn end_all(&self, account: &str) -> Result<(), StoreError> {
        let now = Micros::now();
        let ending = Ending { but: "", until: self.until(now) };
        let revoked = self.stores.refresh_tokens.end_all(account, ending, now).await?;
        self.stores.revoked.insert_all(&revoked);
        Ok(())
    }
}

/// An account as a caller.
pub(in crate::services) fn principal(account: &Account, session: &str) -> Principal {
    let texts = |list: &[String]| list.iter().map(|text| Arc::from(text.as_str())).collect();
    Principal {
        email: Some(account.email.as_str().into()),
        roles: texts(&account.roles),
        permissions: texts(&account.permissions),
        tier: Some(account.tier.as_str().into()),
        session: Some(session.into()),
        ..Principal::new(account.id.as_str(), Means::Own)
    }
}

fn session(account: &Account, token: AccessToken, refresh_token: String, now: Micros) -> Session {
    let expires_in =
        i32::try_from(token.expires_at.since(now).as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
    Session { user: user(account), access_token: token.text, refresh_token, expires_in }
}

fn refresh_token() -> Result<(String, Digest), Status> {
    let random = random_text(32).map_err(Status::internal)?;
    let text = format!("{PREFIX}{random}");
    let digest = Digest::of(text.as_bytes());
    Ok((text, digest))
}

fn digest_of(shown: &str) -> Result<Digest, Status> {
    let fits = shown.starts_with(PREFIX) && shown.len() <= MOST_BYTES;
    if fits { Ok(Digest::of(shown.as_bytes())) } else { Err(refused()) }
}

fn refused() -> Status {
    Fault::client()
        .on(Status::unauthenticated("the refresh token is not good, or is good no longer; log in again"))
}

/// So many random bytes, as text for URLs.
pub(in crate::services) fn random_text(bytes: usize) -> Result<String, String> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the machine gives no randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
