//! Who calls, by the credentials that the call brings. Bad credentials are refused, unless nobody asks for any: a client
//! that sends its old token to log in anew must be let through.

use std::sync::Arc;

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Policies, address_limit, client};
use crate::{
    auth::{Client, Failed, Presented, Principal, Refused, meant, now},
    call::{Call, Target},
    status::Fault,
    telemetry::Credentials,
};

pub(super) const DOMAIN: &str = "propylon";
/// How soon a caller may ask again whose credentials could not be verified.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) async fn admit(policies: &Policies, call: &mut Call) -> Result<(), Status> {
    if !policies.verifier.knows_anybody() {
        return Ok(());
    }
    if let Some(caller) = &call.caller.principal {
        // Where it came by, that was looked at; a route behind it is no resource of its own.
        let found = if call.caller.entry.is_some() { Ok(()) } else { meant_for(caller, call) };
        return match found {
            Err(refused) if !nobody_asks(policies, call) => Err(refusal(&Failed::Refused(refused))),
            Err(_) => {
                call.caller.principal = None;
                Ok(())
            }
            Ok(()) => Ok(()),
        };
    }
    let identified = call.caller.entry.is_some();
    if identified && nobody_asks(policies, call) {
        return Ok(());
    }
    let presented = Presented::read(&call.metadata);
    let failed = match presented {
        // A certificate is no token that was made for a resource.
        Ok(None) => match by_certificate(policies, call).filter(|_| call.route.terms.resource.is_none()) {
            None => return Ok(()),
            Some(Ok(caller)) => {
                call.caller.principal = Some(caller);
                return Ok(());
            }
            Some(Err(refused)) => Failed::Refused(refused),
        },
        Ok(Some(presented)) => match policies.verifier.verify(&presented, now()).await {
            Ok(caller) => match meant_for(&caller, call) {
                Ok(()) => {
                    if let Some(record) = &call.record {
                        record.presented(Credentials::Verified);
                    }
                    call.caller.principal = Some(caller);
                    return Ok(());
                }
                Err(refused) => Failed::Refused(refused),
            },
            Err(failed) => failed,
        },
        Err(refused) => Failed::Refused(refused),
    };
    let open = nobody_asks(policies, call);
    if let (Failed::Refused(_), Some(record)) = (&failed, &call.record) {
        record.presented(if open { Credentials::Ignored } else { Credentials::Refused });
    }
    // A probe that nobody may be kept from tells nothing of credentials; one with rules does, and is no way to try them.
    // What an endpoint that is open to everyone let pass is counted already; where it is called, it is told what is wrong.
    if !(identified || (open && call.route.terms.uncounted)) {
        address_limit::charge(policies, call).await?;
    }
    if open {
        return Ok(());
    }
    Err(refusal(&failed))
}

/// Who calls by the certificate of the connection. It is asked when the call brings nothing else: a token beside it says for
/// whom its bearer, who has the certificate, calls.
fn by_certificate(policies: &Policies, call: &Call) -> Option<Result<Arc<Principal>, Refused>> {
    policies.verifier.bearer_of(call.peer.certificate.as_ref()?, now())
}

/// Whether a caller's credential is for the route that is called.
fn meant_for(caller: &Principal, call: &Call) -> Result<(), Refused> {
    let Some(resource) = &call.route.terms.resource else { return meant(caller, None) };
    let address = match &call.target {
        Target::Http(head) => resource.address(&head.uri, &call.metadata, call.peer.secure),
        Target::Rpc { .. } => None,
    };
    // What names no host is no resource's address.
    meant(caller, Some(address.as_deref().unwrap_or_default()))
}

/// True where anybody may call from anywhere. Who may call because it is on this machine has no need of credentials, and
/// those that it brings all the same are to be good.
fn nobody_asks(policies: &Policies, call: &Call) -> bool {
    let elsewhere = Client { local: false, operator: false, ..client::of(policies, call) };
    call.route.terms.access.decide(None, &elsewhere).is_ok()
}

/// The same for who only asks: nothing is counted. The caller is put into the call, for what follows. Without `verifies`
/// nobody is asked about credentials, and what is not remembered is [`Outcome::Depends`].
pub(super) async fn describe(
    policies: &Policies,
    call: &mut Call,
    verifies: bool,
) -> Result<Outcome, Status> {
    if !policies.verifier.knows_anybody() {
        let why = "nobody can be known: no issuer, key or token is configured";
        return Ok(Outcome::Told(why.to_owned()));
    }
    let open = nobody_asks(policies, call);
    let failed = match Presented::read(&call.metadata) {
        Ok(None) => return Ok(Outcome::Told("nobody: the call brings no credentials".to_owned())),
        Ok(Some(presented)) => {
            let verified = match policies.verifier.remembered(&presented, now()) {
                Some(caller) => Ok(caller),
                None if !verifies && open => {
                    return Ok(Outcome::Told(
                        "whoever the credentials are of; nobody without them is kept out".to_owned(),
                    ));
                }
                None if !verifies => return Ok(Outcome::Depends("they are not verified here")),
                None => policies.verifier.verify(&presented, now()).await,
            };
            match verified {
                Ok(caller) => match meant_for(&caller, call) {
                    Ok(()) => {
                        let said = format!("user {}", caller.id);
                        call.caller.principal = Some(caller);
                        return Ok(Outcome::Told(said));
                    }
                    Err(refused) => Failed::Refused(refused),
                },
                Err(failed) => failed,
            }
        }
        Err(refused) => Failed::Refused(refused),
    };
    match failed {
        Failed::Refused(refused) if open => Ok(Outcome::Told(format!("nobody: {refused}"))),
        Failed::Away(_) if open => Ok(Outcome::Told("nobody: they cannot be verified now".to_owned())),
        Failed::Away(_) => Ok(Outcome::Depends("they cannot be verified now")),
        refused => Err(refusal(&refused)),
    }
}

/// What is known of a caller whose credentials are not refused.
pub(super) enum Outcome {
    /// In words.
    Told(String),
    /// What becomes of the call is for the credentials to decide, and why that is not known here.
    Depends(&'static str),
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
