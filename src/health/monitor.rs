//! Asks all services, and keeps what was found for a while: in Redis where there is one, so that replicas share it, and in
//! this process. Who asks while others wait for the answer waits with them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::{runtime::Handle, sync::watch, time::Instant};
use tracing::{info, warn};

use super::{
    ask::Asker,
    figures::{Figures, Finding},
    known::Known,
    reaches::{Reached, Reaches},
    results::{Results, Service, Status},
    rules::{Check, Probe, Settings, Target},
};
use crate::{
    auth::{digest, hex},
    dispatch::Condition,
    telemetry::CacheUse,
};

/// An upstream that is down is asked again until it is back, but not more often than this.
const AGAIN: Duration = Duration::from_secs(1);
/// What is kept here is held against what replicas share, but not more often than this.
const LOOK: Duration = Duration::from_millis(200);

/// The probes of one config.
pub struct Monitor(Arc<Inner>);

struct Inner {
    settings: Settings,
    askers: Vec<Asker>,
    reaches: Reaches,
    figures: Arc<Figures>,
    /// Which probes these are, on all replicas.
    fingerprint: String,
    /// Where probes run, whoever asks: their client may go, and so may its worker.
    runtime: Option<Handle>,
    /// The answer that is waited for.
    flight: Mutex<Option<watch::Receiver<Option<Found>>>>,
    /// What was found last, and when.
    last: Mutex<Option<(Instant, Arc<Results>)>>,
    /// Upstreams that were asked again since, by their probes' names.
    again: Mutex<BTreeMap<Arc<str>, (SystemTime, Service)>>,
    /// When what replicas share was last looked at.
    looked: Mutex<Option<Instant>>,
    known: Known,
    /// What was found before, and how often it was enough; over all configs.
    used: Arc<CacheUse>,
    /// Somebody asks again until the upstreams that are down are back.
    following: AtomicBool,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub results: Arc<Results>,
    /// It was kept from before.
    pub hit: bool,
}

impl Monitor {
    /// The probes of a config. It remembers whom the probes `before` have seen. Must be called in the runtime that outlives all
    /// others; outside of any, nothing can be asked.
    #[must_use]
    pub fn new(settings: &Settings, reaches: Reaches, figures: Arc<Figures>, before: Option<&Self>) -> Self {
        let askers: Vec<Asker> = settings.probes.iter().cloned().map(Asker::new).collect();
        let mut text = String::new();
        for Asker { probe, target, .. } in &askers {
            let Probe { name, critical, may_be_absent, timeout, .. } = probe;
            text.push_str(&format!("{name:?} {target:?} {critical} {may_be_absent} {timeout:?}\n"));
        }
        let fingerprint = hex(&digest(text.as_bytes()));
        let last = before.filter(|before| before.0.fingerprint == fingerprint);
        let last = last.and_then(|before| locked(&before.0.last).clone());
        Self(Arc::new(Inner {
            settings: settings.clone(),
            askers,
            reaches,
            figures,
            fingerprint,
            runtime: Handle::try_current().ok(),
            flight: Mutex::default(),
            last: Mutex::new(last),
            again: Mutex::default(),
            looked: Mutex::default(),
            used: before.map(|before| Arc::clone(&before.0.used)).unwrap_or_default(),
            known: before.map(|before| before.0.known.again()).unwrap_or_default(),
            following: AtomicBool::new(false),
        }))
    }

