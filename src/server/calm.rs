//! Addresses whose connections flooded lately. A connection that floods is ended, and would be back at once: what is opened
//! from its address waits before anything of it is read, longer with each flood, and has less to flood with. Who shares the
//! address waits for a moment when it connects, and never in a connection that it has.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::caps::Origin;

/// The wait doubles with each flood, and is the longest from this many on.
const WORST: u32 = 5;
/// So long after the last flood one is forgotten, and then one more each time.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Addresses that are remembered at once; beyond, the one that flooded longest ago is forgotten.
const MOST: usize = 4096;

/// The floods of all addresses, shared by all workers.
#[derive(Debug)]
pub(super) struct Calm {
    longest: Duration,
    /// How many addresses there are, so that nobody asks for a lock while there is none.
    known: AtomicUsize,
    by_origin: Mutex<HashMap<Origin, Floods>>,
}

#[derive(Debug, Clone, Copy)]
struct Floods {
    count: u32,
    last: Instant,
}

impl Floods {
    /// Those that are not forgotten.
    fn at(self, now: Instant) -> u32 {
        let forgotten = now.saturating_duration_since(self.last).as_millis() / FORGOTTEN.as_millis();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Calm {
    /// Nobody has flooded yet. `longest` is the most that a connection ever waits; zero: none does.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, known: AtomicUsize::new(0), by_origin: Mutex::default() }
    }

    /// A connection from this address was a flood.
    pub(super) fn flooded(&self, address: IpAddr, now: Instant) {
        if self.longest.is_zero() {
            return;
        }
        let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = Origin::of(address);
        if by_origin.len() >= MOST && !by_origin.contains_key(&origin) {
            by_origin.retain(|_, floods| floods.at(now) > 0);
            let oldest = by_origin.iter().min_by_key(|(_, floods)| floods.last).map(|(origin, _)| *origin);
            if let Some(oldest) = oldest.filter(|_| by_origin.len() >= MOST) {
                by_origin.remove(&oldest);
            }
        }
        let floods = by_origin.entry(origin).or_insert(Floods { count: 0, last: now });
        *floods = Floods { count: (floods.at(now) + 1).min(WORST), last: now };
        self.known.store(by_origin.len(), Ordering::Relaxed);
    }

    /// How long a new connection from this address waits; `None` for nearly everyone.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.known.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = Origin::of(address);
        let count = by_origin.get(&origin)?.at(now);
        if count == 0 {
            by_origin.remove(&origin);
            self.known.store(by_origin.len(), Ordering::Relaxed);
            return None;
        }
        Some(self.longest / (1 << (WORST - count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wait_grows_with_each_flood_and_is_forgotten() {
        let (calm, start) = (Calm::new(16 * SECOND), Instant::now());
        let address = IpAddr::from([192, 0, 2, 1]);
        let check = |second: u32, want: u64| {
            let waits = calm.wait(address, start + SECOND * second);
            assert_eq!(waits, (want > 0).then(|| Duration::from_secs(want)), "at {second} s");
        };
        check(0, 0);
        for want in [1, 2, 4, 8, 16, 16, 16] {
            calm.flooded(address, start);
            check(0, want);
        }
        assert_eq!(calm.wait([192, 0, 2, 2].into(), start), None);
        assert_eq!(calm.wait("::ffff:192.0.2.1".parse().unwrap(), start), Some(16 * SECOND));
        check(9, 16);
        check(10, 8);
        check(40, 1);
        calm.flooded(address, start + SECOND * 40);
        check(40, 2);
        check(50, 1);
        check(60, 0);
        assert!(calm.by_origin.lock().unwrap().is_empty());
    }

    #[test]
    fn no_more_addresses_are_kept_than_may_be() {
        let (calm, start) = (Calm::new(SECOND), Instant::now());
        let address = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..=MOST {
            calm.flooded(address(n), start + Duration::from_micros(n as u64));
        }
        assert_eq!(calm.by_origin.lock().unwrap().len(), MOST);
        assert_eq!(calm.wait(address(0), start), None);
        assert!(calm.wait(address(1), start).is_some() && calm.wait(address(MOST), start).is_some());
    }

    #[test]
    fn it_can_be_switched_off() {
        let calm = Calm::new(Duration::ZERO);
        calm.flooded([192, 0, 2, 1].into(), Instant::now());
        assert_eq!(calm.wait([192, 0, 2, 1].into(), Instant::now()), None);
    }
}
