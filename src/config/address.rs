//! Addresses of others, as the config has them.

use std::fmt;

use crate::dispatch::Host;

/// `http://HOST:PORT` or `https://HOST:PORT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub tls: bool,
    pub host: String,
    pub port: u16,
}

/// The addresses of one upstream: at least one, all with TLS or all without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

impl Addresses {
    /// They are `https`.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.0.iter().any(|address| address.tls)
    }

    /// Where that is.
    pub fn hosts(&self) -> impl Iterator<Item = Host> {
        self.0.iter().map(|Address { host, port, .. }| Host { host: host.clone(), port: *port })
    }
}

impl From<Address> for Addresses {
    fn from(address: Address) -> Self {
        Self(vec![address])
    }
}

/// With commas between them.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}
