//! What goes on to the one who answers: who calls, in the gateway's own words, and not the caller's credentials, which are
//! for the gateway. The client's own such words were removed when its request was opened.

use http::{HeaderName, header::AUTHORIZATION};

use super::Policies;
use crate::{auth::API_KEY, call::Call};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GATEWAY_REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");

pub(super) fn admit(policies: &Policies, call: &mut Call) {
    let credentials = &call.route.terms.credentials;
    // Where nobody can be known here, credentials are somebody else's.
    if policies.verifier.knows_anybody() && !credentials.forward {
        let ours = call.metadata.get(AUTHORIZATION).is_some_and(|value| {
            value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
        });
        if ours {
            call.metadata.remove(AUTHORIZATION);
        }
        call.metadata.remove(API_KEY);
    }
    for (name, value) in &credentials.own {
        call.metadata.insert(name, value.clone());
    }
    if let Some(caller) = &call.caller.principal {
        caller.tell(&mut call.metadata);
    }
    if let Some(id) = call.metadata.get(REQUEST_ID).cloned() {
        call.metadata.insert(GATEWAY_REQUEST_ID, id);
    }
}

pub(super) fn describe(policies: &Policies, call: &Call) -> String {
    let credentials = &call.route.terms.credentials;
    let mut said = vec!["X-Gateway-Request-ID"];
    if policies.verifier.knows_anybody() {
        said.push("X-User-ID, X-User-Email, X-User-Role and X-User-Permissions of a known caller");
        said.push(if credentials.forward {
            "the caller's credentials"
        } else {
            "no credentials of the caller's"
        });
    }
    if !credentials.own.is_empty() {
        said.push("credentials of the gateway's own");
    }
    format!("told: {}", said.join("; "))
}
