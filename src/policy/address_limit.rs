//! How often one address may call: counted before anybody is authenticated, so that a flood without credentials, or with
//! bad ones, is limited as well. Who is known is not counted here but by what it is: many callers share an address.

use std::{net::IpAddr, sync::Arc};

use tonic::Status;

use super::{
    Policies, client,
    limits::{self, Asked},
};
use crate::{
    auth::{Limit, Presented, Principal, now, place},
    call::{Call, Caller},
    telemetry::Credentials,
};

pub(super) async fn admit(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    let brought = brought(policies, call);
    if let Brought::Known(caller) = brought {
        if let Some(record) = &call.record {
            record.presented(Credentials::Cached);
        }
        call.caller.principal = Some(caller);
        return Ok(());
    }
    if call.route.terms.uncounted {
        return Ok(());
    }
    let Some((limit, address)) = applies(policies, call) else { return Ok(()) };
    if matches!(brought, Brought::Nothing) {
        return take(policies, limit, address, &mut call.caller).await;
    }
    match policies.limits.turned_away(address) {
        None => Ok(()),
        Some(wait) => Err(limits::refusal(limit, wait, policies.limits.settings.reset)),
    }
}

/// What a call brings of credentials.
enum Brought {
    /// Nothing that anybody here asks about.
    Nothing,
    /// Those of a caller who is known already.
    Known(Arc<Principal>),
    /// What is to be verified, and is counted by [`charge`] once it is found not to be good.
    Something,
}

fn brought(policies: &Policies, call: &Call) -> Brought {
    let verifier = &policies.verifier;
    if !verifier.knows_anybody() {
        return Brought::Nothing;
    }
    match Presented::read(&call.metadata) {
        Ok(Some(presented)) => {
            verifier.remembered(&presented, now()).map_or(Brought::Something, Brought::Known)
        }
        Ok(None) => {
            let certificate = call.peer.certificate.as_ref();
            match certificate.and_then(|certificate| verifier.bearer_of(certificate, now())) {
                None => Brought::Nothing,
                Some(Ok(caller)) => Brought::Known(caller),
                Some(Err(_)) => Brought::Something,
            }
        }
        Err(_) => Brought::Something,
    }
}

/// Counts a call whose credentials were not good.
pub(super) async fn charge(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    let Some((limit, address)) = applies(policies, call) else { return Ok(()) };
    let taken = take(policies, limit, address, &mut call.caller).await;
    if taken.is_err() {
        policies.limits.turn_away(address);
    }
    taken
}

async fn take(
    policies: &Policies,
    limit: &Arc<Limit>,
    address: IpAddr,
    caller: &mut Caller,
) -> Result<(), Status> {
    policies.limits.take(&[Asked::of_address(limit, address)], caller).await
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    if call.route.terms.uncounted {
        return "none for a probe".to_owned();
    }
    match applies(policies, call) {
        None => "none for this address".to_owned(),
        Some((limit, address)) => {
            format!("{} for {}, unless the caller is known", limits::words(limit), place(address))
        }
    }
}

fn applies<'a>(policies: &'a Policies, call: &Call) -> Option<(&'a Arc<Limit>, IpAddr)> {
    let limit = policies.limits.settings.address.as_ref()?;
    let client = client::of(policies, call);
    let settings = &policies.limits.settings;
    let exempt = (settings.exempt_loopback && client.local)
        || settings.exempt.iter().any(|network| network.contains(client.address));
    (!exempt).then_some((limit, client.address))
}
