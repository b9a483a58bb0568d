//! `grpc.health.v1`: Check, Watch and List, for the whole server (`""`) and for each service that is served.
//!
//! tonic-health 0.14 is not used: it has no List, its Watch of an unknown name fails where the protocol streams
//! SERVICE_UNKNOWN, and it keeps the statuses in a service of its own. Here they are on a [`HealthBoard`], which a
//! watch that began under one snapshot goes on reading under the next.
//!
//! Source: grpc/health/v1/health.proto, "GRPC Health Checking Protocol".

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::{
    proto::grpc_health_v1::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus, health_server,
    },
    route::{Destination, catalog::Catalog},
    schema::did_you_mean,
    status::Fault,
};

/// What is served, and whether this process takes calls. It outlives every snapshot.
#[derive(Debug)]
pub struct HealthBoard(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    serving: bool,
    draining: bool,
    /// A store that must be there is not.
    without_store: bool,
    /// Each with the upstream that serves it, if one does.
    services: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// The upstreams that are known to be down: what they serve is not served. It says nothing of the gateway as a whole.
    down: BTreeSet<Arc<str>>,
}

impl Default for HealthBoard {
    /// Not serving, until the first snapshot stands.
    fn default() -> Self {
        Self(watch::Sender::new(State::default()))
    }
}

impl HealthBoard {
    /// Shows the services of a new snapshot. A pattern is not a service: what it stands for is not known.
    pub fn show(&self, catalog: &Catalog) {
        let upstream = |destination: &Destination| match destination {
            Destination::Upstream(name) => Some(Arc::clone(name)),
            Destination::Local
            | Destination::Respond(_)
            | Destination::Redirect(_)
            | Destination::Proxy(_)
            | Destination::McpServer(_)
            | Destination::Page
            | Destination::Nothing => None,
        };
        let services = catalog.services().filter(|(_, service)| !service.name.ends_with('*'));
        let services = services
            .map(|(source, service)| (Arc::clone(&service.name), upstream(&source.destination)))
            .collect();
        self.0.send_modify(|state| state.services = services);
    }

    /// Says which upstreams are down.
    pub fn set_down(&self, upstreams: BTreeSet<Arc<str>>) {
        self.0.send_if_modified(|state| {
            let changed = state.down != upstreams;
            state.down = upstreams;
            changed
        });
    }

    /// Says whether calls are taken: `""` and every service follow.
    pub fn set_serving(&self, serving: bool) {
        self.0.send_modify(|state| state.serving = serving);
    }

    /// Says that a store which must be there is away, or that all are there; true where that is new.
    pub fn set_without_store(&self, away: bool) -> bool {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.without_store, away) != away)
    }

    /// Begins the drain, for good: everything is NOT_SERVING, and every watch ends once it has said so.
    pub fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    /// True while calls are taken: the status of `""`.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.0.borrow().taking_calls()
    }

    /// Why no calls are taken; `None` while they are.
    #[must_use]
    pub fn why_not(&self) -> Option<NotServing> {
        let state = self.0.borrow();
        if state.draining {
            Some(NotServing::Draining)
        } else if !state.serving {
            Some(NotServing::Starting)
        } else if state.without_store {
            Some(NotServing::WithoutStore)
        } else {
            None
        }
    }
}

/// Why no calls are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotServing {
    /// The first snapshot does not stand yet.
    Starting,
    /// For good.
    Draining,
    /// A store that must be there cannot be reached.
    WithoutStore,
}

impl State {
    fn taking_calls(&self) -> bool {
        self.serving && !self.draining && !self.without_store
    }

