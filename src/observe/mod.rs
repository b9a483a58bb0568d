//! Who looks at calls that have ended ([`Observer`](crate::call::Observer)), one file each, and where what they say goes.

mod access;
mod metrics;
mod outlet;

pub use self::{
    access::{AccessLog, Form},
    metrics::CallMetrics,
    outlet::Outlet,
};
