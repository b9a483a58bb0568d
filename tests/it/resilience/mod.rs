//! Upstreams that are killed, black-holed, flapping, slow, answering garbage, closing in the middle of a body, under a steady
//! load: while two instances are healthy no call fails that may be repeated, and of the others only those that were on their
//! way; nothing is sent much more often than it was asked for, and nothing takes longer than it may.

mod instance;
mod load;
mod rules;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;

use self::{
    instance::{Instance, Mode, Speaks},
    load::{Call, load},
};
use crate::support::{
    gateway::{TestGateway, World},
    library::DESCRIPTORS,
};

/// Calls a second.
const RATE: u32 = 500;
const DEADLINE: Duration = Duration::from_secs(5);
/// Calls take a moment, so that some are always on their way.
const BUSY: Mode = Mode::Slow(Duration::from_millis(20));

/// Three instances that speak gRPC, three that speak HTTP, and a gateway before them.
struct Fleet {
    gateway: TestGateway,
    grpc: Vec<Instance>,
    http: Vec<Instance>,
}

fn addresses(instances: &[Instance]) -> String {
    let addresses = instances.iter().map(|instance| format!("\"http://{}\"", instance.address));
    addresses.collect::<Vec<_>>().join(", ")
}

async fn some(count: usize, speaks: Speaks) -> Vec<Instance> {
    let mut instances = Vec::new();
    for _ in 0..count {
        instances.push(Instance::start(speaks).await);
    }
    instances
}

impl Fleet {
    /// `more`: lines for each of both upstreams.
    async fn start(count: usize, more: &str) -> Self {
        let (grpc, http) = (some(count, Speaks::Grpc).await, some(count, Speaks::Http).await);
        let config = format!(
            r#"
            [[upstreams]]
            name = "library"
            grpc = [{}]
            descriptors = "library.binpb"
            {more}
            [[upstreams]]
            name = "plain"
            http = [{}]
            {more}
            [[routes]]
            path = "/plain/{{rest=**}}"
            upstream = "plain"
            "#,
            addresses(&grpc),
            addresses(&http),
        );
        let world = World::new().with_file("library.binpb", &DESCRIPTORS).with_config(&config);
        Self { gateway: world.start(), grpc, http }
    }

    /// Instances that speak gRPC alone.
    async fn start_grpc(count: usize, more: &str) -> Self {
        let grpc = some(count, Speaks::Grpc).await;
        let config = format!(
            "[[upstreams]]\nname = \"library\"\ngrpc = [{}]\ndescriptors = \"library.binpb\"\n{more}\n",
            addresses(&grpc)
        );
        let world = World::new().with_file("library.binpb", &DESCRIPTORS).with_config(&config);
        Self { gateway: world.start(), grpc, http: Vec::new() }
    }

    fn first(&mut self) -> [&mut Instance; 2] {
        [&mut self.grpc[0], &mut self.http[0]]
    }

    fn all_become(&self, mode: &Mode) {
        self.grpc.iter().chain(&self.http).for_each(|instance| instance.becomes(mode.clone()));
    }

    fn calls(&self) -> usize {
        self.grpc.iter().chain(&self.http).map(Instance::calls).sum()
    }

    /// The load, while something is done to the instances.
    async fn under_load(&mut self, time: Duration, what: impl AsyncFnOnce(&mut Self)) -> Vec<Call> {
        let calls = load(self.gateway.address, RATE, time, DEADLINE);
        let (calls, ()) = tokio::join!(calls, what(self));
        calls
    }
}

/// By how much this machine's own timers are late, busy as it is.
struct Lag(tokio::task::JoinHandle<()>, Arc<AtomicU64>);

impl Lag {
    fn measure() -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                sleep(Duration::from_millis(5)).await;
                let late = begun.elapsed().saturating_sub(Duration::from_millis(5));
                seen.fetch_max(late.as_millis() as u64, Relaxed);
            }
        });
        Self(task, most)
    }

    fn most(self) -> Duration {
        self.0.abort();
        Duration::from_millis(self.1.load(Relaxed))
    }
}

/// True for a call that was on its way when instances were killed. (For a moment after that the gateway may still write to a
/// connection whose end is on its way.)
fn on_its_way(call: &Call, from: Instant, to: Instant) -> bool {
    call.began <= to + Duration::from_millis(50) && call.ended >= from
}

