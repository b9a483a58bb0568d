//! The process's limit of open files, each connection being one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Files that are not clients' connections: listeners, runtimes, connections to upstreams, the config.
const RESERVED: usize = 256;

/// Raises the soft limit of open files to the hard one, because many systems start a process with 1,024, and returns how
/// many connections fit under it: never more than `most`.
#[must_use]
pub fn raise_open_files(most: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Without a limit there is nothing to raise, nor to fit under.
    let Some(soft) = limit.current else { return most };
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let soft = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            debug!(%error, "the limit of open files stays at {soft}");
            Some(soft)
        }
    };
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
    fit.min(most)
}

/// The connections that fit under a limit of open files.
fn fitting(files: usize) -> usize {
    files - RESERVED.min(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_kept_for_other_things() {
        for (files, want) in [(0, 0), (1, 1), (100, 50), (512, 256), (1024, 768), (20_000, 19_744)] {
            assert_eq!(fitting(files), want, "{files}");
        }
    }
}
