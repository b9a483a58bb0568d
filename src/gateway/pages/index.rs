//! `GET /`: what this is, what it serves, and where to go; as JSON, or for browsers as a page that works without a script.

use std::{collections::HashMap, fmt::Write as _};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts, uri::Authority};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::{assets, html};
use crate::{
    config::{Config, Own, Page},
    route::{
        Destination,
        catalog::{MethodEntry, ServiceEntry, Source},
    },
    snapshot::Snapshot,
    surface::{self, Response, rest},
    transcode::json_schema::Comments,
};

const HEALTH: &str = "propylon.gateway.v1.HealthService";

pub(super) fn response(snapshot: &Snapshot, request: &Parts) -> Result<Response, Status> {
    if rest::prefers_html(&request.headers) {
        let mut response = page(snapshot, request)?;
        vary(response.headers_mut());
        return Ok(response);
    }
    let config = &snapshot.config;
    let value = match &config.rest.index {
        Some(own) => Value::Object(own.clone()),
        None => index(snapshot),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, super::ASK_AGAIN);
    vary(&mut headers);
    let accept = request.headers.get(header::ACCEPT_ENCODING);
    let body = rest::encode(Bytes::from(value.to_string()), accept, &mut headers)?;
    Ok(super::response(StatusCode::OK, headers, body))
}

fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("accept"));
}

fn version(config: &Config) -> &str {
    config.rest.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"))
}

fn index(snapshot: &Snapshot) -> Value {
    let config = &snapshot.config;
    let services: Vec<_> = snapshot
        .catalog
        .services()
        .map(|(source, service)| {
            let methods = service.methods.as_ref().map_or(0, Vec::len);
            json!({"name": &*service.name, "source": source.name(), "methods": methods})
        })
        .collect();
    let endpoints: Map<_, _> = config
        .built_ins
        .pages()
        .into_iter()
        .filter(|(_, page)| *page != Page::Index && page.own() != Own::Oauth)
        .map(|(path, page)| (page.name().to_owned(), path.into()))
        .chain(path_of(snapshot, HEALTH, "/Check").map(|path| ("health".to_owned(), path.into())))
        .collect();
    let mut value = json!({"name": &*config.rest.title, "version": version(config)});
    if let Some(members) = value.as_object_mut() {
        if !config.rest.description.is_empty() {
            members.insert("description".to_owned(), (&*config.rest.description).into());
        }
        members.insert("services".to_owned(), services.into());
        members.insert("endpoints".to_owned(), Value::Object(endpoints));
    }
    value
}

fn page(snapshot: &Snapshot, request: &Parts) -> Result<Response, Status> {
    let config = &snapshot.config;
    let title = html::escape(&config.rest.title);
    let base = config.built_ins.path_of(Page::Index).unwrap_or_default();
    let head =
        format!("<link rel=\"stylesheet\" href=\"{}\">\n", html::escape(&assets::path(&base, "page.css")));
    let description = match &*config.rest.description {
        "" => {
            "One port for gRPC, gRPC-Web, REST and MCP, from one protobuf contract. This is what it serves."
        }
        own => own,
    };
    let mut body = String::new();
    // Writing into a string cannot fail.
    let _ = write!(
        body,
        "<header>\n<h1>{title}<small>{}</small></h1>\n<p class=\"lead\">{}</p>\n<nav>\n",
        html::escape(version(config)),
        html::escape(description),
    );
    let page_at = |page: Page| config.built_ins.path_of(page);
    let links = [
        ("Try the API", page_at(Page::Docs)),
        ("Read the API", page_at(Page::Redoc)),
        ("OpenAPI document", page_at(Page::Openapi)),
        ("Health", path_of(snapshot, HEALTH, "/Check")),
        ("Ready?", page_at(Page::Readyz)),
    ];
    for (words, path) in links.into_iter().filter_map(|(words, path)| Some((words, path?))) {
        let _ = writeln!(body, "<a href=\"{}\">{words}</a>", html::escape(&path));
    }
    body.push_str("</nav>\n</header>\n<main>\n");
    commands(snapshot, request, &mut body);
    let said = descriptions(snapshot);
    for (heading, own) in [("Services", false), ("Of the gateway itself", true)] {
        let services = snapshot.catalog.services();
        let mut services: Vec<_> =
            services.filter(|(source, _)| (source.destination == Destination::Local) == own).collect();
        // Those that a browser can call come first.
        services
            .sort_by_key(|(_, entry)| entry.methods.iter().flatten().all(|method| method.rest.is_empty()));
        if !services.is_empty() {
            let _ = writeln!(body, "<h2>{heading}</h2>");
        }
        for (source, entry) in services {
            service(source, entry, said.get(&*entry.name).map(String::as_str), &mut body);
        }
    }
    let _ = write!(body, "</main>\n<footer>Served by Propylon {}.</footer>\n", env!("CARGO_PKG_VERSION"));
    html::page(&title, &head, &body, super::INDEX_POLICY, &request.headers)
}

