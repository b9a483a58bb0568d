//! Streams that tell of changes: `subscriptions/listen` of the newest version, which is acknowledged first and tells what was
//! asked for, and GET of the older ones, which tells everything. Neither holds the drain up: they end when it begins.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use tokio::{
    sync::broadcast,
    time::{Instant, timeout_at},
};

use super::{
    answer::{Client, event},
    board::{Listening, Told},
    cancel::Ongoing,
    era::Era,
    error::RpcError,
    members::{Members, is_object},
    streamed::KEEP_ALIVE,
};
use crate::{auth::Principal, call::Body, federation::Subscription};

const FILTER: &[&str] =
    &["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"];

/// What a client wants to be told, of what there is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Filter {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Filter {
    /// Reads the `notifications` of `subscriptions/listen`.
    ///
    /// # Errors
    /// −32602 for what is not as the protocol has it.
    pub(super) fn of(params: &Members<'_>) -> Result<Self, RpcError> {
        let wrong = |why: &str| RpcError::params(format!("notifications: {why}"));
        let asked = params.get("notifications").ok_or_else(|| wrong("it says what to tell"))?;
        if !is_object(asked) {
            return Err(wrong("it is an object"));
        }
        let asked =
            Members::read(asked.get().as_bytes(), FILTER).map_err(|unread| wrong(&unread.to_string()))?;
        let wants = |name: &str| match asked.get(name).map(|value| value.get()) {
            None | Some("false" | "null") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(&format!("{name} is true or false"))),
        };
        Ok(Self {
            tools: wants("toolsListChanged")?,
            prompts: wants("promptsListChanged")?,
            resources: wants("resourcesListChanged")?,
        })
    }

    /// What of it there can be here.
    pub(super) fn within(self, prompts: bool, resources: bool) -> Self {
        Self { prompts: self.prompts && prompts, resources: self.resources && resources, ..self }
    }

    fn all() -> Self {
        Self { tools: true, prompts: true, resources: true }
    }

    /// The first of what differs that is to be told; the client knows it then.
    fn change(self, known: &mut Told, now: Told) -> Option<&'static str> {
        for (wanted, known, now, method) in [
            (self.tools, &mut known.tools, now.tools, "notifications/tools/list_changed"),
            (self.prompts, &mut known.prompts, now.prompts, "notifications/prompts/list_changed"),
            (self.resources, &mut known.resources, now.resources, "notifications/resources/list_changed"),
        ] {
            if wanted && *known != now {
                *known = now;
                return Some(method);
            }
        }
        None
    }

    fn said(self) -> String {
        let wanted = [
            (self.tools, "toolsListChanged"),
            (self.prompts, "promptsListChanged"),
            (self.resources, "resourcesListChanged"),
        ];
        let said = wanted.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| format!("\"{name}\":true"));
        format!("{{{}}}", said.collect::<Vec<_>>().join(","))
    }
}

/// A stream of changes.
pub(super) struct Changes {
    listening: Listening,
    filter: Filter,
    /// What its client knows of; `None` before it was told that the stream has begun.
    known: Option<Told>,
    way: Way,
    over: bool,
    /// The resources of which it was promised to hear.
    uris: Vec<String>,
    updates: Option<broadcast::Receiver<Arc<str>>>,
    /// Held as long as it listens.
    _subscriptions: Vec<Subscription>,
    /// The session that it ends with.
    session: Option<Lasting>,
}

/// A session for as long as it lasts.
pub(super) struct Lasting {
    pub(super) id: String,
    pub(super) caller: Option<Arc<Principal>>,
    pub(super) lifetime: Duration,
    /// It is over here.
    pub(super) ongoing: Ongoing,
}

/// How a stream is spoken.
enum Way {
    /// As the answer to the request of this id, whose notifications bear it.
    Modern { client: Client, id: String },
    /// Its events have ids, by which one who comes again says what it knows.
    Legacy,
}

impl Changes {
    pub(super) fn modern(
        listening: Listening,
        filter: Filter,
        client: Client,
        id: &str,
        uris: Vec<String>,
    ) -> Self {
        let way = Way::Modern { client, id: id.to_owned() };
        let (updates, _subscriptions) = (None, Vec::new());
        Self {
            listening,
            filter,
            known: None,
            way,
            over: false,
            uris,
            updates,
            _subscriptions,
            session: None,
        }
    }