    /// How often what was found before was enough.
    #[must_use]
    pub fn used(&self) -> &Arc<CacheUse> {
        &self.0.used
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The process's figures.
    #[must_use]
    pub fn figures(&self) -> &Arc<Figures> {
        &self.0.figures
    }

    /// What a check of the process finds; `None` where the machine does not tell, and for the server's own, which is not
    /// a figure.
    #[must_use]
    pub fn check(&self, check: Check) -> Option<Finding> {
        self.0.figures.judge(check, &self.0.settings)
    }

    /// How the services are: as they were found a moment ago, or as they are found now. `None`: there is nothing to ask, or
    /// nobody to do it any more.
    pub async fn look(&self) -> Option<Found> {
        let inner = &self.0;
        if inner.askers.is_empty() {
            return None;
        }
        if let Some(results) = inner.own() {
            // Others share what they find: that is looked at, but nobody waits for it who can be answered.
            if inner.reaches.stores.share_cache() && inner.looks_again() {
                let _ = self.flight();
            }
            inner.used.hit();
            let results = inner.overruled(&results).map(Arc::new).unwrap_or(results);
            return Some(Found { results, hit: true });
        }
        let mut waiting = self.flight()?;
        let mut found = waiting.wait_for(Option::is_some).await.ok()?.clone()?;
        if found.hit {
            inner.used.hit();
        } else {
            inner.used.missed();
        }
        if let Some(now) = inner.overruled(&found.results) {
            found.results = Arc::new(now);
        }
        Some(found)
    }

    /// The answer that is on its way, which begins if there is none; `None`: nobody asks any more.
    fn flight(&self) -> Option<watch::Receiver<Option<Found>>> {
        let inner = &self.0;
        let mut flight = locked(&inner.flight);
        if let Some(waiting) = &*flight {
            return Some(waiting.clone());
        }
        let (answer, waiting) = watch::channel(None);
        inner.runtime.as_ref()?.spawn(fly(Arc::clone(inner), answer));
        *flight = Some(waiting.clone());
        Some(waiting)
    }

    /// True where an upstream was not there when it was last asked for, and nobody has found it back since.
    #[must_use]
    pub fn misses(&self, upstream: &str) -> bool {
        self.0
            .down()
            .any(|asker| matches!(&asker.probe.target, Target::Upstream(name) if **name == *upstream))
    }
}

/// Clears the place of the flight, however it ends.
struct Landing<'a>(&'a Inner);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        *locked(&self.0.flight) = None;
    }
}

async fn fly(inner: Arc<Inner>, answer: watch::Sender<Option<Found>>) {
    let landing = Landing(&inner);
    let found = inner.find().await;
    drop(landing);
    // Those who waited may have gone.
    let _ = answer.send(Some(found));
    follow(&inner);
}

/// Asks an upstream that is down again, and it alone, until it is back: what is told of it by `grpc.health.v1` follows.
fn follow(inner: &Arc<Inner>) {
    if inner.down().next().is_none() || inner.following.swap(true, Relaxed) {
        return;
    }
    let (weak, pause) = (Arc::downgrade(inner), inner.settings.cache.max(AGAIN));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(inner) = Weak::upgrade(&weak) else { return };
            let down: Vec<&Asker> = inner.down().collect();
            if down.is_empty() {
                inner.following.store(false, Relaxed);
                return;
            }
            let at = SystemTime::now();
            let asking = down.into_iter().map(|asker| async {
                (Arc::clone(&asker.probe.name), asker.ask(&inner.reaches, &inner.known).await)
            });
            for (name, found) in join_all(asking).await {
                if found.status != Status::Down {
                    info!(service = &*name, "the service {name} is {} again", found.status.word());
                }
                locked(&inner.again).insert(name, (at, found));
            }
        }
    });
}

impl Inner {
    /// What is kept, or what all probes find now.
    async fn find(&self) -> Found {
        if let Some(results) = self.kept().await {
            self.note(&results);
            return Found { results, hit: true };
        }
        let cache = &*self.reaches.stores.cache;
        let seen = format!("{}:seen", self.settings.cache_key);
        if self.askers.iter().any(|asker| asker.probe.may_be_absent) {
            self.known.hear(cache, &seen).await;
        }
        let at = SystemTime::now();
        // All at once: the slowest says how long it takes.
        let asking = self.askers.iter().map(|asker| async {
            (Arc::clone(&asker.probe.name), asker.ask(&self.reaches, &self.known).await)
        });
        let services = join_all(asking).await;
        let results = Arc::new(Results { at, services: services.into_iter().collect() });
        self.note(&results);
        if !self.settings.cache.is_zero() {
            let text = results.share(&self.settings.probes, &self.fingerprint);
            // Where it cannot be kept for all, it is kept here.
            let _ = cache.set(&self.settings.cache_key, text, self.settings.cache).await;
        }
        self.known.tell(cache, &seen).await;
        Found { results, hit: false }
    }

