//! REST: a request's verb and path find a binding, its head becomes a call whose body is read and transcoded only once
//! the call is admitted, and the outcome is written as JSON in the form the client accepts.
//!
//! ```text
//!  request ──open──▶ router ▸ Accept ▸ Content-Type ▸ timeout ▸ metadata ──▶ Call (its message pending)
//!  response ◀─close── one JSON value | stream of JSON | raw bytes | error body
//! ```
//! Specification: google/api/http.proto and httpbody.proto; RFC 9110 for what is HTTP's own.

mod accept;
mod answer;
mod content;
pub mod elements;
mod endpoint;
mod error;
mod explain;
pub mod health_body;
mod paths;
mod profile;
mod request;
mod serve;
mod stream;
mod websocket;

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderName, Method, Uri, header, request::Parts};
use tonic::Status;

pub(super) use self::{
    accept::ranges,
    answer::outcome,
    content::Coding,
    error::{invalid, terminal},
    request::whole,
};
use self::{
    accept::{Content, Form},
    answer::Target as Wanted,
    elements::Layout,
    endpoint::Input,
    error::{Errors, Origin},
    paths::{Entry, Found, Paths},
    request::Unread,
};
pub use self::{
    accept::{accepts_gzip, prefers_html},
    answer::{Kept, RestAnswer, encode},
    endpoint::{Endpoint, Format},
    error::headers as error_headers,
    explain::Explained,
    profile::{ErrorField, ErrorValue, Profile},
    request::read,
    websocket::wanted as is_socket,
};
use super::{
    Protocol, Request, Response, Surface,
    handshake::Handshake,
    http::{self, HttpEndpoint},
    metadata, peer, timeout,
};
use crate::{
    call::{Body, Call, Caller, Guards, Message, Pending, Record},
    route::{
        Asked, Binding as Counted, Conditions, Hosts, Route, Routes, RpcTable, Weighted,
        router::{Conflict, Router, Settings},
    },
    schema::{Binding, Template, Verb},
    status::{Refusal, refuse},
    transcode::Tables,
};

/// The REST surface over the bindings of one snapshot, and over what answers HTTP itself.
#[derive(Debug)]
pub struct Rest {
    paths: Paths,
    /// Of what finds nothing among the paths.
    nothing: Arc<Route>,
    /// How failures are written that are no method's.
    errors: Arc<Errors>,
}

/// Collects the bindings of a snapshot.
#[derive(Debug)]
pub struct RestBuilder {
    router: Hosts<Entry>,
    pages: Router<()>,
    profile: Arc<Profile>,
    /// How failures are written, by the tables of a schema.
    errors: Vec<(Arc<Tables>, Arc<Errors>)>,
}

impl RestBuilder {
    /// No bindings yet; `settings` say how paths are read, `profile` how failures look.
    #[must_use]
    pub fn new(settings: Settings, profile: Arc<Profile>) -> Self {
        Self { router: Hosts::new(settings), pages: Router::new(settings), profile, errors: Vec::new() }
    }

    /// Adds one binding, for each of the method's routes.
    ///
    /// # Errors
    /// A binding that matches the same requests (both are named), or one that does not fit its tables.
    pub fn add(&mut self, binding: &Binding, routes: &Routes, format: &Format) -> Result<(), String> {
        let errors = self.errors(&format.tables);
        let (always, none) = (routes.always().into_iter(), Conditions::default());
        let all = routes.when().iter().map(|(conditions, routes)| (&**conditions, routes));
        for (conditions, routes) in always.map(|routes| (&none, routes)).chain(all) {
            let endpoint = routes.try_map(|route| {
                Endpoint::compile(binding.clone(), Arc::clone(route), format.clone(), Arc::clone(&errors))
            })?;
            let entry = Entry::Method { endpoint, always: conditions.is_empty() };
            self.router
                .insert(conditions, &binding.verb, &binding.template, &binding.method.full_name, entry)
                .map_err(|conflict| conflict.to_string())?;
        }
        Ok(())
    }

    /// Adds what answers HTTP itself; `label` names it where another matches the same requests.
    ///
    /// # Errors
    /// What matches the same requests.
    pub fn add_http(
        &mut self,
        conditions: &Conditions,
        verb: &Verb,
        template: &Template,
        label: &str,
        routes: &Weighted<Route>,
    ) -> Result<(), Conflict> {
        let Ok(endpoint) =
            routes.try_map(|route| Ok::<_, Infallible>(HttpEndpoint::new(Arc::clone(route), template)));
        self.router.insert(conditions, verb, template, label, Entry::Http(endpoint))
    }

    /// Adds the path of a page that the gateway answers before it looks here: it is told where it is nearest.
    pub fn add_page(&mut self, path: &str) {
        if let Ok(template) = Template::parse(path) {
            // Two pages in one place are told of elsewhere.
            let _ = self.pages.insert(&Verb::Get, &template, "the gateway's own page", ());
        }
    }

