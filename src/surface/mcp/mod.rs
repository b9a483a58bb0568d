//! MCP, the Model Context Protocol, over streamable HTTP: gRPC methods as tools for agents. One endpoint serves both eras of
//! the protocol: requests of 2026-07-28 say everything themselves, older clients open a session, and what says nothing is
//! answered without one.
//!
//! ```text
//!  POST ─▶ who calls (by the head) ─▶ body ▸ message ▸ era ─▶ tools/call ─▶ the tool's method, by its own routes
//!                                                         └─▶ all else: answered here, once it is admitted
//!  GET, DELETE ─▶ a session's stream of changes, its end
//! ```
//! Specification: modelcontextprotocol.io, 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26 and 2024-11-05; JSON-RPC 2.0.

mod answer;
mod asks;
mod board;
mod call;
mod cancel;
mod era;
mod error;
mod far;
mod feeds;
mod head;
mod list;
mod listen;
mod members;
mod message;
mod methods;
mod name;
mod protection;
mod relay;
mod result;
mod session;
mod shelf;
mod streamed;
mod tool;
mod toolbox;
mod wishes;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{json, value::RawValue};
use tonic::Status;

use self::{
    answer::{Client, empty},
    era::{Era, Meta},
    error::RpcError,
    message::{Kind, Message as Rpc, NoMessage},
};
pub use self::{
    board::{Board, Listeners},
    name::{Naming, bounded, check as check_name, name},
    protection::{Protection, ToolScope},
    shelf::{Shelf, Stand, Thing},
    streamed::Bounds,
    tool::{Said, Tool},
    toolbox::Toolbox,
};
use super::{Request, Response, peer, rest, timeout};
use crate::{
    call::{Body, Call, Caller, Guards, HttpHead, Message, Record, Road, Target},
    route::{Binding, Route, router::TrailingSlash},
    status::{Refusal, refuse},
    telemetry::Label,
};

/// What the config says of the surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What clients are told the server is.
    pub title: Arc<str>,
    pub version: Arc<str>,
    /// How it is meant to be used, for models to read.
    pub instructions: Option<Arc<str>>,
    /// The most tools in one page of a list.
    pub page_size: usize,
    /// How long a client may keep a list.
    pub list_ttl: Duration,
    /// A session ends when it was not used for so long.
    pub session_lifetime: Duration,
    /// How much of a stream is a result.
    pub bounds: Bounds,
    /// The most streams that tell of changes, at once.
    pub listeners: Listeners,
}

/// The MCP surface over the tools of one snapshot.
#[derive(Debug)]
pub struct Mcp {
    path: Arc<str>,
    /// The same, by which its requests are counted.
    binding: Arc<Binding>,
    slash: TrailingSlash,
    /// That of the endpoint: a tool's call has its own.
    route: Arc<Route>,
    toolbox: Arc<Toolbox>,
    shelf: Arc<Shelf>,
    board: Arc<Board>,
    settings: Settings,
    /// What is wanted of tokens; `None` where they are the same as elsewhere.
    protection: Option<Arc<Protection>>,
    /// `{"name":…,"version":…}`
    server: Arc<str>,
    /// `"instructions":…` with a comma before it, or nothing.
    instructions: Arc<str>,
}

/// Whether a path is that of the surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Here,
    /// It has a slash too many, and who asks is sent on.
    Elsewhere,
}

impl Mcp {
    /// The surface at a path of this route.
    #[must_use]
    pub fn new(
        path: &str,
        slash: TrailingSlash,
        route: Arc<Route>,
        (toolbox, shelf): &(Arc<Toolbox>, Arc<Shelf>),
        board: &Arc<Board>,
        settings: Settings,
    ) -> Self {
        let server = json!({"name": &*settings.title, "version": &*settings.version}).to_string();
        let instructions = settings.instructions.as_ref();
        let instructions =
            instructions.map(|text| format!(",\"instructions\":{}", json!(&**text))).unwrap_or_default();
        Self {
            path: path.into(),
            binding: Arc::new(Binding { template: path.into(), label: Label::default() }),
            slash,
            route,
            toolbox: Arc::clone(toolbox),
            shelf: Arc::clone(shelf),
            board: Arc::clone(board),
            settings,
            protection: None,
            server: server.into(),
            instructions: instructions.into(),
        }
    }

