//! What is told to an OpenTelemetry collector: the traces of calls, gathered without ever holding one up, and the gateway's
//! numbers; sent by OTLP over gRPC or HTTP. A collector that is away, slow or full costs calls nothing: what waits is bounded, the rest is lost and counted.

mod client;
mod exporter;
mod finished;
mod metrics;
mod outage;
mod pusher;
mod queue;
mod resource;
mod sampler;
mod spans;
mod tracer;

pub use self::{
    client::{Client, Method, Refused, Settings},
    exporter::{Exporter, Pace},
    outage::Outages,
    pusher::Pusher,
    queue::Queue,
    resource::resource,
    sampler::{Sampler, Trust},
    tracer::{Terms, Tracer},
};
