//! What every call meets before it is dispatched, one file per policy. A policy sees the canonical call and cannot tell
//! which surface it came by.

mod address_limit;
mod authenticate;
mod authorize;
mod caller_limit;
mod client;
mod deadline;
mod identity;
mod limits;

use std::sync::Arc;

use tonic::{Code, Status};

use self::authenticate::Outcome;
pub use self::authorize::insufficient_scope;
pub use self::limits::{Limits, Reset, Settings as LimitSettings, Told};
use crate::{
    auth::{Proxies, Unmet, Verifier},
    call::{Call, trace::Fact},
    route::Route,
};

/// What the policies decide by. The gateway makes one for each config; counters and what was verified outlive it.
#[derive(Debug)]
pub struct Policies {
    pub verifier: Arc<Verifier>,
    pub proxies: Proxies,
    pub limits: Limits,
}

impl Policies {
    /// Lets every policy see the call, in this order.
    ///
    /// # Errors
    /// The first policy's refusal, with what the caller is told of the limits that it was counted by.
    pub async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        match self.every(call).await {
            Ok(()) => Ok(()),
            Err(status) => {
                if let Some(record) =
                    call.record.as_ref().filter(|_| status.code() == Code::ResourceExhausted)
                {
                    record.happened("rate limit exceeded", || {
                        vec![("why", Fact::Text(status.message().to_owned()))]
                    });
                }
                Err(self.told(call).of_refusal(status))
            }
        }
    }

    /// The first half of [`Policies::admit`], by the head alone: who calls, and whether they may call at the call's route. It is
    /// not done again when the call is admitted, by this route or another.
    ///
    /// # Errors
    /// The first policy's refusal, as of [`Policies::admit`].
    pub async fn identify(&self, call: &mut Call) -> Result<(), Status> {
        let found = async {
            client::admit(self, call);
            address_limit::admit(self, call).await?;
            authenticate::admit(self, call).await?;
            authorize::admit(self, call)
        };
        match found.await {
            Ok(()) => {
                call.caller.entry = Some(Arc::clone(&call.route));
                Ok(())
            }
            Err(status) => Err(self.told(call).of_refusal(status)),
        }
    }

    /// Whether the caller of an identified call may call a route. Nothing is counted.
    ///
    /// # Errors
    /// What it lacks.
    pub fn permits(&self, call: &Call, route: &Route) -> Result<(), Unmet> {
        let access = &route.terms.access;
        access.decide(call.caller.principal.as_deref(), &client::of(self, call))
    }

    async fn every(&self, call: &mut Call) -> Result<(), Status> {
        // First: whatever waits later takes of the caller's own time.
        deadline::set(call);
        // Whose address it is, is asked by most of what follows.
        client::admit(self, call);
        // Before any credential is verified: a flood without a good one is limited too.
        limited("address", address_limit::admit(self, call).await, call)?;
        // It counts bad credentials for the address.
        limited("address", authenticate::admit(self, call).await, call)?;
        authorize::admit(self, call)?;
        // After authorization: who may not call is not charged for it.
        limited("caller", caller_limit::admit(self, call).await, call)?;
        // After the limits: what is refused uncounted could be sent without end.
        deadline::admit(call)?;
        // Last: nothing that follows asks for the client's credentials any more.
        identity::admit(self, call);
        Ok(())
    }

    /// What every policy would do with the call, in the same order, up to the first that refuses it. Nothing is counted. The
    /// credentials are verified where `verifies`; the caller is then in the call.
    pub async fn describe(&self, call: &mut Call, verifies: bool) -> Description {
        let mut described = Description::default();
        let known = authenticate::describe(self, call, verifies).await;
        let depends = matches!(known, Ok(Outcome::Depends(_)));
        let known = known.map(|outcome| match outcome {
            Outcome::Told(said) => said,
            Outcome::Depends(why) => format!("depends on the credentials: {why}"),
        });
        let all: [(&'static str, Result<String, Status>); 7] = [
            ("client address", Ok(client::describe(self, call))),
            ("address limit", Ok(address_limit::describe(self, call))),
            ("authenticate", known),
            ("authorize", authorize::describe(self, call, depends)),
            ("caller's limit", Ok(caller_limit::describe(self, call))),
            ("deadline", deadline::describe(call)),
            ("identity upstream", Ok(identity::describe(self, call))),
        ];
        // What the gateway answers at its door takes no time and tells nobody who calls.
        let concerned = if call.route.destination.is_behind_the_door() { 7 } else { 5 };
        for (name, effect) in all.into_iter().take(concerned) {
            let refused = effect.is_err();
            described.policies.push(Described { name, effect });
            if refused {
                return described;
            }
        }
        described.depends = depends;
        described
    }

    /// What the caller is told of its limits, whatever the outcome of the call.
    #[must_use]
    pub fn told(&self, call: &Call) -> Told {
        Told::of(call, self.limits.settings.reset)
    }
}

/// Says which limit it was, where it was one.
fn limited(limit: &'static str, admitted: Result<(), Status>, call: &Call) -> Result<(), Status> {
    if let (Err(status), Some(record)) = (&admitted, &call.record)
        && status.code() == Code::ResourceExhausted
    {
        record.limited(limit);
        record.happened("rate limit exceeded", || vec![("limit", Fact::Text(limit.to_owned()))]);
    }
    admitted
}

/// What the policies would do with a call.
#[derive(Debug, Default)]
pub struct Description {
    /// Up to one that refuses it.
    pub policies: Vec<Described>,
    /// None refuses it, unless its credentials, which nobody has verified, are not good enough.
    pub depends: bool,
}

/// What one policy would do with a call.
#[derive(Debug)]
pub struct Described {
    pub name: &'static str,
    /// In words, or the refusal.
    pub effect: Result<String, Status>,
}
