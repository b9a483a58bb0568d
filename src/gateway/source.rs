//! Where the config comes from: read at the start, and again at each reload.

use std::{fmt, path::PathBuf};

use crate::{config::Config, services::admin::Mistake};

type Read = dyn Fn() -> Result<Config, Vec<Mistake>> + Send + Sync;

/// How the config is read. It may be read from any thread, and may take its time.
pub struct Source {
    /// The file it comes from, if there is one.
    pub file: Option<PathBuf>,
    read: Box<Read>,
}

impl Source {
    /// A config that `read` reads anew each time: its file, the environment and the command line.
    pub fn new(
        file: Option<PathBuf>,
        read: impl Fn() -> Result<Config, Vec<Mistake>> + Send + Sync + 'static,
    ) -> Self {
        Self { file, read: Box::new(read) }
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
        (self.read)()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}