    /// `known`: the id of the last event that its client has seen.
    pub(super) fn legacy(mut listening: Listening, known: Option<&str>, session: Option<Lasting>) -> Self {
        let now = *listening.told.borrow_and_update();
        let seen = known.map(|id| id.split('-').map(|part| part.parse().ok()).collect::<Vec<_>>());
        let seen = |at: usize, now: u64| {
            seen.as_ref().and_then(|seen| seen.get(at).copied().flatten()).unwrap_or(now)
        };
        let (tools, prompts) = (seen(0, now.tools), seen(1, now.prompts));
        let known = Some(Told { tools, prompts, resources: seen(2, now.resources), ends: false });
        let (filter, way, updates) = (Filter::all(), Way::Legacy, None);
        let (uris, _subscriptions) = (Vec::new(), Vec::new());
        Self { listening, filter, known, way, over: false, uris, updates, _subscriptions, session }
    }

    /// The same, with what is told of resources.
    pub(super) fn with(
        self,
        updates: Option<broadcast::Receiver<Arc<str>>>,
        subscriptions: Vec<Subscription>,
    ) -> Self {
        Self { updates, _subscriptions: subscriptions, ..self }
    }

    /// The events.
    pub(super) fn body(self) -> Body {
        let events = stream::unfold(self, async |mut changes| {
            Some((Ok::<_, Infallible>(changes.next().await?), changes))
        });
        Body::from_stream(events)
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let Some(mut known) = self.known else {
            let now = *self.listening.told.borrow_and_update();
            self.known = Some(Told { ends: false, ..now });
            return Some(self.acknowledged());
        };
        let alive = Instant::now() + KEEP_ALIVE;
        loop {
            let now = *self.listening.told.borrow_and_update();
            if now.ends {
                self.over = true;
                return self.ended();
            }
            let changed = self.filter.change(&mut known, now);
            self.known = Some(known);
            if let Some(method) = changed {
                return Some(self.changed(method, known));
            }
            let (told, updates) = (&mut self.listening.told, &mut self.updates);
            let heard = async {
                tokio::select! {
                    changed = told.changed() => changed.map(|()| None).map_err(drop),
                    uri = updated(updates) => Ok(Some(uri)),
                }
            };
            let ended = async {
                match &self.session {
                    Some(session) => session.ongoing.taken_back().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended => return None,
                heard = timeout_at(alive, heard) => match heard {
                    Ok(Ok(None)) => {}
                    Ok(Ok(Some(uri))) => {
                        let params = format!("\"uri\":{}", serde_json::json!(&*uri));
                        return Some(self.notification("notifications/resources/updated", &params));
                    }
                    Ok(Err(())) => return None,
                    Err(_) if self.is_over().await => return None,
                    Err(_) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                },
            }
        }
    }

    /// Whether the session has ended, at another replica perhaps. While nobody can be asked it goes on.
    async fn is_over(&self) -> bool {
        let Some(Lasting { id, caller, lifetime, .. }) = &self.session else { return false };
        let found = self.listening.board.sessions.find(id, caller.as_deref(), *lifetime).await;
        matches!(found, Ok(None))
    }

    fn acknowledged(&self) -> Bytes {
        let mut honoured = self.filter.said();
        if !self.uris.is_empty() {
            let comma = if honoured.len() > 2 { "," } else { "" };
            let uris = serde_json::json!(self.uris);
            honoured.truncate(honoured.len() - 1);
            honoured.push_str(&format!("{comma}\"resourceSubscriptions\":{uris}}}"));
        }
        self.notification(
            "notifications/subscriptions/acknowledged",
            &format!("\"notifications\":{honoured}"),
        )
    }

    fn changed(&self, method: &str, known: Told) -> Bytes {
        let said = self.notification(method, "");
        match self.way {
            Way::Modern { .. } => said,
            Way::Legacy => {
                let Told { tools, prompts, resources, .. } = known;
                let mut out = format!("id: {tools}-{prompts}-{resources}\n").into_bytes();
                out.extend_from_slice(&said);
                out.into()
            }
        }
    }

    fn notification(&self, method: &str, params: &str) -> Bytes {
        let params = match &self.way {
            Way::Modern { id, .. } => {
                let comma = if params.is_empty() { "" } else { "," };
                format!(
                    ",\"params\":{{\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}{comma}{params}}}"
                )
            }
            Way::Legacy if params.is_empty() => String::new(),
            Way::Legacy => format!(",\"params\":{{{params}}}"),
        };
        event(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"{params}}}").as_bytes()).into()
    }

