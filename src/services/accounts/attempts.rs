//! How often somebody may try: limits on logging in, registering and refreshing. While Redis is away each replica counts
//! its own: neither is a login refused for that, nor does guessing become free.

use std::net::IpAddr;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Context, Directory};
use crate::{
    status::Fault,
    store::{Away, Digest, Limit},
};

impl Directory {
    /// Takes one attempt to log in, by address and by account. An account that does not exist is counted as one that
    /// does: the refusal says nothing of it.
    pub(in crate::services) async fn may_log_in(
        &self,
        context: &Context,
        email_key: &str,
    ) -> Result<(), Status> {
        let place = place(&context.address);
        self.attempt("login:address", &place, &self.rules.logins_by_address).await?;
        let account = Digest::of(email_key.as_bytes()).hex();
        self.attempt("login:account", &account, &self.rules.logins_by_account).await
    }

    pub(in crate::services) async fn may_register(&self, context: &Context) -> Result<(), Status> {
        self.attempt("register", &place(&context.address), &self.rules.registrations).await
    }

    pub(in crate::services) async fn may_refresh(&self, context: &Context) -> Result<(), Status> {
        self.attempt("refresh", &place(&context.address), &self.rules.refreshes).await
    }

    async fn attempt(&self, what: &str, who: &str, limit: &Limit) -> Result<(), Status> {
        let taken = self.stores.take(&format!("{what}:{who}"), limit, Away::Local).await?;
        let Some(taken) = taken.filter(|taken| !taken.allowed) else { return Ok(()) };
        let seconds = taken.retry_after.as_millis().div_ceil(1000);
        let message = format!("too many attempts; try again in {seconds} s");
        let details = ErrorDetails::with_retry_info(Some(taken.retry_after));
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
