//! Explains a request: sends it through the door that serves, down a road that ends before the destination, and says what
//! it met. What is said of bindings, routes and near misses is asked of the tables that decide.

mod connection;
mod facts;

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts};
use tonic::Status;

use self::facts::{destination, method, policy, rules, told};
use super::{
    Gateway,
    cors::Page,
    door::door,
    pages,
    rehearsal::{Rehearsal, Rehearsed, Seen},
};
use crate::{
    call::{Body, HttpHead, Peer, Target},
    config::Config,
    proto::gateway_v1::{
        ExplainRouteRequest, ExplainRouteResponse, ExplainedBinding, ExplainedDestination,
        ExplainedParameter, NearMiss,
    },
    route::{Asked, Destination, Route, catalog::PathEntry},
    services::Explain,
    snapshot::Snapshot,
    status::{self, Fault},
    surface::{Failed, Protocol, Request, Response, classify, rest},
};

/// How many near misses are named.
const NEAR: usize = 5;

/// What the routing service asks: tied to its gateway once that is there.
#[derive(Debug, Default)]
pub(super) struct Explainer(OnceLock<Weak<Gateway>>);

impl Explainer {
    /// From now on it explains for this gateway.
    pub(super) fn tie(&self, gateway: &Arc<Gateway>) {
        // Whoever came first stays.
        let _ = self.0.set(Arc::downgrade(gateway));
    }
}

impl Explain for Explainer {
    fn explain(
        &self,
        asked: ExplainRouteRequest,
    ) -> BoxFuture<'static, Result<ExplainRouteResponse, Status>> {
        let gateway = self.0.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let gateway = gateway.ok_or_else(|| Status::unavailable("the gateway starts or stops"))?;
            gateway.explain(asked).await
        })
    }
}

impl Gateway {
    /// What a request would meet; it is not sent on. What cannot be a request at all is refused as HTTP would refuse it.
    ///
    /// # Errors
    /// INTERNAL if nothing was answered.
    pub async fn explain(
        self: &Arc<Self>,
        asked: ExplainRouteRequest,
    ) -> Result<ExplainRouteResponse, Status> {
        let snapshot = self.snapshot();
        let (parts, body) = match read(asked, &snapshot.config) {
            Ok(read) => read,
            Err(status) => return Ok(unsendable(&status)),
        };
        let request = || {
            let mut request = Request::from_parts(parts.clone(), Body::from(body.clone()));
            request.extensions_mut().insert(Rehearsed);
            request
        };
        let asked = request();
        let question = Question {
            protocol: snapshot.protocol_of(&asked),
            socket: rest::is_socket(&asked),
            preflight: Page::of(&snapshot, &asked).is_some_and(|page| page.preflight()),
            parts: &parts,
            snapshot: &snapshot,
        };
        let rehearsal = Arc::new(Rehearsal::on(&snapshot, self.opened));
        let (door, road) = (door(self), Arc::clone(&rehearsal));
        let answer = if question.socket {
            connection::send(door, Arc::clone(&snapshot), road, &parts).await?
        } else {
            Answer::of(&door.serve_on(&snapshot, &road, request()).await)
        };
        Ok(question.explained(&answer, &rehearsal.take(), asked.body()))
    }
}

/// What cannot be sent: it comes to no surface.
fn unsendable(status: &Status) -> ExplainRouteResponse {
    ExplainRouteResponse {
        outcome: "refused".to_owned(),
        http_status: status::http(status).as_u16().into(),
        code: status.code() as i32,
        status: status::name(status.code()).to_owned(),
        message: status.message().to_owned(),
        ..ExplainRouteResponse::default()
    }
}

/// A request, and the snapshot that decides about it.
struct Question<'a> {
    protocol: Protocol,
    socket: bool,
    preflight: bool,
    parts: &'a Parts,
    snapshot: &'a Snapshot,
}

/// What the door answered.
#[derive(Debug, Clone)]
struct Answer {
    http: StatusCode,
    headers: HeaderMap,
    failed: Option<Failed>,
}

impl Answer {
    fn of(response: &Response) -> Self {
        Self { http: response.status(), headers: response.headers().clone(), failed: Failed::of(response) }
    }
}

