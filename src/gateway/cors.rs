//! Which pages of other origins may call (the Fetch standard's CORS protocol), by the rules of the route that they call:
//! preflights are answered here, and what a page may read is said on every other response. OPTIONS that is no preflight is
//! a request like any other, and a route that allows no page is left to what an upstream says of itself.

use std::sync::Arc;

use axum::response::IntoResponse as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tonic::Status;

use crate::{
    call::{Peer, Record},
    route::{Asked as Asks, Binding, Cors, Origins, Route},
    snapshot::Snapshot,
    status::{self, Fault},
    surface::{Request, Response, rest::is_socket},
};

/// What a page that sends credentials may read of every response, beside the headers which that response has: those of
/// the gateway, and those that are not there until the end (gRPC-Web's status comes in the body where there is one).
/// Without credentials `*` says all of it.
const EXPOSED: &str = "grpc-status, grpc-message, grpc-status-details-bin, x-request-id, x-process-time, retry-after, \
    ratelimit, ratelimit-policy, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, www-authenticate, \
    mcp-session-id, mcp-protocol-version, location, link, etag, content-disposition, content-encoding";

/// The page that a request comes from, and the rules of the route that it calls.
pub(super) struct Page<'a> {
    cors: &'a Cors,
    /// That which is called, or asked for.
    route: Option<&'a Arc<Route>>,
    /// What a preflight is counted by.
    counted: Option<&'a Arc<Binding>>,
    origin: HeaderValue,
    /// It is a page of the gateway's own.
    own: bool,
    /// What a preflight asks for.
    asked: Option<Asked>,
}

struct Asked {
    method: HeaderValue,
    headers: Option<HeaderValue>,
    /// A public page asks for an address of a private network (Private Network Access).
    private_network: bool,
}

impl<'a> Page<'a> {
    /// `None` where no page sent the request (or a browser that does not say so: same-origin GETs).
    pub(super) fn of(snapshot: &'a Snapshot, request: &Request) -> Option<Self> {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN)?.clone();
        let preflight = request.method() == Method::OPTIONS;
        let asked =
            headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|_| preflight).map(|method| Asked {
                method: method.clone(),
                headers: headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
                private_network: headers.contains_key(PRIVATE_NETWORK_ASKED),
            });
        let own = is_own(&origin, headers, request.uri());
        let route = route(snapshot, request, asked.as_ref());
        let cors = route.and_then(|route| route.cors.as_deref()).unwrap_or(&snapshot.config.cors);
        let wanted = asked.as_ref().and_then(|asked| Method::from_bytes(asked.method.as_bytes()).ok());
        let counted = route.zip(wanted).and_then(|(route, method)| {
            let uri = request.uri();
            snapshot.rest.counted_of(route, &method, uri, &Asks::by_preflight(uri, headers))
        });
        Some(Self { cors, route, counted, origin, own, asked })
    }

    /// True for a preflight to a route that some page may call.
    pub(super) fn preflight(&self) -> bool {
        self.asked.is_some() && self.cors.origins != Origins::None
    }

    /// Writes down what a preflight asks for.
    pub(super) fn tell(&self, record: &Record) {
        if let Some(route) = self.route {
            record.asks_for(route);
        }
        if let Some(counted) = self.counted {
            record.bound(counted);
        }
    }

    /// The answer to a preflight, without what [`tell`] adds to every response.
    pub(super) fn preflight_answer(&self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        let vary = "access-control-request-method, access-control-request-headers";
        headers.append(header::VARY, HeaderValue::from_static(vary));
        let Some(asked) = self.asked.as_ref().filter(|_| self.allowed()) else { return response };
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed_methods(&asked.method));
        if let Some(names) = &asked.headers {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.cors.max_age.as_secs()));
        if asked.private_network {
            headers.insert(PRIVATE_NETWORK_ALLOWED, HeaderValue::from_static("true"));
        }
        response
    }

    /// Refuses a WebSocket of a foreign page: a browser asks nobody before it opens one, and lets the page read what
    /// comes, so only the server can.
    ///
    /// # Errors
    /// PERMISSION_DENIED naming the origin.
    pub(super) fn may_open_sockets(&self) -> Result<(), Status> {
        if self.own || self.allowed() {
            return Ok(());
        }
        let origin = &self.origin;
        Err(Fault::client().on(Status::permission_denied(format!(
            "pages of {origin:?} may not open WebSockets here: they are none of [cors] origins"
        ))))
    }

    /// Refuses tools to a foreign page: MCP has servers check the origin of every request, whatever the browser would show.
    fn may_use_tools(&self, own: bool) -> Result<(), Status> {
        if (self.own && own) || self.allowed() {
            return Ok(());
        }
        let origin = &self.origin;
        Err(Fault::client().on(Status::permission_denied(format!(
            "pages of {origin:?} may not use tools here: they are none of [cors] origins"
        ))))
    }

    fn allowed(&self) -> bool {
        match &self.cors.origins {
            Origins::None => false,
            Origins::Any => true,
            Origins::Loopback => is_loopback(&self.origin),
            Origins::Listed(origins) => origins.iter().any(|named| self.origin == named.as_str()),
        }
    }
}

