//! How much memory this process uses, and of how much: its resident set against the limit of its control group, or
//! against the machine's memory where it has none.
//!
//! Sources: proc(5) (`/proc/self/status`, `/proc/self/cgroup`, `/proc/meminfo`), the kernel's "Control Group v2"
//! (`memory.max`) and "Memory Resource Controller" (v1, `memory.limit_in_bytes`).

use std::{fs, path::Path};

use super::{Finding, bytes, mib, percent, state};
use crate::health::Settings;

/// Bytes used, how many of them others may use too, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    rss: u64,
    shared: u64,
    limit: u64,
}

/// Reads all; `None` on a system that does not tell. `limit`: what the config says there is.
pub(super) fn usage(limit: Option<u64>) -> Option<Usage> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let status = read("/proc/self/status")?;
    let rss = kib(&status, "VmRSS:")?;
    let of = |key| kib(&status, key).unwrap_or_default();
    let shared = of("RssFile:").saturating_add(of("RssShmem:"));
    let limit = match limit {
        Some(limit) => limit,
        None => {
            let machine = kib(&read("/proc/meminfo")?, "MemTotal:")?;
            let group = read("/proc/self/cgroup");
            let group = group.and_then(|groups| group_limit(&groups, Path::new("/sys/fs/cgroup")));
            group.map_or(machine, |group| group.min(machine))
        }
    };
    Some(Usage { rss, shared, limit })
}

/// What a usage means.
pub(super) fn judge(usage: Usage, settings: &Settings) -> Finding {
    let (rss, limit) = (bytes(usage.rss), bytes(usage.limit.max(1)));
    let share = rss / limit * 100.0;
    Finding {
        state: state(share, settings.degraded.memory, settings.unhealthy.memory),
        message: format!("uses {} of {} ({} %)", mib(rss), mib(limit), percent(share)),
        details: vec![
            ("rss_bytes", rss.into()),
            ("shared_bytes", bytes(usage.shared).into()),
            ("limit_bytes", limit.into()),
            ("used_percent", percent(share).into()),
        ],
    }
}

/// The bytes of a line such as `VmRSS:    1234 kB`.
fn kib(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The smallest limit of the control group and those around it. `groups` is the text of `/proc/self/cgroup`:
/// `hierarchy:controllers:path` by line, of which version 2's is `0::path`.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            controllers if controllers.split(',').any(|controller| controller == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // A container may see a path that is not below its own mount: the mount's root is looked at in any case.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let limit = fs::read_to_string(mount.join(group).join(file));
            // "max" is no number, and so no limit.
            limits.extend(limit.ok().and_then(|limit| limit.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[test]
    fn a_share_of_the_limit_is_judged() {
        let settings = Settings::default();
        let of = |rss, limit| judge(Usage { rss, shared: 0, limit }, &settings);
        let check = |rss, want: State| assert_eq!(of(rss, 1000).state, want, "{rss}");
        check(0, State::Healthy);
        check(849, State::Healthy);
        check(850, State::Degraded);
        check(969, State::Degraded);
        check(970, State::Unhealthy);
        check(2000, State::Unhealthy);
        assert_eq!(of(10 << 20, 40 << 20).message, "uses 10.0 MiB of 40.0 MiB (25 %)");
    }

    #[test]
    fn the_configs_limit_goes_before_the_machines() {
        #[cfg(target_os = "linux")]
        {
            let own = usage(Some(1 << 20)).unwrap();
            assert!(own.limit == 1 << 20 && own.rss > own.limit && own.shared < own.rss, "{own:?}");
            assert!(usage(None).unwrap().limit > 64 << 20);
        }
    }

    #[test]
    fn figures_in_kib_are_read() {
        let text = "Name:\tx\nVmRSS:\t    1234 kB\nVmData:\t 5 kB\n";
        assert_eq!(kib(text, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(kib(text, "VmSwap:"), None);
        assert_eq!(kib("VmRSS: many kB", "VmRSS:"), None);
        assert_eq!(kib("VmRSS: 18446744073709551615 kB", "VmRSS:"), None);
    }

    #[test]
    fn the_smallest_limit_around_the_group_holds() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("pods/one/memory.max", "max\n");
        write("pods/memory.max", "4096\n");
        write("memory/box/memory.limit_in_bytes", "2048\n");
        let check = |groups: &str, want| assert_eq!(group_limit(groups, root.path()), want, "{groups}");
        check("0::/pods/one\n", Some(4096));
        check("0::/\n", None);
        check("5:cpu,memory:/box\n4:cpu:/pods\n", Some(2048));
        check("5:cpu,memory:/box\n0::/pods\n", Some(2048));
        check("rubbish", None);
    }
}
