//! `tools/call`: the tool's method is called by its own routes, down the same road as by any other surface, and what comes of
//! it is the tool's result. Policies refuse in HTTP; all else that fails is a result too, which says so.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use tonic::{Code, Status};

use super::{
    Mcp,
    answer::{Client, events},
    cancel::Ongoing,
    era::{Era, Meta},
    error::RpcError,
    far::Where,
    members::Members,
    result::{Outcome, unary},
    session_header,
    shelf::Thing,
    streamed::Streamed,
    tool::Tool,
    toolbox::Offer,
};
use crate::{
    auth::Unmet,
    call::{Call, Message, Pending, Road, Target},
    federation::Object,
    route::{Asked, Route},
    status::shown,
    surface::{Failed, Protocol, Response, metadata},
};

/// A request for a tool.
pub(super) struct Asking<'a> {
    pub(super) client: &'a Client,
    pub(super) era: Era,
    pub(super) id: &'a str,
    pub(super) meta: &'a Meta<'a>,
    pub(super) params: &'a Members<'a>,
    /// All of the params, as they were written.
    pub(super) whole: &'a str,
    /// What its client can do, as that has said it; and the least that it wants of the log.
    pub(super) capabilities: Option<&'a RawValue>,
    pub(super) level: Option<&'a str>,
    /// The whole body, of which `params` are a part.
    pub(super) body: &'a Bytes,
}

impl Mcp {
    /// Calls a tool. `call` is identified; its metadata are the headers as they came.
    ///
    /// # Errors
    /// −32602 for a tool that there is not, with the call, which has not been admitted.
    pub(super) async fn call_tool<R: Road + 'static>(
        &self,
        road: &Arc<R>,
        mut call: Call,
        asking: Asking<'_>,
    ) -> Result<Response, (Box<Call>, RpcError)> {
        let Asking { client, era, id, meta, params, body, .. } = asking;
        let Ok(Some(name)) = params.text("name") else {
            return Err((Box::new(call), RpcError::params("params: name is the name of a tool")));
        };
        let (tool, route) = match self.find(&**road, &call, &name) {
            Found::Tool(tool, route) => (tool, route),
            Found::Far(thing) => {
                if let Some(record) = &call.record {
                    record.calls_tool(thing.key());
                }
                let whole = match Object::read(asking.whole) {
                    Ok(whole) => whole,
                    Err(why) => return Err((Box::new(call), RpcError::params(format!("params: {why}")))),
                };
                let to = Where::thing(&thing, whole, true);
                return self.pass(road, call, asking, "tools/call", to).await;
            }
            Found::Nothing => return Err((Box::new(call), unknown(&name))),
            Found::Refused(status) => {
                let refused = road.admit(&mut call).await.err();
                return Ok(client.refusal(Some(id), &refused.unwrap_or(status)));
            }
            Found::Hidden(route) => {
                call.route = Arc::clone(&route);
                return Ok(match road.admit(&mut call).await {
                    Err(status) => hidden(client, id, (&name, &route), &status),
                    Ok(()) => client.error(Some(id), &unknown(&name), road.ahead(&call)),
                });
            }
        };
        if let Some(record) = &call.record {
            record.calls_tool(tool.name());
        }
        let arguments = match params.get("arguments").map(|arguments| arguments.get()) {
            None | Some("null") => Bytes::from_static(b"{}"),
            Some(json) => body.slice_ref(json.as_bytes()),
        };
        let session = call.metadata.get(session_header()).and_then(|session| session.to_str().ok());
        let ongoing =
            session.filter(|_| era != Era::Modern).map(|session| self.board.calls.begin(session, id));
        let (metadata, clean) = metadata::of_request(std::mem::take(&mut call.metadata), Protocol::Mcp);
        let method = Arc::clone(tool.method());
        call.metadata = metadata;
        call.target = Target::Rpc { path: method.path.clone(), method: Some(method) };
        call.message = message(&tool, arguments, route.limits.request_bytes, clean);
        call.route = route;
        if let Err(status) = road.admit(&mut call).await {
            return Ok(client.refusal(Some(id), &status));
        }
        let told = road.ahead(&call);
        let route = Arc::clone(&call.route);
        let record = call.record.clone();
        let outcome = if tool.streams() {
            let road = Arc::clone(road);
            let opening = Box::pin(async move { road.dispatch(call).await });
            let streamed = Streamed::new(tool, route, self.settings.bounds, opening);
            if let Some(token) = meta.progress.filter(|_| client.events) {
                let (client, id, token) = (client.clone(), id.to_owned(), token.get().to_owned());
                let body = streamed.events(client, era, id, token, ongoing, record);
                return Ok(events(body, told));
            }
            unless_taken_back(ongoing, streamed.collect()).await
        } else {
            let answer = async { unary(&tool, &route, road.dispatch(call).await).await };
            unless_taken_back(ongoing, answer).await
        };
        Ok(match outcome {
            Some(outcome) => answered(client, era, id, outcome, told),
            None => client.error(Some(id), &RpcError::taken_back(), told),
        })
    }
}