impl Question<'_> {
    fn explained(&self, answer: &Answer, seen: &Seen, body: &Body) -> ExplainRouteResponse {
        let (snapshot, path) = (self.snapshot, self.parts.uri.path());
        let page =
            self.protocol == Protocol::Rest && !self.preflight && pages::find(snapshot, path).is_some();
        let mut explained = ExplainRouteResponse { surface: self.surface(page), ..Default::default() };
        // What the door answers itself has terms of its own, but is no route of the config's.
        let call = seen.call.as_ref().filter(|(route, _)| route.destination.is_behind_the_door());
        let mut route = call.map(|(route, _)| Arc::clone(route));
        match self.protocol {
            _ if self.preflight || page => {}
            Protocol::Grpc | Protocol::GrpcWeb { .. } => {
                if let Ok(rpc) = snapshot.grpc.table.find(path, &self.asked()) {
                    explained.method = Some(method(path, rpc.method.as_deref()));
                    route = route.or(Some(rpc.route));
                }
            }
            Protocol::Mcp => {
                if let Some((_, Target::Rpc { path, method: known })) = call {
                    explained.method = Some(method(path.path(), known.as_deref()));
                }
            }
            Protocol::Rest => {
                if let Some(found) = snapshot.rest.explain(self.parts, body, self.socket) {
                    explained.method = Some(method(found.method.path.as_str(), Some(&found.method)));
                    explained.binding = Some(found.binding);
                    route = route.or(Some(found.route));
                }
                let Parts { method, uri, .. } = self.parts;
                route = route.or_else(|| snapshot.rest.route_of(method, uri, &self.asked()).cloned());
            }
        }
        if let Some((route, Target::Http(head))) = call {
            explained.surface = "http".to_owned();
            explained.binding = Some(self.of_path(route, head));
        }
        // That anybody may ask for what is not there is no news to who asks why it is not.
        let nothing = seen.call.as_ref().is_some_and(|(route, _)| route.destination == Destination::Nothing);
        if !nothing || seen.policies.iter().any(|policy| policy.effect.is_err()) {
            explained.policies = seen.policies.iter().map(policy).collect();
        }
        let passes = matches!(seen.end, Some(Ok(()))) || answer.http == StatusCode::SWITCHING_PROTOCOLS;
        let failed = answer.failed.as_ref().filter(|_| !passes && !answer.http.is_redirection());
        explained.outcome = match (passes, failed) {
            (true, _) | (false, None) if seen.depends => "depends",
            (true, _) => "passes",
            (false, None) => "answered",
            (false, Some(_)) => "refused",
        }
        .to_owned();
        if !passes {
            explained.http_status = answer.http.as_u16().into();
            explained.answer_headers = told(&answer.headers);
        }
        if let Some(failed) = failed {
            explained.code = failed.code as i32;
            explained.status = status::name(failed.code).to_owned();
            explained.message.clone_from(&failed.message);
        }
        if self.preflight {
            explained.message = self.said_to_pages(answer);
        }
        explained.destination = match &route {
            Some(route) => Some(destination(route, snapshot)),
            None if page => Some(ExplainedDestination {
                kind: "page".to_owned(),
                name: path.to_owned(),
                ..ExplainedDestination::default()
            }),
            None => None,
        };
        if failed.is_some() && route.is_none() && !page {
            explained.near_misses = self.near();
        }
        explained.route = route.map(|route| rules(&route, &snapshot.config));
        explained
    }

    fn asked(&self) -> Asked<'_> {
        Asked::of(&self.parts.uri, &self.parts.headers)
    }

    fn surface(&self, page: bool) -> String {
        match self.protocol {
            _ if self.preflight => "preflight",
            _ if page => "page",
            Protocol::Grpc => "grpc",
            Protocol::GrpcWeb { .. } => "grpc-web",
            Protocol::Mcp => "mcp",
            Protocol::Rest if self.socket => "websocket",
            Protocol::Rest => "rest",
        }
        .to_owned()
    }

    /// A path of the config's own, and what its variables captured.
    fn of_path(&self, route: &Route, head: &HttpHead) -> ExplainedBinding {
        let leads = |entry: &&PathEntry| entry.destinations.iter().any(|(_, to)| *to == route.destination);
        let named = self.snapshot.catalog.paths().iter().filter(|entry| entry.route == route.name);
        let entry = named.clone().find(leads).or_else(|| named.clone().next());
        let path = head.captured.iter().map(|captured| ExplainedParameter {
            name: captured.name.to_string(),
            value: captured.value.clone(),
            ..ExplainedParameter::default()
        });
        ExplainedBinding {
            verb: entry.map(|entry| entry.verbs.join(", ")).unwrap_or_default(),
            template: entry.map(|entry| entry.template.to_string()).unwrap_or_default(),
            path: path.collect(),
            ..ExplainedBinding::default()
        }
    }

    fn near(&self) -> Vec<NearMiss> {
        let (snapshot, parts) = (self.snapshot, self.parts);
        if self.protocol.is_json() {
            return snapshot.rest.near(parts, NEAR);
        }
        let mut near = Vec::new();
        if let Some(found) = snapshot.rest.explain(parts, &Body::empty(), false) {
            near.push(NearMiss {
                surface: "rest".to_owned(),
                verb: found.binding.verb,
                path: found.binding.template,
                method: found.method.full_name.to_string(),
                why: "the path is one of REST: send it without a content-type of gRPC".to_owned(),
                segments: Vec::new(),
            });
        }
        near.extend(snapshot.grpc.table.near(parts.uri.path(), NEAR).into_iter().map(|near| NearMiss {
            surface: "grpc".to_owned(),
            verb: "POST".to_owned(),
            method: near.path.trim_start_matches('/').replace('/', "."),
            path: near.path,
            why: near.why,
            segments: Vec::new(),
        }));
        near.truncate(NEAR);
        near
    }

    fn said_to_pages(&self, answer: &Answer) -> String {
        let origin = self.parts.headers.get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
        let origin = String::from_utf8_lossy(origin);
        if answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            format!("pages of {origin} may call")
        } else {
            format!("pages of {origin} may not call: they are none of the origins allowed")
        }
    }
}

