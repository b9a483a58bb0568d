//! How often somebody may try: limits on logging in, registering and refreshing. While Redis is away each replica counts
//! its own: neither is a login refused for that, nor does guessing become free.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Context, Directory};
use crate::{
    auth::{self, Away, Rate},
    status::Fault,
    store::{Ask, Digest, PasswordHash},
};

impl Directory {
    /// Takes one attempt to log in, by address and by account: a few for one account from one address, more from all
    /// addresses together, which do not matter where the account has logged in from before. Strangers can so not keep out its
    /// owner. An account that does not exist is counted as one that does: the refusal says nothing of it.
    ///
    /// `password`: its hash. Another password is counted anew: who has reset it gets in.
    pub(in crate::services) async fn may_log_in(
        &self,
        context: &Context,
        email_key: &str,
        password: Option<&PasswordHash>,
    ) -> Result<(), Status> {
        let from = place(&context.address);
        let hash = password.map_or("", |hash| &hash.0);
        let account = Digest::of(format!("{email_key}\0{hash}").as_bytes()).hex();
        let known = self.stores.cache.get(&known_key(email_key, &from)).await.ok().flatten();
        // Each login that goes well begins a new count: only what fails is left in it.
        let count = known.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let by_address = format!("login:address:{from}");
        let by_both = format!("login:account:{account}:{from}:{count}");
        let by_account = format!("login:account:{account}");
        let rules = &self.rules;
        let mut limits = vec![
            (by_address.as_str(), &rules.logins_by_address),
            (by_both.as_str(), &rules.logins_by_account_and_address),
        ];
        if known.is_none() {
            limits.push((by_account.as_str(), &rules.logins_by_account));
        }
        self.attempt(&limits).await
    }

    /// Remembers from where an account has logged in.
    pub(in crate::services) async fn has_logged_in(&self, context: &Context, email_key: &str) {
        let key = known_key(email_key, &place(&context.address));
        let count = uuid::Uuid::now_v7().simple().to_string();
        // Where the cache is away, the next attempt is a stranger's.
        let _ = self.stores.cache.set(&key, count.into(), self.rules.refresh_lifetime).await;
    }

    pub(in crate::services) async fn may_register(&self, context: &Context) -> Result<(), Status> {
        let place = format!("register:{}", place(&context.address));
        self.attempt(&[(&place, &self.rules.registrations)]).await
    }

    pub(in crate::services) async fn may_refresh(&self, context: &Context) -> Result<(), Status> {
        let place = format!("refresh:{}", place(&context.address));
        self.attempt(&[(&place, &self.rules.refreshes)]).await
    }

    /// Takes one attempt at something else, by address.
    pub(in crate::services) async fn may(
        &self,
        what: &str,
        context: &Context,
        rate: &Rate,
    ) -> Result<(), Status> {
        let place = format!("oauth:{what}:{}", place(&context.address));
        self.attempt(&[(&place, rate)]).await
    }

    async fn attempt(&self, limits: &[(&str, &Rate)]) -> Result<(), Status> {
        let asks: Vec<_> = limits.iter().map(|(key, rate)| (Ask { key, rate }, Away::Local)).collect();
        let taken = self.stores.counting.take(&asks).await?;
        let refused = taken.into_iter().flatten().filter(|taken| !taken.allowed);
        let Some(retry_after) = refused.map(|taken| taken.retry_after).max() else { return Ok(()) };
        let seconds = retry_after.as_millis().div_ceil(1000);
        let message = format!("too many attempts; try again in {seconds} s");
        let details = ErrorDetails::with_retry_info(Some(retry_after));
        Err(Fault::client().on(Status::with_error_details(Code::ResourceExhausted, message, details)))
    }
}

fn known_key(email_key: &str, place: &str) -> String {
    format!("propylon:login:{}:{place}", Digest::of(email_key.as_bytes()).hex())
}

/// The place of an address as it is kept; one that is none stands for itself.
fn place(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), auth::place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_place() {
        assert_eq!(place("192.0.2.7"), "192.0.2.7");
        assert_eq!(place("2001:db8:1:2:3:4:5:6"), place("2001:db8:1:2::9"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
    }
}
