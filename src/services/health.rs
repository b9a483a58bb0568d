//! `HealthService`: Ping; Check with the process's own checks, the services that the config has probed, and the gateway's
//! stores as their last answers tell; CheckServices without the first of them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;
use prost_types::{Struct, Value, value::Kind};
use tonic::{Request, Response, Status};

use super::{About, HealthBoard, NotServing, accounts::Directory};
use crate::{
    call::HttpStatus,
    health::{self, Check, Figure, Finding, Found, Monitor, Probe, Service, State, Target},
    proto::gateway_v1::{
        CheckRequest, CheckResponse, CheckServicesRequest, CheckServicesResponse, HealthCheck, HealthSummary,
        PingRequest, PingResponse, ServiceHealth, health_service_server::HealthService,
    },
    store::{self, StoreHealth},
};

/// Answers for this process.
#[derive(Debug)]
pub struct Health {
    about: Arc<About>,
    board: Arc<HealthBoard>,
    directory: Arc<Directory>,
    monitor: Arc<Monitor>,
}

impl Health {
    #[must_use]
    pub fn new(
        about: Arc<About>,
        board: Arc<HealthBoard>,
        directory: Arc<Directory>,
        monitor: Arc<Monitor>,
    ) -> Self {
        Self { about, board, directory, monitor }
    }
}

/// What the services are found to be.
struct Services {
    at: SystemTime,
    hit: bool,
    /// In the order of the config.
    probed: Vec<(Arc<str>, bool, Service)>,
    stores: Vec<StoreHealth>,
    of_stores: State,
}

impl Services {
    fn state(&self) -> State {
        let probed = self.probed.iter().map(|(_, critical, found)| found.state(*critical));
        probed.max().unwrap_or(State::Healthy).max(self.of_stores)
    }

    /// Of each that is told of, what it means for the whole; without the probes where these are told elsewhere.
    fn states(&self, probes: bool) -> impl Iterator<Item = State> {
        let stores = self.stores.iter().filter_map(|store| match store.state {
            store::State::Unknown => None,
            store::State::Up { .. } => Some(State::Healthy),
            store::State::Down { .. } => Some(self.of_stores),
        });
        let probed = self.probed.iter().filter(move |_| probes);
        stores.chain(probed.map(|(_, critical, found)| found.state(*critical)))
    }

    /// By name; without the probes where these are told elsewhere.
    fn by_name(&self, probes: bool) -> BTreeMap<String, ServiceHealth> {
        let stores = self.stores.iter().filter_map(of_store);
        let probed = self.probed.iter().filter(|_| probes);
        stores.chain(probed.map(|(name, _, found)| (name.to_string(), of_service(found)))).collect()
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        let timestamp = Some(SystemTime::now().into());
        Ok(Response::new(PingResponse { message: "pong".to_owned(), timestamp }))
    }

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let services = self.services().await;
        let as_checks = self.monitor.settings().as_checks;
        let mut checks = self.checks();
        if as_checks {
            let probed = services.probed.iter();
            checks
                .extend(probed.map(|(name, critical, found)| of_probe(name, *critical, found, services.at)));
        }
        let state = worst(&checks).max(services.state());
        let response = CheckResponse {
            status: state.word().to_owned(),
            timestamp: Some(services.at.into()),
            version: self.about.version.clone(),
            environment: self.about.environment.clone(),
            uptime: self.about.uptime(),
            services: services.by_name(!as_checks),
            summary: Some(summary(checks.iter().map(|(state, _)| *state).chain(services.states(!as_checks)))),
            checks: checks.into_iter().map(|(_, check)| check).collect(),
            cache_hit: services.hit,
        };
        Ok(told(response, state))
    }

    async fn check_services(
        &self,
        _: Request<CheckServicesRequest>,
    ) -> Result<Response<CheckServicesResponse>, Status> {
        let services = self.services().await;
        let state = services.state();
        let response = CheckServicesResponse {
            status: state.word().to_owned(),
            timestamp: Some(services.at.into()),
            services: services.by_name(true),
            cache_hit: services.hit,
        };
        Ok(told(response, state))
    }
}

/// Over REST what is unhealthy is a 503.
fn told<T>(response: T, state: State) -> Response<T> {
    let mut response = Response::new(response);
    if state == State::Unhealthy {
        response.extensions_mut().insert(HttpStatus(StatusCode::SERVICE_UNAVAILABLE));
    }
    response
}

