//! The endpoints of an upstream, whatever it speaks: found, chosen among, watched, left out; with the breaker, the retry budget
//! and the limit of the whole. Each endpoint has a transport of its own, which is the protocol's.
//!
//! All of it is shared by the workers as relaxed atomics; a call takes no lock while all is well.

mod attempts;
mod backoff;
mod breaker;
mod budget;
mod condition;
mod endpoint;
mod figures;
mod key;
mod latency;
mod load;
mod names;
mod plan;
mod random;
mod refusal;
mod ring;
mod rules;
mod set;
mod upkeep;
mod window;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;

pub(super) use self::{
    attempts::{Attempts, FAIR},
    backoff::Asked,
    endpoint::Endpoint,
    names::{Resolve, System},
    plan::{Failure, Plan, Reach, Verdict},
    upkeep::{Ask, Upkeep, note},
};
use self::{breaker::Breaker, budget::Budget, load::Load, names::Names, set::Set};
pub use self::{
    condition::Condition,
    figures::{BreakerState, Figures},
    names::Host,
    rules::{Balancing, BreakerRules, EjectionRules, HashBy, HealthKind, HealthRules, LoadRules, Resilience},
};

/// Makes the transport of an endpoint: of which of the written addresses it is, where it is, what it is called.
pub(super) type Make<T> = Box<dyn Fn(usize, SocketAddr, &Arc<str>) -> T + Send + Sync>;

/// How soon a name that could not be looked up is tried again for a call.
const LOOK_UP_AGAIN: Duration = Duration::from_millis(500);

pub(super) struct Balance<T> {
    /// Its name in the config.
    pub(super) name: Arc<str>,
    /// `upstream "orders"`
    pub(super) label: Arc<str>,
    pub(super) rules: Resilience,
    names: Names,
    make: Make<T>,
    set: ArcSwap<Set<T>>,
    /// Held while names are looked up, with when and why that failed last.
    looking: tokio::sync::Mutex<Option<(Instant, String)>>,
    turn: AtomicUsize,
    /// How often an endpoint was left out for its failures.
    ejections: AtomicU64,
    breaker: Option<Breaker>,
    budget: Budget,
    load: Option<Load>,
    /// The names that could not be looked up lately, and why: told once.
    told: Mutex<Vec<String>>,
    /// The zero of its clock.
    begun: Instant,
}

impl<T> Balance<T> {
    /// Nothing is looked up before the first call. `patience`: how long that may take.
    pub(super) fn new(
        name: Arc<str>,
        label: Arc<str>,
        rules: Resilience,
        hosts: Vec<Host>,
        patience: Duration,
        resolver: Arc<dyn Resolve>,
        make: Make<T>,
    ) -> Self {
        let balance = Self {
            names: Names::new(hosts, resolver, patience),
            set: ArcSwap::from_pointee(Set::new(Vec::new(), &rules.balance)),
            make,
            looking: tokio::sync::Mutex::new(None),
            turn: AtomicUsize::new(0),
            ejections: AtomicU64::new(0),
            breaker: rules.breaker.clone().map(Breaker::new),
            budget: Budget::new(rules.retry.budget_percent),
            load: rules.limits.clone().map(Load::new),
            told: Mutex::default(),
            begun: Instant::now(),
            name,
            label,
            rules,
        };
        if !balance.names.change() {
            balance.adopt();
        }
        balance
    }

    /// Milliseconds of its own clock.
    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    /// Where a call with this key goes, if it has one.
    pub(super) fn key(&self, headers: &HeaderMap, path: &str, client: Option<IpAddr>) -> Option<u64> {
        match &self.rules.balance {
            Balancing::Hash(by) => key::of(by, headers, path, client),
            _ => None,
        }
    }

    /// The endpoints; looked up now, if nobody has yet.
    ///
    /// # Errors
    /// UNAVAILABLE: none could be found. Nothing was sent.
    async fn endpoints(&self) -> Result<Guard<Arc<Set<T>>>, Status> {
        let known = self.set.load();
        if !known.endpoints.is_empty() {
            return Ok(known);
        }
        drop(known);
        let mut failed = self.looking.lock().await;
        let known = self.set.load();
        if !known.endpoints.is_empty() {
            return Ok(known);
        }
        drop(known);
        if let Some((at, why)) = &*failed
            && at.elapsed() < LOOK_UP_AGAIN
        {
            return Err(refusal::nowhere(&self.label, why));
        }
        let failures = self.names.look_up().await;
        self.adopt();
        let known = self.set.load();
        if known.endpoints.is_empty() {
            let why = failures.join("; ");
            *failed = Some((Instant::now(), why.clone()));
            return Err(refusal::nowhere(&self.label, &why));
        }
        *failed = None;
        Ok(known)
    }

