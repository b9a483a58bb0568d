//! The connections of one worker to one upstream: lazily made, one attempt at a time, one more when the peer's
//! MAX_CONCURRENT_STREAMS is met, replaced when they end.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use h2::client::SendRequest;
use tonic::Status;

use super::connect::Connector;
use crate::status::Fault;

/// The most connections of one worker. Beyond, calls wait for a stream to end.
const MOST: usize = 32;
/// A connection that was idle for so long is closed, if it is not the only one.
const IDLE: Duration = Duration::from_secs(60);

/// The connections of one worker.
#[derive(Default)]
pub(super) struct Pool {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    /// The one attempt under way; whoever needs a connection waits for it.
    connecting: Option<Attempt>,
}

type Attempt = Shared<BoxFuture<'static, Result<(), Status>>>;

struct Connection {
    sender: SendRequest<Bytes>,
    /// Calls on it now.
    active: AtomicUsize,
    closed: AtomicBool,
    /// When its last call ended.
    used: Mutex<Instant>,
}

/// A call's place on a connection, given back when dropped.
pub(super) struct Lease(Arc<Connection>);

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::Relaxed) == 1 {
            *lock(&self.0.used) = Instant::now();
        }
    }
}

impl Connection {
    fn lease(self: &Arc<Self>) -> Lease {
        self.active.fetch_add(1, Ordering::Relaxed);
        Lease(Arc::clone(self))
    }

    fn has_room(&self) -> bool {
        self.active.load(Ordering::Relaxed) < self.sender.current_max_send_streams()
    }

    fn has_idled(&self) -> bool {
        self.active.load(Ordering::Relaxed) == 0 && lock(&self.used).elapsed() > IDLE
    }
}

/// What to do for a call that needs a connection.
enum Step {
    Use(Lease),
    /// Wait for the attempt; if it fails, use the lease, which shares a full connection.
    Wait(Attempt, Option<Lease>),
}

impl Pool {
    /// A connection that can take a call now.
    ///
    /// # Errors
    /// UNAVAILABLE: none could be made. The call was not sent.
    pub(super) async fn take(
        &self,
        connector: &Arc<Connector>,
    ) -> Result<(SendRequest<Bytes>, Lease), Status> {
        loop {
            let lease = match self.step(connector) {
                Step::Use(lease) => lease,
                Step::Wait(attempt, shared) => match (attempt.await, shared) {
                    (Ok(()), _) => continue,
                    (Err(_), Some(shared)) => shared,
                    (Err(status), None) => return Err(Fault::upstream().unsent().on(status)),
                },
            };
            match lease.0.sender.clone().ready().await {
                Ok(sender) => return Ok((sender, lease)),
                Err(_) => lease.0.closed.store(true, Ordering::Relaxed),
            }
        }
    }

    fn step(&self, connector: &Arc<Connector>) -> Step {
        let mut state = lock(&self.state);
        state.connections.retain(|connection| !connection.closed.load(Ordering::Relaxed));
        if let Some(connection) = state.connections.iter().find(|connection| connection.has_room()) {
            let lease = connection.lease();
            if state.connections.len() > 1 {
                state.connections.retain(|connection| !connection.has_idled());
            }
            return Step::Use(lease);
        }
        let emptiest = state.connections.iter().min_by_key(|c| c.active.load(Ordering::Relaxed)).cloned();
        match emptiest {
            Some(connection) if state.connections.len() >= MOST => Step::Use(connection.lease()),
            emptiest => {
                let attempt = match &state.connecting {
                    Some(attempt) => attempt.clone(),
                    None => {
                        let attempt = self.attempt(connector);
                        state.connecting = Some(attempt.clone());
                        attempt
                    }
                };
                Step::Wait(attempt, emptiest.map(|connection| connection.lease()))
            }
        }
    }

    /// Connects in a task of its own, so that a caller who goes away does not end the attempt for the others.
    fn attempt(&self, connector: &Arc<Connector>) -> Attempt {
        let (state, connector) = (Arc::clone(&self.state), Arc::clone(connector));
        let task = tokio::spawn(async move {
            let connected = connector.connect().await;
            let mut state = lock(&state);
            state.connecting = None;
            let (sender, driver) = connected?;
            let connection = Arc::new(Connection {
                sender,
                active: AtomicUsize::new(0),
                closed: AtomicBool::new(false),
                used: Mutex::new(Instant::now()),
            });
            state.connections.push(Arc::clone(&connection));
            let weak = Arc::downgrade(&connection);
            tokio::spawn(async move {
                driver.await;
                if let Some(connection) = weak.upgrade() {
                    connection.closed.store(true, Ordering::Relaxed);
                }
            });
            Ok(())
        });
        async move { task.await.unwrap_or_else(|_| Err(Status::unavailable("connecting was given up"))) }
            .boxed()
            .shared()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
