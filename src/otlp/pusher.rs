//! Sends the gateway's numbers to the collector, all of them now and then, and once more at the end. They are sums since the start,
//! so what is not taken is in what is sent next: nothing waits, and nothing is sent twice.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    resource::v1::Resource,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    client::{Client, Method, Refused},
    metrics,
    outage::{Outage, Outages},
};
use crate::telemetry::Telemetry;

/// The task that sends numbers.
#[derive(Debug)]
pub struct Pusher {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Pusher {
    /// Begins to send what `telemetry` gathers, so often, on the current runtime, as this resource's.
    #[must_use]
    pub fn begin(
        client: Client,
        telemetry: Arc<Telemetry>,
        resource: Resource,
        every: Duration,
        outages: &Arc<Outages>,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let outage = Outage::new("metrics", client.to_string(), Arc::clone(outages));
        let sender = Sender { client, telemetry, resource, outage, missed: 0 };
        Self { stop, task: tokio::spawn(sender.run(every, stopping)) }
    }

    /// Sends them a last time, which may take this long.
    pub async fn finish(self, limit: Duration) {
        let _ = self.stop.send(true);
        let abort = self.task.abort_handle();
        if timeout(limit, self.task).await.is_err() {
            abort.abort();
        }
    }
}

struct Sender {
    client: Client,
    telemetry: Arc<Telemetry>,
    resource: Resource,
    outage: Outage,
    /// Times that nothing was taken.
    missed: u64,
}

impl Sender {
    async fn run(mut self, every: Duration, mut stopping: watch::Receiver<bool>) {
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, and there is nothing to tell.
        turns.tick().await;
        loop {
            let ends = tokio::select! {
                _ = turns.tick() => false,
                // Asked, or nobody is left to ask.
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            // The end does not wait for what is on its way.
            let ends = ends
                || tokio::select! {
                    () = self.send() => false,
                    _ = stopping.wait_for(|stop| *stop) => true,
                };
            if ends {
                self.send().await;
                return;
            }
        }
    }

    async fn send(&mut self) {
        let all = metrics::of(&self.telemetry.gather(), self.telemetry.began, &self.resource);
        let request = ExportMetricsServiceRequest { resource_metrics: vec![all] };
        let sent = self.client.send::<ExportMetricsServiceResponse>(Method::Metrics, &request).await;
        match sent {
            Ok(answer) => {
                let partial = answer.partial_success.unwrap_or_default();
                if partial.rejected_data_points > 0 {
                    self.missed += 1;
                    self.outage.failed(&format!("it refuses some of them: {}", partial.error_message));
                }
                self.outage.went_well(self.missed);
            }
            Err(Refused::ForNow { why, .. } | Refused::ForGood(why)) => {
                self.missed += 1;
                self.outage.failed(&why);
            }
        }
    }
}