    /// The same where tokens are wanted that were made for it.
    #[must_use]
    pub fn protected(self, protection: Protection) -> Self {
        Self { protection: Some(Arc::new(protection)), ..self }
    }

    /// The route of the endpoint.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    #[must_use]
    pub fn toolbox(&self) -> &Arc<Toolbox> {
        &self.toolbox
    }

    #[must_use]
    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// True for a path that is the surface's.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    fn at(&self, path: &str) -> Option<At> {
        if *path == *self.path {
            return Some(At::Here);
        }
        let bare = path.strip_suffix('/')?;
        match self.slash {
            _ if *bare != *self.path => None,
            TrailingSlash::Strict => None,
            TrailingSlash::Ignore => Some(At::Here),
            TrailingSlash::Redirect => Some(At::Elsewhere),
        }
    }

    /// Serves one request. `page`: whether the page that it comes from, if any, may call here.
    pub async fn serve<R: Road + 'static>(
        &self,
        road: &Arc<R>,
        request: Request,
        page: Result<(), Status>,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let client = self.client(&parts);
        let (mut call, timeout) = self.open(parts);
        if let Err(status) = road.identify(&mut call).await {
            return client.refusal(None, &status);
        }
        let (method, fits) = match &call.target {
            Target::Http(head) => (head.method.clone(), self.fits(&client, head, &call.metadata, &body)),
            Target::Rpc { .. } => (Method::POST, Ok(())),
        };
        let let_in = match &self.protection {
            Some(protection) => protection.entry(call.caller.principal.as_deref()),
            None => Ok(()),
        };
        let fits = page.and(fits).and(timeout).and(let_in);
        if let Err(status) = fits {
            return match road.admit(&mut call).await {
                Ok(()) => client.refusal(None, &status),
                Err(refused) => client.refusal(None, &refused),
            };
        }
        match method {
            Method::POST => self.post(road, call, client, body).await,
            Method::GET => self.get(&**road, call, client).await,
            Method::DELETE => self.delete(&**road, call, client).await,
            _ => match road.admit(&mut call).await {
                Ok(()) => empty(StatusCode::NO_CONTENT, allow()),
                Err(status) => client.refusal(None, &status),
            },
        }
    }

    /// The answer to a request that is refused before it comes here.
    #[must_use]
    pub fn refuse(&self, head: &Parts, status: &Status) -> Response {
        self.client(head).refusal(None, status)
    }

    /// The client of a request.
    fn client(&self, head: &Parts) -> Client {
        let client = Client::of(&head.headers, &self.server);
        match &self.protection {
            Some(protection) => client.challenged(protection.challenge(head)),
            None => client,
        }
    }

    /// A call of the endpoint, by its head; and whether that has a timeout that can be read. Its metadata are the headers as
    /// they came.
    fn open(&self, parts: Parts) -> (Call, Result<(), Status>) {
        let timeout = timeout::of_rest(&parts.headers);
        let record = Record::of(&parts.extensions);
        if let Some(record) = &record {
            record.bound(&self.binding);
        }
        let head = HttpHead {
            method: parts.method,
            uri: parts.uri,
            captured: Vec::new(),
            upgrade: None,
            version: parts.version,
            expects: false,
        };
        let call = Call {
            route: Arc::clone(&self.route),
            target: Target::Http(Box::new(head)),
            metadata: parts.headers,
            message: Message::Body(Body::empty()),
            peer: peer(&parts.extensions),
            record,
            timeout: timeout.as_ref().ok().copied().flatten(),
            deadline: None,
            caller: Caller::default(),
            guards: Guards::default(),
        };
        (call, timeout.map(drop))
    }

    /// A body that is read, which must have come whole within the endpoint's time, however little of it comes at once.
    async fn whole(&self, reading: impl Future<Output = Result<Bytes, Status>>) -> Result<Bytes, Status> {
        let Some(within) = self.route.timeout else { return reading.await };
        tokio::time::timeout(within, reading).await.unwrap_or_else(|_| {
            let message = format!("the message did not come whole within {within:?}");
            Err(refuse(Refusal::RequestTimeout, message))
        })
    }

    async fn post<R: Road + 'static>(
        &self,
        road: &Arc<R>,
        mut call: Call,
        client: Client,
        body: Body,
    ) -> Response {
        let coding = rest::Coding::of_request(&call.metadata);
        let read = match coding {
            Ok(coding) => self.whole(rest::whole(body, coding, self.route.limits)).await,
            Err(status) => Err(status),
        };
        let body = match read {
            Ok(body) => body,
            Err(status) => {
                return match road.admit(&mut call).await {
                    Ok(()) => client.refusal(None, &status),
                    Err(refused) => client.refusal(None, &refused),
                };
            }
        };
        let message = match Rpc::read(&body) {
            Ok(message) => message,
            Err(NoMessage { id, error }) => {
                return refused(&**road, call, &client, id.as_deref(), error).await;
            }
        };
        if let Some(record) = &call.record {
            record.asks(&message.method);
        }
        let id = message.id();
        let read = message.params().and_then(|params| {
            let meta = Meta::of(&params)?;
            Ok((era::of(&call.metadata, &message, &params, &meta)?, params, meta))
        });
        let (era, params, meta) = match read {
            Ok(read) => read,
            Err(error) => return refused(&**road, call, &client, id, error).await,
        };
        let found = self.session_of(&call.metadata, call.caller.principal.as_deref(), era).await;
        let (era, kept) = match found {
            Ok(found) => found,
            Err(error) => return refused(&**road, call, &client, id, error).await,
        };
        let id = match message.kind {
            Kind::Request(id) => id,
            Kind::Response if matches!(era, Era::Modern) => {
                let error = RpcError::invalid("Nothing was asked of the client: there is nothing to answer");
                return refused(&**road, call, &client, None, error).await;
            }
            kind @ (Kind::Notification | Kind::Response) => {
                let session = call.metadata.get(session_header()).cloned();
                return match road.admit(&mut call).await {
                    Ok(()) => {
                        match kind {
                            Kind::Response => self.take_reply(session.as_ref(), &body),
                            _ if message.method == "notifications/cancelled" => {
                                self.take_back(era, session.as_ref(), &params);
                            }
                            _ => {}
                        }
                        empty(StatusCode::ACCEPTED, road.ahead(&call))
                    }
                    Err(status) => client.refusal(None, &status),
                };
            }
        };
        let of_session = kept.capabilities.and_then(|said| RawValue::from_string(said).ok());
        let asking = call::Asking {
            client: &client,
            era,
            id,
            meta: &meta,
            params: &params,
            whole: message.whole_params(),
            capabilities: meta.capabilities.or(of_session.as_deref()),
            level: kept.level.as_deref(),
            body: &body,
        };
        let method = &*message.method;
        let answered = match self.far(method, asking.whole) {
            _ if method == "tools/call" => self.call_tool(road, call, asking).await,
            Some(Ok(to)) => self.pass(road, call, asking, method, to).await,
            Some(Err(error)) => Err((Box::new(call), error)),
            None => return self.answer(&**road, call, &client, method, (era, id, &params)).await,
        };
        match answered {
            Ok(response) => response,
            Err((call, error)) => refused(&**road, *call, &client, Some(id), error).await,
        }
    }
}

/// The answer of an error, once the call is admitted: it costs its caller what any call does.
async fn refused(
    road: &impl Road,
    mut call: Call,
    client: &Client,
    id: Option<&str>,
    error: RpcError,
) -> Response {
    match road.admit(&mut call).await {
        Ok(()) => client.error(id, &error, road.ahead(&call)),
        Err(status) => client.refusal(id, &status),
    }
}

fn session_header() -> http::HeaderName {
    http::HeaderName::from_static("mcp-session-id")
}

fn allow() -> HeaderMap {
    HeaderMap::from_iter([(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"))])
}