    /// Takes over what is known of the names; who is still there stays what it was, connections and all.
    fn adopt(&self) {
        let found = self.names.known();
        let before = self.set.load();
        let same = |place: usize, address: SocketAddr| {
            let mut before = before.endpoints.iter();
            before.find(|endpoint| endpoint.origin == place && endpoint.address == address).map(Arc::clone)
        };
        if found.len() == before.endpoints.len()
            && found.iter().all(|(place, address)| same(*place, *address).is_some())
        {
            return;
        }
        let endpoints = found.into_iter().map(|(place, address)| {
            same(place, address).unwrap_or_else(|| {
                let label = self.label_of(place, address);
                let transport = (self.make)(place, address, &label);
                Arc::new(Endpoint::new(label, address, place, transport))
            })
        });
        self.set.store(Arc::new(Set::new(endpoints.collect(), &self.rules.balance)));
    }

    fn label_of(&self, place: usize, address: SocketAddr) -> Arc<str> {
        match self.names.hosts.get(place) {
            // It is called by its address alone.
            Some(host) if *self.label == *format!("upstream {host}") => Arc::clone(&self.label),
            Some(host) if host.address().is_none() => {
                format!("{} ({host}, {})", self.label, address.ip()).into()
            }
            _ => format!("{} ({address})", self.label).into(),
        }
    }
}

/// `upstream "orders" (10.0.0.1:50051, 10.0.0.2:50051)`
impl<T> fmt::Display for Balance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 3;
        f.write_str(&self.label)?;
        let hosts = &self.names.hosts;
        if let [host] = &**hosts
            && *self.label == *format!("upstream {host}")
        {
            return Ok(());
        }
        for (at, host) in hosts.iter().take(MOST).enumerate() {
            write!(f, "{}{host}", if at == 0 { " (" } else { ", " })?;
        }
        if hosts.len() > MOST {
            write!(f, " and {} more", hosts.len() - MOST)?;
        }
        f.write_str(if hosts.is_empty() { "" } else { ")" })
    }
}

impl<T> fmt::Debug for Balance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Balance({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{names::tests::Told, *};

    fn balance(told: &Arc<Told>) -> Balance<SocketAddr> {
        let hosts = vec![Host { host: "shop.internal".to_owned(), port: 1 }];
        let make = Box::new(|_, address, _: &Arc<str>| address);
        let resolver = Arc::clone(told) as Arc<dyn Resolve>;
        let patience = Duration::from_secs(1);
        Balance::new(
            "shop".into(),
            "upstream \"shop\"".into(),
            Resilience::default(),
            hosts,
            patience,
            resolver,
            make,
        )
    }

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 1).into()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_still_there_stays_what_it_was() {
        let told = Arc::new(Told::default());
        let balance = balance(&told);
        // Nobody knows the name yet: the call is told, and the next one asks again, but not at once.
        let refused = balance.endpoints().await.unwrap_err();
        let why = "upstream \"shop\" (shop.internal:1) could not be looked up: no such name";
        assert_eq!(refused.message(), why);
        *told.0.lock().unwrap() = vec![address(1), address(2)];
        assert_eq!(balance.endpoints().await.unwrap_err().message(), why);
        tokio::time::sleep(LOOK_UP_AGAIN).await;
        let first = Arc::clone(&balance.endpoints().await.unwrap().endpoints[0]);
        assert_eq!(
            (&*first.label, first.transport),
            ("upstream \"shop\" (shop.internal:1, 10.0.0.1)", address(1))
        );
        first.take();
        *told.0.lock().unwrap() = vec![address(3), address(1)];
        balance.names.look_up().await;
        balance.adopt();
        let now = balance.set.load_full();
        assert_eq!(
            now.endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>(),
            [address(1), address(3)]
        );
        assert!(Arc::ptr_eq(&now.endpoints[0], &first) && now.endpoints[0].load() == 1);
        // What it had last stays.
        told.0.lock().unwrap().clear();
        balance.names.look_up().await;
        balance.adopt();
        assert_eq!(balance.endpoints().await.unwrap().endpoints.len(), 2);
    }
}
