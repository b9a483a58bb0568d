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
mod profile;
mod request;
mod stream;
mod websocket;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tonic::Status;

use self::{
    accept::{Content, Form},
    answer::Target as Asked,
    content::Coding,
    elements::Layout,
    endpoint::{HeadFields, Input},
    error::Origin,
    request::Unread,
};
pub use self::{
    answer::RestAnswer,
    endpoint::Endpoint,
    profile::{ErrorField, ErrorValue, Profile},
    websocket::wanted as is_socket,
};
use super::{Answer as _, Protocol, Request, Response, Surface, metadata, peer, timeout};
use crate::{
    call::{Body, Call, Caller, Guards, Message, Pending, Road, Target},
    route::{
        Destination, Route, Rpc, RpcTable,
        router::{Miss, Router, Settings},
    },
    schema::Binding,
    status::{Fault, Refusal, refuse},
    transcode::{JsonInput, JsonStyle, Tables},
};

/// The REST surface over the bindings of one snapshot.
#[derive(Debug)]
pub struct Rest {
    router: Router<Arc<Endpoint>>,
    /// Every gRPC method there is, to tell who asks for one that has no binding.
    methods: Arc<RpcTable>,
}

/// Collects the bindings of a snapshot.
#[derive(Debug)]
pub struct RestBuilder {
    router: Router<Arc<Endpoint>>,
}

impl RestBuilder {
    /// No bindings yet; `settings` say how paths are read.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { router: Router::new(settings) }
    }

    /// Adds one binding: `tables` are those of its schema, `style` and `input` its service's settings.
    ///
    /// # Errors
    /// A binding that matches the same requests (both are named), or one that does not fit its tables.
    pub fn add(
        &mut self,
        binding: Binding,
        route: Arc<Route>,
        tables: Arc<Tables>,
        style: JsonStyle,
        input: JsonInput,
    ) -> Result<(), String> {
        let (verb, template) = (binding.verb.clone(), Arc::clone(&binding.template));
        let label = binding.method.full_name.to_string();
        let endpoint = Endpoint::compile(binding, route, tables, style, input)?;
        self.router
            .insert(&verb, &template, label, Arc::new(endpoint))
            .map_err(|conflict| conflict.to_string())
    }

    /// The surface over what was added. `methods` are all that gRPC serves, with a binding or without.
    #[must_use]
    pub fn build(self, methods: Arc<RpcTable>) -> Rest {
        Rest { router: self.router, methods }
    }
}

impl Rest {
    /// Every binding that is served, in the order in which they were added.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.router.values().map(|endpoint| &**endpoint)
    }

    /// Serves one request down the whole road; a WebSocket is admitted, upgraded, and only then dispatched.
    pub async fn serve<R: Road + 'static>(&self, road: &Arc<R>, request: Request) -> Response {
        if websocket::wanted(&request)
            && let Some((endpoint, head)) = self.socket_endpoint(request.uri())
        {
            return websocket::serve(endpoint, head, road, request).await;
        }
        let (answer, call) = self.open(request).await;
        let (mut call, (endpoint, form)) = match (call, answer.eager()) {
            (Ok(call), Some(eager)) => (call, eager),
            (Ok(call), None) => return answer.close(road.run(call).await).await,
            (Err(status), _) => return answer.close(Err(status)).await,
        };
        if let Err(status) = road.admit(&mut call).await {
            return answer.close(Err(status)).await;
        }
        let road = Arc::clone(road);
        let opening = Box::pin(async move { road.dispatch(call).await });
        match stream::begin(endpoint, form, opening, answer.origin.head).await {
            Ok(response) => response,
            Err(status) => answer.close(Err(status)).await,
        }
    }

    /// The streaming method that a WebSocket at this path talks to, whatever verb its binding has.
    fn socket_endpoint(&self, uri: &Uri) -> Option<(Arc<Endpoint>, HeadFields)> {
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].iter().find_map(|verb| {
            let found = self.router.find(verb, uri.path()).ok()?;
            found.value.streaming().then(|| (Arc::clone(found.value), head_fields(found.captures, uri)))
        })
    }

    /// Finds what a request asks for, by its head alone.
    fn look_up(&self, method: &Method, uri: &Uri) -> Result<(Arc<Endpoint>, HeadFields), Status> {
        let path = uri.path();
        let miss = match self.router.find(method, path) {
            Ok(found) => return Ok((Arc::clone(found.value), head_fields(found.captures, uri))),
            Err(miss) => miss,
        };
        Err(match miss {
            Miss::NotFound { nearest } => {
                if let Some(why) = self.only_grpc(path) {
                    let message = format!("there is no {method} {path} over REST: {why}");
                    return Err(Fault::client().on(Status::not_found(message)));
                }
                let nearest = nearest.map(|nearest| format!("; the nearest is {nearest}")).unwrap_or_default();
                Fault::client().on(Status::not_found(format!("there is no {method} {path}{nearest}")))
            }
            Miss::WrongVerb { mut allow } => {
                let message = format!("{path} has no {method}; it has {}", allow.join(", "));
                allow.push("OPTIONS".to_owned());
                let allow = allow.iter().filter_map(|name| Method::from_bytes(name.as_bytes()).ok()).collect();
                refuse(Refusal::MethodNotAllowed { allow }, message)
            }
            Miss::BadEscape { segment } => Fault::client().on(Status::invalid_argument(format!(
                "the path segment {segment:?} has a bad percent-escape: % and two hexadecimal digits that make UTF-8"
            ))),
            Miss::Redirect(mut location) => {
                if let Some(query) = uri.query() {
                    location.push('?');
                    location.push_str(query);
                }
                refuse(Refusal::Redirect { location }, "this path has no slash at its end")
            }
        })
    }

    /// Why a path that gRPC serves has no REST binding; `None` for any other path.
    fn only_grpc(&self, path: &str) -> Option<String> {
        match self.methods.find(path) {
            Ok(Rpc { method: Some(_), route }) => {
                // The gateway's own methods have no other paths, whatever the setting.
                let setting = match route.destination {
                    Destination::Local => "",
                    Destination::Upstream(_) => ", and this one with `method_paths = true` under [rest]",
                };
                Some(format!(
                    "the method is served as gRPC and gRPC-Web; over REST it has the paths of its google.api.http \
                     annotations{setting}"
                ))
            }
            Ok(Rpc { method: None, .. }) => {
                let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
                // A route of every service (`*`) would take any path of two segments for a method's.
                service.contains('.').then(|| {
                    format!(
                        "the schema of {service} is not known here, so it is served as gRPC and gRPC-Web only"
                    )
                })
            }
            Err(_) => None,
        }
    }

    /// OPTIONS without a binding of its own: 204 with what the path allows.
    fn options(&self, uri: &Uri) -> Option<Response> {
        let path = uri.path();
        let mut allow = if path == "*" { vec!["GET".to_owned()] } else { self.router.allow(path) };
        if allow.is_empty() {
            return None;
        }
        allow.push("OPTIONS".to_owned());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(header::ALLOW, HeaderValue::try_from(allow.join(", ")).ok()?);
        Some(response)
    }
}

