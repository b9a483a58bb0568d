//! Who calls, by the credentials that the call brings. Bad credentials are refused, unless nobody asks for any: a client
//! that sends its old token to log in anew must be let through.

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Policies, address_limit, client};
use crate::{
    auth::{Failed, Presented, Refused, now},
    call::Call,
    status::Fault,
};

pub(super) const DOMAIN: &str = "propylon";
/// How soon a caller may ask again whose credentials could not be verified.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) async fn admit(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    if call.caller.principal.is_some() || !policies.verifier.knows_anybody() {
        return Ok(());
    }
    let presented = Presented::read(&call.metadata);
    let failed = match presented {
        Ok(None) => return Ok(()),
        Ok(Some(presented)) => match policies.verifier.verify(&presented, now()).await {
            Ok(caller) => {
                call.caller.principal = Some(caller);
                return Ok(());
            }
            Err(failed) => failed,
        },
        Err(refused) => Failed::Refused(refused),
    };
    address_limit::charge(policies, call).await?;
    if call.route.terms.access.decide(None, &client::of(policies, call)).is_ok() {
        return Ok(());
    }
    Err(refusal(&failed))
}

pub(super) fn describe(policies: &Policies, call: &Call) -> Result<String, Status> {
    if !policies.verifier.knows_anybody() {
        return Ok("nobody can be known: no issuer, key or token is configured".to_owned());
    }
    match Presented::read(&call.metadata) {
        Ok(None) => Ok("nobody: the call brings no credentials".to_owned()),
        Ok(Some(presented)) => Ok(match policies.verifier.remembered(&presented, now()) {
            Some(caller) => format!("user {}", caller.id),
            None => "whoever the credentials are of, if they are good".to_owned(),
        }),
        Err(refused) => {
            if call.route.terms.access.decide(None, &client::of(policies, call)).is_ok() {
                return Ok(format!("nobody: {refused}"));
            }
            Err(refusal(&Failed::Refused(refused)))
        }
    }
}

/// 401 with what is wrong (RFC 6750, 3); 503 where it cannot be told.
fn refusal(failed: &Failed) -> Status {
    match failed {
        Failed::Refused(refused) => {
            let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{refused}\"");
            unauthenticated(&refused.to_string(), reason(refused), &challenge)
        }
        Failed::Away(why) => {
            tracing::warn!("credentials cannot be verified: {why}");
            let details = ErrorDetails::with_retry_info(Some(AGAIN));
            let words = "credentials cannot be verified now; try again soon";
            Status::with_error_details(Code::Unavailable, words, details)
        }
    }
}

fn reason(refused: &Refused) -> &'static str {
    match refused {
        Refused::Expired => "CREDENTIALS_EXPIRED",
        Refused::Revoked => "CREDENTIALS_REVOKED",
        _ => "CREDENTIALS_INVALID",
    }
}

/// UNAUTHENTICATED, with the challenge that RFC 9110 asks for.
pub(super) fn unauthenticated(message: &str, reason: &str, challenge: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, std::collections::HashMap::new());
    let mut status = Status::with_error_details(Code::Unauthenticated, message, details);
    if let Ok(value) = MetadataValue::try_from(challenge) {
        status.metadata_mut().insert("www-authenticate", value);
    }
    Fault::client().on(status)
}
