//! What is answered here: who the server is, its list of tools, the sessions of the older versions, and the streams that tell
//! of changes.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use tonic::Status;

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
    wishes::full,
};
use crate::{
    auth::{Principal, Unmet, place},
    call::{Call, Road, Target},
    federation::{Kind, reply},
    route::Asked,
    status::{Refusal, refuse},
    surface::{Response, rest},
};

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
                let capabilities = self.capabilities();
                let mut out = format!("\"supportedVersions\":{},{capabilities}", versions()).into_bytes();
                out.extend_from_slice(self.instructions.as_bytes());
                // What it says is the same for everyone.
                Cache { milliseconds: ttl, public: self.route.terms.access.is_public() }.write(&mut out);
                Ok(out)
            }
            (_, "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list") => {
                self.list(road, &call, era, method, params)
            }
            (Era::Modern, "subscriptions/listen") => match Filter::of(params) {
                Ok(filter) => {
                    let filter = filter.within(self.shelf.can("prompts"), self.shelf.can("resources"));
                    let Some(listening) = self.board.listen(&who(&call), self.settings.listeners) else {
                        return client.refusal(Some(id), &full());
                    };
                    let (updates, held) = self.updates(road, &call, params);
                    let uris = held.iter().map(|(uri, _)| uri.clone()).collect();
                    let held = held.into_iter().map(|(_, subscription)| subscription).collect();
                    let changes = Changes::modern(listening, filter, client.clone(), id, uris);
                    return events(changes.with(updates, held).body(), told);
                }
                Err(error) => Err(error),
            },
            (Era::Legacy(_), "initialize") => {
                let caller = call.caller.principal.as_deref();
                return self.initialize(caller, client, id, params, told).await;
            }
            (Era::Legacy(_), "ping") => Ok(Vec::new()),
            (Era::Legacy(_), "resources/subscribe" | "resources/unsubscribe") if self.shelf.subscribes() => {
                self.subscribe(road, &call, method == "resources/subscribe", params)
            }
            (Era::Legacy(_), "logging/setLevel") if self.shelf.can("logging") => {
                self.set_level(call.metadata.get(session_header()), params).await
            }
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
        let capabilities = params.get("capabilities").map(|said| said.get());
        let lifetime = self.settings.session_lifetime;
        match self.board.sessions.open(version, capabilities, caller, lifetime).await {
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
            out.extend_from_slice(self.capabilities().as_bytes());
            out.extend_from_slice(b",\"serverInfo\":");
            out.extend_from_slice(self.server.as_bytes());
            out.extend_from_slice(self.instructions.as_bytes());
        });
        client.message(StatusCode::OK, message, told)
    }

    /// What a request of a session speaks, and what is known of its client; of none what it says itself.
    pub(super) async fn session_of(
        &self,
        headers: &HeaderMap,
        caller: Option<&Principal>,
        era: Era,
    ) -> Result<(Era, Session), RpcError> {
        let (Era::Legacy(said), Some(id)) = (era, headers.get(session_header())) else {
            return Ok((era, Session::default()));
        };
        let session = self.session(id, caller).await?;
        // Without a header it is the session's version; a header that says another is believed: all are spoken.
        let unsaid = !headers.contains_key(&era::VERSION_HEADER);
        Ok((Era::Legacy(if unsaid { session.version } else { said }), session))
    }

    /// One page of a list.
    fn list(
        &self,
        road: &impl Road,
        call: &Call,
        era: Era,
        method: &str,
        params: &Members<'_>,
    ) -> Result<Vec<u8>, RpcError> {
        let kind = match method {
            "prompts/list" => Kind::Prompts,
            "resources/list" => Kind::Resources,
            "resources/templates/list" => Kind::Templates,
            _ => Kind::Tools,
        };
        let needs = if kind == Kind::Prompts { "prompts" } else { "resources" };
        if kind != Kind::Tools && !self.shelf.can(needs) {
            return Err(RpcError::method(method, &era));
        }
        if let Some((server, why)) = self.shelf.missing() {
            let text =
                format!("MCP server {:?} is away, and nothing is listed without it: {why}", server.name());
            return Err(RpcError::of_status(&Status::unavailable(text)));
        }
        let (ttl, most) = (self.settings.list_ttl.as_millis(), self.settings.page_size);
        let cache = Cache::of(era, ttl, self.lists_the_same(kind));
        let behind = list::behind(params)?;
        Ok(if kind == Kind::Tools {
            let mine = self.toolbox.behind(behind.as_deref()).filter(|(_, offer)| {
                let asked = asked_of(call);
                asked
                    .and_then(|asked| offer.route(&asked))
                    .is_some_and(|route| self.shows(&road.permits(call, route)))
            });
            list::page(kind.member(), mine.map(|(name, offer)| (name, offer.described())), most, cache)
        } else {
            let mine = self.shelf.behind(kind, behind.as_deref());
            let mine = mine.filter(|(_, thing)| road.permits(call, thing.route()).is_ok());
            list::page(kind.member(), mine.map(|(key, thing)| (key, thing.described())), most, cache)
        })
    }

    /// What the server can do, as the protocol names it.
    fn capabilities(&self) -> String {
        let mut said = json!({"tools": {"listChanged": true}});
        if self.shelf.can("prompts") {
            said["prompts"] = json!({"listChanged": true});
        }
        if self.shelf.can("resources") {
            said["resources"] = json!({"listChanged": true, "subscribe": self.shelf.subscribes()});
        }
        if self.shelf.can("completions") {
            said["completions"] = json!({});
        }
        if self.shelf.can("logging") {
            said["logging"] = json!({});
        }
        format!("\"capabilities\":{said}")
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

    /// What a session's client answers to what it was asked; the session is its caller's, as has been seen to.
    pub(super) fn take_reply(&self, session: Option<&HeaderValue>, body: &[u8]) {
        let session = session.and_then(|session| session.to_str().ok());
        if let (Some(session), Some((id, outcome))) = (session, reply(body)) {
            self.board.asks.reply(session, &id, outcome);
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
        let updates = self.board.feeds.listen(&session.id, self.settings.session_lifetime);
        let changes = Changes::legacy(listening, known, Some(session)).with(updates, Vec::new());
        events(changes.body(), road.ahead(&call))
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
        self.board.feeds.close(id);
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

    /// True where every caller is shown the same things.
    fn lists_the_same(&self, kind: Kind) -> bool {
        self.route.terms.access.is_public()
            && match kind {
                Kind::Tools => self.toolbox.behind(None).all(|(_, offer)| offer.is_public()),
                kind => {
                    self.shelf.behind(kind, None).all(|(_, thing)| thing.route().terms.access.is_public())
                }
            }
    }
}

/// A request like this call's.
fn asked_of(call: &Call) -> Option<Asked<'_>> {
    let Target::Http(head) = &call.target else { return None };
    Some(Asked::of(&head.uri, &call.metadata))
}

fn versions() -> String {
    json!(VERSIONS).to_string()
}

/// Whose streams are counted together: a caller's, or an address's where nobody knows who calls.
fn who(call: &Call) -> String {
    match (&call.caller.principal, call.caller.client) {
        (Some(caller), _) => whose(Some(caller)),
        (None, Some(client)) => place(client.address),
        (None, None) => String::new(),
    }
}
