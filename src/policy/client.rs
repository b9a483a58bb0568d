//! Where a call comes from: the other end of its connection, or whom a trusted proxy speaks for.

use crate::{auth::Client, call::Call};

use super::Policies;

pub(super) fn admit(policies: &Policies, call: &mut Call) {
    call.caller.client = Some(of(policies, call));
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    let client = of(policies, call);
    if client.local { format!("{}, this machine", client.address) } else { client.address.to_string() }
}

pub(super) fn of(policies: &Policies, call: &Call) -> Client {
    call.caller.client.unwrap_or_else(|| {
        let client = policies.proxies.client(call.peer.address.ip(), &call.metadata);
        Client { local: client.local && !call.peer.foreign_name, ..client }
    })
}