    /// What was found a moment ago, here or by a replica.
    async fn kept(&self) -> Option<Arc<Results>> {
        if self.settings.cache.is_zero() {
            return None;
        }
        match self.reaches.stores.cache.get(&self.settings.cache_key).await {
            Ok(text) => {
                let results = Results::shared(&text?, &self.settings.probes, &self.fingerprint)?;
                for asker in self.askers.iter().filter(|asker| asker.probe.may_be_absent) {
                    // Another has seen it.
                    let found = results.services.get(&asker.probe.name);
                    if found.is_some_and(|found| found.status != Status::NotDeployed) {
                        self.known.add(&asker.target);
                    }
                }
                Some(Arc::new(results))
            }
            Err(_) => self.own(),
        }
    }

    /// What was found a moment ago, as this process knows it.
    fn own(&self) -> Option<Arc<Results>> {
        let last = locked(&self.last);
        let (at, results) = last.as_ref()?;
        (at.elapsed() < self.settings.cache).then(|| Arc::clone(results))
    }

    /// Keeps what was found, and logs what is new about it.
    fn note(&self, results: &Arc<Results>) {
        let mut last = locked(&self.last);
        let before = last.as_ref().map(|(_, before)| Arc::clone(before));
        // What is read again is as old as it was.
        let at = match &*last {
            Some((at, before)) if before.at == results.at => *at,
            _ => {
                // Another's may be some seconds old; of clocks that differ much nothing is believed.
                let age = SystemTime::now().duration_since(results.at).unwrap_or_default();
                Instant::now().checked_sub(age.min(self.settings.cache)).unwrap_or_else(Instant::now)
            }
        };
        *last = Some((at, Arc::clone(results)));
        drop(last);
        for (name, found) in &results.services {
            let was = before.as_ref().and_then(|before| self.found(before, name)).map(|was| was.status);
            let why = found.message.as_deref().unwrap_or_default();
            match (was, found.status) {
                (was, now) if was == Some(now) => {}
                (_, Status::Down) => warn!(service = &**name, "the service {name} is down: it {why}"),
                (Some(Status::Down), now) => {
                    info!(service = &**name, "the service {name} is {} again", now.word());
                }
                _ => {}
            }
        }
    }

    fn upstreams(&self) -> impl Iterator<Item = (&Probe, &Arc<str>)> {
        self.askers.iter().filter_map(|Asker { probe, .. }| match &probe.target {
            Target::Upstream(name) => Some((probe, name)),
            _ => None,
        })
    }

    /// Those of the upstreams that were not there when they were last asked.
    fn down(&self) -> impl Iterator<Item = &Asker> {
        let last = locked(&self.last).clone();
        self.askers.iter().filter(move |asker| {
            let Some((_, results)) = &last else { return false };
            let upstream = matches!(asker.probe.target, Target::Upstream(_));
            upstream
                && self.found(results, &asker.probe.name).is_some_and(|found| found.status == Status::Down)
        })
    }

    /// What was found of a service: when all were asked, or since.
    fn found(&self, results: &Results, name: &Arc<str>) -> Option<Service> {
        let again = locked(&self.again).get(name).filter(|(at, _)| *at > results.at).cloned();
        again.map(|(_, found)| found).or_else(|| results.services.get(name).cloned())
    }

    /// True for one who asks, now and then.
    fn looks_again(&self) -> bool {
        let (mut looked, now) = (locked(&self.looked), Instant::now());
        let due = looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK);
        if due {
            *looked = Some(now);
        }
        due
    }

    /// What is kept may be of before an upstream was asked again, or say that one is up of which calls have learned better.
    fn overruled(&self, results: &Results) -> Option<Results> {
        let mut changes: BTreeMap<Arc<str>, Service> = BTreeMap::new();
        for (probe, name) in self.upstreams() {
            let found = self.found(results, &probe.name);
            let up = found.as_ref().is_some_and(|found| found.status == Status::Up);
            changes.extend(
                found
                    .filter(|found| results.services.get(&probe.name) != Some(found))
                    .map(|found| (Arc::clone(&probe.name), found)),
            );
            let reached = self.reaches.upstreams.get(name).filter(|_| up);
            if let Some(Condition::Down(why)) = reached.map(Reached::condition) {
                changes.insert(Arc::clone(&probe.name), Service::not_up(Status::Down, why));
            }
        }
        if changes.is_empty() {
            return None;
        }
        let mut now = results.clone();
        now.services.extend(changes);
        Some(now)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("probes", &self.0.settings.probes).finish_non_exhaustive()
    }
}
