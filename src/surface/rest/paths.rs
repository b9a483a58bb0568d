//! Where a verb and a path lead: to a binding of a method, or to what answers HTTP itself. One router holds both, so that
//! the more exact template wins whichever it is of; and what it does not hold is told with what is near.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts};
use tonic::Status;

use super::endpoint::{Endpoint, HeadFields};
use crate::{
    call::{Body, Guards, HttpStatus, Reply},
    route::{
        Asked, Binding, Destination, Hosts, Proxy, Route, RpcTable, Weighted, path,
        router::{Miss, Near, Router},
    },
    status::{Fault, Refusal, refuse, shown},
    surface::{Request, handshake::Handshake, http::HttpEndpoint},
};

/// What a path template is of; where it leads to several upstreams, each by its weight.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// `always`: it is the binding's own, not that of a rule for some of its requests.
    Method {
        endpoint: Weighted<Endpoint>,
        always: bool,
    },
    Http(Weighted<HttpEndpoint>),
}

impl Entry {
    /// Its route; of several, the first.
    pub(super) fn route(&self) -> &Arc<Route> {
        match self {
            Self::Method { endpoint, .. } => &endpoint.first().route,
            Self::Http(endpoint) => &endpoint.first().route,
        }
    }

    /// What its requests are counted by.
    fn counted(&self) -> &Arc<Binding> {
        match self {
            Self::Method { endpoint, .. } => &endpoint.first().counted,
            Self::Http(endpoint) => &endpoint.first().counted,
        }
    }
}

/// The verbs whose bindings a WebSocket may talk to, in the order in which they are looked for.
const SOCKET_VERBS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// What a request asks for, and what its head says of it.
pub(super) enum Found {
    Method(Arc<Endpoint>, HeadFields),
    Http(Arc<HttpEndpoint>, Vec<String>),
}

/// What a WebSocket talks to.
pub(super) enum Socket {
    Method(Arc<Endpoint>, HeadFields),
    /// It is the upstream's to say whether it speaks WebSocket.
    Upstream,
    Nothing,
}

/// Every path that is served.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) router: Hosts<Entry>,
    /// The paths of the gateway's own pages, which are answered before a request comes here.
    pub(super) pages: Router<()>,
    /// Every gRPC method there is, to tell who asks for one that has no binding.
    pub(super) methods: Arc<RpcTable>,
}

