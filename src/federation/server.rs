//! One upstream server: the era that it speaks, the lines that lead to it, and what is known of what it lists.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::HeaderMap;
use serde_json::{json, value::RawValue};
use tokio::{runtime::Handle, sync::Notify};
use tonic::{Code, Status};

use super::{
    LEGACY, MODERN, Reached, Settings, Speaks,
    http::Http,
    line::{self, Asked, Era, Line, Lost, Wire, session_of},
    listing::Listing,
    message,
    object::{Object, raw},
    process::Process,
    sessions::{Key, Sessions},
    updates::Updates,
};
use crate::{dispatch::HttpUpstream, status::Fault};

/// How long a process has to answer whether it speaks the newest version; one of an older one may say nothing.
const DISCOVER: Duration = Duration::from_secs(5);

/// How long a server has to take the end of a session, and a process to end, when the gateway does.
const SHORT: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_secs(5);

/// One upstream server.
pub struct Server {
    pub(super) settings: Settings,
    /// `MCP server "files"`
    pub(super) label: Arc<str>,
    http: Option<Http>,
    pub(super) runtime: OnceLock<Handle>,
    known: Mutex<Option<Known>>,
    pub(super) sessions: Sessions,
    pub(super) state: ArcSwap<State>,
    ids: AtomicU64,
    /// Its lists are to be read again, now.
    pub(super) nudge: Notify,
    /// Who wants to hear of changes of its resources.
    pub(super) updates: Updates,
}

/// What it speaks, once that is known.
#[derive(Debug, Clone)]
struct Known {
    era: Era,
    /// The one line of all callers, where each request says everything.
    line: Option<Arc<Line>>,
}

/// What is known of a server.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It was not asked yet.
    New,
    Here(Arc<Listing>),
    /// Why it is away, for as long as that lasts.
    Away(Arc<str>),
}

impl Server {
    /// A server; nothing is asked of it before it is looked after. `workers`: see [`HttpUpstream::new`].
    ///
    /// # Errors
    /// Says which setting is not usable.
    pub fn new(settings: Settings, workers: usize) -> Result<Self, String> {
        let http = match &settings.reached {
            Reached::Process(_) => None,
            Reached::Http(reached, path) => {
                let upstream = Arc::new(HttpUpstream::new((**reached).clone(), workers)?);
                Some(Http { upstream, path: path.clone(), most: settings.message_bytes })
            }
        };
        Ok(Self {
            label: format!("MCP server {:?}", settings.name).into(),
            http,
            runtime: OnceLock::new(),
            known: Mutex::default(),
            sessions: Sessions::default(),
            state: ArcSwap::from_pointee(State::New),
            ids: AtomicU64::new(1),
            nudge: Notify::new(),
            updates: Updates::default(),
            settings,
        })
    }

    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it lists; `None` while it is not known, or away.
    #[must_use]
    pub fn listing(&self) -> Option<Arc<Listing>> {
        match &**self.state.load() {
            State::Here(listing) => Some(Arc::clone(listing)),
            State::New | State::Away(_) => None,
        }
    }

    /// Why it is away; `None` while it is there, or was not asked yet.
    #[must_use]
    pub fn away(&self) -> Option<Arc<str>> {
        match &**self.state.load() {
            State::Away(why) => Some(Arc::clone(why)),
            State::New | State::Here(_) => None,
        }
    }

