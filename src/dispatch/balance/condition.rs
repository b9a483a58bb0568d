//! What is known of an upstream as a whole, for who only asks how it is: what its calls and its health checks have told, and,
//! where they have told nothing, whether it can be connected to.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::Instant};

use super::Balance;

/// What is known of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing speaks for it or against it.
    Unknown,
    /// Health checks speak for one of its endpoints.
    Up,
    /// Calls to it fail, and why, in words that follow its name.
    Down(&'static str),
}

impl<T> Balance<T> {
    /// What is known of it now.
    pub(in crate::dispatch) fn condition(&self) -> Condition {
        let now = self.millis(Instant::now());
        if self.breaker.as_ref().is_some_and(|breaker| breaker.is_open(now)) {
            return Condition::Down("fails: its breaker is open");
        }
        if self.rules.health.is_none() {
            return Condition::Unknown;
        }
        let set = self.set.load();
        let mut endpoints = set.endpoints.iter();
        match endpoints.len() {
            0 => Condition::Unknown,
            _ if endpoints.clone().all(|endpoint| !endpoint.is_healthy()) => {
                Condition::Down("fails its health checks")
            }
            _ if endpoints.any(|endpoint| endpoint.is_found_healthy()) => Condition::Up,
            _ => Condition::Unknown,
        }
    }

    /// Connects to its endpoints, all at once, until one accepts.
    ///
    /// # Errors
    /// None does; in words that follow its name.
    pub(in crate::dispatch) async fn reach(&self) -> Result<(), String> {
        let set = self.endpoints().await;
        let set = set.map_err(|_| "has a name that could not be looked up".to_owned())?;
        let addresses: Vec<_> = set.endpoints.iter().map(|endpoint| endpoint.address).collect();
        drop(set);
        let mut connecting: FuturesUnordered<_> = addresses.into_iter().map(TcpStream::connect).collect();
        let mut refused = true;
        while let Some(connected) = connecting.next().await {
            match connected {
                Ok(_) => return Ok(()),
                Err(error) => refused &= error.kind() == std::io::ErrorKind::ConnectionRefused,
            }
        }
        let why = if refused { "refused the connection" } else { "cannot be connected to" };
        Err(why.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc, time::Duration};

    use super::*;
    use crate::dispatch::balance::{
        Attempts, FAIR, Failure, HealthKind, HealthRules, Host, Plan, Reach, Resilience, System,
    };
    use crate::status::Fault;

    fn balance(addresses: &[SocketAddr], rules: Resilience) -> Arc<Balance<()>> {
        let hosts =
            addresses.iter().map(|address| Host { host: address.ip().to_string(), port: address.port() });
        let patience = Duration::from_secs(1);
        let make = Box::new(|_, _, _: &Arc<str>| ());
        Balance::new("u".into(), "upstream".into(), rules, hosts.collect(), patience, Arc::new(System), make)
            .into()
    }

    #[tokio::test]
    async fn one_endpoint_that_accepts_is_enough() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let here = listener.local_addr().unwrap();
        let reach = async |addresses: &[SocketAddr]| balance(addresses, Resilience::default()).reach().await;
        assert_eq!(reach(&[gone, here]).await, Ok(()));
        assert_eq!(reach(&[gone]).await, Err("refused the connection".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn health_checks_and_the_breaker_say_how_it_is() {
        let address = "127.0.0.1:9".parse().unwrap();
        let rules = HealthRules {
            kind: HealthKind::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_after: 1,
            unhealthy_after: 1,
        };
        let checked = balance(
            &[address, "127.0.0.2:9".parse().unwrap()],
            Resilience { health: Some(rules), ..Resilience::default() },
        );
        let found = |at: usize, healthy| {
            let _ = checked.set.load().endpoints[at].checked(healthy, 1, 1);
            checked.condition()
        };
        assert_eq!(checked.condition(), Condition::Unknown);
        assert_eq!(found(0, false), Condition::Unknown);
        assert_eq!(found(1, false), Condition::Down("fails its health checks"));
        assert_eq!(found(0, true), Condition::Up);

        let called = balance(&[address], Resilience::default());
        for _ in 0..5 {
            assert_eq!(called.condition(), Condition::Unknown);
            // Failures of calls that were on their way together are one.
            tokio::time::advance(Duration::from_millis(2)).await;
            let plan = Plan {
                repeatable: false,
                retry: None,
                deadline: None,
                fair: FAIR,
                key: None,
                own: false,
                tunnel: false,
                record: None,
            };
            let mut call = Attempts::begin(&called, plan).await.unwrap();
            call.next().await.unwrap();
            let gone = Fault::upstream().on(tonic::Status::unavailable("gone"));
            call.ended_with(&Failure::new(gone, Reach::Seen));
        }
        assert_eq!(called.condition(), Condition::Down("fails: its breaker is open"));
    }
}
