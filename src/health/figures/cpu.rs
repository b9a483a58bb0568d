//! How much of its processors the process uses: the time that it spent on them over the last seconds, against the processors
//! that it may use (its control group's quota, or the machine's).
//!
//! Sources: proc(5) (`/proc/self/stat`, whose times are in hundredths of a second: USER_HZ), the kernel's "Control Group v2"
//! (`cpu.max`).

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Finding, percent, state};
use crate::health::Settings;

/// How often the times are noted; a figure is of one to two of these.
const EVERY: Duration = Duration::from_secs(2);
/// USER_HZ, on every architecture that is served.
const TICKS: f64 = 100.0;

/// The times as they were noted: the one before the last, and the last.
#[derive(Debug, Default)]
pub(super) struct Cpu(Mutex<Option<(Noted, Noted)>>);

/// Seconds on processors, in the process's own code and in the system's, at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Noted {
    at: Instant,
    user: f64,
    system: f64,
}

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Of all processors, of a hundred.
    share: f64,
    processors: f64,
    user: f64,
    system: f64,
}

impl Cpu {
    pub(super) async fn watch(&self) {
        loop {
            if let Some(now) = noted() {
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *kept = Some((kept.map_or(now, |(_, last)| last), now));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// `None` on a system that does not tell.
    pub(super) fn usage(&self) -> Option<Usage> {
        let now = noted()?;
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(now, |(before, _)| before);
        let processors = processors();
        let (time, spent) = (
            now.at.saturating_duration_since(before.at).as_secs_f64(),
            now.user + now.system - before.user - before.system,
        );
        // Of a moment nothing can be said: the times are counted in hundredths of a second.
        let share = if time < 0.1 { 0.0 } else { (spent / time / processors * 100.0).clamp(0.0, 100.0) };
        Some(Usage { share, processors, user: now.user, system: now.system })
    }
}

fn noted() -> Option<Noted> {
    let (user, system) = times(&fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(Noted { at: Instant::now(), user, system })
}

/// The fields `utime` and `stime`, in seconds. The second field, a name, is in parentheses and may hold anything.
fn times(stat: &str) -> Option<(f64, f64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || Some(fields.next()?.parse::<f64>().ok()? / TICKS);
    Some((next()?, next()?))
}

fn processors() -> f64 {
    let machine = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    quota(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |quota| quota.min(machine))
}

/// The smallest quota, in processors, of the control group and those around it; of version 2, which has one line.
fn quota(groups: &str, root: &Path) -> Option<f64> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let quotas = Path::new(path.trim_start_matches('/')).ancestors().filter_map(|group| {
        let text = fs::read_to_string(root.join(group).join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    });
    quotas.min_by(f64::total_cmp)
}

/// What a usage means.
pub(super) fn judge(usage: Usage, settings: &Settings) -> Finding {
    let Usage { share, processors, user, system } = usage;
    let words = if (processors - 1.0).abs() < f64::EPSILON { "processor" } else { "processors" };
    Finding {
        state: state(share, settings.degraded.cpu, settings.unhealthy.cpu),
        message: format!("uses {} % of {} {words}", percent(share), percent(processors)),
        details: vec![
            ("used_percent", percent(share).into()),
            ("processors", percent(processors).into()),
            ("user_seconds", user.into()),
            ("system_seconds", system.into()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 1234 56 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(times(stat), Some((12.34, 0.56)));
        assert_eq!(times("42 (a) S 1"), None);
        assert_eq!(times(""), None);
    }

    #[test]
    fn the_smallest_quota_around_the_group_holds() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("pods/one/cpu.max", "max 100000\n");
        write("pods/cpu.max", "150000 100000\n");
        assert_eq!(quota("0::/pods/one\n", root.path()), Some(1.5));
        assert_eq!(quota("0::/\n", root.path()), None);
        assert_eq!(quota("4:cpu:/pods\n", root.path()), None);
    }

    #[test]
    fn a_process_that_works_uses_something() {
        let cpu = Cpu::default();
        let Some(now) = noted() else { return };
        *cpu.0.lock().unwrap() = Some((now, now));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            std::hint::spin_loop();
        }
        let usage = cpu.usage().unwrap();
        assert!(usage.share > 1.0 && usage.share <= 100.0, "{usage:?}");
    }

    #[test]
    fn a_share_is_judged() {
        let settings = Settings::default();
        let of = |share| judge(Usage { share, processors: 2.0, user: 1.5, system: 0.5 }, &settings);
        assert_eq!([of(10.0).state, of(100.0).state], [State::Healthy, State::Degraded]);
        assert_eq!(of(12.345).message, "uses 12.35 % of 2 processors");
    }
}
