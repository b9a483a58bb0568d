//! Where an upstream's endpoints are: addresses as they were written, and those of host names, which are looked up again and
//! again. What a name had last stays while it cannot be looked up.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;

/// One address of an upstream as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A host name or an address (IPv6 without brackets).
    pub host: String,
    pub port: u16,
}

impl Host {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// `HOST:PORT`
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Looks names up.
pub(in crate::dispatch) trait Resolve: Send + Sync {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The system's own resolver: the hosts file, DNS, whatever else the machine has.
pub(in crate::dispatch) struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// The addresses of an upstream, each with the place of what it comes from.
pub(super) type Found = Vec<(usize, SocketAddr)>;

pub(super) struct Names {
    pub(super) hosts: Box<[Host]>,
    resolver: Arc<dyn Resolve>,
    /// How long looking up may take.
    patience: Duration,
    /// What each host had last.
    last: Mutex<Vec<Vec<SocketAddr>>>,
}

impl Names {
    pub(super) fn new(hosts: Vec<Host>, resolver: Arc<dyn Resolve>, patience: Duration) -> Self {
        let last = hosts.iter().map(|host| host.address().into_iter().collect()).collect();
        Self { hosts: hosts.into(), resolver, patience, last: Mutex::new(last) }
    }

    /// True where some are names.
    pub(super) fn change(&self) -> bool {
        self.hosts.iter().any(|host| host.address().is_none())
    }

    /// What is known without looking anything up.
    pub(super) fn known(&self) -> Found {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Found = Vec::new();
        for (place, addresses) in last.iter().enumerate() {
            for address in addresses {
                if !found.contains(&(place, *address)) {
                    found.push((place, *address));
                }
            }
        }
        found
    }

    /// Looks every name up, and says which could not be, in words that follow the upstream's name.
    pub(super) async fn look_up(&self) -> Vec<String> {
        let names = self.hosts.iter().enumerate().filter(|(_, host)| host.address().is_none());
        let looked_up = join_all(names.map(async |(place, host)| {
            let asked = timeout(self.patience, self.resolver.resolve(&host.host, host.port)).await;
            (place, host, asked)
        }));
        let mut failures = Vec::new();
        for (place, host, asked) in looked_up.await {
            let why = match asked {
                Ok(Ok(mut addresses)) if !addresses.is_empty() => {
                    addresses.sort_unstable();
                    let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(last) = last.get_mut(place) {
                        *last = addresses;
                    }
                    continue;
                }
                Ok(Ok(_)) => "has no address".to_owned(),
                Ok(Err(error)) => format!("could not be looked up: {error}"),
                Err(_) => format!("could not be looked up within {:?}", self.patience),
            };
            failures.push(format!("({host}) {why}"));
        }
        failures
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Answers what it was told last.
    #[derive(Default)]
    pub(in crate::dispatch::balance) struct Told(pub(in crate::dispatch::balance) Mutex<Vec<SocketAddr>>);

    impl Resolve for Told {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
            let addresses = self.0.lock().unwrap().clone();
            Box::pin(async move {
                if addresses.is_empty() { Err(io::Error::other("no such name")) } else { Ok(addresses) }
            })
        }
    }

    #[tokio::test]
    async fn what_a_name_had_last_stays_while_it_cannot_be_looked_up() {
        let told = Arc::new(Told::default());
        let host = |host: &str| Host { host: host.to_owned(), port: 1 };
        let names = Names::new(
            vec![host("10.0.0.9"), host("shop.internal")],
            Arc::clone(&told) as _,
            Duration::from_secs(1),
        );
        let literal = (0, SocketAddr::from(([10, 0, 0, 9], 1)));
        assert!(names.change());
        assert_eq!(names.known(), [literal]);
        assert_eq!(names.look_up().await, ["(shop.internal:1) could not be looked up: no such name"]);
        let (one, two) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1)));
        *told.0.lock().unwrap() = vec![two, one, two];
        assert_eq!(names.look_up().await, [""; 0]);
        assert_eq!(names.known(), [literal, (1, one), (1, two)]);
        told.0.lock().unwrap().clear();
        assert_eq!(names.look_up().await.len(), 1);
        assert_eq!(names.known(), [literal, (1, one), (1, two)]);
        *told.0.lock().unwrap() = vec![two];
        names.look_up().await;
        assert_eq!(names.known(), [literal, (1, two)]);
    }
}
