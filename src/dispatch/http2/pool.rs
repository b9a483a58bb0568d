//! One worker's connections to one endpoint. A call takes a lease on the first connection with room; where none has
//! room another is opened, by one flight for all who wait, and never more than the waiting calls can fill.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::oneshot;
use tonic::Status;

use super::connection::{Address, Connection};

pub(super) struct Pool {
    address: Arc<Address>,
    state: Mutex<State>,
    /// How many calls wait, readable without the lock.
    waiting: AtomicUsize,
}

type Waiter = oneshot::Sender<Result<Lease, Status>>;

struct State {
    /// In the order in which they are filled, so that the surplus falls idle.
    connections: Vec<Arc<Connection>>,
    connecting: usize,
    waiters: VecDeque<Waiter>,
    /// What one connection held when the last one was opened.
    streams: usize,
    /// True where a connection could not be opened: who waits now queues on those there are.
    queue: bool,
}

impl Pool {
    pub(super) fn new(address: Arc<Address>) -> Self {
        let state = State {
            connections: Vec::new(),
            connecting: 0,
            waiters: VecDeque::new(),
            streams: usize::MAX,
            queue: false,
        };
        Self { address, state: Mutex::new(state), waiting: AtomicUsize::new(0) }
    }

    /// A place on a connection.
    ///
    /// # Errors
    /// UNAVAILABLE: there is no connection, and none could be opened.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Status> {
        let turn = {
            let mut state = self.lock();
            if state.waiters.is_empty()
                && let Some(lease) = self.join(&mut state, false)
            {
                return Ok(lease);
            }
            let (waiter, turn) = oneshot::channel();
            state.waiters.push_back(waiter);
            turn
        };
        self.settle();
        turn.await.unwrap_or_else(|_| Err(self.address.unavailable("is not connected any more")))
    }

    /// Takes a connection out: no new call gets it; those on it go on.
    pub(super) fn remove(self: &Arc<Self>, connection: &Arc<Connection>) {
        self.lock().connections.retain(|other| !Arc::ptr_eq(other, connection));
        self.settle();
    }

    /// Takes an idle connection out, if it is not the last.
    pub(super) fn remove_surplus(&self, connection: &Arc<Connection>) {
        let mut state = self.lock();
        if state.connections.len() > 1 && connection.in_flight() == 0 {
            state.connections.retain(|other| !Arc::ptr_eq(other, connection));
        }
    }

    /// Serves who waits: places first, then new connections, and at the limit of these a queue on the least loaded.
    fn settle(self: &Arc<Self>) {
        let mut served = Vec::new();
        let mut flights = 0;
        {
            let mut state = self.lock();
            state.waiters.retain(|waiter| !waiter.is_closed());
            while !state.waiters.is_empty()
                && let Some(lease) = self.join(&mut state, false)
            {
                served.extend(state.waiters.pop_front().zip(Some(lease)));
            }
            let queue = std::mem::take(&mut state.queue);
            if !queue {
                flights = self.take_off(&mut state);
            }
            while state.connecting == 0
                && !state.waiters.is_empty()
                && let Some(lease) = self.join(&mut state, true)
            {
                served.extend(state.waiters.pop_front().zip(Some(lease)));
            }
            // The last connections may have turned out to be lost.
            if !queue || state.connecting == 0 {
                flights += self.take_off(&mut state);
            }
            self.waiting.store(state.waiters.len(), Ordering::Relaxed);
        }
        // Not under the lock: a call that has gone gives its lease back at once.
        for (waiter, lease) in served {
            drop(waiter.send(Ok(lease)));
        }
        for _ in 0..flights {
            let flight = Flight { pool: Arc::clone(self), landed: false };
            tokio::spawn(flight.run());
        }
    }

    /// How many connections to open for those who wait.
    fn take_off(&self, state: &mut State) -> usize {
        let before = state.connecting;
        while state.connections.len() + state.connecting < self.address.max_connections()
            && state.connecting.saturating_mul(state.streams) < state.waiters.len()
        {
            state.connecting += 1;
        }
        state.connecting - before
    }

    fn join(self: &Arc<Self>, state: &mut State, even_if_full: bool) -> Option<Lease> {
        if even_if_full {
            state.connections.sort_by_key(|connection| connection.in_flight());
        }
        let mut index = 0;
        while let Some(connection) = state.connections.get(index) {
            match connection.join(even_if_full) {
                Ok(Some(sender)) => {
                    let (connection, pool) = (Arc::clone(connection), Arc::clone(self));
                    return Some(Lease { sender, connection, pool, finished: false });
                }
                Ok(None) => index += 1,
                Err(()) => drop(state.connections.remove(index)),
            }
        }
        None
    }

    fn landed(self: &Arc<Self>, outcome: Result<Arc<Connection>, Status>) {
        let mut failed = None;
        {
            let mut state = self.lock();
            state.connecting = state.connecting.saturating_sub(1);
            match outcome {
                Ok(connection) => {
                    state.streams = connection.max_streams().max(1);
                    state.connections.push(connection);
                }
                Err(status) if state.connections.is_empty() && state.connecting == 0 => {
                    failed = Some((std::mem::take(&mut state.waiters), status));
                }
                // Who waits is served by what is connected, or by another flight.
                Err(_) => state.queue = true,
            }
        }
        if let Some((waiters, status)) = failed {
            for waiter in waiters {
                drop(waiter.send(Err(status.clone())));
            }
        }
        self.settle();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection being opened. It outlives the call that asked for it, as others wait for it, too.
struct Flight {
    pool: Arc<Pool>,
    landed: bool,
}

impl Flight {
    async fn run(mut self) {
        let outcome = self.pool.address.connect(&Arc::downgrade(&self.pool)).await;
        self.landed = true;
        self.pool.landed(outcome);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            let status = self.pool.address.unavailable("was being connected to when the worker stopped");
            self.pool.landed(Err(status));
        }
    }
}

/// One call's place on a connection.
pub(in crate::dispatch) struct Lease {
    pub(super) sender: SendRequest<Bytes>,
    connection: Arc<Connection>,
    pool: Arc<Pool>,
    /// True once the stream has ended by itself: it is not reset when the lease goes.
    pub(super) finished: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.leave(self.finished);
        if self.pool.waiting.load(Ordering::Relaxed) > 0 {
            self.pool.settle();
        }
    }
}
