//! The Redis side (Valkey too): a cache, and counters by a script. Each runtime has a connection of its own, over which its
//! calls go together, so that none waits for another thread.

mod cache;
mod counters;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::{AsyncConnectionConfig, ErrorKind, RedisError, aio::MultiplexedConnection};
use tokio::{
    runtime::{Handle, Id},
    sync::OnceCell,
};

use super::{RedisUrl, StoreError, StoreHealth, gate::Gate};
use crate::telemetry::CacheUse;

/// A Redis or Valkey server. Every operation goes through [`Redis::run`].
pub(super) struct Redis {
    client: ::redis::Client,
    config: AsyncConnectionConfig,
    connections: Mutex<HashMap<Id, Arc<OnceCell<MultiplexedConnection>>>>,
    gate: Gate,
    script: ::redis::Script,
    /// What the counters' keys begin with.
    prefix: String,
    /// As a cache.
    used: CacheUse,
}

impl Redis {
    /// Opens nothing yet: the first operation does.
    ///
    /// # Errors
    /// The URL wants TLS, and TLS cannot be set up.
    pub(super) fn new(url: &RedisUrl, timeout: Duration, prefix: &str) -> Result<Self, StoreError> {
        let client = ::redis::Client::open(url.info.clone())
            .map_err(|error| StoreError::Broken(format!("redis {url}: {error}")))?;
        Ok(Self {
            client,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(timeout))
                .set_response_timeout(Some(timeout)),
            connections: Mutex::default(),
            gate: Gate::new("redis", url.to_string(), timeout),
            script: ::redis::Script::new(include_str!("window.lua")),
            prefix: format!("{prefix}limit:"),
            used: CacheUse::default(),
        })
    }

    pub(super) fn health(&self) -> StoreHealth {
        self.gate.health()
    }

    /// Asks whether the server is there.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.run(
            |mut connection| async move { ::redis::cmd("PING").query_async::<()>(&mut connection).await },
        )
        .await
    }

    /// Runs one operation: bounded in time, refused at once while the server is away.
    async fn run<T, F>(&self, operation: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, RedisError>> + Send,
    {
        let place = self.place();
        let result = self
            .gate
            .run(async {
                let connect = || self.client.get_multiplexed_async_connection_with_config(&self.config);
                let connection = place.get_or_try_init(connect).await.map_err(|error| self.error(&error))?;
                operation(connection.clone()).await.map_err(|error| {
                    // It is closed, so the other runtimes' are: once the server is back they would say again that it is away.
                    if error.is_unrecoverable_error() && !error.is_timeout() {
                        self.connections().clear();
                    }
                    self.error(&error)
                })
            })
            .await;
        match &result {
            // The connection may hang rather than be closed: the next to ask makes another.
            Err(StoreError::Away { .. }) => self.forget(&place),
            Err(StoreError::Broken(why)) => {
                tracing::error!(store = "redis", address = self.gate.address(), "{why}");
            }
            _ => {}
        }
        result
    }

    /// Where this runtime's connection is, or will be.
    fn place(&self) -> Arc<OnceCell<MultiplexedConnection>> {
        Arc::clone(self.connections().entry(Handle::current().id()).or_default())
    }

    fn forget(&self, place: &Arc<OnceCell<MultiplexedConnection>>) {
        self.connections().retain(|_, known| !Arc::ptr_eq(known, place));
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<Id, Arc<OnceCell<MultiplexedConnection>>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Away, unless the server understood and refused what we sent, or we do not understand it.
    fn error(&self, error: &RedisError) -> StoreError {
        use ::redis::ServerErrorKind::{ExecAbort, NoSub, ResponseError};
        match error.kind() {
            ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Client
            | ErrorKind::Server(ResponseError | ExecAbort | NoSub) => StoreError::Broken(error.to_string()),
            _ => self.gate.away(error.to_string()),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("gate", &self.gate).finish_non_exhaustive()
    }
}
