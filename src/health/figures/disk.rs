//! How full the disk is that the gateway's data are on. Used is what is not free, of what users other than root may fill: as
//! `df` counts it.

use std::path::Path;

use super::{Finding, bytes, mib, percent, state};
use crate::health::Settings;

/// Bytes in all, bytes that are used, and bytes that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    total: u64,
    used: u64,
    free: u64,
}

/// That of the nearest folder that is there; `None` on a system that does not tell.
pub(super) fn usage(folder: &Path) -> Option<Usage> {
    let folder = folder.ancestors().find(|folder| folder.as_os_str().is_empty() || folder.is_dir());
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(folder).ok()?;
    let of = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    Some(Usage { total: of(found.f_blocks), used: of(used), free: of(found.f_bavail) })
}

/// What a usage means.
pub(super) fn judge(usage: Usage, settings: &Settings) -> Finding {
    let (used, free) = (bytes(usage.used), bytes(usage.free));
    let share = if used + free > 0.0 { used / (used + free) * 100.0 } else { 0.0 };
    Finding {
        state: state(share, settings.degraded.disk, settings.unhealthy.disk),
        message: format!("{} free, {} % used", mib(free), percent(share)),
        details: vec![
            ("free_bytes", free.into()),
            ("used_bytes", used.into()),
            ("total_bytes", bytes(usage.total).into()),
            ("used_percent", percent(share).into()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[test]
    fn a_folder_that_is_not_made_yet_is_on_the_disk_of_those_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let there = usage(folder.path()).unwrap();
        let not_yet = usage(&folder.path().join("data/deep")).unwrap();
        assert_eq!(there.total, not_yet.total);
        assert!(there.total > 0 && there.used <= there.total);
        assert!(usage(Path::new("")).is_some() && usage(Path::new("no/such")).is_some());
    }

    #[test]
    fn a_share_is_judged() {
        let settings = Settings::default();
        let of = |used, free| judge(Usage { total: 1000, used, free }, &settings);
        assert_eq!(of(500, 400).state, State::Healthy);
        assert_eq!(of(900, 99).state, State::Degraded);
        assert_eq!(of(990, 0).state, State::Unhealthy);
        assert_eq!(of(0, 0).state, State::Healthy);
        assert_eq!(of(3 << 20, 1 << 20).message, "1.0 MiB free, 75 % used");
    }
}