impl Surface for Rest {
    type Answer = RestAnswer;

    async fn open(&self, request: Request) -> (RestAnswer, Result<Call, Status>) {
        let (mut parts, body) = request.into_parts();
        let request_id = parts.headers.get("x-request-id").cloned();
        let mut origin = Origin { request_id, head: parts.method == Method::HEAD, tables: None };
        let (endpoint, head) = match self.look_up(&parts.method, &parts.uri) {
            Ok(found) => found,
            Err(_) if is_connect(&parts.headers) && self.methods.find(parts.uri.path()).is_ok() => {
                return (RestAnswer { origin, target: Asked::Nothing }, Err(no_connect()));
            }
            Err(status) => {
                let ready = (parts.method == Method::OPTIONS).then(|| self.options(&parts.uri)).flatten();
                let target = ready.map_or(Asked::Nothing, |response| Asked::Ready(Box::new(response)));
                return (RestAnswer { origin, target }, Err(status));
            }
        };
        origin.tables = Some(Arc::clone(&endpoint.tables));
        let opened = negotiate(&endpoint, &parts.headers, &body);
        let (form, layout, coding) = match opened {
            Ok(opened) => opened,
            Err(status) => return (RestAnswer { origin, target: Asked::Nothing }, Err(status)),
        };
        let accept_encoding = parts.headers.get(header::ACCEPT_ENCODING).cloned();
        let target = Asked::Endpoint { endpoint: Arc::clone(&endpoint), form, accept_encoding };
        let answer = RestAnswer { origin, target };
        let content_type = match endpoint.request() {
            Input::Raw => text(&parts.headers, header::CONTENT_TYPE),
            Input::None | Input::Json => String::new(),
        };
        let peer = peer(&parts.extensions);
        let call = call_head(std::mem::take(&mut parts.headers)).map(|(timeout, metadata)| {
            let method = Arc::clone(endpoint.method());
            let route = Arc::clone(&endpoint.route);
            let unread = Unread { endpoint, head, body, coding, layout, content_type };
            Call {
                route,
                target: Target::Rpc { path: method.path.clone(), method: Some(method) },
                metadata,
                message: Message::Pending(Pending::new(move || unread.frames())),
                peer,
                timeout,
                deadline: None,
                caller: Caller::default(),
                guards: Guards::default(),
            }
        });
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

/// The timeout and the metadata of a request.
fn call_head(headers: HeaderMap) -> Result<(Option<Duration>, HeaderMap), Status> {
    let timeout = timeout::of_rest(&headers)?;
    Ok((timeout, metadata::of_request(headers, Protocol::Rest)?))
}

fn head_fields(captures: Vec<Cow<'_, str>>, uri: &Uri) -> HeadFields {
    let captures = captures.into_iter().map(|capture| Cow::Owned(capture.into_owned())).collect();
    HeadFields { captures, query: uri.query().map(Into::into) }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
