//! What the config says of a gRPC upstream.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, uri::Authority};

use crate::dispatch::{Host, Resilience, Tls, http2::Wire};

/// A gRPC upstream as the config has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name in the config, for messages.
    pub name: Arc<str>,
    /// Where it is: each of the addresses that it has. A host name may stand for several.
    pub hosts: Vec<Host>,
    /// `None`: HTTP/2 in clear by prior knowledge.
    pub tls: Option<Tls>,
    /// The `:authority` of calls; `None`: the host and port.
    pub authority: Option<Authority>,
    /// Sent with each call, in place of what the caller sent under the same names.
    pub metadata: HeaderMap,
    /// For name resolution, and for TCP.
    pub connect_timeout: Duration,
    /// For TLS and the upstream's HTTP/2 settings.
    pub handshake_timeout: Duration,
    /// How often a connection with calls on it is asked for a sign of life; `None`: never. gRPC servers close
    /// connections that ask more often than they allow (by default every five minutes).
    pub keep_alive_interval: Option<Duration>,
    /// How long a sign of life may take.
    pub keep_alive_timeout: Duration,
    /// How long a connection beyond a worker's first may stay without a call.
    pub idle_timeout: Duration,
    /// The most connections of one worker to one endpoint. Further calls wait for a stream.
    pub max_connections: usize,
    /// How its endpoints are used.
    pub resilience: Resilience,
}

impl Settings {
    #[must_use]
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self {
            name: name.into(),
            hosts: vec![Host { host: host.to_owned(), port }],
            tls: None,
            authority: None,
            metadata: HeaderMap::new(),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            keep_alive_interval: Some(Duration::from_secs(300)),
            keep_alive_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(90),
            max_connections: 64,
            resilience: Resilience::default(),
        }
    }

    /// `upstream "orders"`, or its address where it has no other name.
    pub(super) fn label(&self) -> Arc<str> {
        match &*self.hosts {
            [host] if *self.name == *host.to_string() => format!("upstream {host}").into(),
            _ => format!("upstream {:?}", self.name).into(),
        }
    }

    /// The `:authority` of calls to each host.
    ///
    /// # Errors
    /// Says which host cannot be one.
    pub(super) fn authorities(&self) -> Result<Box<[Authority]>, String> {
        let of = |host: &Host| match &self.authority {
            Some(authority) => Ok(authority.clone()),
            None => Authority::try_from(host.to_string())
                .map_err(|error| format!("{:?} is not a host: {error}", host.host)),
        };
        self.hosts.iter().map(of).collect()
    }

    pub(super) fn wire(&self) -> Wire {
        Wire {
            keep_alive_interval: self.keep_alive_interval,
            keep_alive_timeout: self.keep_alive_timeout,
            idle_timeout: self.idle_timeout,
            max_connections: self.max_connections,
        }
    }
}
