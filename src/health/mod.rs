//! How what the gateway stands on is doing, and how its own process is: probes of services, asked side by side, by one asker
//! at a time, and kept for a while where all replicas see it; and figures of the process, read when they are asked for.
//!
//! ```text
//! Monitor::look ── kept? (Redis, else this process) ── yes: a hit
//!                     └─ no: every probe at once (ask) ── results, kept for the others
//! ```
//!
//! What a probe finds decides nothing: readiness is the gateway's own, and a dead service takes no replica out.

mod ask;
mod figures;
mod known;
mod monitor;
mod reaches;
mod results;
mod rules;

pub use self::{
    figures::{Figure, Figures, Finding, Lag},
    monitor::{Found, Monitor},
    reaches::{Reached, Reaches},
    results::{Results, Service, Status},
    rules::{Check, Get, Headers, Probe, Settings, Target, Thresholds},
};

/// How something is doing, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Healthy,
    Degraded,
    Unhealthy,
}

impl State {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}
