//! What federated servers ask their callers for (elicitation, sampling, roots), between the eras. A session's client is asked on
//! the stream of its request and answers by another one; a client of the newest version gets a result that says what is wanted,
//! and calls again: the older server's request waits here meanwhile, for this caller alone.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::{
    auth::hex,
    federation::{Object, RpcFailure, Talk},
};

/// How long a request waits for its caller to come again.
const PATIENCE: Duration = Duration::from_secs(300);
/// The most that wait at once.
const MOST: usize = 1000;
/// What the states begin with that are given here, and not by a server.
const OURS: &str = "propylon.";

/// Those who are asked.
#[derive(Default)]
pub(super) struct Asks {
    parked: Mutex<HashMap<String, Parked>>,
    replies: Mutex<HashMap<Waiting, oneshot::Sender<Result<Object, RpcFailure>>>>,
}

/// A session, and the id of what was asked there, as it is written.
type Waiting = (Box<str>, Box<str>);

/// A request that waits for its caller.
pub(super) struct Parked {
    whose: String,
    pub(super) talk: Talk,
    /// What the server has asked, by its own id.
    pub(super) asked: Box<RawValue>,
    since: Instant,
}

impl Asks {
    /// Keeps a request until its caller comes again, and answers the state by which it does; `None` where too many wait.
    pub(super) fn park(&self, whose: &str, talk: Talk, asked: Box<RawValue>) -> Option<String> {
        let state = format!("{OURS}{}", random()?);
        let mut parked = lock(&self.parked);
        parked.retain(|_, parked| parked.since.elapsed() < PATIENCE);
        if parked.len() >= MOST {
            return None;
        }
        let kept = Parked { whose: whose.to_owned(), talk, asked, since: Instant::now() };
        parked.insert(state.clone(), kept);
        Some(state)
    }

    /// True for a state that was given here.
    pub(super) fn is_ours(state: &str) -> bool {
        state.starts_with(OURS)
    }

    /// The request of a state, if it is this caller's and waits still.
    pub(super) fn take(&self, state: &str, whose: &str) -> Option<Parked> {
        let mut parked = lock(&self.parked);
        let there = parked.get(state)?;
        if there.whose != whose || there.since.elapsed() >= PATIENCE {
            return None;
        }
        parked.remove(state)
    }

    /// Waits for what a session's client answers; the id is to be sent to it.
    pub(super) fn ask(self: &Arc<Self>, session: &str) -> Option<Asking> {
        let id = format!("\"{OURS}{}\"", random()?);
        let (sender, answer) = oneshot::channel();
        let key: Waiting = (session.into(), id.as_str().into());
        lock(&self.replies).insert(key.clone(), sender);
        Some(Asking { id, answer, key, asks: Arc::clone(self) })
    }

    /// Takes what a session's client answers.
    pub(super) fn reply(&self, session: &str, id: &str, outcome: Result<Object, RpcFailure>) {
        let waits = lock(&self.replies).remove(&(session.into(), id.into()));
        if let Some(waits) = waits {
            // Who has asked may have gone.
            drop(waits.send(outcome));
        }
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asks")
    }
}

/// Something that a client was asked.
pub(super) struct Asking {
    /// As it is written in JSON.
    pub(super) id: String,
    answer: oneshot::Receiver<Result<Object, RpcFailure>>,
    key: Waiting,
    asks: Arc<Asks>,
}

impl Asking {
    pub(super) async fn answer(&mut self) -> Result<Object, RpcFailure> {
        let gone = || Err(RpcFailure::new(-32603, "its client does not answer"));
        (&mut self.answer).await.unwrap_or_else(|_| gone())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        lock(&self.asks.replies).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What nobody can guess.
fn random() -> Option<String> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_of_the_session_that_was_asked() {
        let asks = Arc::<Asks>::default();
        let mut one = asks.ask("s").unwrap();
        asks.reply("t", &one.id, Ok(Object::default()));
        asks.reply("s", "\"other\"", Ok(Object::default()));
        assert!(one.answer().now_or_never().is_none());
        asks.reply("s", &one.id, Ok(Object::default().with("a", 1)));
        assert_eq!(one.answer().await.unwrap().written(), r#"{"a":1}"#);
        drop(one);
        assert!(lock(&asks.replies).is_empty());
    }
}
