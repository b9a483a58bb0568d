//! How often a caller may call, by its tier or its own limit, and how often its route may be called. After authorization: a
//! call that may not be made is not counted as one.

use std::sync::Arc;

use tonic::Status;

use super::{
    Policies, client,
    limits::{self, Asked},
};
use crate::{
    auth::{RouteLimit, Scope},
    call::Call,
};

pub(super) async fn admit(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    if !policies.limits.settings.enabled || call.route.terms.uncounted {
        return Ok(());
    }
    let caller = call.caller.principal.clone();
    let caller = caller.as_deref();
    let charged = call.caller.charged;
    let own = caller.filter(|_| !charged).and_then(|caller| policies.limits.of(caller));
    let route = Arc::clone(&call.route);
    // Those of the endpoint that it came by too, where that is another route.
    let entry = call.caller.entry.clone().filter(|entry| !Arc::ptr_eq(entry, &route));
    let limits = || route.terms.limits.iter().chain(entry.iter().flat_map(|entry| &entry.terms.limits));
    if own.is_none() && limits().next().is_none() {
        return Ok(());
    }
    let mut asked = Vec::with_capacity(1 + route.terms.limits.len());
    if let (Some(caller), Some(limit)) = (caller, &own) {
        asked.push(Asked::of_caller(limit, caller));
    }
    for RouteLimit { limit, scope } in limits() {
        asked.push(match (scope, caller) {
            (Scope::Everyone, _) => Asked::of_everyone(limit),
            (Scope::Caller, Some(caller)) => Asked::of_caller(limit, caller),
            (Scope::Caller, None) | (Scope::Address, _) => {
                Asked::of_address(limit, client::of(policies, call).address)
            }
        });
    }
    policies.limits.take(&asked, &mut call.caller).await
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    let settings = &policies.limits.settings;
    if !settings.enabled {
        return "none: limits are off".to_owned();
    }
    if call.route.terms.uncounted {
        return "none for a probe".to_owned();
    }
    let mut said = match &call.caller.principal {
        Some(caller) => match policies.limits.of(caller) {
            Some(limit) => vec![limits::words(&limit)],
            None => vec!["none for this caller".to_owned()],
        },
        None => vec!["by the caller's tier, if it is known".to_owned()],
    };
    said.extend(call.route.terms.limits.iter().map(|RouteLimit { limit, scope }| {
        let whose = match scope {
            Scope::Caller => "each caller",
            Scope::Address => "each address",
            Scope::Everyone => "all callers together",
        };
        format!("{} for {whose}", limits::words(limit))
    }));
    said.join("; ")
}
