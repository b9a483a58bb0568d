//! Says who calls, by the credentials that a call brings: tokens of trusted issuers, API keys, and the tokens that are
//! written in the config. What was verified is remembered until it expires, is revoked, or keys change.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq as _;

use super::{
    ApiKey, Certificate, CertificateCallers, Digest, Failed, Issuer, Means, Presented, Principal, Refused,
    cache::Cache, credential::Credential, digest, jose,
};

/// How long a verified token is taken without looking again, in seconds; less where it expires sooner.
const TOKEN_SECONDS: u64 = 300;
/// The same for an API key, which its owner may take back.
const KEY_SECONDS: u64 = 10;

/// Where API keys are kept.
pub trait ApiKeys: Send + Sync {
    /// The caller that a key belongs to: `None` for a key that is not there, has been taken back, or has expired.
    ///
    /// # Errors
    /// They cannot be asked now, and why.
    fn find<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Principal>, String>>;
}

/// What has been revoked before it expired, as this replica knows it; asked at every call.
pub trait Revocations: Send + Sync {
    /// # Errors
    /// It cannot be told yet, and why.
    fn revoked(&self, caller: &Principal) -> Result<bool, String>;

    /// Another number whenever something is revoked or taken away.
    fn version(&self) -> u64;

    /// True where what was found out about a caller under an earlier version may not hold now: it is looked up again.
    fn outdated(&self, caller: &Principal, version: u64) -> bool;
}

/// A token that is written in the config, and whose it is.
#[derive(Clone)]
pub struct StaticToken {
    digest: Digest,
    caller: Arc<Principal>,
}

impl StaticToken {
    #[must_use]
    pub fn new(token: &str, caller: Principal) -> Self {
        Self { digest: digest(token.as_bytes()), caller: Arc::new(caller.told()) }
    }
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken").field("caller", &self.caller.id).finish_non_exhaustive()
    }
}

/// Verifies credentials.
#[derive(Default)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    tokens: Vec<StaticToken>,
    certificates: Option<CertificateCallers>,
    api_keys: Option<Arc<dyn ApiKeys>>,
    revocations: Option<Arc<dyn Revocations>>,
    cache: Cache,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.issuers).field("tokens", &self.tokens).finish()
    }
}

