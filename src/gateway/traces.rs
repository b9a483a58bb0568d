//! The traces of the gateway's calls: what is made of the config's `[otlp]` and `[traces]`, and who sends them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::upstreams;
use crate::{
    call::trace::TraceContext,
    config::{Collector, Config},
    dispatch::{Host, Tls},
    otlp::{self, Client, Exporter, Outages, Pace, Queue, Sampler, Terms, Tracer},
    services::{About, admin::Mistake},
    snapshot::Snapshot,
    surface::{self, Request},
};

/// What sends traces as long as the process runs.
#[derive(Debug)]
pub(super) struct Traces {
    queue: Arc<Queue>,
    exporter: Mutex<Option<Exporter>>,
}

impl Traces {
    /// Begins to send them on the current runtime; `None` where there are none.
    ///
    /// # Errors
    /// The collector's certificates, or those that are shown to it, cannot be used.
    pub(super) fn begin(
        config: &Config,
        about: &About,
        outages: &Arc<Outages>,
    ) -> Result<Option<Self>, Vec<Mistake>> {
        let traces = &config.traces;
        let Some(collector) = &traces.collector else { return Ok(None) };
        let client = client(collector)
            .map_err(|(key, message)| vec![Mistake { subject: format!("otlp{key}"), message }])?;
        let queue = Arc::new(Queue::new(traces.queue, traces.batch));
        let resource = otlp::resource(
            &traces.resource.service,
            config.instance.as_deref().unwrap_or(&about.instance),
            &about.environment,
            &traces.resource.attributes,
        );
        let pace = Pace { delay: traces.delay };
        let exporter = Exporter::begin(client, Arc::clone(&queue), resource, pace, outages);
        Ok(Some(Self { queue, exporter: Mutex::new(Some(exporter)) }))
    }

    /// Says which requests are traced under this config.
    pub(super) fn tracer(&self, config: &Config) -> Arc<Tracer> {
        let traces = &config.traces;
        let terms = Terms {
            sampler: Sampler::new(traces.by_parent, traces.sample),
            trust: traces.trust,
            proxies: config.callers.proxies.clone(),
            context: traces.context,
            baggage: traces.baggage,
            users: traces.user_ids,
        };
        Arc::new(Tracer::new(terms, Arc::clone(&self.queue)))
    }

    /// Sends what is left, which may take this long.
    pub(super) async fn finish(&self, limit: Duration) {
        let exporter = self.exporter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(exporter) = exporter {
            exporter.finish(limit).await;
        }
    }
}

/// Where a request stands in a trace; `None` where there are none, and on the operator's listener, which is part of nobody's.
pub(super) fn place(snapshot: &Snapshot, operator: bool, request: &mut Request) -> Option<TraceContext> {
    let tracer = snapshot.tracer.as_ref().filter(|_| !operator)?;
    let peer = surface::peer(request.extensions()).address.ip();
    Some(tracer.begin(request.headers_mut(), peer))
}

/// A client of a collector; what is wrong, and with which key.
pub(super) fn client(written: &Collector) -> Result<Client, (&'static str, String)> {
    let Collector { address, path, headers, timeout, gzip, ca, client } = written;
    let tls = if address.tls {
        let (roots, identity) = (upstreams::roots(ca.as_deref())?, upstreams::identity(client.as_ref())?);
        Some(Tls { roots, server_name: None, identity })
    } else {
        None
    };
    let settings = otlp::Settings {
        host: Host { host: address.host.clone(), port: address.port },
        tls,
        path: path.clone(),
        headers: headers.iter().filter_map(upstreams::metadata).collect(),
        timeout: *timeout,
        gzip: *gzip,
    };
    Client::new(settings).map_err(|why| (".endpoint", why))
}