/// Whether a request for tools may come from where it does: from no page, from one of the origins allowed, or from one of the
/// gateway's own; and not under a name that somebody else may have let lead to this machine.
///
/// # Errors
/// PERMISSION_DENIED naming the origin, or the host.
pub(super) fn may_use_tools(
    snapshot: &Snapshot,
    page: Option<&Page<'_>>,
    request: &Request,
) -> Result<(), Status> {
    // A host that the config names is the gateway's, wherever its name leads.
    let foreign = snapshot.config.hosts.is_empty()
        && request.extensions().get::<Peer>().is_some_and(|peer| peer.foreign_name);
    match page {
        Some(page) => page.may_use_tools(!foreign),
        None if foreign => {
            let host = Asks::of(request.uri(), request.headers()).host().unwrap_or_default().to_owned();
            Err(Fault::client().on(Status::permission_denied(format!(
                "a browser asks for {}, which is no name of this machine: [gateway] hosts says which are",
                status::shown(&host)
            ))))
        }
        None => Ok(()),
    }
}

/// Forgets the client's certificate where a page of elsewhere asks: its reader's browser shows the certificate whoever the
/// page is of, as it sends cookies. A page that may send these, by its rules, may call by the certificate too.
pub(super) fn forget_certificate(page: Option<&Page<'_>>, request: &mut Request) {
    let shown = |peer: &Peer| peer.certificate.is_some();
    if !request.extensions().get::<Peer>().is_some_and(shown) {
        return;
    }
    let may = match page {
        Some(page) => page.own || (page.allowed() && page.cors.credentials),
        // Of a GET or HEAD the browser does not say which page; whether one of elsewhere, or a link that was followed, it says.
        None => {
            let said = |name: &HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
            let elsewhere = matches!(said(&FETCH_SITE), Some(b"cross-site" | b"same-site"));
            !elsewhere || said(&FETCH_MODE) == Some(b"navigate")
        }
    };
    if !may && let Some(peer) = request.extensions_mut().get_mut::<Peer>() {
        peer.certificate = None;
    }
}

/// The route that is called; of a preflight, that which the request it asks for will call.
fn route<'a>(snapshot: &'a Snapshot, request: &Request, asked: Option<&Asked>) -> Option<&'a Arc<Route>> {
    let (uri, headers) = (request.uri(), request.headers());
    let known = Asks::of(uri, headers);
    match asked {
        Some(asked) => {
            let method = Method::from_bytes(asked.method.as_bytes()).ok()?;
            snapshot.route_of(&method, uri, &Asks::by_preflight(uri, headers), None)
        }
        None if is_socket(request) => snapshot.socket_route_of(uri, &known),
        None => snapshot.route_of(request.method(), uri, &known, Some(snapshot.protocol_of(request))),
    }
}

