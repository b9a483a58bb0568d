//! The automation services in the gateway's process: their servers beside the gateway's own, and how far their catalogue is.

use std::sync::Arc;

use super::Parts;
use crate::{
    automation::{Automation, Progress},
    config::Own,
    proto::gateway_v1::GalaxyReading,
    services::{Reading, Registry},
};

/// Hands their servers to `registry`.
pub(super) fn serve(automation: &Automation, registry: &mut impl Registry) {
    let limits = registry.limits();
    registry.add(automation.playbooks(limits));
    registry.add(automation.variable_types(limits));
    registry.add(automation.favorites(limits));
    registry.add(automation.catalogue(limits));
}

/// How far the catalogue of Galaxy is, where it is served.
pub(super) fn reading(parts: &Parts) -> Option<Reading> {
    let galaxy = Arc::clone(parts.automation.galaxy());
    let served = parts.config.built_ins.get(Own::Galaxy).enabled;
    served.then(|| Arc::new(move || reading_of(galaxy.progress())) as Reading)
}

fn reading_of(progress: Progress) -> GalaxyReading {
    let count = |number| i32::try_from(number).unwrap_or(i32::MAX);
    GalaxyReading {
        phase: progress.phase.name().to_owned(),
        total: count(progress.total),
        done: count(progress.done),
        failed: count(progress.failed),
        started_at: progress.started_at.map(Into::into),
        finished_at: progress.finished_at.map(Into::into),
    }
}
