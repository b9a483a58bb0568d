//! Who looks at what became of requests, by the config: one line each.

use std::sync::Arc;

use super::log;
use crate::{
    call::{Observer, Observers},
    config::Config,
    observe::CallMetrics,
    otlp::Tracer,
    services::admin::Mistake,
    telemetry::Telemetry,
};

/// The instruments that the config wants; `None` where it wants none.
///
/// # Errors
/// A name of the config's is taken by one of the gateway's own.
pub(super) fn telemetry(config: &Config) -> Result<Option<Arc<Telemetry>>, Vec<Mistake>> {
    let Some(settings) = &config.metrics else { return Ok(None) };
    let telemetry = Telemetry::new(settings, env!("CARGO_PKG_VERSION")).map_err(|error| {
        vec![Mistake { subject: "metrics".to_owned(), message: format!("metrics: {error}") }]
    })?;
    Ok(Some(Arc::new(telemetry)))
}

/// `None` where nobody does: then nothing is recorded.
pub(super) fn of(
    config: &Config,
    telemetry: Option<&Arc<Telemetry>>,
    tracer: Option<&Arc<Tracer>>,
) -> Option<Observers> {
    let metrics =
        telemetry.map(|telemetry| Arc::new(CallMetrics::new(Arc::clone(telemetry))) as Arc<dyn Observer>);
    let traces = tracer.map(|tracer| Arc::clone(tracer) as Arc<dyn Observer>);
    let all: Vec<_> = [metrics, log::of_requests(config.log), traces].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.into())
}
