//! `HealthService`: Ping, and Check with the process's own checks and its stores, as their last answers tell. Every figure is
//! read when it is asked for; where the system does not tell one, its check is left out rather than made up.

mod memory;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;
use prost_types::{Struct, Value, value::Kind};
use tonic::{Request, Response, Status};

use super::{About, HealthBoard, NotServing, accounts::Directory};
use crate::{
    call::HttpStatus,
    proto::gateway_v1::{
        CheckRequest, CheckResponse, HealthCheck, HealthSummary, PingRequest, PingResponse, ServiceHealth,
        health_service_server::HealthService,
    },
    store::{self, StoreHealth},
};

/// Answers for this process.
#[derive(Debug)]
pub struct Health {
    about: Arc<About>,
    board: Arc<HealthBoard>,
    directory: Arc<Directory>,
}

impl Health {
    #[must_use]
    pub fn new(about: Arc<About>, board: Arc<HealthBoard>, directory: Arc<Directory>) -> Self {
        Self { about, board, directory }
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        let timestamp = Some(SystemTime::now().into());
        Ok(Response::new(PingResponse { message: "pong".to_owned(), timestamp }))
    }

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let mut checks = vec![timed("server", || server(&self.about, &self.board))];
        checks.extend(timed_if_known("memory", || memory::usage().map(memory::judge)));
        let stores = self.directory.stores.health();
        let (services, of_stores) = (stores.iter().filter_map(service).collect(), self.judge(&stores));
        let status = worst(&checks).max(of_stores);
        let mut response = Response::new(CheckResponse {
            status: status.word().to_owned(),
            timestamp: Some(SystemTime::now().into()),
            version: self.about.version.clone(),
            environment: self.about.environment.clone(),
            uptime: self.about.uptime(),
            services,
            summary: Some(summary(&checks)),
            checks: checks.into_iter().map(|(_, check)| check).collect(),
            cache_hit: false,
        });
        if status == State::Unhealthy {
            response.extensions_mut().insert(HttpStatus(StatusCode::SERVICE_UNAVAILABLE));
        }
        Ok(response)
    }
}

impl Health {
    /// Without a store that must be there the gateway takes no calls; without another it still has answers.
    fn judge(&self, stores: &[StoreHealth]) -> State {
        let away = stores.iter().any(|store| matches!(store.state, store::State::Down { .. }));
        match (away, self.directory.stores.required) {
            (false, _) => State::Healthy,
            (true, false) => State::Degraded,
            (true, true) => State::Unhealthy,
        }
    }
}

/// A store by its name; none that nobody has asked yet.
fn service(store: &StoreHealth) -> Option<(String, ServiceHealth)> {
    let status = match store.state {
        store::State::Unknown => return None,
        store::State::Up { .. } => "up",
        store::State::Down { .. } => "down",
    };
    let latency_ms = store.latency.map(milliseconds);
    Some((store.store.to_owned(), ServiceHealth { status: status.to_owned(), latency_ms }))
}

/// To the microsecond: finer figures would be noise.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// How a check came out, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Healthy,
    Degraded,
    Unhealthy,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What a check found: its state, a sentence, and the figures behind it.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    state: State,
    message: String,
    details: Vec<(&'static str, f64)>,
}

/// This process takes calls.
fn server(about: &About, board: &HealthBoard) -> Finding {
    let (state, message) = match board.why_not() {
        None => (State::Healthy, "takes calls"),
        Some(NotServing::Starting) => (State::Unhealthy, "does not take calls yet"),
        Some(NotServing::Draining) => {
            (State::Unhealthy, "is draining: it finishes the calls it has and takes no new ones")
        }
        Some(NotServing::WithoutStore) => {
            (State::Unhealthy, "takes no calls: a store that it needs cannot be reached")
        }
    };
    Finding { state, message: message.to_owned(), details: vec![("uptime_seconds", about.uptime())] }
}

fn timed(name: &str, check: impl FnOnce() -> Finding) -> (State, HealthCheck) {
    let started = Instant::now();
    let finding = check();
    report(name, finding, started)
}

fn timed_if_known(name: &str, check: impl FnOnce() -> Option<Finding>) -> Option<(State, HealthCheck)> {
    let started = Instant::now();
    check().map(|finding| report(name, finding, started))
}

