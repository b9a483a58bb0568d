//! The gateway's numbers as they are sent: to where the config says, by one who is told the gateway's end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::traces;
use crate::{
    config::Config,
    otlp::{self, Outages, Pusher},
    services::{About, admin::Mistake},
    telemetry::Telemetry,
};

/// What sends the numbers as long as the process runs.
#[derive(Debug)]
pub(super) struct Pushed(Mutex<Option<Pusher>>);

impl Pushed {
    /// Begins to send them on the current runtime; `None` where nobody wants them.
    ///
    /// # Errors
    /// The collector's certificates, or those that are shown to it, cannot be used.
    pub(super) fn begin(
        config: &Config,
        about: &About,
        telemetry: &Arc<Telemetry>,
        outages: &Arc<Outages>,
    ) -> Result<Option<Self>, Vec<Mistake>> {
        let push = &config.push;
        let Some(collector) = &push.collector else { return Ok(None) };
        let client = traces::client(collector)
            .map_err(|(key, message)| vec![Mistake { subject: format!("otlp{key}"), message }])?;
        let resource = otlp::resource(
            &push.resource.service,
            config.instance.as_deref().unwrap_or(&about.instance),
            &about.environment,
            &push.resource.attributes,
        );
        let pusher = Pusher::begin(client, Arc::clone(telemetry), resource, push.interval, outages);
        Ok(Some(Self(Mutex::new(Some(pusher)))))
    }

    /// Sends them a last time, which may take this long.
    pub(super) async fn finish(&self, limit: Duration) {
        let pusher = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pusher) = pusher {
            pusher.finish(limit).await;
        }
    }
}
