//! What the config says of an HTTP upstream.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    uri::{Authority, Scheme},
};

use crate::dispatch::{Host, Resilience, Tls, http2::Wire};

/// An HTTP upstream as the config has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Its name in the config, for messages.
    pub name: Arc<str>,
    /// Where it is: each of the addresses that it has. A host name may stand for several.
    pub hosts: Vec<Host>,
    /// `None`: in clear.
    pub tls: Option<Tls>,
    /// HTTP/2: by prior knowledge in clear, by ALPN over TLS.
    pub http2: bool,
    /// The `Host` of requests; `None`: the host and port.
    pub authority: Option<Authority>,
    /// Sent with each request, in place of what the client sent under the same names.
    pub headers: HeaderMap,
    /// For name resolution, and for TCP.
    pub connect_timeout: Duration,
    /// For TLS.
    pub handshake_timeout: Duration,
    /// How its endpoints are used.
    pub resilience: Resilience,
}

/// Whom requests to one of the addresses are for.
pub(super) struct Place {
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
}

impl HttpSettings {
    pub(super) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// # Errors
    /// Says which host cannot be an authority.
    pub(super) fn places(&self) -> Result<Box<[Place]>, String> {
        let of = |host: &Host| {
            let authority = match &self.authority {
                Some(authority) => authority.clone(),
                None => Authority::try_from(host.to_string()).map_err(|error| error.to_string())?,
            };
            let text = match (authority.port_u16(), self.tls.is_some()) {
                (Some(443), true) | (Some(80), false) => authority.host(),
                _ => authority.as_str(),
            };
            let host = HeaderValue::try_from(text).map_err(|error| error.to_string())?;
            Ok(Place { authority, host })
        };
        self.hosts.iter().map(of).collect()
    }

    /// How HTTP/2 connections are kept.
    pub(super) fn wire() -> Wire {
        Wire {
            keep_alive_interval: Some(Duration::from_secs(300)),
            keep_alive_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            max_connections: 64,
        }
    }
}