impl Health {
    async fn services(&self) -> Services {
        let probes = &self.monitor.settings().probes;
        let mut stores = self.directory.stores.health();
        // A probe asks what its last answer says no better.
        stores.retain(|store| {
            let own = if store.store == "redis" { Target::OwnRedis } else { Target::OwnDatabase };
            !probes.iter().any(|probe| probe.target == own)
        });
        let of_stores = self.judge(&stores);
        let Some(Found { results, hit }) = self.monitor.look().await else {
            // Where there is something to ask, nobody does it any more.
            let down = |probe: &Probe| {
                let found = Service::not_up(health::Status::Down, "could not be asked");
                (Arc::clone(&probe.name), probe.critical, found)
            };
            let probed = probes.iter().map(down).collect();
            return Services { at: SystemTime::now(), hit: false, probed, stores, of_stores };
        };
        let probed = probes.iter().filter_map(|probe| {
            let found = results.services.get(&probe.name)?.clone();
            Some((Arc::clone(&probe.name), probe.critical, found))
        });
        Services { at: results.at, hit, probed: probed.collect(), stores, of_stores }
    }

    /// The process's own checks, in the order of the config.
    fn checks(&self) -> Vec<(State, HealthCheck)> {
        let one = |check: &Check| {
            let started = Instant::now();
            let finding = match check {
                Check::Server => Some(server(&self.about, &self.board)),
                check => self.monitor.check(*check),
            };
            Some(report(check.name(), finding?, started))
        };
        self.monitor.settings().checks.iter().filter_map(one).collect()
    }

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
fn of_store(store: &StoreHealth) -> Option<(String, ServiceHealth)> {
    let status = match store.state {
        store::State::Unknown => return None,
        store::State::Up { .. } => "up",
        store::State::Down { .. } => "down",
    };
    let message = (status == "down").then(|| "cannot be reached".to_owned());
    let latency_ms = store.latency.map(milliseconds);
    Some((store.store.to_owned(), ServiceHealth { status: status.to_owned(), latency_ms, message }))
}

fn of_service(found: &Service) -> ServiceHealth {
    ServiceHealth {
        status: found.status.word().to_owned(),
        latency_ms: found.latency_ms,
        message: found.message.clone(),
    }
}

/// A probe as a check.
fn of_probe(name: &str, critical: bool, found: &Service, at: SystemTime) -> (State, HealthCheck) {
    let state = found.state(critical);
    let check = HealthCheck {
        name: name.to_owned(),
        status: state.word().to_owned(),
        message: found.message.clone().unwrap_or_else(|| "answers".to_owned()),
        latency_ms: found.latency_ms.unwrap_or_default(),
        details: Some(details(vec![("status", found.status.word().into())])),
        checked_at: Some(at.into()),
    };
    (state, check)
}

/// To the microsecond: finer figures would be noise.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
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
    let details = vec![
        ("uptime_seconds", about.uptime().into()),
        ("version", about.version.as_str().into()),
        ("platform", std::env::consts::OS.into()),
        ("arch", std::env::consts::ARCH.into()),
    ];
    Finding { state, message: message.to_owned(), details }
}

fn report(name: &str, finding: Finding, started: Instant) -> (State, HealthCheck) {
    let check = HealthCheck {
        name: name.to_owned(),
        status: finding.state.word().to_owned(),
        message: finding.message,
        latency_ms: milliseconds(started.elapsed()),
        details: Some(details(finding.details)),
        checked_at: Some(SystemTime::now().into()),
    };
    (finding.state, check)
}

fn details(figures: Vec<(&'static str, Figure)>) -> Struct {
    let value = |figure| match figure {
        Figure::Number(number) => Kind::NumberValue(number),
        Figure::Text(text) => Kind::StringValue(text),
    };
    let fields =
        figures.into_iter().map(|(name, figure)| (name.to_owned(), Value { kind: Some(value(figure)) }));
    Struct { fields: fields.collect() }
}

fn worst(checks: &[(State, HealthCheck)]) -> State {
    checks.iter().map(|(state, _)| *state).max().unwrap_or(State::Healthy)
}

/// How many there are of each state, of checks and services alike.
fn summary(states: impl Iterator<Item = State>) -> HealthSummary {
    let mut summary = HealthSummary::default();
    for state in states {
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
        services::{
            accounts::tests::directory,
            tests::{about, monitor},
        },
    };

    fn client(board: &Arc<HealthBoard>) -> HealthServiceClient<HealthServiceServer<Health>> {
        let folder = tempfile::tempdir().unwrap();
        of(board, directory(folder.path()))
    }

    fn of(
        board: &Arc<HealthBoard>,
        directory: Arc<Directory>,
    ) -> HealthServiceClient<HealthServiceServer<Health>> {
        let monitor = monitor(&directory);
        let health = Health::new(about(), Arc::clone(board), directory, monitor);
        HealthServiceClient::new(HealthServiceServer::new(health))
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
            Ok(body.checks.len() + 1),
            "the database is counted"
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
