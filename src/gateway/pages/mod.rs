//! The gateway's own pages: what this is, the probes, the OpenAPI document, the documentation to read (ReDoc) and to try
//! out (Swagger UI), and the keys of its tokens. Each is switched on and moved by the config, asks no other server for anything, and has a
//! Content-Security-Policy of its own. A page is a call like any other: policies admit it first, so that the rules about
//! callers hold for it, and the limits.

mod assets;
mod html;
mod index;
mod metrics;
mod oauth;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use tonic::Status;

use self::assets::Asset;
use super::{Gateway, operator};
use crate::{
    auth::{digest, hex},
    call::{Body, Call, Caller, Guards, HttpHead, Message, Record, Road, Target},
    config::{Config, Own, Page},
    route::router::TrailingSlash,
    services::NotServing,
    snapshot::{OwnPage, Snapshot},
    status::{Refusal, refuse},
    surface::{self, Request, Response, metadata, rest},
};

/// What our own page needs: its style, and nothing else.
const INDEX_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                            frame-ancestors 'none'";
/// What Swagger UI needs: scripts of ours, calls to this gateway, and icons that are part of its style.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What ReDoc needs beside: styles that it makes as it runs, and a worker for its search, made of its own script.
const REDOC_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                            connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A name with a hash of its content is never another content.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// A key is published for minutes before it signs: who keeps the set for one knows it in time.
const A_MINUTE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// What is at a path.
pub(super) struct Found<'a> {
    page: &'a OwnPage,
    place: Place,
    /// What is there is without the slash that the path has at its end, and who asks is sent on.
    elsewhere: bool,
}

impl Found<'_> {
    /// True for what the operator's listener has too.
    pub(super) fn is_operators(&self) -> bool {
        matches!(self.place, Place::Page) && operator::has_page(self.page.page)
    }
}

#[derive(Clone, Copy)]
enum Place {
    Page,
    /// A file that a page consists of.
    Asset(&'static Asset),
}

/// The page at a path, or the file which a page consists of; `None` for any other path.
pub(super) fn find<'a>(snapshot: &'a Snapshot, path: &str) -> Option<Found<'a>> {
    let at = |path: &str, elsewhere| {
        let (page, place) = exactly(&snapshot.pages, path)?;
        Some(Found { page, place, elsewhere })
    };
    at(path, false).or_else(|| {
        let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty() && !bare.ends_with('/'))?;
        match snapshot.config.rest.paths.trailing_slash {
            TrailingSlash::Strict => None,
            TrailingSlash::Ignore => at(bare, false),
            TrailingSlash::Redirect => at(bare, true),
        }
    })
}

/// Whether a request asks how the gateway is, as balancers and kubelets do, which know but its address.
pub(super) fn is_probe(snapshot: &Snapshot, request: &Request) -> bool {
    let path = request.uri().path();
    let of_grpc = path.starts_with("/grpc.health.v1.Health/");
    of_grpc || find(snapshot, path).is_some_and(|found| found.page.route.terms.uncounted)
}

fn exactly<'a>(pages: &'a [OwnPage], path: &str) -> Option<(&'a OwnPage, Place)> {
    if let Some(page) = pages.iter().find(|page| page.path == path) {
        return Some((page, Place::Page));
    }
    let (folder, name) = path.rsplit_once('/')?;
    let folder = if folder.is_empty() { "/" } else { folder };
    let page = pages.iter().find(|page| page.path == folder)?;
    Some((page, Place::Asset(assets::of(page.page, name)?)))
}

