//! Who looks at calls that have ended ([`Observer`](crate::call::Observer)), one file each, and where what they say goes.

mod access;
mod allowance;
mod line;
mod metrics;
mod outlet;
mod words;

/// What a client that went away before its answer is said to have got, as in nginx's log.
const CLIENT_CLOSED: u16 = 499;

pub use self::{
    access::{AccessLog, Form},
    allowance::Allowance,
    metrics::CallMetrics,
    outlet::{Outlet, lost_in_json, lost_in_text},
};
