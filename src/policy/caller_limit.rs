//! How often a caller may call, by its tier or its own limit, and how often its route may be called. After authorization: a
//! call that may not be made is not counted as one.

use tonic::Status;

use super::{Policies, address_limit::subject, client, limits};
use crate::{
    auth::{RouteLimit, Scope},
    call::Call,
};

pub(super) fn admit(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    if !policies.limits.settings.enabled {
        return Ok(());
    }
    if let Some(caller) = call.caller.principal.clone()
        && let Some(limit) = policies.limits.of(&caller)
    {
        let (kind, name) = caller.counted_by();
        policies.limits.take(&limit, kind, name, &mut call.caller)?;
    }
    let route = call.route.clone();
    for RouteLimit { limit, scope } in &route.terms.limits {
        let caller = call.caller.principal.clone();
        let address = client::of(policies, call).address;
        match (scope, &caller) {
            (Scope::Everyone, _) => policies.limits.take(limit, "route", "", &mut call.caller)?,
            (Scope::Caller, Some(caller)) => {
                let (kind, name) = caller.counted_by();
                policies.limits.take(limit, kind, name, &mut call.caller)?;
            }
            (Scope::Caller, None) | (Scope::Address, _) => {
                policies.limits.take(limit, "address", &subject(address), &mut call.caller)?;
            }
        }
    }
    Ok(())
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    let settings = &policies.limits.settings;
    if !settings.enabled {
        return "none: limits are off".to_owned();
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