    /// Every path template that was added.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.router.templates().map(Template::as_str)
    }

    /// What was added with this template, or with one that differs in its variables' names alone: verb, label and route.
    pub fn at(&self, template: &Template) -> impl Iterator<Item = (&Verb, &str, &Arc<Route>)> {
        self.router.at(template).map(|(verb, label, entry)| (verb, label, entry.route()))
    }

    /// The surface over what was added. `methods` are all that gRPC serves, with a binding or without; `nothing` is the
    /// route of what has none.
    #[must_use]
    pub fn build(self, methods: Arc<RpcTable>, nothing: Arc<Route>) -> Rest {
        let errors = Arc::new(Errors::new(&self.profile, None));
        Rest { paths: Paths { router: self.router, pages: self.pages, methods }, nothing, errors }
    }

    fn errors(&mut self, tables: &Arc<Tables>) -> Arc<Errors> {
        if let Some((_, errors)) = self.errors.iter().find(|(known, _)| Arc::ptr_eq(known, tables)) {
            return Arc::clone(errors);
        }
        let errors = Arc::new(Errors::new(&self.profile, Some(Arc::clone(tables))));
        self.errors.push((Arc::clone(tables), Arc::clone(&errors)));
        errors
    }
}

impl Rest {
    /// Every binding that is served, in the order in which they were added.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.paths.router.values().filter_map(|entry| match entry {
            Entry::Method { endpoint, always: true } => Some(&**endpoint.first()),
            Entry::Method { .. } | Entry::Http(_) => None,
        })
    }

    /// True where a request can find a binding: some path of its template is no other's first.
    #[must_use]
    pub fn reaches(&self, endpoint: &Endpoint) -> bool {
        let binding = endpoint.binding();
        let Ok(method) = Method::from_bytes(binding.verb.as_str().as_bytes()) else { return true };
        // `*` takes what no other verb does: which that is, no one path shows.
        binding.verb == Verb::Any
            || (0..=3).any(|rest| {
                let path = binding.template.sample(rest);
                let found = self.paths.router.get(&method, &path, &Asked::default());
                matches!(found, Some(Entry::Method { endpoint: found, .. }) if std::ptr::eq(&**found.first(), endpoint))
            })
    }

    /// The routes that no method stands behind.
    pub fn answers(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.paths.router.values().filter_map(|entry| match entry {
            Entry::Method { .. } => None,
            Entry::Http(endpoint) => Some(&endpoint.first().route),
        })
    }

    /// The answer to a request that is refused before it is opened.
    #[must_use]
    pub fn refuse(&self, mut head: Parts, status: &Status) -> Response {
        error::response(status, &Origin::take(&mut head, &self.errors))
    }

    /// The route that a request will meet, by its verb, its path and what else is known of it.
    #[must_use]
    pub fn route_of(&self, method: &Method, uri: &Uri, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.paths.route(method, uri.path(), asked)
    }

    /// What a request is counted by that meets this route.
    #[must_use]
    pub fn counted_of(
        &self,
        route: &Arc<Route>,
        method: &Method,
        uri: &Uri,
        asked: &Asked<'_>,
    ) -> Option<&Arc<Counted>> {
        self.paths.counted(route, method, uri.path(), asked)
    }

    /// The route of the method that a WebSocket at this path talks to.
    #[must_use]
    pub fn socket_route_of(&self, uri: &Uri, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.paths.socket_route(uri, asked)
    }
}

impl Surface for Rest {
    type Answer = RestAnswer;

    async fn open(&self, request: Request) -> (RestAnswer, Call) {
        self.opened(request)
    }
}