impl Verifier {
    /// Takes tokens of these issuers, and these tokens as they are.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, tokens: Vec<StaticToken>) -> Self {
        Self { issuers, tokens, ..Self::default() }
    }

    /// Takes client certificates too, of callers who bring nothing else.
    #[must_use]
    pub fn with_certificates(mut self, callers: CertificateCallers) -> Self {
        self.certificates = Some(callers);
        self
    }

    /// Takes API keys too.
    #[must_use]
    pub fn with_api_keys(mut self, keys: Arc<dyn ApiKeys>) -> Self {
        self.api_keys = Some(keys);
        self
    }

    /// Refuses what has been revoked.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Arc<dyn Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// True where there is any way to be known here.
    #[must_use]
    pub fn knows_anybody(&self) -> bool {
        let by_token = !self.issuers.is_empty() || !self.tokens.is_empty();
        by_token || self.api_keys.is_some() || self.certificates.is_some()
    }

    /// Callers whose credentials need not be verified again.
    #[must_use]
    pub fn known_callers(&self) -> usize {
        self.cache.len()
    }

    /// The caller that a certificate is of, which the connection was opened with; `None` where certificates say nothing of
    /// callers.
    ///
    /// # Errors
    /// It is good no longer, or names nobody.
    #[must_use]
    pub fn bearer_of(&self, certificate: &Certificate, now: u64) -> Option<Result<Arc<Principal>, Refused>> {
        let callers = self.certificates.as_ref()?;
        if let Some((caller, _)) = self.cache.find(&certificate.digest, now) {
            return Some(Ok(caller));
        }
        Some(callers.caller(certificate, now).map(|caller| {
            let caller = Arc::new(caller);
            let until = certificate.not_after.min(now.saturating_add(TOKEN_SECONDS));
            self.cache.keep(&certificate.digest, &caller, now, until, 0);
            caller
        }))
    }

    /// The caller, where its credentials were verified before and are still good.
    #[must_use]
    pub fn remembered(&self, presented: &Presented<'_>, now: u64) -> Option<Arc<Principal>> {
        let one = |credential: &Credential<'_>, may_be_token: bool| {
            let caller = self.known(credential, may_be_token, now)?;
            self.revoked(&caller).is_ok_and(|revoked| !revoked).then_some(caller)
        };
        match (&presented.bearer, &presented.key) {
            (Some(bearer), None) => one(bearer, true),
            (None, Some(key)) => one(key, false),
            (Some(bearer), Some(key)) => {
                let (bearer, key) = (one(bearer, true)?, one(key, false)?);
                (bearer.id == key.id).then_some(bearer)
            }
            (None, None) => None,
        }
    }

    /// Verifies a call's credentials. Where there are two, both must be good, and of the same caller.
    ///
    /// # Errors
    /// What is wrong with them; or it cannot be told now.
    pub async fn verify(&self, presented: &Presented<'_>, now: u64) -> Result<Arc<Principal>, Failed> {
        let bearer = match &presented.bearer {
            Some(credential) => Some(self.one(credential, true, now).await?),
            None => None,
        };
        let key = match &presented.key {
            Some(credential) => Some(self.one(credential, false, now).await?),
            None => None,
        };
        match (bearer, key) {
            (Some(bearer), Some(key)) if bearer.id != key.id => Err(Refused::Disagree.into()),
            (Some(caller), _) | (None, Some(caller)) => Ok(caller),
            (None, None) => Err(Refused::Unknown.into()),
        }
    }

    /// Whose a credential was found to be before. A token is none where a key is wanted, then as now.
    fn known(&self, credential: &Credential<'_>, may_be_token: bool, now: u64) -> Option<Arc<Principal>> {
        let (caller, version) = self.cache.find(&credential.digest, now)?;
        let is_token = matches!(caller.means, Means::Own | Means::Token { .. });
        let outdated = || self.revocations.as_ref().is_some_and(|list| list.outdated(&caller, version));
        ((may_be_token || !is_token) && !outdated()).then_some(caller)
    }

    async fn one(
        &self,
        credential: &Credential<'_>,
        may_be_token: bool,
        now: u64,
    ) -> Result<Arc<Principal>, Failed> {
        let caller = match self.known(credential, may_be_token, now) {
            Some(caller) => caller,
            None => {
                // What is taken away while it is looked up is newer than this.
                let version = self.revocations.as_ref().map_or(0, |list| list.version());
                let (caller, seconds) = self.look(credential, may_be_token, now).await?;
                let until = caller.expires.unwrap_or(u64::MAX).min(now.saturating_add(seconds));
                self.cache.keep(&credential.digest, &caller, now, until, version);
                caller
            }
        };
        match self.revoked(&caller) {
            Ok(false) => Ok(caller),
            Ok(true) => Err(Refused::Revoked.into()),
            Err(why) => Err(Failed::Away(why)),
        }
    }

    async fn look(
        &self,
        credential: &Credential<'_>,
        may_be_token: bool,
        now: u64,
    ) -> Result<(Arc<Principal>, u64), Failed> {
        // Every one is compared, and each whole: how long it takes says nothing of a token.
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.digest[..].ct_eq(&credential.digest[..])) {
                found = Some(Arc::clone(&token.caller));
            }
        }
        if let Some(caller) = found {
            return Ok((caller, TOKEN_SECONDS));
        }
        if ApiKey::id(credential.text).is_some()
            && let Some(keys) = &self.api_keys
        {
            let caller =
                keys.find(&credential.digest).await.map_err(Failed::Away)?.ok_or(Refused::Unknown)?;
            return Ok((Arc::new(caller.told()), KEY_SECONDS));
        }
        if !may_be_token || self.issuers.is_empty() {
            return Err(Refused::Unknown.into());
        }
        let token = jose::parse(credential.text)?;
        let mut refused = Failed::Refused(Refused::Issuer);
        for issuer in self.issuers.iter().filter(|issuer| issuer.may_have_issued(&token.claims)) {
            match issuer.verify(&token, now).await {
                Ok(caller) => return Ok((Arc::new(caller), TOKEN_SECONDS)),
                // Another issuer's key may have signed it; what is said is what the first one that did found wrong.
                Err(Failed::Refused(Refused::Signature)) if refused != Failed::Refused(Refused::Issuer) => {}
                Err(failed) => refused = failed,
            }
        }
        Err(refused)
    }

    fn revoked(&self, caller: &Principal) -> Result<bool, String> {
        self.revocations.as_ref().map_or(Ok(false), |revocations| revocations.revoked(caller))
    }
}
