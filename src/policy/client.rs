//! Where a call comes from: the other end of its connection, or whom a trusted proxy speaks for.

use crate::{auth::Client, call::Call};

use super::Policies;

pub(super) fn admit(policies: &Policies, call: &mut Call) {
    call.caller.client = Some(of(policies, call));
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    let client = of(policies, call);
    let from = if client.local { ", this machine" } else { "" };
    let by = if client.operator { ", by the admin listener" } else { "" };
    format!("{}{from}{by}", client.address)
}

pub(super) fn of(policies: &Policies, call: &Call) -> Client {
    call.caller.client.unwrap_or_else(|| {
        let client = policies.proxies.client(call.peer.address.ip(), &call.metadata);
        let own_name = !call.peer.foreign_name;
        let local = client.local && own_name && !call.peer.relayed;
        Client { local, operator: call.peer.operator && own_name, ..client }
    })
}
