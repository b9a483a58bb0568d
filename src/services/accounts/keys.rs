//! What the verifier of credentials asks of the stores: whose an API key is, and what has been revoked.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::session::principal;
use crate::{
    auth::{self, Means, Principal},
    store::{Digest, Micros, RevocationList, Revoked, StoreError, Stores},
};

/// API keys as the verifier looks them up.
#[derive(Debug)]
pub struct StoredKeys(pub Arc<Stores>);

impl auth::ApiKeys for StoredKeys {
    fn find<'a>(&'a self, digest: &'a auth::Digest) -> BoxFuture<'a, Result<Option<Principal>, String>> {
        Box::pin(async move { self.look(&Digest(*digest)).await.map_err(|error| error.to_string()) })
    }
}

impl StoredKeys {
    async fn look(&self, digest: &Digest) -> Result<Option<Principal>, StoreError> {
        let now = Micros::now();
        let key = self.0.api_keys.by_digest(digest).await?.filter(|key| key.usable(now));
        let Some(key) = key else { return Ok(None) };
        let texts =
            |list: &[String]| list.iter().map(|text| Arc::from(text.as_str())).collect::<Vec<Arc<str>>>();
        let means = Means::ApiKey { id: key.id.as_str().into() };
        let mut caller = match &key.owner {
            // Of its owner it has what both have: what is taken from the owner is taken from the key.
            Some(owner) => {
                let account = self.0.accounts.get(owner).await?.filter(|account| account.active);
                let Some(account) = account else { return Ok(None) };
                let mut caller = Principal { means, session: None, ..principal(&account, "") };
                if !key.roles.is_empty() {
                    caller.roles.retain(|role| key.roles.iter().any(|own| **own == **role));
                }
                if !key.permissions.is_empty() {
                    caller.permissions.retain(|held| key.permissions.iter().any(|own| **own == **held));
                }
                caller
            }
            None => Principal {
                roles: texts(&key.roles),
                permissions: texts(&key.permissions),
                ..Principal::new(format!("key:{}", key.id), means)
            },
        };
        caller.scopes = texts(&key.scopes);
        if !key.tier.is_empty() {
            caller.tier = Some(key.tier.as_str().into());
        }
        caller.issued = u64::try_from(key.created_at.seconds()).ok();
        caller.expires = key.expires_at.and_then(|at| u64::try_from(at.seconds()).ok());
        self.0.key_used(&key.id, now);
        Ok(Some(caller))
    }
}

impl auth::Revocations for RevocationList {
    fn revoked(&self, caller: &Principal) -> Result<bool, String> {
        // Of others' tokens, and those of the config, nothing is revoked here.
        if matches!(caller.means, Means::Token { .. } | Means::Static { .. } | Means::Certificate) {
            return Ok(false);
        }
        // Whoever has not read the list yet cannot say of anything that it is not on it.
        if self.complete_at().is_none() {
            return Err("what has been revoked has not been read yet".to_owned());
        }
        let is = |kind, id: &Option<Arc<str>>| id.as_ref().is_some_and(|id| self.is_revoked(kind, id));
        Ok(match &caller.means {
            Means::ApiKey { id } => {
                self.is_revoked(Revoked::Key, id) || self.is_revoked(Revoked::Account, &caller.id)
            }
            Means::Own => {
                is(Revoked::Token, &caller.token_id)
                    || is(Revoked::Session, &caller.session)
                    || self.is_revoked(Revoked::Account, &caller.id)
            }
            Means::Token { .. } | Means::Static { .. } | Means::Certificate => false,
        })
    }

    fn version(&self) -> u64 {
        RevocationList::version(self)
    }

    fn outdated(&self, caller: &Principal, version: u64) -> bool {
        // A token says itself what its bearer has; of a key its owner's account does.
        matches!(caller.means, Means::ApiKey { .. })
            && self.is_revoked_since(Revoked::Keys, &caller.id, version)
    }
}
