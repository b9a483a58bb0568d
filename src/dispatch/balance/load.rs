//! How many calls an upstream has at a time. Those beyond wait for their turn, a few and not for long; the others are told
//! to come again. Tunnels, which last, have places of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::rules::LoadRules;

#[derive(Debug)]
pub(super) struct Load {
    rules: LoadRules,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    tunnels: Option<Arc<Semaphore>>,
}

/// Held for as long as a call is on its way.
pub(super) type Place = OwnedSemaphorePermit;

impl Load {
    pub(super) fn new(rules: LoadRules) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let (places, tunnels) = (places(rules.requests), rules.tunnels.map(places));
        Self { rules, places, waiting: AtomicUsize::new(0), tunnels }
    }

    /// A place, or why there is none.
    pub(super) async fn enter(&self) -> Result<Place, String> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let LoadRules { requests, waiting, wait, .. } = self.rules;
        let _waiting = Waiting::join(&self.waiting, waiting).ok_or_else(|| {
            format!("is busy: it has {requests} calls, which are all it may, and {waiting} wait already")
        })?;
        match timeout(wait, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                Err(format!("is busy: it has {requests} calls, and none of them ended within {wait:?}"))
            }
        }
    }

    /// A place among the tunnels, where these are counted and one is wanted, or why there is none.
    pub(super) fn tunnel(&self, wanted: bool) -> Result<Option<Place>, String> {
        let Some(tunnels) = self.tunnels.as_ref().filter(|_| wanted) else { return Ok(None) };
        let most = self.rules.tunnels.unwrap_or_default();
        let full = |_| format!("is busy: it has {most} tunnels, which are all it may");
        Arc::clone(tunnels).try_acquire_owned().map(Some).map_err(full)
    }

    pub(super) fn wait(&self) -> Duration {
        self.rules.wait.max(Duration::from_secs(1))
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        if waiting.fetch_add(1, Relaxed) < most {
            return Some(Self(waiting));
        }
        waiting.fetch_sub(1, Relaxed);
        None
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_wait_and_the_others_are_turned_away() {
        let rules = LoadRules { requests: 2, waiting: 1, wait: Duration::from_millis(100), tunnels: Some(1) };
        let load = Arc::new(Load::new(rules));
        let first = load.enter().await.unwrap();
        let _second = load.enter().await.unwrap();
        let waits = tokio::spawn({
            let load = Arc::clone(&load);
            async move { load.enter().await }
        });
        tokio::task::yield_now().await;
        let turned_away = load.enter().await.unwrap_err();
        assert!(turned_away.contains("it has 2 calls") && turned_away.contains("1 wait"), "{turned_away}");
        drop(first);
        let third = waits.await.unwrap().unwrap();
        let late = load.enter().await.unwrap_err();
        assert!(late.contains("none of them ended within 100ms"), "{late}");
        drop(third);
        assert!(load.enter().await.is_ok());
        let tunnel = load.tunnel(true).unwrap();
        assert_eq!(load.tunnel(true).unwrap_err(), "is busy: it has 1 tunnels, which are all it may");
        drop(tunnel);
        assert!(load.tunnel(true).unwrap().is_some());
    }
}
