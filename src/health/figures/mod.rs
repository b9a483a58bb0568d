//! Figures of this process, and what they mean: read when they are asked for, but for those that only a while of watching
//! gives. What the machine does not tell is left out rather than made up.

mod cpu;
mod descriptors;
mod disk;
mod lag;
mod memory;

use std::{path::PathBuf, sync::Arc};

use self::cpu::Cpu;
pub use self::lag::Lag;
use super::{Check, Settings, State};

/// What a check found: its state, a sentence, and the figures behind it, whose names say their units.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub state: State,
    pub message: String,
    pub details: Vec<(&'static str, Figure)>,
}

/// A figure, or what is no number.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    Number(f64),
    Text(String),
}

impl From<f64> for Figure {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Figure {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The process's figures.
#[derive(Debug)]
pub struct Figures {
    /// Where the data are.
    folder: PathBuf,
    cpu: Cpu,
    pub lag: Arc<Lag>,
}

impl Figures {
    /// Those of a process with its data in this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, cpu: Cpu::default(), lag: Arc::default() }
    }

    /// Watches what only a while of watching gives. Runs until it is dropped.
    pub async fn watch(&self) {
        self.cpu.watch().await;
    }

    pub(super) fn judge(&self, check: Check, settings: &Settings) -> Option<Finding> {
        match check {
            Check::Server => None,
            Check::Memory => memory::usage(settings.memory_limit).map(|usage| memory::judge(usage, settings)),
            Check::Cpu => self.cpu.usage().map(|usage| cpu::judge(usage, settings)),
            Check::Disk => disk::usage(&self.folder).map(|usage| disk::judge(usage, settings)),
            Check::Descriptors => descriptors::usage().map(|usage| descriptors::judge(usage, settings)),
            Check::Lag => Some(lag::judge(self.lag.worst()?, settings)),
        }
    }
}

/// How a share of a hundred is: bad from a threshold on.
fn state(share: f64, degraded: Option<f64>, unhealthy: Option<f64>) -> State {
    let beyond = |threshold: Option<f64>| threshold.is_some_and(|threshold| share >= threshold);
    match (beyond(unhealthy), beyond(degraded)) {
        (true, _) => State::Unhealthy,
        (false, true) => State::Degraded,
        (false, false) => State::Healthy,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people: 2^53 bytes are 8 PiB")]
fn bytes(count: u64) -> f64 {
    count as f64
}

fn mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1_048_576.0)
}

/// To a hundredth.
fn percent(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}