fn report(name: &str, finding: Finding, started: Instant) -> (State, HealthCheck) {
    let number = |value: f64| Value { kind: Some(Kind::NumberValue(value)) };
    let fields = finding.details.into_iter().map(|(name, value)| (name.to_owned(), number(value)));
    let check = HealthCheck {
        name: name.to_owned(),
        status: finding.state.word().to_owned(),
        message: finding.message,
        latency_ms: milliseconds(started.elapsed()),
        details: Some(Struct { fields: fields.collect() }),
    };
    (finding.state, check)
}

fn worst(checks: &[(State, HealthCheck)]) -> State {
    checks.iter().map(|(state, _)| *state).max().unwrap_or(State::Healthy)
}

fn summary(checks: &[(State, HealthCheck)]) -> HealthSummary {
    let mut summary = HealthSummary::default();
    for (state, _) in checks {
        summary.total += 1;
        match state {
            State::Healthy => summary.healthy += 1,
            State::Degraded => summary.degraded += 1,
            State::Unhealthy => summary.unhealthy += 1,
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proto::gateway_v1::{
            health_service_client::HealthServiceClient, health_service_server::HealthServiceServer,
        },
        services::{accounts::tests::directory, tests::about},
    };

    fn client(board: &Arc<HealthBoard>) -> HealthServiceClient<HealthServiceServer<Health>> {
        let folder = tempfile::tempdir().unwrap();
        of(board, directory(folder.path()))
    }

    fn of(
        board: &Arc<HealthBoard>,
        directory: Arc<Directory>,
    ) -> HealthServiceClient<HealthServiceServer<Health>> {
        HealthServiceClient::new(HealthServiceServer::new(Health::new(about(), Arc::clone(board), directory)))
    }

    #[tokio::test]
    async fn a_store_is_shown_once_it_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (board, directory) = (Arc::new(HealthBoard::default()), directory(folder.path()));
        board.set_serving(true);
        let ask =
            async || of(&board, Arc::clone(&directory)).check(CheckRequest {}).await.unwrap().into_inner();
        assert!(ask().await.services.is_empty());
        directory.stores.ping().await.unwrap();
        let body = ask().await;
        let database = &body.services["database"];
        assert_eq!((body.status.as_str(), database.status.as_str()), ("healthy", "up"));
        assert!(database.latency_ms.is_some_and(|time| time > 0.0), "{database:?}");
        assert_eq!(
            usize::try_from(body.summary.unwrap().total),
            Ok(body.checks.len()),
            "stores are no checks"
        );
    }

    #[tokio::test]
    async fn ping_answers_with_the_time() {
        let before = SystemTime::now();
        let pong = client(&Arc::default()).ping(PingRequest {}).await.unwrap().into_inner();
        assert_eq!(pong.message, "pong");
        assert!(SystemTime::try_from(pong.timestamp.unwrap()).unwrap() >= before);
    }

    #[tokio::test]
    async fn check_is_healthy_while_calls_are_taken_and_503_otherwise() {
        let board = Arc::new(HealthBoard::default());
        board.set_serving(true);
        let answer = client(&board).check(CheckRequest {}).await.unwrap();
        assert_eq!(answer.extensions().get::<HttpStatus>(), None);
        let body = answer.into_inner();
        assert_eq!(
            (body.status.as_str(), body.environment.as_str(), body.cache_hit),
            ("healthy", "test", false)
        );
        let summary = body.summary.unwrap();
        assert_eq!(usize::try_from(summary.total), Ok(body.checks.len()));
        assert_eq!(summary.total, summary.healthy);
        #[cfg(target_os = "linux")]
        {
            let memory = body.checks.iter().find(|check| check.name == "memory").unwrap();
            let fields = &memory.details.as_ref().unwrap().fields;
            let Some(Kind::NumberValue(rss)) = fields["rss_bytes"].kind else { panic!("{fields:?}") };
            assert!(rss > 1e5, "{fields:?}");
        }

        board.drain();
        let answer = client(&board).check(CheckRequest {}).await.unwrap();
        assert_eq!(answer.extensions().get(), Some(&HttpStatus(StatusCode::SERVICE_UNAVAILABLE)));
        let body = answer.into_inner();
        assert_eq!((body.status.as_str(), body.summary.unwrap().unhealthy), ("unhealthy", 1));
        assert_eq!(body.checks[0].message, "is draining: it finishes the calls it has and takes no new ones");
    }
}
