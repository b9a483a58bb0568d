//! Where the config comes from: read at the start, and again at each reload.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::files::{Sight, digest};
use crate::{
    config::{Config, Pair, SchemaSource, Tls},
    services::admin::Mistake,
};

type Read = dyn Fn() -> Result<Config, Vec<Mistake>> + Send + Sync;

/// How the config is read. It may be read from any thread, and may take its time.
pub struct Source {
    /// The file it comes from, if there is one.
    pub file: Option<PathBuf>,
    /// That file was empty at the start already.
    empty: bool,
    read: Box<Read>,
    /// What the file held when it was read last.
    held: Mutex<Option<u64>>,
}

impl Source {
    /// A config that `read` reads anew each time: its file, the environment and the command line.
    pub fn new(
        file: Option<PathBuf>,
        read: impl Fn() -> Result<Config, Vec<Mistake>> + Send + Sync + 'static,
    ) -> Self {
        let empty = file.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|found| found.len() == 0);
        Self { file, empty, read: Box::new(read), held: Mutex::new(None) }
    }

    /// A config that is always the same.
    #[must_use]
    pub fn fixed(config: Config) -> Self {
        Self::new(None, move || Ok(config.clone()))
    }

    /// Reads it now.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub fn read(&self) -> Result<Config, Vec<Mistake>> {
        // Before, not after: a change between the two is then seen as one.
        let holds = self.file.as_deref().and_then(digest);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = holds;
        (self.read)()
    }

    /// Reads it again, for a reload. A file that has become empty is taken for one that is being written.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub(super) fn read_again(&self) -> Result<Config, Vec<Mistake>> {
        if let Some(file) = &self.file
            && let Ok(found) = file.metadata()
            && !found.is_dir()
            && ((found.len() == 0 && !self.empty) || !found.is_file())
        {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = digest(file);
            let why = if found.is_file() {
                "is empty: it may be about to be written"
            } else {
                "is no file any more"
            };
            let message = format!("{} {why}", file.display());
            return Err(vec![Mistake { subject: String::new(), message }]);
        }
        self.read()
    }

    /// The files that a config comes from and names; none where they are not to be watched.
    pub(super) fn files(&self, config: &Config) -> BTreeSet<PathBuf> {
        let Some(file) = self.file.as_ref().filter(|_| config.watch_config) else { return BTreeSet::new() };
        let mut files = BTreeSet::from([file.clone()]);
        for upstream in &config.upstreams {
            files.extend(upstream.ca.clone());
            files.extend(upstream.client.iter().flat_map(Pair::files).map(Path::to_owned));
            files
                .extend(upstream.metadata.iter().filter_map(|(_, secret)| secret.file().map(Path::to_owned)));
            if let SchemaSource::Descriptors(file) = &upstream.schema {
                files.insert(file.clone());
            }
        }
        for upstream in &config.http_upstreams {
            files.extend(upstream.ca.clone());
            files.extend(upstream.client.iter().flat_map(Pair::files).map(Path::to_owned));
            files.extend(upstream.headers.iter().filter_map(|(_, secret)| secret.file().map(Path::to_owned)));
        }
        files.extend(config.callers.files());
        files.extend(config.health.probes.iter().flat_map(|probe| probe.files.iter().cloned()));
        files.extend(config.tls.iter().flat_map(Tls::files).map(Path::to_owned));
        files
    }

    /// The files of configs with what they hold now; this source's own with what it held when it was read.
    pub(super) fn sight(&self, configs: &[&Config]) -> Sight {
        let held = |file: &PathBuf| match &self.file {
            Some(own) if own == file => *self.held.lock().unwrap_or_else(PoisonError::into_inner),
            _ => digest(file),
        };
        let files: BTreeSet<PathBuf> = configs.iter().flat_map(|config| self.files(config)).collect();
        files.into_iter().map(|file| (file.clone(), held(&file))).collect()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}
