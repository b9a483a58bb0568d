//! A stand-in for Galaxy: what its v3 API answers, in pages, about ten popular namespaces and forty others.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How it is.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    Good,
    Slow(Duration),
    Status(u16),
    /// So many answers are 429, with when to come back.
    Limited {
        answers: usize,
        seconds: u64,
    },
    /// JSON that is something else.
    Garbage,
    /// The same about one name alone.
    GarbageOf(&'static str),
    Html,
    /// The connection ends in place of an answer.
    Close,
    /// From one address to the next.
    Loop,
}

/// It runs until it is dropped.
pub(crate) struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    mode: Mutex<Mode>,
    /// When it was asked, and for what.
    seen: Mutex<Vec<(Instant, String)>>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { mode: Mutex::new(Mode::Good), seen: Mutex::default() });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(|request| said(request, Arc::clone(&shared)));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    pub(crate) fn become_(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    pub(crate) fn seen(&self) -> Vec<(Instant, String)> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// How often it was asked for what has these words in its address.
    pub(crate) fn asked(&self, words: &str) -> usize {
        // At its end: names begin like others.
        let about = |seen: &(Instant, String)| match words.starts_with('=') {
            true => seen.1.ends_with(words),
            false => seen.1.contains(words),
        };
        self.seen().iter().filter(|seen| about(seen)).count()
    }

    pub(crate) fn most_in_a_second(&self) -> usize {
        let seen = self.seen();
        let within = |from: Instant| {
            seen.iter()
                .filter(|(at, _)| *at >= from && at.duration_since(from) < Duration::from_secs(1))
                .count()
        };
        seen.iter().map(|(at, _)| within(*at)).max().unwrap_or_default()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn said(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, io::Error> {
    let (path, query) =
        (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    shared.seen.lock().unwrap().push((Instant::now(), format!("{path}?{query}")));
    let mode = {
        let mut mode = shared.mode.lock().unwrap();
        match &mut *mode {
            Mode::Limited { answers: 0, .. } => *mode = Mode::Good,
            Mode::Limited { answers, .. } => *answers -= 1,
            _ => {}
        }
        mode.clone()
    };
    let (code, answered) = answer(&path, &query);
    let (mut code, mut body) = (code, answered.to_string());
    let mut header = ("x-stand-in", "galaxy".to_owned());
    match mode {
        Mode::GarbageOf(name) if query.ends_with(&format!("={name}")) => body = "{\"data\": 7}".to_owned(),
        Mode::Good | Mode::GarbageOf(_) => {}
        Mode::Slow(time) => tokio::time::sleep(time).await,
        Mode::Status(number) => code = StatusCode::from_u16(number).unwrap(),
        Mode::Limited { seconds, .. } => {
            code = StatusCode::TOO_MANY_REQUESTS;
            header = ("retry-after", seconds.to_string());
        }
        Mode::Garbage => body = "{\"data\": [{\"nmae\": 1}]}".to_owned(),
        Mode::Html => body = "<html>Welcome</html>".to_owned(),
        Mode::Close => return Err(io::Error::other("closed")),
        Mode::Loop => {
            code = StatusCode::FOUND;
            header = ("location", format!("{path}?{query}"));
        }
    }
    let reply = Response::builder().status(code).header(header.0, header.1);
    let reply = reply.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
    Ok::<_, Infallible>(reply.unwrap()).map_err(|never| match never {})
}

pub(crate) const POPULAR: [&str; 10] = [
    "community",
    "ansible",
    "redhat",
    "kubernetes",
    "google",
    "amazon",
    "microsoft",
    "docker",
    "nginx",
    "apache",
];

/// All names, by name.
pub(crate) fn names() -> Vec<String> {
    let others = (0..38).map(|number| format!("other_{number:02}"));
    let mut names: Vec<String> = POPULAR.into_iter().map(str::to_owned).chain(others).collect();
    names.extend(["rare_ns", "rare_ns2"].map(str::to_owned));
    names.sort();
    names
}

/// What a GET of a path below `/api/v3` is answered.
pub(crate) fn answer(path: &str, query: &str) -> (StatusCode, Value) {
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|pair| pair.1)
    };
    let number = |name: &str| parameter(name).map(|text| text.parse::<usize>().unwrap());
    // Pages of long lists are short, so that there are several.
    let (limit, offset) = (number("limit").map_or(100, |limit| limit.min(20)), number("offset").unwrap_or(0));
    let paged = |rows: Vec<Value>| {
        let next = (offset + limit < rows.len()).then(|| {
            let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("offset=")).collect();
            format!("{path}?{}&offset={}", kept.join("&"), offset + limit)
        });
        let count = rows.len();
        let data: Vec<Value> = rows.into_iter().skip(offset).take(limit).collect();
        let links = json!({"first": path, "previous": null, "next": next, "last": path});
        (StatusCode::OK, json!({"meta": {"count": count}, "links": links, "data": data}))
    };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", "v3", "namespaces"] => {
            let wanted = parameter("name");
            let fits = |name: &String| wanted.is_none_or(|wanted| wanted == name);
            paged(names().into_iter().filter(fits).map(|name| namespace(&name)).collect())
        }
        ["api", "v3", "collections"] => {
            let name = parameter("namespace").unwrap_or_default();
            let known = names().iter().any(|known| known == name);
            let rows = |name: &str| (0..12).map(|number| collection(name, number)).collect();
            paged(if known { rows(name) } else { Vec::new() })
        }
        ["api", "v3", "collections", namespace, name, "versions"] if exists(namespace, name) => {
            let version = |minor: usize| {
                json!({
                    "version": format!("1.{minor}.0"), "href": format!("{path}1.{minor}.0/"),
                    "created_at": "2026-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000000Z",
                    "requires_ansible": ">=2.15.0", "marks": []
                })
            };
            paged((0..25).rev().map(version).collect())
        }
        ["api", "v3", "collections", namespace, name, "versions", _, "docs-blob"]
            if exists(namespace, name) =>
        {
            (StatusCode::OK, docs())
        }
        _ => (
            StatusCode::NOT_FOUND,
            json!({"errors": [{"status": "404", "code": "not_found", "title": "Not found."}]}),
        ),
    }
}

