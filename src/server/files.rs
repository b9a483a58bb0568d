//! The process's limit of open files, each connection being one.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Files that are not clients' connections: listeners, runtimes, connections to upstreams, the config.
const RESERVED: usize = 256;
/// What cannot be done without: the main runtime, the stores, a few connections; and for each worker its listener and its
/// runtime.
const LEAST: usize = 64;
const LEAST_OF_A_WORKER: usize = 8;

/// So few files may be opened that nothing can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FewFiles {
    most: usize,
    open: usize,
    least: usize,
}

impl fmt::Display for FewFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, open, least } = self;
        write!(
            f,
            "this process may open {most} files (RLIMIT_NOFILE, which `ulimit -n` shows) and has {open} open; the gateway \
             needs {least} more, and one for each connection"
        )
    }
}

impl std::error::Error for FewFiles {}

/// Raises the soft limit of open files to the hard one, because many systems start a process with 1,024, and returns how
/// many connections fit under it: never more than `most`.
///
/// # Errors
/// The limit is too low for `workers` to start.
pub fn raise_open_files(most: usize, workers: usize) -> Result<usize, FewFiles> {
    let limit = getrlimit(Resource::Nofile);
    // Without a limit there is nothing to raise, nor to fit under.
    let Some(soft) = limit.current else { return Ok(most) };
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let soft = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            debug!(%error, "the limit of open files stays at {soft}");
            Some(soft)
        }
    };
    if let Some(files) = soft {
        enough(usize::try_from(files).unwrap_or(usize::MAX), open(), workers)?;
    }
    let fit = soft.map_or(most, |files| fitting(usize::try_from(files).unwrap_or(usize::MAX)));
    let files = soft.unwrap_or_default();
    let said = format!(
        "this process may open {files} files, which is enough for {fit} of the {most} connections of connections.max"
    );
    // A little less than was asked for is nobody's trouble.
    if fit < most / 2 {
        warn!("{said}");
    } else if fit < most {
        debug!("{said}");
    }
    Ok(fit.min(most))
}

/// The files that this process has open, where that is known.
fn open() -> usize {
    // The reading of the folder is one itself.
    std::fs::read_dir("/proc/self/fd").map_or(3, |files| files.count().saturating_sub(1))
}

fn enough(most: usize, open: usize, workers: usize) -> Result<(), FewFiles> {
    let least = LEAST + LEAST_OF_A_WORKER * workers;
    if most.saturating_sub(open) < least { Err(FewFiles { most, open, least }) } else { Ok(()) }
}

/// The connections that fit under a limit of open files.
fn fitting(files: usize) -> usize {
    files - RESERVED.min(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_told() {
        assert_eq!(enough(88, 8, 2), Ok(()));
        let said = enough(87, 8, 2).unwrap_err().to_string();
        assert_eq!(
            said,
            "this process may open 87 files (RLIMIT_NOFILE, which `ulimit -n` shows) and has 8 open; the gateway needs 80 \
             more, and one for each connection"
        );
        assert!(enough(8, 9, 1).is_err());
    }

    #[test]
    fn some_files_are_kept_for_other_things() {
        for (files, want) in [(0, 0), (1, 1), (100, 50), (512, 256), (1024, 768), (20_000, 19_744)] {
            assert_eq!(fitting(files), want, "{files}");
        }
    }
}