/// Serves a request for a page, once the road's policies have admitted it.
pub(super) async fn serve(
    gateway: &Gateway,
    snapshot: &Snapshot,
    road: &impl Road,
    found: Found<'_>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let head = HttpHead {
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        captured: Vec::new(),
        upgrade: None,
        version: parts.version,
        expects: false,
    };
    let mut call = Call {
        route: Arc::clone(&found.page.route),
        target: Target::Http(Box::new(head)),
        metadata: metadata::of_http_request(std::mem::take(&mut parts.headers)),
        message: Message::Body(body),
        peer: surface::peer(&parts.extensions),
        record: Record::of(&parts.extensions),
        timeout: None,
        deadline: None,
        caller: Caller::default(),
        guards: Guards::default(),
    };
    let admitted = road.admit(&mut call).await;
    // Of one that was refused the refusal says it.
    let told = admitted.as_ref().map(|()| road.ahead(&call)).unwrap_or_default();
    parts.headers = std::mem::take(&mut call.metadata);
    let answered = match admitted {
        Ok(())
            if found.page.page.own() == Own::Oauth
                && matches!(found.place, Place::Page)
                && !found.elsewhere =>
        {
            let body = match call.message {
                Message::Body(body) => body,
                _ => Body::empty(),
            };
            let (page, path, client) = (found.page.page, found.page.path.as_str(), call.caller.client);
            oauth::answer(oauth::Asked { gateway, snapshot, page, path, request: &parts, client }, body).await
        }
        Ok(()) => answer(gateway, snapshot, &found, &parts).await,
        Err(status) => Err(status),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(status) => snapshot.rest.refuse(parts, &status),
    };
    response.headers_mut().extend(told);
    if !found.page.route.terms.access.is_public() {
        keep_private(response.headers_mut());
    }
    response
}

/// What is not for everyone is for no cache that others share.
fn keep_private(headers: &mut HeaderMap) {
    let Some(cache) = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let own = format!("private, {}", cache.trim_start_matches("public, "));
    if let Ok(own) = HeaderValue::try_from(own) {
        headers.insert(header::CACHE_CONTROL, own);
    }
}

/// The answer to a request that is admitted.
///
/// # Errors
/// 405, in the words of every other route; 503 for keys that are not there yet.
async fn answer(
    gateway: &Gateway,
    snapshot: &Snapshot,
    found: &Found<'_>,
    request: &Parts,
) -> Result<Response, Status> {
    let path = request.uri.path();
    if found.elsewhere {
        let mut location = path.trim_end_matches('/').to_owned();
        if let Some(query) = request.uri.query() {
            location = format!("{location}?{query}");
        }
        return Err(refuse(Refusal::Redirect { location }, "this path has no slash at its end"));
    }
    let method = &request.method;
    let head = method == Method::HEAD;
    if method == Method::OPTIONS {
        return Ok(options());
    }
    if method != Method::GET && !head {
        let allow = vec![Method::GET, Method::HEAD, Method::OPTIONS];
        let message = format!("{path} has no {method}; it has GET, HEAD");
        return Err(refuse(Refusal::MethodNotAllowed { allow }, message));
    }
    let response = match found.place {
        Place::Page => page(gateway, snapshot, found.page.page, request),
        Place::Asset(asset) => asset.response(&request.headers, head).await,
    }?;
    Ok(if head { without_body(response) } else { response })
}

fn page(gateway: &Gateway, snapshot: &Snapshot, page: Page, request: &Parts) -> Result<Response, Status> {
    let config = &snapshot.config;
    match page {
        Page::Livez => Ok(text(StatusCode::OK, "ok\n")),
        Page::Readyz => Ok(match gateway.why_not_ready() {
            None => text(StatusCode::OK, "ready\n"),
            Some(NotServing::Starting) => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Some(NotServing::Draining) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            Some(NotServing::WithoutStore) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "a store cannot be reached\n")
            }
        }),
        Page::Metrics => metrics::response(gateway, &request.headers),
        Page::Openapi => {
            let document = snapshot.openapi();
            let kind = HeaderValue::from_static("application/json");
            let coded = |headers: &mut HeaderMap| {
                document.json.encode(request.headers.get(header::ACCEPT_ENCODING), headers)
            };
            kept(coded, &document.etag, kind, ASK_AGAIN, &request.headers)
        }
        Page::Jwks => jwks(gateway, &request.headers),
        Page::Docs => viewer(config, Page::Docs, &request.headers),
        Page::Redoc => viewer(config, Page::Redoc, &request.headers),
        Page::Index => index::response(snapshot, request),
        Page::ResourceMetadata
        | Page::ServerMetadata
        | Page::Authorize
        | Page::Token
        | Page::Register
        | Page::Revoke => Err(Status::internal("OAuth's pages are answered by themselves")),
    }
}