fn exists(namespace: &str, name: &str) -> bool {
    names().iter().any(|known| known == namespace) && (name == "general" || name.starts_with("c"))
}

fn namespace(name: &str) -> Value {
    json!({
        "pulp_href": format!("/api/pulp_ansible/namespaces/{name}/"), "id": 7, "name": name,
        "company": format!("{name} Inc."), "email": null, "avatar_url": null, "description": "What it is.",
        "groups": [], "links": [], "related_fields": {}
    })
}

fn collection(namespace: &str, number: usize) -> Value {
    let name = if number == 0 { "general".to_owned() } else { format!("c{number:02}") };
    json!({
        "href": format!("/api/v3/collections/{namespace}/{name}/"), "namespace": namespace, "name": name,
        "deprecated": number == 3, "versions_url": format!("/api/v3/collections/{namespace}/{name}/versions/"),
        "highest_version": {"href": "…", "version": "1.24.0"},
        "created_at": "2024-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000000Z"
    })
}

fn docs() -> Value {
    let module = |name: &str| {
        json!({
            "content_name": name, "content_type": "module", "readme_file": null, "readme_html": null,
            "doc_strings": {
                "doc": {
                    "module": name, "short_description": format!("Manages {name}"),
                    "description": ["One paragraph.", "Another."], "author": ["Ann"],
                    "options": [
                        {"name": "state", "type": "str", "required": true, "description": ["What it is to be."],
                         "choices": ["enabled", "disabled"], "default": null},
                        {"name": "retries", "type": "int", "description": "How often.", "default": 3}
                    ]
                },
                "examples": format!("- name: x\n  community.general.{name}:\n    state: enabled\n"),
                "metadata": null, "return": [{"name": "msg", "type": "str", "returned": "always"}]
            }
        })
    };
    let lookup = json!({"content_name": "dig", "content_type": "lookup", "doc_strings": {"doc": {}}});
    let bare = json!({"content_name": "bare", "content_type": "module", "doc_strings": null});
    json!({"docs_blob": {
        "collection_readme": {"name": "README.md", "html": "<h1>x</h1>"}, "documentation_files": [],
        "contents": [module("ufw"), lookup, module("alternatives"), bare]
    }})
}
