//! Sends what waits to the collector: a batch when there is one, the rest now and then, all that is left at the end. One request
//! is on its way at a time; one that is not taken for now is sent again, less and less often, while the queue fills and then
//! loses what comes.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    resource::v1::Resource,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    client::{Client, Method, Refused},
    finished::Finished,
    outage::{Outage, Outages},
    queue::Queue,
    spans,
};

/// How long it waits before it sends a request again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest that a collector may ask it to wait.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// When what waits is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long less than a batch waits.
    pub delay: Duration,
}

/// The task that sends traces.
#[derive(Debug)]
pub struct Exporter {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Begins to send what is in the queue, on the current runtime, as this resource's.
    #[must_use]
    pub fn begin(
        client: Client,
        queue: Arc<Queue>,
        resource: Resource,
        pace: Pace,
        outages: &Arc<Outages>,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let outage = Outage::new("traces", client.to_string(), Arc::clone(outages));
        let sender = Sender { client, queue, resource, outage, stopping };
        Self { stop, task: tokio::spawn(sender.run(pace)) }
    }

    /// Sends what is left, which may take this long.
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
    queue: Arc<Queue>,
    resource: Resource,
    outage: Outage,
    stopping: watch::Receiver<bool>,
}

impl Sender {
    async fn run(mut self, pace: Pace) {
        loop {
            let (mut stopping, queue) = (self.stopping.clone(), Arc::clone(&self.queue));
            let ends = tokio::select! {
                () = queue.due() => false,
                () = sleep(pace.delay) => false,
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            loop {
                let calls = self.queue.take();
                if calls.is_empty() {
                    break;
                }
                self.send(calls).await;
                // What is left is soon sent with what comes; the end waits for nothing.
                if !self.queue.is_due() && !ends {
                    break;
                }
            }
            if ends {
                return;
            }
        }
    }

    /// Sends a batch until it is taken, or refused for good; at the end once.
    async fn send(&mut self, calls: Vec<Finished>) {
        let count = calls.iter().map(Finished::spans).sum::<usize>();
        let spans = spans::of(calls, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans: vec![spans] };
        let mut pause = FIRST_PAUSE;
        loop {
            let ends = self.ends();
            let sent = self.client.send::<ExportTraceServiceResponse>(Method::Traces, &request).await;
            let wait = match sent {
                Ok(answer) => {
                    self.taken(answer);
                    return;
                }
                Err(Refused::ForGood(why)) => {
                    self.queue.lose(count);
                    self.outage.failed(&why);
                    return;
                }
                Err(Refused::ForNow { wait, why }) => {
                    self.outage.failed(&why);
                    wait.map_or(pause, |wait| wait.min(LONGEST_ASKED))
                }
            };
            if ends {
                self.queue.lose(count);
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.stopping.wait_for(|stop| *stop) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// True once nothing more comes: the gateway asks for the end, or is gone.
    fn ends(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    fn taken(&mut self, answer: ExportTraceServiceResponse) {
        let partial = answer.partial_success.unwrap_or_default();
        if let Ok(rejected @ 1..) = usize::try_from(partial.rejected_spans) {
            self.queue.lose(rejected);
            self.outage.failed(&format!("it refuses some of them: {}", partial.error_message));
        }
        self.outage.went_well(self.queue.lost());
    }
}
