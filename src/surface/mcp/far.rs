//! Requests that federated servers answer: which of them, on whose terms, and how their answers reach the client.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Mcp,
    answer::{Client, event, events},
    asks::Asks,
    call::Asking,
    era::Era,
    error::RpcError,
    relay::{Ended, Relay, given, level_of},
    session_header,
    shelf::{Stand, Thing},
    streamed::KEEP_ALIVE,
};
use crate::{
    auth::place,
    call::{Body, Call, Caller, Guards, Message, Road},
    federation::{Object, Question, Talk, raw},
    route::Route,
    surface::{Protocol, Request, Response, metadata},
};

/// How long a client that takes events waits for the head of its answer.
const SOON: Duration = Duration::from_secs(10);
/// The events that wait for a client.
const AHEAD: usize = 16;

/// Where a request goes.
pub(super) struct Where {
    stand: Arc<Stand>,
    route: Arc<Route>,
    /// As its server calls what is asked for.
    params: Object,
    tool: bool,
}

impl Where {
    /// A tool, or a prompt, by its name.
    pub(super) fn thing(thing: &Thing, mut params: Object, tool: bool) -> Self {
        params.set("name", raw(thing.called()));
        let (stand, route) = (Arc::clone(thing.stand()), Arc::clone(thing.route()));
        Self { stand, route, params, tool }
    }
}

impl Mcp {
    /// Where a request goes that a federated server answers; `None` where it is none of these.
    ///
    /// # Errors
    /// −32602: it asks for what there is not.
    pub(super) fn far(&self, method: &str, params: &str) -> Option<Result<Where, RpcError>> {
        let shelf = &self.shelf;
        let known = match method {
            "prompts/get" => shelf.can("prompts"),
            "resources/read" => shelf.can("resources"),
            "completion/complete" => shelf.can("completions"),
            _ => false,
        };
        if !known {
            return None;
        }
        let params = Object::read(params).map_err(|why| RpcError::params(format!("params: {why}")));
        Some(params.and_then(|params| match method {
            "prompts/get" => self.far_prompt(&params),
            "resources/read" => self.far_resource(&params),
            _ => self.far_completion(&params),
        }))
    }

    fn far_prompt(&self, params: &Object) -> Result<Where, RpcError> {
        let name = params.text("name").ok_or_else(|| RpcError::params("name is the name of a prompt"))?;
        let prompt = self
            .shelf
            .prompt(&name)
            .ok_or_else(|| RpcError::params(format!("Unknown prompt: {}", crate::status::shown(&name))))?;
        Ok(Where::thing(prompt, params.clone(), false))
    }

    fn far_resource(&self, params: &Object) -> Result<Where, RpcError> {
        let uri = params.text("uri").ok_or_else(|| RpcError::params("uri is the URI of a resource"))?;
        let unknown = || RpcError::no_resource(&uri);
        let (stand, called) = self.shelf.whose(&uri).ok_or_else(unknown)?;
        let route = stand.resources.as_ref().ok_or_else(unknown)?;
        let mut params = params.clone();
        params.set("uri", raw(&*called));
        Ok(Where { stand: Arc::clone(stand), route: Arc::clone(route), params, tool: false })
    }

    fn far_completion(&self, params: &Object) -> Result<Where, RpcError> {
        let wrong = || RpcError::params("ref is a prompt, or a template of a resource, that is listed");
        let mut about = params.object("ref").ok_or_else(wrong)?;
        let (thing, member) = match about.text("type").as_deref() {
            Some("ref/prompt") => (about.text("name").and_then(|name| self.shelf.prompt(&name)), "name"),
            Some("ref/resource") => (about.text("uri").and_then(|uri| self.shelf.template(&uri)), "uri"),
            _ => (None, ""),
        };
        let thing = thing.ok_or_else(wrong)?;
        about.set(member, raw(thing.called()));
        let mut params = params.clone();
        params.set("ref", raw(&about));
        let (stand, route) = (Arc::clone(thing.stand()), Arc::clone(thing.route()));
        Ok(Where { stand, route, params, tool: false })
    }

