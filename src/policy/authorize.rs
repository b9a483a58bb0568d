//! Whether the caller may call what it calls: the route's rules, which were decided when the config was loaded.

use std::{collections::HashMap, sync::Arc};

use http::header::AUTHORIZATION;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Policies,
    authenticate::{DOMAIN, unauthenticated},
    client,
};
use crate::{auth::Unmet, call::Call, status::Fault};

pub(super) fn admit(policies: &Policies, call: &Call) -> Result<(), Status> {
    decide(policies, call).map_err(|unmet| refusal(policies, call, &unmet))
}

/// `depends`: whose the call's credentials are is not known.
pub(super) fn describe(policies: &Policies, call: &Call, depends: bool) -> Result<String, Status> {
    let access = &call.route.terms.access;
    match decide(policies, call) {
        Ok(()) => Ok(access.to_string()),
        Err(Unmet::Unknown) if depends => Ok(format!("{access}: depends on the credentials")),
        Err(unmet) => Err(refusal(policies, call, &unmet)),
    }
}

fn decide(policies: &Policies, call: &Call) -> Result<(), Unmet> {
    call.route.terms.access.decide(call.caller.principal.as_deref(), &client::of(policies, call))
}

fn refusal(policies: &Policies, call: &Call, unmet: &Unmet) -> Status {
    let name = &*call.route.name;
    if *unmet == Unmet::Unknown {
        let why = match call.metadata.get(AUTHORIZATION) {
            _ if !policies.verifier.knows_anybody() => {
                "is for authenticated callers, and this gateway has no way to know any: [auth] in its config has issuers and tokens, and [access] says what is public"
            }
            Some(_) => "is for authenticated callers; Authorization has no bearer token",
            None => "is for authenticated callers; the request has no credentials",
        };
        return unauthenticated(&format!("{name} {why}"), "CREDENTIALS_MISSING", "Bearer");
    }
    if let Unmet::Scope(scopes) = unmet {
        return insufficient_scope(name, scopes);
    }
    let (reason, what) = match unmet {
        Unmet::Unknown | Unmet::Scope(_) | Unmet::Denied => ("CALLER_DENIED", None),
        Unmet::Role(roles) => ("ROLE_MISSING", Some(("role", roles.join(",")))),
        Unmet::Permission(permission) => ("PERMISSION_MISSING", Some(("permission", permission.to_string()))),
        Unmet::Tier(tiers) => ("TIER_MISSING", Some(("tier", tiers.join(",")))),
    };
    let metadata: HashMap<String, String> =
        what.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Fault::client().on(Status::with_error_details(
        Code::PermissionDenied,
        format!("{name}: {unmet}"),
        details,
    ))
}

/// 403 for one whose token was made for less: all the scopes that are wanted (RFC 6750, 3.1). `name`: of what is called.
#[must_use]
pub fn insufficient_scope(name: &str, scopes: &[Arc<str>]) -> Status {
    let metadata = HashMap::from([("scope".to_owned(), scopes.join(" "))]);
    let details = ErrorDetails::with_error_info("SCOPE_MISSING", DOMAIN, metadata);
    let message = format!("{name}: {}", Unmet::Scope(scopes.to_vec()));
    let mut status = Status::with_error_details(Code::PermissionDenied, message, details);
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "));
    if let Ok(value) = MetadataValue::try_from(challenge) {
        status.metadata_mut().insert("www-authenticate", value);
    }
    Fault::client().on(status)
}