/// What a tool's name stands for, to one caller.
enum Found {
    /// It may be called, by this route; what else there is to say policies say.
    Tool(Arc<Tool>, Arc<Route>),
    /// The same of a federated server's tool.
    Far(Arc<Thing>),
    /// There is none, as far as the caller is concerned: what it may not call is as what there is not.
    Nothing,
    /// There is one, or none, for callers who are known: on this route that is said.
    Hidden(Arc<Route>),
    /// It wants more than the caller was let do.
    Refused(Status),
}

impl Mcp {
    fn find(&self, road: &impl Road, call: &Call, name: &str) -> Found {
        let Target::Http(head) = &call.target else { return Found::Nothing };
        let asked = Asked::of(&head.uri, &call.metadata);
        let chosen = self.toolbox.get(name).and_then(|offer| {
            // There may be none for the host that was asked.
            Some((offer.clone(), offer.pick(&asked)?))
        });
        let Some((offer, route)) = chosen else {
            // Whom nobody knows learns nothing by a name that it makes up.
            let hidden = self.toolbox.behind(None).find_map(|(_, offer)| {
                let route = offer.route(&asked)?;
                (road.permits(call, route) == Err(Unmet::Unknown)).then(|| Arc::clone(route))
            });
            return hidden.map_or(Found::Nothing, Found::Hidden);
        };
        let found = road.permits(call, &route);
        match (&found, &self.protection) {
            (Err(Unmet::Unknown), _) => return Found::Hidden(route),
            (Ok(()) | Err(Unmet::Scope(_)), Some(protection)) => {
                if let Err(status) = protection.tool(call, name, &offer, &found) {
                    return Found::Refused(status);
                }
            }
            // Which scope is missing policies say.
            (Ok(()) | Err(Unmet::Scope(_)), None) => {}
            (Err(_), _) => return Found::Nothing,
        }
        match offer {
            Offer::Method(tool) => Found::Tool(tool, route),
            Offer::Far(thing) => Found::Far(thing),
        }
    }
}

/// The refusal of what is for callers who are known, in words that do not say whether there is any such tool.
fn hidden(client: &Client, id: &str, (name, route): (&str, &Route), status: &Status) -> Response {
    let error = RpcError::of_status(status);
    // What is wrong with credentials says nothing of what is called.
    if status.code() != Code::Unauthenticated || !status.message().starts_with(&*route.name) {
        return client.refused(Some(id), status, error);
    }
    let why = format!("{} is for authenticated callers, if it is a tool at all", shown(name));
    client.refused(Some(id), status, error.because(why))
}

/// What comes of a call; `None` where its client takes it back before, which ends it.
async fn unless_taken_back(ongoing: Option<Ongoing>, call: impl Future<Output = Outcome>) -> Option<Outcome> {
    let Some(ongoing) = ongoing else { return Some(call.await) };
    tokio::select! {
        () = ongoing.taken_back() => None,
        outcome = call => Some(outcome),
    }
}

fn answered(client: &Client, era: Era, id: &str, outcome: Outcome, told: HeaderMap) -> Response {
    let Outcome { members, failed } = outcome;
    let message = client.result(id, era, |out| out.extend_from_slice(&members));
    let mut response = client.message(StatusCode::OK, message, told);
    if let Some(status) = failed {
        // It failed, whatever HTTP says.
        response.extensions_mut().insert(Failed::by(&status));
    }
    response
}

/// The arguments as the method's message, read once the call is admitted.
fn message(tool: &Arc<Tool>, arguments: Bytes, limit: usize, clean: Result<(), Status>) -> Message {
    let tool = Arc::clone(tool);
    Message::Pending(Pending::new(move || async move {
        clean?;
        tool.frames(&arguments, limit)
    }))
}

fn unknown(name: &str) -> RpcError {
    RpcError::params(format!("Unknown tool: {}", shown(name)))
}
