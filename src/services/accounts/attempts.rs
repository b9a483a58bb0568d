//! How often somebody may try: limits on logging in, registering and refreshing. While Redis is away each replica counts
//! its own: neither is a login refused for that, nor does guessing become free.

use std::net::IpAddr;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Context, Directory};
use crate::{
    auth::{Away, Rate},
    status::Fault,
    store::{Ask, Digest},
};

impl Directory {
    /// Takes one attempt to log in, by address and by account. An account that does not exist is counted as one that
    /// does: the refusal says nothing of it.
    pub(in crate::services) async fn may_log_in(
        &self,
        context: &Context,
        email_key: &str,
    ) -> Result<(), Status> {
        let place = format!("login:address:{}", place(&context.address));
        let account = format!("login:account:{}", Digest::of(email_key.as_bytes()).hex());
        let rules = &self.rules;
        self.attempt(&[(&place, &rules.logins_by_address), (&account, &rules.logins_by_account)]).await
    }

    pub(in crate::services) async fn may_register(&self, context: &Context) -> Result<(), Status> {
        let place = format!("register:{}", place(&context.address));
        self.attempt(&[(&place, &self.rules.registrations)]).await
    }

    pub(in crate::services) async fn may_refresh(&self, context: &Context) -> Result<(), Status> {
        let place = format!("refresh:{}", place(&context.address));
        self.attempt(&[(&place, &self.rules.refreshes)]).await
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

/// Addresses that are counted together: IPv6 gives each of its users a whole /64.
fn place(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
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
