//! The task that looks after a server: reads its lists, waits until they may have changed, and reads them again; more and more
//! seldom while it is away. What is known is told to who builds tools of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{task::AbortHandle, time::sleep};
use tonic::Status;
use tracing::{debug, info, warn};

use super::{
    http::Stream,
    line::{Asked, Era, Exchange, Line, Lost, Wire},
    listing::Listing,
    message::Incoming,
    object::{Object, raw},
    server::{Server, State, meta},
    sessions::Key,
};

/// How soon a server that is away is asked again, and how seldom at last.
const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(15);
/// Failures in a row after which a server is away: a single one may be a restart.
const MISSES: u32 = 2;
/// How long it takes at least from one reading to the next, whatever a server says of changes.
const CALM: Duration = Duration::from_millis(500);
/// How often sessions that nobody uses are looked for.
const REAP: Duration = Duration::from_secs(10);

/// Looks after a server; dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    server: Arc<Server>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

/// What one look has found out.
enum Found {
    Same,
    New,
}

impl Server {
    /// Looks after it on the current runtime; `told` hears when what it lists is another, when it goes and when it comes.
    pub fn watch(self: &Arc<Self>, told: impl Fn(&Arc<Self>) + Send + Sync + 'static) -> Watch {
        self.settle();
        let server = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut misses = 0;
            loop {
                match server.look().await {
                    Ok((line, listing)) => {
                        misses = 0;
                        if let Found::New = server.here(listing) {
                            told(&server);
                        }
                        server.wait(&line).await;
                    }
                    Err(status) => {
                        misses += 1;
                        if let Found::New = server.missed(misses, &status) {
                            told(&server);
                        }
                        sleep(pause(misses)).await;
                    }
                }
            }
        });
        Watch { server: Arc::clone(self), task: task.abort_handle() }
    }

    /// Reads its lists.
    async fn look(&self) -> Result<(Arc<Line>, Listing), Status> {
        let own = Key::own();
        let mut again = true;
        loop {
            let line = self.line(&own).await?;
            match self.read(&line, self.settings.timeout).await {
                Ok(listing) => return Ok((line, listing)),
                // It was restarted, and knows nothing of what was before.
                Err(Lost::Expired) if again => again = false,
                Err(lost) => {
                    self.forget(&line);
                    return Err(lost.status(&self.label));
                }
            }
            self.forget(&line);
        }
    }

    fn here(&self, listing: Listing) -> Found {
        let found = match &**self.state.load() {
            State::Here(before) if **before == listing => return Found::Same,
            State::Here(_) => "lists something else now",
            State::New => "is there",
            State::Away(_) => "is back",
        };
        info!(
            tools = listing.tools.len(),
            prompts = listing.prompts.len(),
            resources = listing.resources.len(),
            "{} {found}",
            self.label
        );
        self.state.store(Arc::new(State::Here(Arc::new(listing))));
        Found::New
    }

    fn missed(&self, misses: u32, status: &Status) -> Found {
        match &**self.state.load() {
            State::Away(_) => return Found::Same,
            State::Here(_) if misses < MISSES => return Found::Same,
            State::Here(_) | State::New => {}
        }
        warn!("{} is away: {}", self.label, status.message());
        self.state.store(Arc::new(State::Away(status.message().into())));
        Found::New
    }

    /// Waits until its lists may have changed.
    async fn wait(&self, line: &Arc<Line>) {
        sleep(CALM).await;
        let mut wanted = self.updates.wanted.subscribe();
        let changed = async {
            let mut subscribed = BTreeSet::new();
            loop {
                wanted.mark_unchanged();
                let uris = self.updates.uris();
                self.subscribe_anew(line, &mut subscribed, &uris).await;
                match self.hear(line, &uris).await {
                    Ok(mut hearing) => tokio::select! {
                        () = hearing.change(self) => return,
                        _ = wanted.changed() => {}
                    },
                    // It has gone away meanwhile.
                    Err(Lost::Expired | Lost::Status(_)) => return sleep(CALM).await,
                    Err(lost) => {
                        debug!("{} tells of no changes: {}", self.label, lost.status(&self.label).message());
                        // Whoever subscribes now asks anew.
                        if wanted.changed().await.is_err() {
                            return;
                        }
                    }
                }
            }
        };
        let reaping = async {
            loop {
                sleep(REAP.min(self.settings.session_idle)).await;
                self.sessions.reap(self.settings.session_idle);
            }
        };
        tokio::select! {
            () = changed => {}
            () = self.nudge.notified() => {}
            () = sleep(self.settings.refresh) => {}
            () = reaping => {}
        }
    }

    /// Subscribes to what is wanted now, and no more to what was, with a server of an older version.
    async fn subscribe_anew(
        &self,
        line: &Line,
        subscribed: &mut BTreeSet<String>,
        wanted: &BTreeSet<String>,
    ) {
        if line.era == Era::Modern {
            return;
        }
        let new = wanted.difference(subscribed).map(|uri| ("resources/subscribe", uri));
        let old = subscribed.difference(wanted).map(|uri| ("resources/unsubscribe", uri));
        for (method, uri) in new.chain(old) {
            let params = Object::default().with("uri", uri);
            if let Err(lost) = self.once(line, method, &params, self.settings.timeout).await {
                debug!("{} refuses {method}: {}", self.label, lost.status(&self.label).message());
            }
        }
        subscribed.clone_from(wanted);
    }

    /// Listens for changes, as the server's era has it.
    async fn hear(&self, line: &Arc<Line>, uris: &BTreeSet<String>) -> Result<Hearing, Lost> {
        match (&line.wire, &line.era) {
            (Wire::Process(process), _) => Ok(Hearing::Process(process.hear())),
            (Wire::Http { .. }, Era::Legacy(_)) => Ok(Hearing::Session(line.listen().await?)),
            (Wire::Http { .. }, Era::Modern) => {
                let mut all = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
                if !uris.is_empty() {
                    all["resourceSubscriptions"] = json!(uris);
                }
                let params = Object::default().with("notifications", raw(&all));
                let params = params.with("_meta", meta(Object::default(), None));
                let (id, limit) = (self.next_id(), self.settings.timeout);
                let headers = http::HeaderMap::new();
                let asked = Asked { id, method: "subscriptions/listen", params: &params, headers, limit };
                let (exchange, _) = line.ask(asked).await?;
                Ok(Hearing::Subscribed(exchange, id.to_string()))
            }
        }
    }

    pub(super) fn is_process(&self) -> bool {
        matches!(self.settings.reached, super::Reached::Process(_))
    }
}