    /// Serves a request of somebody within, whose caller policies have found out, and counted, already.
    pub async fn within<R: Road + 'static>(
        &self,
        road: &Arc<R>,
        request: Request,
        caller: Caller,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let client = Client::of(&parts.headers, &self.server);
        let (mut call, _) = self.open(parts);
        call.caller = Caller { entry: Some(Arc::clone(&self.route)), charged: true, ..caller };
        self.post(road, call, client, body).await
    }

    /// Has a federated server answer. `call` is identified; its metadata are the headers as they came.
    pub(super) async fn pass<R: Road + 'static>(
        &self,
        road: &Arc<R>,
        mut call: Call,
        asking: Asking<'_>,
        method: &str,
        to: Where,
    ) -> Result<Response, (Box<Call>, RpcError)> {
        let Asking { client, era, id, meta, capabilities, level, .. } = asking;
        let session = call.metadata.get(session_header()).and_then(|session| session.to_str().ok());
        let session = session.filter(|_| era != Era::Modern).map(str::to_owned);
        let whose = whose(&call, session.as_deref());
        let Where { stand, route, mut params, tool } = to;
        let said = params.take("_meta").and_then(|meta| Object::read(meta.get()).ok()).unwrap_or_default();
        if tool && params.get("arguments").is_none_or(|arguments| arguments.get() == "null") {
            params.set("arguments", raw(&Object::default()));
        }
        if era != Era::Modern {
            // They are the newest version's.
            for member in ["requestState", "inputResponses"] {
                drop(params.take(member));
            }
        }
        let state =
            params.text("requestState").filter(|state| Asks::is_ours(state)).map(|state| state.into_owned());
        let parked = match &state {
            None => None,
            Some(state) => match self.board.asks.take(state, &whose) {
                Some(parked) => Some(parked),
                None => {
                    let error = "requestState: nothing waits for this answer any more: call again without it";
                    return Err((Box::new(call), RpcError::params(error)));
                }
            },
        };
        // Nobody's own headers go on: what a server is told of its caller is in the message alone.
        let headers = std::mem::take(&mut call.metadata);
        let (metadata, clean) = metadata::of_request(headers, Protocol::Mcp);
        call.metadata = metadata;
        call.message = Message::Body(Body::empty());
        call.route = route;
        let admitted = match clean {
            Ok(()) => road.admit(&mut call).await,
            Err(status) => road.admit(&mut call).await.and(Err(status)),
        };
        if let Err(status) = admitted {
            return Ok(client.refusal(Some(id), &status));
        }
        let told = road.ahead(&call);
        let ongoing = session.as_deref().map(|session| self.board.calls.begin(session, id));
        let level = match era {
            Era::Modern => level_of(&said),
            Era::Legacy(_) => level.map(str::to_owned).or_else(|| Some("info".to_owned())),
        };
        let mut meta_sent = said;
        if let (Era::Legacy(_), Some(level)) = (era, &level) {
            meta_sent.set("io.modelcontextprotocol/logLevel", raw(level));
        }
        let token = meta.progress.map(|token| token.get().to_owned()).filter(|_| client.events);
        let question = Question {
            method: method.to_owned(),
            params,
            meta: meta_sent,
            capabilities: capabilities.map(ToOwned::to_owned),
            progress: token.is_some(),
            whose,
            headers: HeaderMap::new(),
            limit: call.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let begun = match parked {
            None => None,
            Some(mut parked) => {
                let outcome = given(&question.params);
                if let Err(status) = parked.talk.answer(&parked.asked, &outcome).await {
                    return Ok(client.refusal(Some(id), &status));
                }
                Some(parked.talk)
            }
        };
        let relay = Relay {
            client: client.clone(),
            era,
            id: id.to_owned(),
            session,
            stand,
            question,
            level,
            asks: Arc::clone(&self.board.asks),
            deadline: call.deadline,
            ongoing,
            tool,
            record: call.record.take(),
            token,
        };
        let guards = std::mem::take(&mut call.guards);
        Ok(answer(relay, begun, told, guards).await)
    }
}

/// Waits for what comes first: the end, which is an answer by itself, or something on the way, which begins a stream.
async fn answer(relay: Relay, begun: Option<Talk>, told: HeaderMap, guards: Guards) -> Response {
    let client = relay.client.clone();
    let at_once = relay.token.is_some();
    if !client.events {
        return whole(&client, relay.run(begun, None, guards).await, told);
    }
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let mut running: Running = Box::pin(relay.run(begun, Some(sender), guards));
    let first = if at_once {
        None
    } else {
        tokio::select! {
            biased;
            first = receiver.recv() => first,
            ended = &mut running => return whole(&client, ended, told),
            () = sleep(SOON) => None,
        }
    };
    let state = Telling { running: Some(running), receiver, first, last: None };
    let told_events =
        stream::unfold(state, async |mut state| Some((Ok::<_, Infallible>(state.next().await?), state)));
    events(Body::from_stream(told_events), told)
}

fn whole(client: &Client, ended: Ended, told: HeaderMap) -> Response {
    let Ended { message, http, failed, .. } = ended;
    let mut response = client.message(http, message, told);
    if let Some(failed) = failed {
        response.extensions_mut().insert(failed);
    }
    response
}

type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A stream of what comes on the way, and of the end.
struct Telling {
    /// `None` once it has ended.
    running: Option<Running>,
    receiver: mpsc::Receiver<Vec<u8>>,
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(event(&first).into());
        }
        let alive = Instant::now() + KEEP_ALIVE;
        loop {
            let Some(running) = &mut self.running else {
                // What was said before the end goes before it.
                let said = self.receiver.try_recv().ok().or_else(|| self.last.take())?;
                return Some(event(&said).into());
            };
            let heard = async {
                tokio::select! {
                    biased;
                    said = self.receiver.recv(), if !self.receiver.is_closed() => Ok(said),
                    ended = running => Err(ended),
                }
            };
            match timeout_at(alive, heard).await {
                Err(_) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                Ok(Ok(Some(said))) => return Some(event(&said).into()),
                // Its sender lives as long as what runs.
                Ok(Ok(None)) => {
                    if let Some(running) = self.running.take() {
                        let ended = running.await;
                        self.last = (!ended.taken_back).then_some(ended.message);
                    }
                }
                Ok(Err(ended)) => {
                    self.running = None;
                    self.last = (!ended.taken_back).then_some(ended.message);
                }
            }
        }
    }
}

/// Whose a request is: nobody else's goes over the same session.
fn whose(call: &Call, session: Option<&str>) -> String {
    let caller = match &call.caller.principal {
        Some(principal) => {
            let by = principal.counted_by();
            format!("{}\0{}\0{}", by.kind, by.realm, by.id)
        }
        None => {
            let address = call.caller.client.map_or(call.peer.address.ip(), |client| client.address);
            format!("address\0{}", place(address))
        }
    };
    format!("{caller}\0{}", session.unwrap_or_default())
}
