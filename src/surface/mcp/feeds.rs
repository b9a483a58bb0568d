//! The resources that sessions of the older versions have subscribed to: what changes is told on the session's stream. They are
//! known to this process alone.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

use crate::federation::{Subscription, Tell};

/// The most sessions with subscriptions, and the most of one.
const MOST: usize = 1000;
/// The changes that wait for a client.
const WAITING: usize = 64;

#[derive(Default)]
pub(super) struct Feeds(Mutex<HashMap<Box<str>, Feed>>);

struct Feed {
    tell: Tell,
    subscriptions: HashMap<String, Subscription>,
    used: Instant,
}

impl Feeds {
    /// Adds a subscription of a session's, or puts it in the place of the one of this URI. False where there are too many.
    pub(super) fn add(
        &self,
        session: &str,
        uri: &str,
        lifetime: Duration,
        subscribe: impl FnOnce(Tell) -> Subscription,
    ) -> bool {
        self.with(session, lifetime, |feed| {
            if feed.subscriptions.len() >= MOST && !feed.subscriptions.contains_key(uri) {
                return false;
            }
            let subscription = subscribe(feed.tell.clone());
            feed.subscriptions.insert(uri.to_owned(), subscription);
            true
        })
        .unwrap_or(false)
    }

    /// Takes a subscription away.
    pub(super) fn remove(&self, session: &str, uri: &str) {
        if let Some(feed) = self.lock().get_mut(session) {
            drop(feed.subscriptions.remove(uri));
        }
    }

    /// Takes all of a session away.
    pub(super) fn close(&self, session: &str) {
        drop(self.lock().remove(session));
    }

    /// What a session is told.
    pub(super) fn listen(&self, session: &str, lifetime: Duration) -> Option<broadcast::Receiver<Arc<str>>> {
        self.with(session, lifetime, |feed| feed.tell.subscribe())
    }

    fn with<T>(&self, session: &str, lifetime: Duration, act: impl FnOnce(&mut Feed) -> T) -> Option<T> {
        let mut feeds = self.lock();
        if feeds.len() >= MOST && !feeds.contains_key(session) {
            feeds.retain(|_, feed| feed.tell.receiver_count() > 0 || feed.used.elapsed() < lifetime);
            if feeds.len() >= MOST {
                return None;
            }
        }
        let feed = feeds.entry(session.into()).or_insert_with(|| Feed {
            tell: Tell::new(WAITING),
            subscriptions: HashMap::new(),
            used: Instant::now(),
        });
        feed.used = Instant::now();
        Some(act(feed))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feeds")
    }
}