impl Rest {
    fn opened(&self, request: Request) -> (RestAnswer, Call) {
        let (mut parts, body) = request.into_parts();
        let found = self.paths.look_up(&parts.method, &parts.uri, &parts.headers);
        let (endpoint, head) = match found {
            Ok(Found::Method(endpoint, head)) => (endpoint, head),
            Ok(Found::Http(endpoint, captures)) => {
                let (method, uri) = (parts.method.clone(), parts.uri.clone());
                let origin = Origin::take(&mut parts, &self.errors);
                (parts.method, parts.uri) = (method, uri);
                let target = match parts.extensions.get::<Handshake>() {
                    Some(handshake) => Wanted::Socket(handshake.clone()),
                    None => Wanted::Http,
                };
                return (RestAnswer { origin, target }, endpoint.open(parts, body, captures));
            }
            Err(status) => {
                let connect = is_connect(&parts.headers) && self.paths.has_method(parts.uri.path());
                let options = parts.method == Method::OPTIONS && !connect;
                let ready = options.then(|| self.paths.options(&parts.uri, &parts.headers)).flatten();
                let origin = Origin::take(&mut parts, &self.errors);
                let (target, outcome) = match ready {
                    Some(reply) => (Wanted::Http, Ok(reply)),
                    None => (Wanted::Nothing, Err(if connect { no_connect() } else { status })),
                };
                let (method, uri) = (origin.method.clone(), origin.uri.clone());
                let call = http::settled(&self.nothing, method, uri, parts, outcome);
                return (RestAnswer { origin, target }, call);
            }
        };
        let origin = Origin::take(&mut parts, &endpoint.errors);
        if let Some(record) = &origin.record {
            record.bound(&endpoint.counted);
        }
        let opened = negotiate(&endpoint, &parts.headers, &body);
        let (form, layout, coding) = match opened {
            Ok(opened) => opened,
            Err(status) => {
                let (metadata, _) = metadata::of_request(parts.headers, Protocol::Rest);
                let (peer, record) = (peer(&parts.extensions), Record::of(&parts.extensions));
                let call =
                    Call::settled(&endpoint.route, endpoint.rpc(), metadata, peer, record, Err(status));
                return (RestAnswer { origin, target: Wanted::Nothing }, call);
            }
        };
        let target = Wanted::Endpoint { endpoint: Arc::clone(&endpoint), form };
        let answer = RestAnswer { origin, target };
        let content_type = match endpoint.request() {
            Input::Raw => text(&parts.headers, header::CONTENT_TYPE),
            Input::None | Input::Json => String::new(),
        };
        let (peer, record) = (peer(&parts.extensions), Record::of(&parts.extensions));
        let (route, rpc) = (Arc::clone(&endpoint.route), endpoint.rpc());
        let (metadata, timeout) = call_head(std::mem::take(&mut parts.headers));
        let timeout = match timeout {
            Ok(timeout) => timeout,
            Err(status) => return (answer, Call::settled(&route, rpc, metadata, peer, record, Err(status))),
        };
        let unread = Unread { endpoint, head, body, coding, layout, content_type };
        let call = Call {
            route,
            target: rpc,
            metadata,
            message: Message::Pending(Pending::new(move || unread.frames())),
            peer,
            timeout,
            deadline: None,
            caller: Caller::default(),
            guards: Guards::default(),
            record,
        };
        (answer, call)
    }
}

/// What the headers say of both bodies: the form of the reply, how the request's elements stand, its coding.
fn negotiate(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: &Body,
) -> Result<(Form, Layout, Option<Coding>), Status> {
    if is_connect(headers) {
        return Err(no_connect());
    }
    let streaming = endpoint.method().server_streaming;
    let form = match accept::form(headers, streaming) {
        Some(form) => form,
        // What type an HttpBody has is only known when it comes.
        None if endpoint.replies_raw() => Form::Json,
        None => {
            let offered = if streaming {
                "application/json, application/x-ndjson or text/event-stream"
            } else {
                "application/json"
            };
            let accept = text(headers, header::ACCEPT);
            let message = format!("accept {accept:?} excludes all there is: {offered}");
            return Err(refuse(Refusal::NotAcceptable, message));
        }
    };
    if endpoint.request() == Input::None {
        return Ok((form, Layout::Lines, None));
    }
    let client_streaming = endpoint.method().client_streaming;
    let layout = match (accept::content(headers), endpoint.request()) {
        // Any page may send a body of no type to any address, without asking first; of this type it may not.
        (Content::Missing, _)
            if headers.contains_key(header::ORIGIN) && !http_body::Body::is_end_stream(body) =>
        {
            let message = "a page's request says what its body is: content-type application/json";
            return Err(refuse(Refusal::UnsupportedMediaType, message));
        }
        (_, Input::Raw) | (Content::Missing, _) => Layout::Either,
        (Content::Json, _) => Layout::Array,
        (Content::Lines, _) if client_streaming => Layout::Lines,
        // Without a body there is nothing of the wrong type.
        (Content::Lines | Content::Other, _) if http_body::Body::is_end_stream(body) => Layout::Either,
        (Content::Lines | Content::Other, _) => {
            let content_type = text(headers, header::CONTENT_TYPE);
            let wanted = if client_streaming {
                "application/json or application/x-ndjson"
            } else {
                "application/json"
            };
            let message = format!("content-type {content_type:?} is not understood here: {wanted} is");
            return Err(refuse(Refusal::UnsupportedMediaType, message));
        }
    };
    Ok((form, layout, Coding::of_request(headers)?))
}

fn is_connect(headers: &HeaderMap) -> bool {
    headers.contains_key("connect-protocol-version")
}

fn no_connect() -> Status {
    let message = "the Connect protocol is not spoken here: send JSON without Connect-Protocol-Version, gRPC or gRPC-Web";
    refuse(Refusal::UnsupportedMediaType, message)
}

/// The metadata of a request and its timeout, or what is wrong with either.
fn call_head(headers: HeaderMap) -> (HeaderMap, Result<Option<Duration>, Status>) {
    let timeout = timeout::of_rest(&headers);
    let (metadata, clean) = metadata::of_request(headers, Protocol::Rest);
    (metadata, timeout.and_then(|timeout| clean.map(|()| timeout)))
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
