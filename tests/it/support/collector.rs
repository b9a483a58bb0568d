//! What telemetry is sent to: a receiver of OTLP of the tests' own, over gRPC and over HTTP, that takes it, is slow, or refuses
//! it; and a real OpenTelemetry Collector before it, which passes on what it takes.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::Metric,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use tokio::{net::TcpListener, time::sleep};
use tonic::{Status, codec::CompressionEncoding};

use super::{process::Program, servers::free_port, tools::needs};

/// A machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver. It runs as long as the test's runtime.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mood: Mutex<Mood>,
    got: Mutex<Vec<Got>>,
    /// The metrics of each request, with the service that they are of.
    numbers: Mutex<Vec<(String, Vec<Metric>)>>,
    /// The headers of the last request.
    headers: Mutex<HeaderMap>,
    requests: AtomicUsize,
}

/// What it makes of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Mood {
    #[default]
    Takes,
    /// It takes it after this time.
    Slow(Duration),
    /// Not now.
    Refuses,
    /// Never.
    RefusesForGood,
}

/// A span, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Got {
    pub(crate) fn is(&self, service: &str, kind: SpanKind) -> bool {
        self.service == service && self.span.kind() == kind
    }

    /// An attribute as text.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        text(&self.span.attributes, name)
    }
}

pub(crate) fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_at(0, 0).await
    }

    /// On these ports.
    pub(crate) async fn start_at(grpc: u16, http: u16) -> Self {
        let (grpc, http) = (
            TcpListener::bind(("127.0.0.1", grpc)).await.unwrap(),
            TcpListener::bind(("127.0.0.1", http)).await.unwrap(),
        );
        let shared = Arc::new(Shared::default());
        let collector = Self {
            grpc: grpc.local_addr().unwrap(),
            http: http.local_addr().unwrap(),
            shared: Arc::clone(&shared),
        };
        let traces = TraceServiceServer::new(Service(Arc::clone(&shared)))
            .accept_compressed(CompressionEncoding::Gzip);
        let numbers = MetricsServiceServer::new(Service(Arc::clone(&shared)))
            .accept_compressed(CompressionEncoding::Gzip);
        let (traces, numbers) = (TowerToHyperService::new(traces), TowerToHyperService::new(numbers));
        let server = service_fn(move |request: Request<Incoming>| {
            let (traces, numbers) = (traces.clone(), numbers.clone());
            async move {
                match request.uri().path().contains("MetricsService") {
                    true => numbers.call(request).await,
                    false => traces.call(request).await,
                }
            }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = grpc.accept().await.unwrap();
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), server.clone()));
            }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = http.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| over_http(Arc::clone(&shared), request));
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        collector
    }

    pub(crate) fn is_in(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// All that it has taken.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// The metrics of each request that it has taken, with the service that they are of.
    pub(crate) fn numbers(&self) -> Vec<(String, Vec<Metric>)> {
        self.shared.numbers.lock().unwrap().clone()
    }

    /// The headers, or metadata, of the last request.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.shared.headers.lock().unwrap().clone()
    }

    /// How often it was asked.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The spans of a trace, once there are so many; more are a failure.
    pub(crate) async fn trace(&self, id: &str, count: usize) -> Vec<Got> {
        let begun = Instant::now();
        loop {
            let mut got = self.got();
            got.retain(|got| hex(&got.span.trace_id) == id);
            let names: Vec<_> = got.iter().map(|got| format!("{} {}", got.service, got.span.name)).collect();
            assert!(got.len() <= count, "{names:?}");
            if got.len() == count {
                return got;
            }
            assert!(begun.elapsed() < PATIENCE, "{count} spans of {id}; there are {names:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Shared {
    async fn asked(&self, headers: &HeaderMap) -> Result<(), Status> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        *self.headers.lock().unwrap() = headers.clone();
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Takes => {}
            Mood::Slow(time) => sleep(time).await,
            Mood::Refuses => return Err(Status::unavailable("not now")),
            Mood::RefusesForGood => return Err(Status::invalid_argument("never")),
        }
        Ok(())
    }

    async fn take_numbers(
        &self,
        headers: &HeaderMap,
        request: ExportMetricsServiceRequest,
    ) -> Result<(), Status> {
        self.asked(headers).await?;
        for all in request.resource_metrics {
            let service = text(&all.resource.unwrap().attributes, "service.name").unwrap();
            let metrics = all.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            self.numbers.lock().unwrap().push((service, metrics.collect()));
        }
        Ok(())
    }

    async fn take(&self, headers: &HeaderMap, request: ExportTraceServiceRequest) -> Result<(), Status> {
        self.asked(headers).await?;
        for resource_spans in request.resource_spans {
            let service = text(&resource_spans.resource.unwrap().attributes, "service.name").unwrap();
            let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.got.lock().unwrap().extend(spans.map(|span| Got { service: service.clone(), span }));
        }
        Ok(())
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.0.take(&metadata.into_headers(), message).await?;
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.0.take_numbers(&metadata.into_headers(), message).await?;
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn over_http(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.method(), "POST");
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = match head.headers.get("content-encoding") {
        None => body,
        Some(_) => {
            let mut plain = Vec::new();
            std::io::copy(&mut flate2::read::GzDecoder::new(&*body), &mut plain).unwrap();
            plain.into()
        }
    };
    let taken = match head.uri.path() {
        "/v1/traces" => {
            let message = ExportTraceServiceRequest::decode(body).unwrap();
            shared.take(&head.headers, message).await
        }
        "/v1/metrics" => {
            let message = ExportMetricsServiceRequest::decode(body).unwrap();
            shared.take_numbers(&head.headers, message).await
        }
        other => panic!("{other}"),
    };
    let (status, body) = match taken {
        // Neither answer has anything to say.
        Ok(()) => (StatusCode::OK, Vec::new()),
        Err(status) => {
            let said = tonic_types::Status { message: status.message().to_owned(), ..Default::default() };
            let for_good = status.code() == tonic::Code::InvalidArgument;
            let http = if for_good { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
            (http, said.encode_to_vec())
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/x-protobuf".parse().unwrap());
    Ok(response)
}

/// An OpenTelemetry Collector, which passes on to a receiver what it takes.
pub(crate) struct Real {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Real {
    /// `None` where the machine has none.
    pub(crate) fn start(before: &Collector) -> Option<Self> {
        let otelcol: PathBuf = needs("otelcol")?;
        let folder = tempfile::tempdir().unwrap();
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (grpc, http, receiver) = (address(), address(), before.http);
        let config = format!(
            "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: \"{grpc}\" }}, http: {{ endpoint: \"{http}\" }} }} }} }}\n\
             exporters:\n  otlp_http: {{ endpoint: \"http://{receiver}\", sending_queue: {{ enabled: false }} }}\n\
             service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines: {{ traces: {{ receivers: [otlp], exporters: [otlp_http] }}, metrics: {{ receivers: [otlp], exporters: [otlp_http] }} }}\n"
        );
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let mut program = Program::start("otelcol", Command::new(otelcol).arg("--config").arg(file)).unwrap();
        program.wait_for("Everything is ready", PATIENCE).unwrap();
        Some(Self { grpc, http, _program: program, _folder: folder })
    }
}
