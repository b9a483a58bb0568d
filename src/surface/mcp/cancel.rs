//! Calls that a session's client may take back: over HTTP it says so by another request (`notifications/cancelled`), which
//! may come by another connection. It is known to this process alone; who closes the connection of the call itself takes it
//! back wherever that is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

/// The calls of all sessions that go on.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<HashMap<Key, Arc<Notify>>>);

/// A session's id, and the id of its request as it was written.
type Key = (Box<str>, Box<str>);

impl Calls {
    /// Notes that a call has begun.
    pub(super) fn begin(self: &Arc<Self>, session: &str, id: &str) -> Ongoing {
        let key: Key = (session.into(), id.into());
        let taken_back = Arc::<Notify>::default();
        self.lock().insert(key.clone(), Arc::clone(&taken_back));
        Ongoing { calls: Arc::clone(self), key, taken_back }
    }

    /// Takes a call back, if it goes on.
    pub(super) fn take_back(&self, session: &str, id: &str) {
        let call = self.lock().remove(&(session.into(), id.into()));
        if let Some(call) = call {
            call.notify_one();
        }
    }

    /// Takes back all that a session has, which is over.
    pub(super) fn end(&self, session: &str) {
        let mut calls = self.lock();
        let over: Vec<Key> = calls.keys().filter(|(of, _)| **of == *session).cloned().collect();
        for call in over.iter().filter_map(|key| calls.remove(key)) {
            call.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that goes on.
#[derive(Debug)]
pub(super) struct Ongoing {
    calls: Arc<Calls>,
    key: Key,
    taken_back: Arc<Notify>,
}

impl Ongoing {
    /// Waits until it is taken back.
    pub(super) async fn taken_back(&self) {
        self.taken_back.notified().await;
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let mut calls = self.calls.lock();
        // Another may have come under its id.
        if calls.get(&self.key).is_some_and(|call| Arc::ptr_eq(call, &self.taken_back)) {
            calls.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_is_taken_back_by_its_own_session() {
        let calls = Arc::<Calls>::default();
        let one = calls.begin("s", "1");
        calls.take_back("t", "1");
        calls.take_back("s", "\"1\"");
        assert!(one.taken_back().now_or_never().is_none());
        calls.take_back("s", "1");
        one.taken_back().await;
        drop(one);
        let (first, second) = (calls.begin("s", "1"), calls.begin("s", "1"));
        drop(first);
        calls.take_back("s", "1");
        second.taken_back().await;
        drop(second);
        let (one, other) = (calls.begin("s", "1"), calls.begin("t", "1"));
        calls.end("s");
        one.taken_back().await;
        assert!(other.taken_back().now_or_never().is_none());
        drop((one, other));
        assert!(calls.lock().is_empty());
    }
}
