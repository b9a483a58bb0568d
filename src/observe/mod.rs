//! Who looks at calls that have ended ([`Observer`](crate::call::Observer)), one file each, and where what they say goes.

mod access;
mod line;
mod metrics;
mod outlet;

/// What a client that went away before its answer is said to have got, as in nginx's log.
const CLIENT_CLOSED: u16 = 499;

pub use self::{
    access::{AccessLog, Form},
    metrics::CallMetrics,
    outlet::Outlet,
};