    /// The version that it speaks, once that is known.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.known().as_ref().map(|known| match &known.era {
            Era::Modern => MODERN.to_owned(),
            Era::Legacy(version) => version.clone(),
        })
    }

    /// Ends all sessions and processes, at the end of the gateway's own; waits until nothing of these is left.
    pub async fn close(&self) {
        *self.known() = None;
        let mut ends = Vec::new();
        for line in self.sessions.take() {
            ends.extend(line.process_end());
            let _ = tokio::time::timeout(SHORT, line.end()).await;
        }
        for mut end in ends {
            // It says nothing before it is closed.
            let _ = tokio::time::timeout(LAST, end.changed()).await;
        }
    }

    /// Begins what HTTP needs in the background, on the current runtime, where processes are started too.
    pub(super) fn settle(&self) {
        let _ = self.runtime.set(Handle::current());
        if let Some(http) = &self.http {
            http.upstream.look_after();
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that nothing is known of it any more: what comes next finds out anew.
    pub(super) fn forget(&self, line: &Arc<Line>) {
        self.sessions.forget(&Key::own(), line);
        *self.known() = None;
    }

    /// The line of a caller.
    pub(super) async fn line(&self, key: &Key) -> Result<Arc<Line>, Status> {
        if let Some(Known { line: Some(line), .. }) = &*self.known() {
            return Ok(Arc::clone(line));
        }
        let place = self.sessions.place(key, self.settings.sessions);
        let place = place.map_err(|most| {
            let whose = if most < self.settings.sessions { " for one caller" } else { "" };
            let message = format!("{} has as many sessions as it may have{whose} ({most})", self.label);
            Fault::upstream().unsent().on(Status::unavailable(message))
        })?;
        let line = place.get_or_try_init(|| self.open(key)).await?;
        Ok(Arc::clone(line))
    }

    /// Opens a line, and finds out what is spoken on it.
    async fn open(&self, key: &Key) -> Result<Arc<Line>, Status> {
        let wire = || match (&self.http, &self.settings.reached) {
            (Some(http), _) => Ok(Wire::Http { http: http.clone(), session: None }),
            (None, Reached::Process(command)) => {
                // Its tasks outlive the worker that asks first.
                let runtime = self.runtime.get().cloned().unwrap_or_else(Handle::current);
                let _entered = runtime.enter();
                let process = Process::start(&self.label, command, self.settings.message_bytes)?;
                Ok(Wire::Process(Arc::new(process)))
            }
            (None, Reached::Http(..)) => Err(Status::internal("a server is reached in no way")),
        };
        let known = self.version();
        let modern = match (self.settings.speaks, known.as_deref()) {
            (Speaks::Legacy, _) => false,
            (Speaks::Modern, _) | (Speaks::Either, None) => true,
            (Speaks::Either, Some(version)) => version == MODERN,
        };
        let wire = wire()?;
        let line = Line { label: Arc::clone(&self.label), era: Era::Modern, wire, said: Object::default() };
        let opened = if modern { self.discover(line).await } else { Err((line, None)) };
        let line = match opened {
            Ok(line) => line,
            Err((line, _)) if self.settings.speaks != Speaks::Modern => self.initialize(line, key).await?,
            Err((_, why)) => {
                let old = || Status::failed_precondition(format!("{} does not speak {MODERN}", self.label));
                return Err(why.map_or_else(old, |why| why.status(&self.label)));
            }
        };
        let line = Arc::new(line);
        // Over HTTP each request of the newest version says everything: there is nothing of anybody's in the line.
        let of_all = (line.era == Era::Modern && self.http.is_some()).then(|| Arc::clone(&line));
        *self.known() = Some(Known { era: line.era.clone(), line: of_all });
        Ok(line)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whether the newest version is spoken.
    async fn discover(&self, mut line: Line) -> Result<Line, (Line, Option<Lost>)> {
        let params = Object::default().with("_meta", meta(Object::default(), None));
        match self.once(&line, "server/discover", &params, DISCOVER.min(self.settings.timeout)).await {
            Ok((said, _)) => {
                let versions: Vec<String> = said
                    .get("supportedVersions")
                    .and_then(|versions| serde_json::from_str(versions.get()).ok())
                    .unwrap_or_default();
                if versions.iter().any(|version| version == MODERN) {
                    line.said = said;
                    return Ok(line);
                }
                Err((line, None))
            }
            Err(why) => Err((line, Some(why))),
        }
    }

    /// Begins a session of an older version.
    async fn initialize(&self, mut line: Line, key: &Key) -> Result<Line, Status> {
        let [newest, ..] = LEGACY;
        line.era = Era::Legacy(newest.to_owned());
        let capabilities = RawValue::from_string(key.capabilities.to_string()).ok();
        let params = line::initialize(capabilities.as_deref(), &client());
        let begun = self.once(&line, "initialize", &params, self.settings.timeout).await;
        let (said, headers) = begun.map_err(|why| why.status(&self.label))?;
        let version = said.text("protocolVersion").unwrap_or_default().into_owned();
        if !LEGACY.contains(&version.as_str()) {
            let text = format!("{} wants to speak {}", self.label, crate::status::shown(&version));
            return Err(Fault::upstream().on(Status::failed_precondition(text)));
        }
        if let Wire::Http { session, .. } = &mut line.wire {
            *session = session_of(&headers);
        }
        (line.era, line.said) = (Era::Legacy(version), said);
        let method = "notifications/initialized";
        line.say(method, message::notification(method, &Object::default())).await?;
        Ok(line)
    }

    /// Asks the gateway's own question and waits for its answer.
    pub(super) async fn once(
        &self,
        line: &Line,
        method: &str,
        params: &Object,
        limit: Duration,
    ) -> Result<(Object, HeaderMap), Lost> {
        let (id, until) = (self.next_id(), Instant::now() + limit);
        let asked = Asked { id, method, params, headers: HeaderMap::new(), limit };
        let (mut exchange, headers) = line.ask(asked).await?;
        match exchange.answer(id, until, &self.label).await? {
            Ok(result) => Ok((result, headers)),
            Err(failure) => Err(Lost::Refused { http: http::StatusCode::OK, failure }),
        }
    }

    /// Has its lists read again where a failure says that it may be away.
    pub(super) fn failed(&self, status: &Status) {
        if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) {
            self.nudge.notify_one();
        }
    }
}

/// The `_meta` of a request of the newest version, made of what its client said.
pub(super) fn meta(said: Object, capabilities: Option<&RawValue>) -> Object {
    let mut meta = said;
    meta.set("io.modelcontextprotocol/protocolVersion", raw(MODERN));
    let none = raw(&json!({}));
    let capabilities = capabilities.map_or(none, ToOwned::to_owned);
    meta.set("io.modelcontextprotocol/clientCapabilities", capabilities);
    if meta.get("io.modelcontextprotocol/clientInfo").is_none() {
        meta.set("io.modelcontextprotocol/clientInfo", raw(&client()));
    }
    meta
}

/// Who the gateway is to servers.
fn client() -> Object {
    Object::default().with("name", "propylon").with("version", env!("CARGO_PKG_VERSION"))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.settings.name)
    }
}