/// The keys by which others verify the gateway's tokens (RFC 7517).
fn jwks(gateway: &Gateway, request: &HeaderMap) -> Result<Response, Status> {
    let text = gateway.jwks()?.to_string();
    let etag = hex(&digest(text.as_bytes()));
    let kind = HeaderValue::from_static("application/jwk-set+json");
    let coded =
        |headers: &mut HeaderMap| rest::encode(text.into(), request.get(header::ACCEPT_ENCODING), headers);
    kept(coded, &format!("\"{etag}\""), kind, A_MINUTE, request)
}

/// A document, as the client takes it, or 304 for who has it already.
fn kept(
    coded: impl FnOnce(&mut HeaderMap) -> Result<Bytes, Status>,
    etag: &str,
    kind: HeaderValue,
    cache: HeaderValue,
    request: &HeaderMap,
) -> Result<Response, Status> {
    let (mut headers, known) = validators(etag, cache, request);
    if known {
        return Ok(response(StatusCode::NOT_MODIFIED, headers, Bytes::new()));
    }
    headers.insert(header::CONTENT_TYPE, kind);
    let body = coded(&mut headers)?;
    Ok(response(StatusCode::OK, headers, body))
}

/// The headers by which clients keep what has this `etag`, and whether who asks has it already.
fn validators(etag: &str, cache: HeaderValue, request: &HeaderMap) -> (HeaderMap, bool) {
    let known = request.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default();
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, cache);
    // Weak: the same document may come compressed or not.
    if let Ok(etag) = HeaderValue::try_from(format!("W/{etag}")) {
        headers.insert(header::ETAG, etag);
    }
    (headers, known)
}

/// A page that is nothing but a place for the script that draws it.
fn viewer(config: &Config, page: Page, request: &HeaderMap) -> Result<Response, Status> {
    let title = html::escape(&config.rest.title);
    let Some(document) = config.built_ins.path_of(Page::Openapi) else {
        let text =
            format!("{title}: the OpenAPI document is switched off, and with it what this page shows.\n");
        return Ok(self::text(StatusCode::NOT_FOUND, text));
    };
    let base = config.built_ins.path_of(page).unwrap_or_default();
    let (style, scripts, policy) = match page {
        Page::Docs => ("swagger-ui.css", ["swagger-ui.js", "docs.js"], DOCS_POLICY),
        _ => ("redoc-page.css", ["redoc.js", "redoc-page.js"], REDOC_POLICY),
    };
    let style = html::escape(&assets::path(&base, style));
    let mut head = format!("<link rel=\"stylesheet\" href=\"{style}\">\n");
    for name in scripts {
        head.push_str(&format!(
            "<script src=\"{}\" defer></script>\n",
            html::escape(&assets::path(&base, name))
        ));
    }
    let document = html::escape(&document);
    let body = format!(
        "<main id=\"ui\" data-document=\"{document}\"></main>\n<noscript>{document} has the same to read by programs.</noscript>\n"
    );
    html::page(&title, &head, &body, policy, request)
}

fn options() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response(StatusCode::NO_CONTENT, headers, Bytes::new())
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response(status, headers, body.into())
}

fn response(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response {
    let mut response = http::Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The same head, with the length of the body that it leaves out.
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact();
    let tells =
        parts.status != StatusCode::NOT_MODIFIED && !parts.headers.contains_key(header::CONTENT_LENGTH);
    if let Some(length) = length.filter(|_| tells) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    http::Response::from_parts(parts, Body::empty())
}