impl Paths {
    /// Finds what a request asks for, by its head alone.
    pub(super) fn look_up(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Found, Status> {
        let (path, known) = (uri.path(), Asked::of(uri, headers));
        let miss = match self.router.find(method, path, &known) {
            Ok(found) => match found.value {
                Entry::Method { endpoint, .. } => {
                    let endpoint = Arc::clone(endpoint.pick());
                    return Ok(Found::Method(endpoint, head_fields(found.captures, uri)));
                }
                // A tunnel goes to a host, not to a path.
                Entry::Http(_) if *method == Method::CONNECT => {
                    Miss::WrongVerb { allow: self.router.allow(path, &known) }
                }
                Entry::Http(endpoint) => {
                    let endpoint = Arc::clone(endpoint.pick());
                    if let Destination::Proxy(proxy) = &endpoint.route.destination {
                        self.one_reading(proxy, method, path, &known, found.value)?;
                    }
                    let captures = found.captures.into_iter().map(Cow::into_owned).collect();
                    return Ok(Found::Http(endpoint, captures));
                }
            },
            Err(miss) => miss,
        };
        Err(match miss {
            Miss::NotFound => {
                let asked = shown(path);
                if let Some(why) = self.only_grpc(path) {
                    let message = format!("there is no {method} {asked} over REST: {why}");
                    return Err(Fault::client().on(Status::not_found(message)));
                }
                // The first of what an explanation lists.
                let nearest = self.near_to(method, path, &known, 1).into_iter().next();
                let nearest = nearest.map(|near| format!("; the nearest is {} {}", near.verb, near.template));
                let nearest = nearest.unwrap_or_default();
                Fault::client().on(Status::not_found(format!("there is no {method} {asked}{nearest}")))
            }
            Miss::WrongVerb { mut allow } => {
                let message = format!("{} has no {method}; it has {}", shown(path), allow.join(", "));
                allow.push("OPTIONS".to_owned());
                let allow = allow.iter().filter_map(|name| Method::from_bytes(name.as_bytes()).ok()).collect();
                refuse(Refusal::MethodNotAllowed { allow }, message)
            }
            Miss::BadEscape { segment } => Fault::client().on(Status::invalid_argument(format!(
                "the path segment {:?} has a bad percent-escape: % and two hexadecimal digits that make UTF-8",
                shown(&segment)
            ))),
            Miss::Redirect(path) => {
                let mut location = on_this_host(&path);
                if let Some(query) = uri.query() {
                    location.push('?');
                    location.push_str(query);
                }
                refuse(Refusal::Redirect { location }, "this path has no slash at its end")
            }
        })
    }

    /// Refuses a path that goes on to an upstream and could be read there in another way than it was matched here.
    fn one_reading(
        &self,
        proxy: &Proxy,
        method: &Method,
        path: &str,
        asked: &Asked<'_>,
        found: &Entry,
    ) -> Result<(), Status> {
        let refused = |why: String| Fault::client().on(Status::invalid_argument(why));
        path::sendable(path, proxy.escaped_slashes).map_err(refused)?;
        let Some(other) = path::other_reading(path) else { return Ok(()) };
        let same = self.router.get(method, &other, asked).is_some_and(|entry| std::ptr::eq(entry, found));
        if same {
            return Ok(());
        }
        Err(refused(format!("the path could be read as {}, which is another route's", shown(&other))))
    }

    /// At most `most` templates and pages near to a request that nothing matches, the nearest first, those of other hosts
    /// among them: for whoever may ask that.
    pub(super) fn near(&self, parts: &Parts, most: usize) -> Vec<Near> {
        let Parts { method, uri, headers, .. } = parts;
        let asked = Asked::of(uri, headers);
        let mut near = self.near_to(method, uri.path(), &asked, most);
        near.extend(self.router.near_elsewhere(method, uri.path(), &asked, most));
        near.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        near.truncate(most);
        near
    }

    fn near_to(&self, method: &Method, path: &str, asked: &Asked<'_>, most: usize) -> Vec<Near> {
        let mut near = self.router.near(method, path, asked, most);
        near.extend(self.pages.near(method, path, most));
        near.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        near.truncate(most);
        near
    }

    /// What the WebSocket that a request asks for talks to; one over HTTP/2 that is an upstream's becomes the handshake of
    /// HTTP/1.1.
    ///
    /// # Errors
    /// As [`Paths::socket`].
    pub(super) fn talks_to(&self, request: &mut Request) -> Result<Socket, Status> {
        let found = self.socket(request.uri(), request.headers())?;
        if matches!(found, Socket::Upstream) && request.version() == Version::HTTP_2 {
            Handshake::begin(request)?;
        }
        Ok(found)
    }

    /// What a WebSocket at this path talks to: a streaming method, whatever verb its binding has, or an upstream.
    ///
    /// # Errors
    /// INVALID_ARGUMENT where the path answers HTTP alone.
    pub(super) fn socket(&self, uri: &Uri, headers: &HeaderMap) -> Result<Socket, Status> {
        let (mut http, asked) = (false, Asked::of(uri, headers));
        for verb in SOCKET_VERBS {
            let Ok(found) = self.router.find(&verb, uri.path(), &asked) else { continue };
            match found.value {
                Entry::Method { endpoint, .. } if endpoint.first().streaming() => {
                    return Ok(Socket::Method(Arc::clone(endpoint.pick()), head_fields(found.captures, uri)));
                }
                Entry::Method { .. } => {}
                // It is the upstream's to say whether it speaks WebSocket.
                Entry::Http(endpoint) if endpoint.first().is_proxied() => return Ok(Socket::Upstream),
                Entry::Http(_) => http = true,
            }
        }
        if !http {
            return Ok(Socket::Nothing);
        }
        let message = format!("{} answers HTTP requests alone: there is no WebSocket here", uri.path());
        Err(Fault::client().on(Status::invalid_argument(message)))
    }

    /// The route of what a WebSocket at this path talks to.
    pub(super) fn socket_route(&self, uri: &Uri, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        let mut entries = SOCKET_VERBS.iter().filter_map(|verb| self.router.get(verb, uri.path(), asked));
        let talks = |entry: &&Entry| match entry {
            Entry::Method { endpoint, .. } => endpoint.first().streaming(),
            Entry::Http(endpoint) => endpoint.first().is_proxied(),
        };
        entries.find(talks).map(Entry::route)
    }

    /// The route of a request by its verb, its path, and what else is known of it.
    pub(super) fn route(&self, method: &Method, path: &str, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.router.get(method, path, asked).map(Entry::route)
    }

    /// What is counted of a request by its verb, its path, and what else is known of it, where it meets this route.
    pub(super) fn counted(
        &self,
        route: &Arc<Route>,
        method: &Method,
        path: &str,
        asked: &Asked<'_>,
    ) -> Option<&Arc<Binding>> {
        let entry = self.router.get(method, path, asked)?;
        Arc::ptr_eq(entry.route(), route).then(|| entry.counted())
    }

    /// Whether gRPC serves a path.
    pub(super) fn has_method(&self, path: &str) -> bool {
        self.methods.known(path).is_some()
    }

    /// Why a path that gRPC serves has no REST binding; `None` for any other path.
    fn only_grpc(&self, path: &str) -> Option<String> {
        let (routes, method) = self.methods.known(path)?;
        if method.is_some() {
            // The gateway's own methods have no other paths, whatever the setting.
            let setting = match routes.first()?.destination {
                Destination::Upstream(_) => ", and this one with `method_paths = true` under [rest]",
                Destination::Local
                | Destination::Respond(_)
                | Destination::Redirect(_)
                | Destination::Proxy(_)
                | Destination::McpServer(_)
                | Destination::Page
                | Destination::Nothing => "",
            };
            return Some(format!(
                "the method is served as gRPC and gRPC-Web; over REST it has the paths of its google.api.http \
                 annotations{setting}"
            ));
        }
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        // A route of every service (`*`) would take any path of two segments for a method's.
        service.contains('.').then(|| {
            format!("the schema of {service} is not known here, so it is served as gRPC and gRPC-Web only")
        })
    }

    /// OPTIONS without a binding of its own: 204 with what the path allows.
    pub(super) fn options(&self, uri: &Uri, headers: &HeaderMap) -> Option<Reply> {
        let (path, asked) = (uri.path(), Asked::of(uri, headers));
        let mut allow = if path == "*" { vec!["GET".to_owned()] } else { self.router.allow(path, &asked) };
        if allow.is_empty() {
            return None;
        }
        allow.push("OPTIONS".to_owned());
        let allow = HeaderValue::try_from(allow.join(", ")).ok()?;
        Some(Reply {
            metadata: HeaderMap::from_iter([(header::ALLOW, allow)]),
            body: Body::empty(),
            http_status: Some(HttpStatus(StatusCode::NO_CONTENT)),
            attempts: 0,
            guards: Guards::default(),
        })
    }
}

/// A path as a `Location`: what two slashes begin would be another host (and browsers read `\` as a slash).
fn on_this_host(path: &str) -> String {
    let path = path.replace('\\', "%5C");
    if path.starts_with("//") { format!("/.{path}") } else { path }
}

fn head_fields(captures: Vec<Cow<'_, str>>, uri: &Uri) -> HeadFields {
    let captures = captures.into_iter().map(|capture| Cow::Owned(capture.into_owned())).collect();
    HeadFields { captures, query: uri.query().map(Into::into) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_stays_on_this_host() {
        let check = |path: &str, want: &str| assert_eq!(on_this_host(path), want);
        check("/v1/books", "/v1/books");
        check("//evil.example/x", "/.//evil.example/x");
        check("/\\evil.example/x", "/%5Cevil.example/x");
    }
}