/// Whatever happens, this holds. `excused`: a call that may not be repeated and failed.
fn hold(fleet: &Fleet, calls: &[Call], what: &str, excused: impl Fn(&Call) -> bool) {
    let failed: Vec<_> = calls.iter().filter(|call| call.failure.is_some()).collect();
    let wrong: Vec<_> =
        failed.iter().filter(|call| call.kind.repeatable() || !excused(call)).take(5).collect();
    assert!(wrong.is_empty(), "{what}: {} of {} failed: {wrong:#?}", failed.len(), calls.len());
    let longest = calls.iter().map(Call::took).max().unwrap();
    assert!(longest <= DEADLINE + Duration::from_millis(100), "{what}: {longest:?}");
    let sent = fleet.calls() as f64 / calls.len() as f64;
    println!(
        "{what}: {} calls, {} failed, longest {longest:?}, sent {sent:.3} times",
        calls.len(),
        failed.len()
    );
    assert!(sent <= 1.2, "{what}: sent {sent} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_instances_are_killed_only_what_was_on_its_way_fails() {
    let mut fleet = Fleet::start(3, "").await;
    fleet.all_become(&BUSY);
    let mut killed = Vec::new();
    let calls = fleet
        .under_load(Duration::from_secs(4), async |fleet| {
            for _ in 0..2 {
                sleep(Duration::from_millis(800)).await;
                let at = Instant::now();
                for instance in fleet.first() {
                    instance.kill().await;
                }
                killed.push((at, Instant::now()));
                sleep(Duration::from_millis(800)).await;
                for instance in fleet.first() {
                    instance.revive().await;
                }
                fleet.all_become(&BUSY);
            }
        })
        .await;
    let excused = |call: &Call| killed.iter().any(|(from, to)| on_its_way(call, *from, *to));
    hold(&fleet, &calls, "killed", excused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_costs_one_try() {
    let retry = "retry = { per_try_timeout = \"500ms\" }";
    let mut fleet = Fleet::start(3, retry).await;
    let mut since = None;
    let calls = fleet
        .under_load(Duration::from_secs(4), async |fleet| {
            sleep(Duration::from_secs(1)).await;
            fleet.first().map(|instance| instance.becomes(Mode::BlackHole));
            since = Some(Instant::now());
        })
        .await;
    // What cannot be repeated waits there in vain; but that is a few calls, until the endpoint is left out.
    let since = since.unwrap();
    hold(&fleet, &calls, "black hole", |call| call.ended >= since);
    let failed = calls.iter().filter(|call| call.failure.is_some()).count();
    assert!(failed * 50 < calls.len(), "{failed} of {}", calls.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_flaps_is_worked_around() {
    let mut fleet = Fleet::start(3, "").await;
    fleet.all_become(&BUSY);
    let mut killed = Vec::new();
    let calls = fleet
        .under_load(Duration::from_secs(4), async |fleet| {
            for _ in 0..8 {
                sleep(Duration::from_millis(200)).await;
                let at = Instant::now();
                for instance in fleet.first() {
                    instance.kill().await;
                }
                killed.push((at, Instant::now()));
                sleep(Duration::from_millis(200)).await;
                for instance in fleet.first() {
                    instance.revive().await;
                }
                fleet.all_become(&BUSY);
            }
        })
        .await;
    let excused = |call: &Call| killed.iter().any(|(from, to)| on_its_way(call, *from, *to));
    hold(&fleet, &calls, "flapping", excused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_garbage_or_half_is_asked_no_more() {
    for (what, mode) in [("garbage", Mode::Garbage), ("mid-body", Mode::MidBody)] {
        let mut fleet = Fleet::start(3, "").await;
        let mut since = None;
        let calls = fleet
            .under_load(Duration::from_secs(3), async |fleet| {
                sleep(Duration::from_millis(500)).await;
                fleet.first().map(|instance| instance.becomes(mode.clone()));
                since = Some(Instant::now());
            })
            .await;
        let until = since.unwrap() + Duration::from_secs(1);
        hold(&fleet, &calls, what, |call| call.began < until);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_longer_than_they_said() {
    let mut fleet = Fleet::start(2, "").await;
    fleet.all_become(&Mode::Slow(Duration::from_secs(60)));
    let deadline = Duration::from_millis(400);
    let lag = Lag::measure();
    let calls = load(fleet.gateway.address, RATE, Duration::from_secs(1), deadline).await;
    let longest = calls.iter().map(Call::took).max().unwrap();
    let lag = lag.most();
    println!("slow: {} calls, longest {longest:?}, the machine's own lag {lag:?}", calls.len());
    assert!(longest <= deadline + Duration::from_millis(100) + lag, "{longest:?}, {lag:?}");
    for call in &calls {
        let failure = call.failure.as_deref().unwrap();
        assert!(failure.contains("DeadlineExceeded") || failure.starts_with("504"), "{call:?}");
    }
    // What is slow but comes in time is no failure; with one slow instance the others do most of the work.
    fleet.all_become(&Mode::Fine);
    fleet.first().map(|instance| instance.becomes(Mode::Slow(Duration::from_millis(300))));
    let before = fleet.first().map(|instance| instance.calls());
    let calls = load(fleet.gateway.address, RATE, Duration::from_secs(2), DEADLINE).await;
    assert!(
        calls.iter().all(|call| call.failure.is_none()),
        "{:?}",
        calls.iter().find(|c| c.failure.is_some())
    );
    let slow: usize = fleet
        .first()
        .map(|instance| instance.calls())
        .iter()
        .zip(before)
        .map(|(now, before)| now - before)
        .sum();
    assert!(slow * 5 < calls.len(), "the slow ones had {slow} of {} calls", calls.len());
}
