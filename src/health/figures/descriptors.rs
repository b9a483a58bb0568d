//! How many files and sockets the process has open, of how many it may.
//!
//! Source: proc(5): since Linux 6.2 the size of `/proc/self/fd` is their number; before, its entries are counted.

use std::{fs, os::unix::fs::MetadataExt as _};

use rustix::process::{Resource, getrlimit};

use super::{Finding, bytes, percent, state};
use crate::health::Settings;

/// Open ones, and the most there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    open: u64,
    limit: u64,
}

/// `None` on a system that does not tell, or without a limit.
pub(super) fn usage() -> Option<Usage> {
    let limit = getrlimit(Resource::Nofile).current?;
    let told = fs::metadata("/proc/self/fd").ok()?.size();
    let open = match told {
        // One of them is the folder itself.
        0 => fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64,
        told => told,
    };
    Some(Usage { open, limit })
}

/// What a usage means.
pub(super) fn judge(usage: Usage, settings: &Settings) -> Finding {
    let share = bytes(usage.open) / bytes(usage.limit.max(1)) * 100.0;
    Finding {
        state: state(share, settings.degraded.descriptors, settings.unhealthy.descriptors),
        message: format!("{} of {} are open", usage.open, usage.limit),
        details: vec![
            ("open", bytes(usage.open).into()),
            ("limit", bytes(usage.limit).into()),
            ("used_percent", percent(share).into()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[test]
    fn each_open_file_counts() {
        let Some(before) = usage() else { return };
        let files: Vec<_> = (0..64).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let now = usage().unwrap();
        // Other tests open and close theirs.
        assert!(now.open + 32 > before.open && now.open >= files.len() as u64, "{before:?} {now:?}");
        assert!(now.limit >= now.open);
    }

    #[test]
    fn a_share_is_judged() {
        let settings = Settings::default();
        let of = |open| judge(Usage { open, limit: 1000 }, &settings);
        assert_eq!(
            [of(799).state, of(800).state, of(999).state],
            [State::Healthy, State::Degraded, State::Unhealthy]
        );
        assert_eq!(of(12).message, "12 of 1000 are open");
    }
}