/// What the proto files say of services.
fn descriptions(snapshot: &Snapshot) -> HashMap<String, String> {
    let mut comments = Comments::default();
    let mut said = HashMap::new();
    for endpoint in snapshot.rest.endpoints() {
        let service = endpoint.binding().method.descriptor.parent_service();
        if !said.contains_key(service.full_name()) {
            let text = comments.of(&service.parent_file(), service.path());
            said.insert(service.full_name().to_owned(), text);
        }
    }
    said
}

/// Lines to be copied into a terminal, with the address that this request came by.
fn commands(snapshot: &Snapshot, request: &Parts, body: &mut String) {
    let secure = surface::peer(&request.extensions).secure;
    let host = host(request).unwrap_or_else(|| snapshot.config.listen.to_string());
    let scheme = if secure { "https" } else { "http" };
    let reachable =
        path_of(snapshot, HEALTH, "/Ping").or_else(|| snapshot.config.built_ins.path_of(Page::Livez));
    body.push_str("<h2>From a terminal</h2>\n<pre>");
    if let Some(path) = reachable {
        body.push_str(&html::escape(&format!("curl {scheme}://{host}{path}\n")));
    }
    let plain = if secure { "" } else { "-plaintext " };
    // grpcurl wants a port.
    let port = if secure { "443" } else { "80" };
    let bare = host.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
    let target = if bare { format!("{host}:{port}") } else { host };
    body.push_str(&html::escape(&format!("grpcurl {plain}{target} list\n")));
    body.push_str("</pre>\n");
}

/// The host that the client called, if it is one: it goes into lines that people paste into a shell.
fn host(request: &Parts) -> Option<String> {
    let text = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get(header::HOST)?.to_str().ok()?,
    };
    let fits = text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
        && text.parse::<Authority>().is_ok();
    fits.then(|| text.to_owned())
}

/// The first path without variables that a method is read at.
fn path_of(snapshot: &Snapshot, service: &str, method: &str) -> Option<String> {
    let (_, entry) = snapshot.catalog.services().find(|(_, entry)| &*entry.name == service)?;
    let method = entry.methods.as_ref()?.iter().find(|entry| entry.path.ends_with(method))?;
    method.rest.iter().find_map(|rest| rest.strip_prefix("GET ")).map(str::to_owned)
}

fn service(source: &Source, entry: &ServiceEntry, said: Option<&str>, body: &mut String) {
    let _ = write!(body, "<section class=\"service\">\n<h3>{}", html::escape(&entry.name));
    if !source.address.is_empty() {
        let _ = write!(body, "<span>{}</span>", html::escape(source.name()));
    }
    body.push_str("</h3>\n");
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        let _ = writeln!(body, "<p>{}</p>", html::escape(said));
    }
    match &entry.methods {
        None => body.push_str("<p>Its schema is not known: as gRPC and gRPC-Web only.</p>\n"),
        Some(methods) => {
            body.push_str("<table>\n");
            methods.iter().for_each(|entry| method(entry, body));
            body.push_str("</table>\n");
        }
    }
    body.push_str("</section>\n");
}

fn method(entry: &MethodEntry, body: &mut String) {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let streams = match (entry.client_streaming, entry.server_streaming) {
        (false, false) => "",
        (false, true) => "<span class=\"streams\">streams its answer</span>",
        (true, false) => "<span class=\"streams\">takes a stream</span>",
        (true, true) => "<span class=\"streams\">streams both ways</span>",
    };
    let _ = write!(body, "<tr><td>{}{streams}</td><td>", html::escape(name));
    if entry.rest.is_empty() {
        body.push_str("<span class=\"only\">gRPC and gRPC-Web</span>");
    }
    for rest in &entry.rest {
        let (verb, path) = rest.split_once(' ').unwrap_or(("", rest));
        let (verb, path) = (html::escape(verb), html::escape(path));
        let _ = write!(body, "<div><code><span class=\"verb {verb}\">{verb}</span> {path}</code></div>");
    }
    body.push_str("</td></tr>\n");
}
