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

/// Calls a second, where the machine can serve so many.
const RATE: u32 = 500;
const DEADLINE: Duration = Duration::from_secs(5);
/// By how much an answer may be late.
const LATE: Duration = Duration::from_millis(100);
/// Calls take a moment, so that some are always on their way.
const BUSY: Mode = Mode::Slow(Duration::from_millis(20));

/// Three instances that speak gRPC, three that speak HTTP, and a gateway before them.
struct Fleet {
    gateway: TestGateway,
    grpc: Vec<Instance>,
    http: Vec<Instance>,
    /// Calls before the load.
    before: usize,
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
        Self { gateway: world.start(), grpc, http, before: 0 }
    }

    /// Instances that speak gRPC alone.
    async fn start_grpc(count: usize, more: &str) -> Self {
        let grpc = some(count, Speaks::Grpc).await;
        let config = format!(
            "[[upstreams]]\nname = \"library\"\ngrpc = [{}]\ndescriptors = \"library.binpb\"\n{more}\n",
            addresses(&grpc)
        );
        let world = World::new().with_file("library.binpb", &DESCRIPTORS).with_config(&config);
        Self { gateway: world.start(), grpc, http: Vec::new(), before: 0 }
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

    /// As many calls a second as this machine can serve now while all is well: this is a debug build beside others.
    async fn rate(&self) -> u32 {
        let mut rate = RATE;
        loop {
            let calls = load(self.gateway.address, rate, Duration::from_millis(500), DEADLINE).await;
            let longest = calls.iter().map(Call::took).max().unwrap();
            if longest < LATE || rate < 40 {
                return rate;
            }
            rate /= 2;
        }
    }

    /// The load, while something is done to the instances; and the machine's own lag meanwhile.
    async fn under_load(
        &mut self,
        time: Duration,
        what: impl AsyncFnOnce(&mut Self),
    ) -> (Vec<Call>, Duration) {
        let rate = self.rate().await;
        self.before = self.calls();
        let lag = Lag::measure();
        let calls = load(self.gateway.address, rate, time, DEADLINE);
        let (calls, ()) = tokio::join!(calls, what(self));
        (calls, lag.most())
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

/// What a scenario came to, and the machine's own lag meanwhile.
type Came = (Result<(), String>, Duration);

/// Runs a scenario, one at a time. Where it fails and the machine's own timers were late by half of what the gateway may be,
/// that says nothing, and it is run again.
async fn hold(what: &str, scenario: impl AsyncFn() -> Came) {
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one = ONE.lock().await;
    for round in 1.. {
        let (outcome, lag) = scenario().await;
        match outcome {
            Ok(()) => return,
            Err(why) if lag > LATE / 2 && round < 6 => {
                eprintln!("{what}: the machine was late by {lag:?}; {why}")
            }
            Err(why) => panic!("{what}, on a machine that was late by {lag:?}: {why}"),
        }
    }
}

/// True for a call that was on its way when instances were killed. (For a moment after that the gateway may still write to a
/// connection whose end is on its way.)
fn on_its_way(call: &Call, from: Instant, to: Instant) -> bool {
    call.began <= to + Duration::from_millis(50) && call.ended >= from
}

/// Whatever happens, this is so. `excused`: a call that may not be repeated and failed.
fn judged(what: &str, fleet: &Fleet, calls: &[Call], excused: impl Fn(&Call) -> bool) -> Result<(), String> {
    let failed: Vec<_> = calls.iter().filter(|call| call.failure.is_some()).collect();
    let mut wrong = failed.iter().filter(|call| call.kind.repeatable() || !excused(call));
    if let Some(one) = wrong.next() {
        return Err(format!(
            "{} of {} failed, {} more wrongly: {one:?}",
            failed.len(),
            calls.len(),
            wrong.count()
        ));
    }
    let longest = calls.iter().map(Call::took).max().unwrap();
    // Those that found the rate were sent once.
    let sent = (fleet.calls() - fleet.before) as f64 / calls.len() as f64;
    let came =
        format!("{} calls, {} failed, longest {longest:?}, sent {sent:.3} times", calls.len(), failed.len());
    eprintln!("{what}: {came}");
    if longest > DEADLINE + LATE || sent > 1.2 { Err(came) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_instances_are_killed_only_what_was_on_its_way_fails() {
    hold("killed", async || {
        let mut fleet = Fleet::start(3, "").await;
        kill_now_and_then("killed", &mut fleet, 2, Duration::from_millis(800)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_flaps_is_worked_around() {
    hold("flapping", async || {
        let mut fleet = Fleet::start(3, "").await;
        kill_now_and_then("flapping", &mut fleet, 8, Duration::from_millis(200)).await
    })
    .await;
}

/// Kills the first instances and brings them back, again and again.
async fn kill_now_and_then(what: &str, fleet: &mut Fleet, times: usize, every: Duration) -> Came {
    fleet.all_become(&BUSY);
    let mut killed = Vec::new();
    let load = fleet.under_load(Duration::from_secs(4), async |fleet| {
        for _ in 0..times {
            sleep(every).await;
            let at = Instant::now();
            for instance in fleet.first() {
                instance.kill().await;
            }
            killed.push((at, Instant::now()));
            sleep(every).await;
            for instance in fleet.first() {
                instance.revive().await;
            }
            fleet.all_become(&BUSY);
        }
    });
    let (calls, lag) = load.await;
    let excused = |call: &Call| killed.iter().any(|(from, to)| on_its_way(call, *from, *to));
    (judged(what, fleet, &calls, excused), lag)
}

/// Lets the first instances become so after a while, and yields when that was.
async fn become_under_load(fleet: &mut Fleet, mode: &Mode) -> (Vec<Call>, Duration, Instant) {
    let mut since = None;
    let load = fleet.under_load(Duration::from_secs(4), async |fleet| {
        sleep(Duration::from_secs(1)).await;
        for instance in fleet.first() {
            instance.becomes(mode.clone());
        }
        since = Some(Instant::now());
    });
    let (calls, lag) = load.await;
    (calls, lag, since.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_costs_one_try() {
    hold("black hole", async || {
        let mut fleet = Fleet::start(3, "retry = { per_try_timeout = \"1s\" }").await;
        let (calls, lag, since) = become_under_load(&mut fleet, &Mode::BlackHole).await;
        // What cannot be repeated waits there in vain; but that is a few calls, until the endpoint is left out.
        let failed = calls.iter().filter(|call| call.failure.is_some()).count();
        let few = if failed * 50 < calls.len() { Ok(()) } else { Err(format!("{failed} failed")) };
        (few.and(judged("black hole", &fleet, &calls, |call| call.ended >= since)), lag)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_garbage_or_half_is_asked_no_more() {
    for (what, mode) in [("garbage", Mode::Garbage), ("mid-body", Mode::MidBody)] {
        hold(what, async || {
            let mut fleet = Fleet::start(3, "").await;
            let (calls, lag, since) = become_under_load(&mut fleet, &mode).await;
            let until = since + Duration::from_secs(1);
            (judged(what, &fleet, &calls, |call| call.began < until), lag)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_longer_than_they_said() {
    hold("slow", async || {
        let fleet = Fleet::start(2, "").await;
        let rate = fleet.rate().await;
        fleet.all_become(&Mode::Slow(Duration::from_secs(60)));
        let deadline = Duration::from_millis(400);
        let lag = Lag::measure();
        let calls = load(fleet.gateway.address, rate, Duration::from_secs(1), deadline).await;
        let longest = calls.iter().map(Call::took).max().unwrap();
        eprintln!("slow: {} calls, longest {longest:?}", calls.len());
        let late = |call: &&Call| {
            let failure = call.failure.as_deref().unwrap_or_default();
            !failure.contains("DeadlineExceeded") && !failure.starts_with("504")
        };
        let outcome = match calls.iter().find(late) {
            Some(call) => Err(format!("{call:?}")),
            None if longest > deadline + LATE => Err(format!("{longest:?}")),
            None => Ok(()),
        };
        (outcome, lag.most())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_has_less_to_do() {
    hold("one slow", async || {
        let mut fleet = Fleet::start(2, "").await;
        for instance in fleet.first() {
            instance.becomes(Mode::Slow(Duration::from_millis(300)));
        }
        let (calls, lag) = fleet.under_load(Duration::from_secs(2), async |_| {}).await;
        let slow = calls.iter().filter(|call| call.took() >= Duration::from_millis(300)).count();
        let outcome = judged("one slow", &fleet, &calls, |_| false);
        let few = if slow * 5 < calls.len() { Ok(()) } else { Err(format!("{slow} of {}", calls.len())) };
        (outcome.and(few), lag)
    })
    .await;
}