    /// `None`: no such service.
    fn status(&self, service: &str) -> Option<ServingStatus> {
        let upstream = match service {
            "" => None,
            service => self.services.get(service)?.as_ref(),
        };
        let serves = self.taking_calls() && upstream.is_none_or(|upstream| !self.down.contains(upstream));
        Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

/// Answers from a board.
#[derive(Debug)]
pub struct GrpcHealth {
    board: Arc<HealthBoard>,
}

impl GrpcHealth {
    #[must_use]
    pub fn new(board: Arc<HealthBoard>) -> Self {
        Self { board }
    }
}

#[tonic::async_trait]
impl health_server::Health for GrpcHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let state = self.board.0.borrow();
        match state.status(&service) {
            Some(status) => Ok(Response::new(response(status))),
            None => {
                let near = did_you_mean(&service, state.services.keys().map(|name| &**name));
                let status = Status::not_found(format!("no service \"{service}\" is served{near}"));
                Err(Fault::client().on(status))
            }
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let state = self.board.0.borrow();
        let names = std::iter::once("").chain(state.services.keys().map(|name| &**name));
        let statuses = names.filter_map(|name| Some((name.to_owned(), response(state.status(name)?))));
        Ok(Response::new(HealthListResponse { statuses: statuses.collect() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let watch = Watch { board: self.board.0.subscribe(), service, last: None };
        Ok(Response::new(stream::unfold(watch, Watch::next).boxed()))
    }
}

/// One client's watch over one service.
struct Watch {
    board: watch::Receiver<State>,
    service: String,
    /// What the client was last told.
    last: Option<ServingStatus>,
}

impl Watch {
    /// The next status that differs from the last one; the end once the drain has been told of.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let (status, draining) = {
                let state = self.board.borrow_and_update();
                (state.status(&self.service).unwrap_or(ServingStatus::ServiceUnknown), state.draining)
            };
            if self.last != Some(status) {
                self.last = Some(status);
                return Some((Ok(response(status)), self));
            }
            if draining || self.board.changed().await.is_err() {
                return None;
            }
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        proto::grpc_health_v1::{health_client::HealthClient, health_server::HealthServer},
        services::tests::{built_in, upstream},
    };

    type Client = HealthClient<HealthServer<GrpcHealth>>;

    fn serving() -> (Arc<HealthBoard>, Client) {
        let board = Arc::new(HealthBoard::default());
        board.show(&built_in());
        board.set_serving(true);
        let client = HealthClient::new(HealthServer::new(GrpcHealth::new(Arc::clone(&board))));
        (board, client)
    }

    fn of(service: &str) -> HealthCheckRequest {
        HealthCheckRequest { service: service.into() }
    }

    const SHOP: &str =
        r#"syntax = "proto3"; package shop; message M {} service Shop { rpc Get(M) returns (M); }"#;

    #[tokio::test]
    async fn check_knows_the_server_and_each_service() {
        let (board, mut client) = serving();
        for service in ["", "grpc.health.v1.Health", "propylon.gateway.v1.HealthService"] {
            let status = client.check(of(service)).await.unwrap().into_inner().status();
            assert_eq!(status, ServingStatus::Serving, "{service}");
        }
        let status = client.check(of("grpc.health.v1.Helth")).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert!(status.message().ends_with("(did you mean \"grpc.health.v1.Health\"?)"), "{status:?}");
        board.set_serving(false);
        assert_eq!(client.check(of("")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
        assert!(!board.serving());
    }

    #[tokio::test]
    async fn list_names_every_service() {
        let (board, mut client) = serving();
        let statuses = client.list(HealthListRequest {}).await.unwrap().into_inner().statuses;
        assert_eq!(statuses.len(), 1 + built_in().services().count());
        assert!(statuses.contains_key("") && statuses.contains_key("grpc.reflection.v1.ServerReflection"));
        assert!(statuses.values().all(|s| s.status() == ServingStatus::Serving));
        board.drain();
        let statuses = client.list(HealthListRequest {}).await.unwrap().into_inner().statuses;
        assert!(statuses.values().all(|s| s.status() == ServingStatus::NotServing));
    }

    #[tokio::test(start_paused = true)]
    async fn watch_tells_changes_alone_and_sees_a_service_appear() {
        let (board, mut client) = serving();
        let mut watch = client.watch(of("shop.Shop")).await.unwrap().into_inner();
        let mut next = async || watch.message().await.unwrap().map(|m| m.status());
        assert_eq!(next().await, Some(ServingStatus::ServiceUnknown));
        // A new snapshot without the service says nothing new.
        board.show(&built_in());
        assert!(tokio::time::timeout(Duration::from_secs(60), next()).await.is_err());

        let mut catalog = built_in();
        catalog.push(upstream("shop", &[("shop.proto", SHOP)]));
        board.show(&catalog);
        assert_eq!(next().await, Some(ServingStatus::Serving));
        board.set_serving(false);
        assert_eq!(next().await, Some(ServingStatus::NotServing));
        board.set_serving(true);
        assert_eq!(next().await, Some(ServingStatus::Serving));
        board.show(&built_in());
        assert_eq!(next().await, Some(ServingStatus::ServiceUnknown));
    }

    #[tokio::test]
    async fn a_dead_upstream_takes_its_own_services_with_it_and_nothing_else() {
        let (board, mut client) = serving();
        let mut catalog = built_in();
        catalog.push(upstream("shop", &[("shop.proto", SHOP)]));
        board.show(&catalog);
        let mut watch = client.watch(of("shop.Shop")).await.unwrap().into_inner();
        let mut next = async || watch.message().await.unwrap().map(|m| m.status());
        assert_eq!(next().await, Some(ServingStatus::Serving));
        board.set_down(BTreeSet::from(["shop".into()]));
        assert_eq!(next().await, Some(ServingStatus::NotServing));
        for (service, want) in [
            ("", ServingStatus::Serving),
            ("propylon.gateway.v1.HealthService", ServingStatus::Serving),
            ("shop.Shop", ServingStatus::NotServing),
        ] {
            assert_eq!(client.check(of(service)).await.unwrap().into_inner().status(), want, "{service}");
        }
        let statuses = client.list(HealthListRequest {}).await.unwrap().into_inner().statuses;
        let down: Vec<_> = statuses.iter().filter(|(_, s)| s.status() != ServingStatus::Serving).collect();
        assert_eq!(down.len(), 1, "{down:?}");
        assert_eq!(board.why_not(), None);
        board.set_down(BTreeSet::new());
        assert_eq!(next().await, Some(ServingStatus::Serving));
    }

    #[tokio::test]
    async fn every_watch_says_not_serving_before_the_drain_ends_it() {
        let (board, client) = serving();
        let mut watches = Vec::new();
        for _ in 0..100 {
            let mut watch = client.clone().watch(of("")).await.unwrap().into_inner();
            assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
            watches.push(watch);
        }
        board.drain();
        for mut watch in watches {
            assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
            assert_eq!(watch.message().await.unwrap(), None);
        }
    }
}