/// The methods that a page may use: what it asked for, and the usual ones. The rules are about origins, not about methods, and
/// a browser that knows of all need not ask again.
fn allowed_methods(asked: &HeaderValue) -> HeaderValue {
    const USUAL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    let usual = HeaderValue::from_static(USUAL);
    match asked.to_str() {
        Ok(method) if !USUAL.split(", ").any(|known| known == method) => {
            HeaderValue::try_from(format!("{USUAL}, {method}")).unwrap_or(usual)
        }
        _ => usual,
    }
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const PRIVATE_NETWORK_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
const PRIVATE_NETWORK_ALLOWED: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Says on a response what the page it goes to may read of it; `page` is `None` where no page asked, and a cache must
/// still know that one would be answered otherwise.
pub(super) fn tell(snapshot: &Snapshot, page: Option<&Page<'_>>, headers: &mut HeaderMap) {
    let Some(page) = page else {
        if snapshot.by_origin {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        return;
    };
    let cors = page.cors;
    if cors.origins == Origins::None {
        return;
    }
    // Whatever an upstream says of origins was not meant for this one.
    headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    let any = cors.origins == Origins::Any;
    if !any {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if !page.allowed() {
        return;
    }
    let origin = if any { HeaderValue::from_static("*") } else { page.origin.clone() };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if cors.credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if !page.preflight() {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed(cors, headers));
    }
}

/// What a page may read: everything. With credentials a `*` is a name like any other, so all names are said.
fn exposed(cors: &Cors, headers: &HeaderMap) -> HeaderValue {
    if !cors.credentials {
        return HeaderValue::from_static("*");
    }
    let mut names = EXPOSED.to_owned();
    let further = cors.expose.iter().map(String::as_str);
    let present = headers.keys().map(HeaderName::as_str).filter(|name| !name.starts_with("access-control-"));
    for name in further.chain(present) {
        if !names.split(", ").any(|known| known == name) {
            names.push_str(", ");
            names.push_str(name);
        }
    }
    HeaderValue::try_from(names).unwrap_or(HeaderValue::from_static(EXPOSED))
}

/// True for a page that the gateway itself has served: its origin is where it sends to.
fn is_own(origin: &HeaderValue, headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str));
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    authority.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
}

/// True for pages served from this machine, on any port.
fn is_loopback(origin: &HeaderValue) -> bool {
    let Some(uri) = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()) else { return false };
    match uri.host() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_loopback() {
        let check = |origin: &'static str, want: bool| {
            assert_eq!(is_loopback(&HeaderValue::from_static(origin)), want, "{origin}");
        };
        check("http://localhost:3000", true);
        check("http://127.0.0.1", true);
        check("https://[::1]:8443", true);
        check("http://localhost.evil.example", false);
        check("http://127.0.0.1.evil.example", false);
        check("http://10.0.0.1", false);
        check("null", false);
    }

    fn page<'a>(cors: &'a Cors, origin: &'static str, host: &'static str) -> Page<'a> {
        let origin = HeaderValue::from_static(origin);
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        let own = is_own(&origin, &headers, &Uri::from_static("/"));
        Page { cors, route: None, counted: None, origin, own, asked: None }
    }

    #[test]
    fn a_foreign_page_opens_no_socket() {
        let check = |origins: Origins, origin: &'static str, host: &'static str, want: bool| {
            let cors = Cors { origins, ..Cors::default() };
            assert_eq!(page(&cors, origin, host).may_open_sockets().is_ok(), want, "{origin} {host}");
        };
        check(Origins::None, "http://a.example:8080", "a.example:8080", true);
        check(Origins::None, "http://a.example", "a.example:8080", false);
        check(Origins::Loopback, "http://localhost:3000", "127.0.0.1:8080", true);
        check(Origins::Loopback, "https://evil.example", "127.0.0.1:8080", false);
        check(Origins::Any, "https://evil.example", "127.0.0.1:8080", true);
        check(Origins::None, "null", "127.0.0.1:8080", false);
    }

    #[test]
    fn with_credentials_every_header_is_exposed_by_name() {
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-shelf"), HeaderValue::from_static("7")),
            (header::ETAG, HeaderValue::from_static("e")),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("o")),
        ]);
        let origins = Origins::Listed(vec!["https://a.example".into()]);
        let open = Cors { origins, expose: vec!["x-later".into()], ..Cors::default() };
        assert_eq!(exposed(&open, &headers), "*");
        let said = exposed(&Cors { credentials: true, ..open }, &headers);
        let names: Vec<&str> = said.to_str().unwrap().split(", ").collect();
        for name in ["grpc-status", "mcp-session-id", "x-shelf", "x-later", "x-process-time"] {
            assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{name} in {names:?}");
        }
        assert_eq!(names.iter().filter(|known| **known == "etag").count(), 1);
        assert!(!names.contains(&"access-control-allow-origin") && !names.contains(&"*"));
    }
}
