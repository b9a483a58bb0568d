//! What goes on to the one who answers: who calls, in the gateway's own words, and not the caller's credentials, which are
//! for the gateway. The client's own such words were removed when its request was opened.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use super::Policies;
use crate::{auth::API_KEY, call::Call};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GATEWAY_REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");

pub(super) fn admit(policies: &Policies, call: &mut Call) {
    let credentials = &call.route.terms.credentials;
    // Where nobody can be known here, credentials are somebody else's.
    // A token that was made for the gateway goes nowhere else, whatever an upstream may have of others.
    let bound = call.caller.principal.as_ref().is_some_and(|caller| !caller.audience.general);
    if policies.verifier.knows_anybody() && (bound || !credentials.forward) {
        without_bearers(&mut call.metadata);
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

/// Takes off what is the gateway's of all `Authorization` there is: a public route is reached with two of them as well, and
/// a list of them may stand in one.
fn without_bearers(metadata: &mut HeaderMap) {
    let ours = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|one| {
            let scheme = one.trim_ascii_start().get(..6);
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
        })
    };
    let (mut there, mut kept) = (0_usize, Vec::new());
    for value in metadata.get_all(AUTHORIZATION) {
        there += 1;
        if !ours(value) {
            kept.push(value.clone());
        }
    }
    if kept.len() < there {
        metadata.remove(AUTHORIZATION);
        for value in kept {
            metadata.append(AUTHORIZATION, value);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bearer_goes_on_whatever_stands_beside_it() {
        let check = |values: &[&'static str], want: &[&str]| {
            let mut metadata = HeaderMap::new();
            for value in values {
                metadata.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            without_bearers(&mut metadata);
            let left: Vec<&str> =
                metadata.get_all(AUTHORIZATION).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(left, want, "{values:?}");
        };
        check(&[], &[]);
        check(&["Basic dTpw"], &["Basic dTpw"]);
        check(&["bEARER t"], &[]);
        check(&["Basic dTpw", "Bearer t"], &["Basic dTpw"]);
        check(&["Bearer t", "Basic dTpw", "Bearer u"], &["Basic dTpw"]);
        check(&["Basic dTpw", "Digest a=\"b\""], &["Basic dTpw", "Digest a=\"b\""]);
        check(&["Basic dTpw, Bearer t"], &[]);
        check(&[" Bearer t"], &[]);
    }
}