    /// The answer to the request that began it.
    fn ended(&self) -> Option<Bytes> {
        let Way::Modern { client, id } = &self.way else { return None };
        let subscription = format!("\"io.modelcontextprotocol/subscriptionId\":{id}");
        let message = client.result(id, Era::Modern, |_| {});
        // The result's `_meta` has whose it is; the subscription stands beside.
        let message = String::from_utf8_lossy(&message).replacen(
            "\"_meta\":{",
            &format!("\"_meta\":{{{subscription},"),
            1,
        );
        Some(event(message.as_bytes()).into())
    }
}

/// The next change of a resource; those that a slow client has missed are lost.
async fn updated(updates: &mut Option<broadcast::Receiver<Arc<str>>>) -> Arc<str> {
    loop {
        let Some(receiver) = updates else { return std::future::pending().await };
        match receiver.recv().await {
            Ok(uri) => return uri,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => *updates = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::{
        super::board::{Board, Listeners},
        *,
    };
    use crate::store::MemoryCache;

    const MANY: Listeners = Listeners { all: 9, each: 9 };
    const HOUR: Duration = Duration::from_secs(3600);

    fn board() -> Arc<Board> {
        Arc::new(Board::new(Arc::<MemoryCache>::default()))
    }

    fn client() -> Client {
        Client::of(&http::HeaderMap::new(), &r#"{"name":"p","version":"1"}"#.into())
    }

    async fn event(body: &mut Body) -> String {
        let frame = body.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_acknowledged_first_and_ends_with_a_result() {
        let board = board();
        let filter = Filter { tools: true, ..Filter::default() };
        let mut body =
            Changes::modern(board.listen("a", MANY).unwrap(), filter, client(), "7", Vec::new()).body();
        let acknowledged = event(&mut body).await;
        assert!(acknowledged.contains("notifications/subscriptions/acknowledged"), "{acknowledged}");
        assert!(acknowledged.contains(r#""notifications":{"toolsListChanged":true}"#), "{acknowledged}");
        assert!(acknowledged.contains(r#""io.modelcontextprotocol/subscriptionId":7"#), "{acknowledged}");
        assert_eq!(event(&mut body).await, ": keep-alive\n\n");
        board.drain();
        let last = event(&mut body).await;
        let json = last.strip_prefix("event: message\ndata: ").unwrap();
        let json: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(json["result"]["resultType"], "complete");
        assert_eq!(json["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_asked_for_is_told() {
        let board = board();
        board.show(&Arc::default(), &Arc::default());
        let mut body =
            Changes::modern(board.listen("a", MANY).unwrap(), Filter::default(), client(), "1", Vec::new())
                .body();
        assert!(event(&mut body).await.contains(r#""notifications":{}"#));
        assert_eq!(event(&mut body).await, ": keep-alive\n\n");
        // One who comes again and has missed something is told at once.
        let mut again = Changes::legacy(board.listen("a", MANY).unwrap(), Some("99"), None).body();
        let told = event(&mut again).await;
        assert_eq!(
            told,
            "id: 0-0-0\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n"
        );
        let mut first = Changes::legacy(board.listen("a", MANY).unwrap(), None, None).body();
        assert_eq!(event(&mut first).await, ": keep-alive\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_s_stream_ends_with_it() {
        let board = board();
        let stream = async || {
            let id = board.sessions.open("2025-06-18", None, None, HOUR).await.unwrap();
            let ongoing = board.calls.begin(&id, "a stream");
            let session = Lasting { id: id.clone(), caller: None, lifetime: HOUR, ongoing };
            (Changes::legacy(board.listen("a", MANY).unwrap(), None, Some(session)).body(), id)
        };
        let (mut here, id) = stream().await;
        assert_eq!(event(&mut here).await, ": keep-alive\n\n");
        board.calls.end(&id);
        assert!(here.frame().await.is_none());
        // At another replica nobody says so: it is seen when the stream would say that it is alive.
        let (mut elsewhere, id) = stream().await;
        board.sessions.close(&id).await.unwrap();
        assert!(elsewhere.frame().await.is_none());
    }
}
