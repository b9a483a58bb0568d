//! How often one address may call: counted before anybody is authenticated, so that a flood without credentials, or with
//! bad ones, is limited as well. Who is known is not counted here but by what it is: many callers share an address.

use std::net::IpAddr;

use tonic::Status;

use super::{Policies, client, limits};
use crate::{
    auth::{Limit, Presented, now},
    call::Call,
};

pub(super) fn admit(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    let presented = Presented::read(&call.metadata);
    if let Ok(Some(presented)) = &presented
        && let Some(caller) = policies.verifier.remembered(presented, now())
    {
        call.caller.principal = Some(caller);
        return Ok(());
    }
    let Some((limit, address)) = applies(policies, call) else { return Ok(()) };
    match presented {
        // What is brought may be good: it is counted once it is found not to be.
        Ok(Some(_)) if policies.verifier.knows_anybody() => match policies.limits.turned_away(address) {
            None => Ok(()),
            Some(wait) => Err(limits::refusal(limit, wait, policies.limits.settings.reset)),
        },
        _ => policies.limits.take(limit, "address", &subject(address), &mut call.caller),
    }
}

/// Counts a call whose credentials were not good.
pub(super) fn charge(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    let Some((limit, address)) = applies(policies, call) else { return Ok(()) };
    let limit = limit.clone();
    let taken = policies.limits.take(&limit, "address", &subject(address), &mut call.caller);
    if taken.is_err() {
        policies.limits.turn_away(address);
    }
    taken
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    match applies(policies, call) {
        None => "none for this address".to_owned(),
        Some((limit, address)) => {
            format!("{} for {}, unless the caller is known", limits::words(limit), subject(address))
        }
    }
}

fn applies<'a>(policies: &'a Policies, call: &Call) -> Option<(&'a std::sync::Arc<Limit>, IpAddr)> {
    let limit = policies.limits.settings.address.as_ref()?;
    let client = client::of(policies, call);
    let settings = &policies.limits.settings;
    let exempt = (settings.exempt_loopback && client.local)
        || settings.exempt.iter().any(|network| network.contains(client.address));
    (!exempt).then_some((limit, client.address))
}

/// One address, or of IPv6 the /64 that one customer has.
pub(super) fn subject(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
