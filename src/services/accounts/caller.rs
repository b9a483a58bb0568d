//! Who calls an account service, and from where: what the policies found out, as the services need it.

use std::sync::Arc;

use tonic::{Request, Status};

use super::audit::without_a_call;
use crate::{
    auth::{CERTIFICATE, Client, Means, Principal},
    call::Peer,
    status::Fault,
    store::{ADMIN, AuditLine},
};

/// Who does what the command line is asked for, in audit lines.
pub(super) const OPERATOR: &str = "operator";

/// A caller who is known.
#[derive(Debug, Clone)]
pub(in crate::services) struct Caller(pub(in crate::services) Arc<Principal>);

impl Caller {
    /// # Errors
    /// Nobody knows who calls.
    pub(in crate::services) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        match request.extensions().get::<Arc<Principal>>() {
            Some(principal) => Ok(Self(Arc::clone(principal))),
            None => Err(Fault::client().on(Status::unauthenticated("this needs a caller who has logged in"))),
        }
    }

    /// A caller with the role admin.
    ///
    /// # Errors
    /// Nobody knows who calls, or it is somebody else.
    pub(in crate::services) fn admin<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = Self::of(request)?;
        if caller.0.has_role(ADMIN) {
            return Ok(caller);
        }
        Err(Fault::client().on(Status::permission_denied(format!("this needs the role {ADMIN}"))))
    }

    /// The id of the caller's account here; `None` for one whom a token from elsewhere, or from the config, speaks for,
    /// whatever id that gives.
    pub(in crate::services) fn account_id(&self) -> Option<&str> {
        let here = match &self.0.means {
            Means::Own | Means::ApiKey { .. } => true,
            Means::Token { .. } | Means::Static { .. } | Means::Certificate => false,
        };
        here.then_some(&*self.0.id)
    }

    /// # Errors
    /// The caller has no account here.
    pub(in crate::services) fn account(&self) -> Result<&str, Status> {
        self.account_id().ok_or_else(|| {
            let status = Status::not_found("the caller has no account at this gateway");
            Fault::client().on(status)
        })
    }

    /// The caller's account, where it has logged in itself: an API key may not do what takes over an account.
    ///
    /// # Errors
    /// It has not.
    pub(in crate::services) fn in_person(&self) -> Result<&str, Status> {
        match &self.0.means {
            Means::ApiKey { .. } => {
                let status = Status::permission_denied("an API key may not do this; log in");
                Err(Fault::client().on(status))
            }
            // A program that acts for its user is not its user.
            Means::Own if self.0.client.is_some() => {
                let status = Status::permission_denied("a program may not do this for its user; log in");
                Err(Fault::client().on(status))
            }
            Means::Own | Means::Token { .. } | Means::Static { .. } | Means::Certificate => self.account(),
        }
    }

    /// As audit lines name it.
    fn actor(&self) -> String {
        match &self.0.means {
            Means::ApiKey { id } => format!("key:{id}"),
            Means::Static { name } => format!("token:{name}"),
            Means::Token { issuer } => format!("{issuer}:{}", self.0.id),
            Means::Certificate => format!("{CERTIFICATE}:{}", self.0.id),
            Means::Own => self.0.id.to_string(),
        }
    }
}

/// Where a call comes from.
#[derive(Debug, Clone)]
pub(in crate::services) struct Context {
    /// The client's address; empty where it is not known.
    pub(in crate::services) address: String,
    request_id: String,
}

impl Context {
    pub(in crate::services) fn of<T>(request: &Request<T>) -> Self {
        let client = request.extensions().get::<Client>().map(|client| client.address);
        let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
        let id = request.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
        Self {
            address: client.or(peer).map(|address| address.to_canonical().to_string()).unwrap_or_default(),
            request_id: id.unwrap_or_default().to_owned(),
        }
    }

    /// A call from an address, of which nothing else is known; empty where that is not.
    pub(in crate::services) fn at(address: &str) -> Self {
        Self { address: address.to_owned(), request_id: String::new() }
    }

    /// A line that says what a caller does; whoever may without being known is on the gateway's own machine, as its operator
    /// is.
    pub(in crate::services) fn line<'a>(
        &self,
        caller: impl Into<Option<&'a Caller>>,
        action: &str,
        target: &str,
        details: String,
    ) -> AuditLine {
        let actor = caller.into().map_or_else(|| OPERATOR.to_owned(), Caller::actor);
        AuditLine {
            request_id: self.request_id.clone(),
            address: self.address.clone(),
            ..without_a_call(&actor, action, target, details)
        }
    }
}