/// Reads what was asked as the head of a request, and its body.
fn read(asked: ExplainRouteRequest, config: &Config) -> Result<(Parts, Bytes), Status> {
    let wrong = |message: String| Fault::client().on(Status::invalid_argument(message));
    let (mut parts, ()) = http::Request::new(()).into_parts();
    // Where it would come from is not asked: from this machine, as `x-forwarded-for` can change where a proxy is trusted.
    parts.extensions.insert(Peer::at(([127, 0, 0, 1], 0).into()));
    for (name, value) in &asked.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(format!("{name:?} is not the name of a header")))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| wrong(format!("{value:?} is not a value of header {name}")))?;
        parts.headers.insert(name, value);
    }
    let grpc = !matches!(classify(&Request::from_parts(parts.clone(), Body::empty())), Protocol::Rest);
    parts.method = match asked.method.as_str() {
        "" if grpc => Method::POST,
        "" => Method::GET,
        name => Method::from_bytes(name.as_bytes())
            .map_err(|_| wrong(format!("{name:?} is not an HTTP method")))?,
    };
    if !asked.path.starts_with('/') && asked.path != "*" {
        return Err(wrong(format!("the path {:?} does not begin with /", asked.path)));
    }
    parts.uri = asked
        .path
        .parse::<Uri>()
        .map_err(|error| wrong(format!("{:?} is not a path with a query: {error}", asked.path)))?;
    if matches!(classify(&Request::from_parts(parts.clone(), Body::empty())), Protocol::Grpc) {
        parts.version = Version::HTTP_2;
    }
    if parts.version < Version::HTTP_2
        && !parts.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::try_from(config.listen.to_string())
    {
        // Over HTTP/1.1 a client always sends one, and a page's origin is held against it.
        parts.headers.insert(header::HOST, host);
    }
    let body = if grpc { Bytes::new() } else { Bytes::from(asked.body) };
    if !body.is_empty() {
        parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    Ok((parts, body))
}
