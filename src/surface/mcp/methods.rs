//! What is answered here: who the server is, its list of tools, the sessions of the older versions, and the streams that tell
//! of changes.

use http::{HeaderMap, HeaderValue, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Mcp,
    answer::{Client, empty, events, string},
    era::{self, Era, LEGACY, VERSIONS},
    error::RpcError,
    list::{self, Cache},
    listen::{Changes, Filter, Lasting},
    members::Members,
    refused,
    session::{Session, whose},
    session_header,
};
use crate::{
    auth::{Principal, Unmet, place},
    call::{Call, Road, Target},
    route::{Asked, Route},
    status::{Refusal, refuse},
    surface::{Response, rest},
};

/// How soon one may ask again for whom there is no room.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);
/// What the server can do, as the protocol names it.
const CAPABILITIES: &str = "\"capabilities\":{\"tools\":{\"listChanged\":true}}";

impl Mcp {
    /// Answers a request that is no tool's call. `call` is identified; its metadata are the headers as they came.
    pub(super) async fn answer(
        &self,
        road: &impl Road,
        mut call: Call,
        client: &Client,
        method: &str,
        (era, id, params): (Era, &str, &Members<'_>),
    ) -> Response {
        if let Err(status) = road.admit(&mut call).await {
            return client.refusal(Some(id), &status);
        }
        let told = road.ahead(&call);
        let ttl = self.settings.list_ttl.as_millis();
        let members = match (era, method) {
            (Era::Modern, "server/discover") => {
                let mut out = format!("\"supportedVersions\":{},{CAPABILITIES}", versions()).into_bytes();
                out.extend_from_slice(self.instructions.as_bytes());
                // What it says is the same for everyone.
                Cache { milliseconds: ttl, public: self.route.terms.access.is_public() }.write(&mut out);
                Ok(out)
            }
            (_, "tools/list") => {
                let may_call = |tool: &super::Tool| {
                    route_of(&call, tool).is_some_and(|route| self.shows(&road.permits(&call, route)))
                };
                let cache = Cache::of(era, ttl, self.lists_the_same());
                list::page(&self.toolbox, params, self.settings.page_size, cache, may_call)
            }
            (Era::Modern, "subscriptions/listen") => match Filter::of(params) {
                Ok(filter) => {
                    let Some(listening) = self.board.listen(&who(&call), self.settings.listeners) else {
                        return client.refusal(Some(id), &full());
                    };
                    return events(Changes::modern(listening, filter, client.clone(), id).body(), told);
                }
                Err(error) => Err(error),
            },
            (Era::Legacy(_), "initialize") => {
                let caller = call.caller.principal.as_deref();
                return self.initialize(caller, client, id, params, told).await;
            }
            (Era::Legacy(_), "ping") => Ok(Vec::new()),
            _ => Err(RpcError::method(method, &era)),
        };
        match members {
            Ok(members) => {
                let message = client.result(id, era, |out| out.extend_from_slice(&members));
                client.message(StatusCode::OK, message, told)
            }
            Err(error) => client.error(Some(id), &error, told),
        }
    }

    /// Opens a session of the version that both speak. Where none can be kept now, the client does without: it need not have
    /// one.
    async fn initialize(
        &self,
        caller: Option<&Principal>,
        client: &Client,
        id: &str,
        params: &Members<'_>,
        mut told: HeaderMap,
    ) -> Response {
        let Ok(Some(wanted)) = params.text("protocolVersion") else {
            let error =
                RpcError::params("params: protocolVersion is the newest version that the client speaks");
            return client.error(Some(id), &error, told);
        };
        let [newest, ..] = LEGACY;
        let version = era::legacy(&wanted).unwrap_or(newest);
        match self.board.sessions.open(version, caller, self.settings.session_lifetime).await {
            Ok(session) => {
                if let Ok(session) = HeaderValue::try_from(session) {
                    told.insert(session_header(), session);
                }
            }
            Err(error) => tracing::warn!("an MCP session cannot be kept, and is served without: {error}"),
        }
        let message = client.result(id, Era::Legacy(version), |out| {
            out.extend_from_slice(b"\"protocolVersion\":");
            string(out, version);
            out.push(b',');
            out.extend_from_slice(CAPABILITIES.as_bytes());
            out.extend_from_slice(b",\"serverInfo\":");
            out.extend_from_slice(self.server.as_bytes());
            out.extend_from_slice(self.instructions.as_bytes());
        });
        client.message(StatusCode::OK, message, told)
    }

    /// What a request of a session speaks; of none what it says itself.
    pub(super) async fn session_of(
        &self,
        headers: &HeaderMap,
        caller: Option<&Principal>,
        era: Era,
    ) -> Result<Era, RpcError> {
        let (Era::Legacy(said), Some(id)) = (era, headers.get(session_header())) else { return Ok(era) };
        let session = self.session(id, caller).await?;
        // Without a header it is the session's version; a header that says another is believed: all are spoken.
        let unsaid = !headers.contains_key(&era::VERSION_HEADER);
        Ok(Era::Legacy(if unsaid { session.version } else { said }))
    }

    async fn session(&self, id: &HeaderValue, caller: Option<&Principal>) -> Result<Session, RpcError> {
        let id = id.to_str().map_err(|_| RpcError::session())?;
        let found = self.board.sessions.find(id, caller, self.settings.session_lifetime).await;
        found.map_err(|error| RpcError::of_status(&error.status()))?.ok_or_else(RpcError::session)
    }

    /// `notifications/cancelled` of a session, which is its caller's: that has been seen to.
    pub(super) fn take_back(&self, era: Era, session: Option<&HeaderValue>, params: &Members<'_>) {
        let id = params.get("requestId").map(|id| id.get());
        let session = session.and_then(|session| session.to_str().ok());
        if let (Era::Legacy(_), Some(session), Some(id)) = (era, session, id) {
            self.board.calls.take_back(session, id);
        }
    }

    /// GET: what the server tells of its own accord in a session.
    pub(super) async fn get(&self, road: &impl Road, mut call: Call, client: Client) -> Response {
        let Some(id) = call.metadata.get(session_header()).cloned() else {
            return refused(road, call, &client, None, RpcError::session()).await;
        };
        if let Err(error) = self.session(&id, call.caller.principal.as_deref()).await {
            return refused(road, call, &client, None, error).await;
        }
        if let Err(status) = road.admit(&mut call).await {
            return client.refusal(None, &status);
        }
        if !client.events {
            let message = "a session's stream is text/event-stream, which accept must name";
            return client.refusal(None, &refuse(Refusal::NotAcceptable, message));
        }
        let Some(listening) = self.board.listen(&who(&call), self.settings.listeners) else {
            return client.refusal(None, &full());
        };
        let id = id.to_str().unwrap_or_default().to_owned();
        let session = Lasting {
            // No request of the client's has such an id.
            ongoing: self.board.calls.begin(&id, &format!("stream {}", uuid::Uuid::now_v7())),
            id,
            caller: call.caller.principal.clone(),
            lifetime: self.settings.session_lifetime,
        };
        let known = call.metadata.get("last-event-id").and_then(|known| known.to_str().ok());
        events(Changes::legacy(listening, known, Some(session)).body(), road.ahead(&call))
    }

    /// DELETE: the end of a session.
    pub(super) async fn delete(&self, road: &impl Road, mut call: Call, client: Client) -> Response {
        let Some(id) = call.metadata.get(session_header()).cloned() else {
            return refused(road, call, &client, None, RpcError::session()).await;
        };
        let session = match self.session(&id, call.caller.principal.as_deref()).await {
            Ok(session) => session,
            Err(error) => return refused(road, call, &client, None, error).await,
        };
        if let Err(status) = road.admit(&mut call).await {
            return client.refusal(None, &status);
        }
        let id = id.to_str().unwrap_or_default();
        let closed = self.board.sessions.close(id).await;
        // What goes on of it ends with it, or is of no session any more.
        self.board.calls.end(id);
        match closed {
            Ok(()) => {
                if let Some((record, lasted)) = call.record.as_ref().zip(session.lasted()) {
                    record.ended_session(lasted);
                }
                empty(StatusCode::NO_CONTENT, road.ahead(&call))
            }
            Err(error) => {
                let status = error.status();
                let error = RpcError::of_status(&status);
                client.error(None, &error, rest::error_headers(&status, error.http()))
            }
        }
    }

    /// Whether a tool is shown to a caller who lacks this of what its method wants. At an endpoint that says where scopes are
    /// had, what wants but these is shown: nobody asks for what they do not know of.
    pub(super) fn shows(&self, found: &Result<(), Unmet>) -> bool {
        match found {
            Ok(()) => true,
            Err(Unmet::Scope(_)) => self.protection.is_some(),
            Err(_) => false,
        }
    }

    /// True where every caller is shown the same tools.
    fn lists_the_same(&self) -> bool {
        let public = |route: &Route| route.terms.access.is_public();
        public(&self.route)
            && self.toolbox.behind(None).all(|tool| {
                tool.routes().when().is_empty() && tool.routes().first().is_none_or(|route| public(route))
            })
    }
}

/// The route of a tool for a request like this call's; of several by weight, the first.
fn route_of<'a>(call: &Call, tool: &'a super::Tool) -> Option<&'a Route> {
    let Target::Http(head) = &call.target else { return None };
    tool.routes().choose(&Asked::of(&head.uri, &call.metadata)).map(|routes| &**routes.first())
}

fn versions() -> String {
    serde_json::json!(VERSIONS).to_string()
}

/// Whose streams are counted together: a caller's, or an address's where nobody knows who calls.
fn who(call: &Call) -> String {
    match (&call.caller.principal, call.caller.client) {
        (Some(caller), _) => whose(Some(caller)),
        (None, Some(client)) => place(client.address),
        (None, None) => String::new(),
    }
}

/// There are as many streams as there may be.
fn full() -> Status {
    let details = ErrorDetails::with_retry_info(Some(AGAIN));
    let message = "as many listen for changes as there may be (mcp.listeners, mcp.listeners_per_caller); ask again soon";
    Status::with_error_details(Code::Unavailable, message, details)
}
