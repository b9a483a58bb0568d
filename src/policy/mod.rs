//! What every call meets before it is dispatched, one file per policy. A policy sees the canonical call and cannot tell
//! which surface it came by.

mod deadline;

use tonic::Status;

use crate::call::Call;

/// Lets every policy see the call, in this order.
///
/// # Errors
/// The first policy's refusal.
pub fn admit(call: &mut Call) -> Result<(), Status> {
    // First: whatever waits later must know until when.
    deadline::admit(call)
}