/// Where changes are told.
enum Hearing {
    Process(tokio::sync::mpsc::Receiver<Incoming>),
    Session(Stream),
    /// With the id of the request.
    Subscribed(Exchange, String),
}

impl Hearing {
    /// Waits for a change. The end of what tells of them may be one.
    async fn change(&mut self, server: &Server) {
        let mut silent = false;
        while !silent {
            let (message, own) = match self {
                Self::Process(heard) => (heard.recv().await, None),
                Self::Session(stream) => (stream.next().await.ok().flatten(), None),
                Self::Subscribed(exchange, own) => (exchange.next().await.ok().flatten(), Some(&*own)),
            };
            match message {
                Some(Incoming::Notification { method, .. }) if method.ends_with("/list_changed") => return,
                Some(Incoming::Notification { method, params })
                    if method == "notifications/resources/updated" =>
                {
                    server.updates.updated(&params.text("uri").unwrap_or_default());
                }
                // It has no such thing: nothing more will come.
                Some(Incoming::Answer { id, outcome: Err(_) }) => silent = own == Some(&id),
                Some(_) => {}
                None => return sleep(CALM).await,
            }
        }
        std::future::pending().await
    }
}

fn pause(misses: u32) -> Duration {
    FIRST.saturating_mul(1 << misses.saturating_sub(1).min(10)).min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_is_asked_more_and_more_seldom() {
        let pauses: Vec<u64> = (1..=9).map(|misses| pause(misses).as_millis().try_into().unwrap()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
    }
}
