//! What every call meets before it is dispatched, one file per policy. A policy sees the canonical call and cannot tell
//! which surface it came by.

mod deadline;

use tonic::Status;

use crate::call::Call;

/// Every policy, in the order in which a call meets them.
const POLICIES: &[Policy] = &[
    // First: whatever waits later must know until when.
    Policy { name: "deadline", admit: deadline::admit, describe: deadline::describe },
];

/// One policy: what it does, and what it says of a call that it does not see in earnest.
struct Policy {
    name: &'static str,
    admit: fn(&mut Call) -> Result<(), Status>,
    /// Words for what `admit` would do, or its refusal. It charges nothing and changes nothing.
    describe: fn(&Call) -> Result<String, Status>,
}

/// What one policy would do with a call.
#[derive(Debug)]
pub struct Described {
    pub name: &'static str,
    /// In words, or the refusal.
    pub effect: Result<String, Status>,
}

/// Lets every policy see the call, in their order.
///
/// # Errors
/// The first policy's refusal.
pub fn admit(call: &mut Call) -> Result<(), Status> {
    POLICIES.iter().try_for_each(|policy| (policy.admit)(call))
}

/// What every policy would do with the call, in their order, up to the first that refuses it.
#[must_use]
pub fn describe(call: &Call) -> Vec<Described> {
    let mut described = Vec::with_capacity(POLICIES.len());
    for policy in POLICIES {
        let effect = (policy.describe)(call);
        let refused = effect.is_err();
        described.push(Described { name: policy.name, effect });
        if refused {
            break;
        }
    }
    described
}
