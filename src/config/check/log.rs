//! `[log]`

use super::Check;
use crate::config::{
    Log, LogFormat, LogLevel,
    settings::{self, Format, Level},
};

impl Check<'_> {
    pub(super) fn log(&mut self, written: settings::Log) -> Log {
        let default = Log::default();
        Log {
            level: written.level.map_or(default.level, |level| match level {
                Level::Error => LogLevel::Error,
                Level::Warn => LogLevel::Warn,
                Level::Info => LogLevel::Info,
                Level::Debug => LogLevel::Debug,
                Level::Trace => LogLevel::Trace,
            }),
            format: written.format.map_or(default.format, |format| match format {
                Format::Auto => LogFormat::Auto,
                Format::Json => LogFormat::Json,
                Format::Text => LogFormat::Text,
            }),
            requests: written.requests.unwrap_or(default.requests),
            slow: self.time("log.slow", written.slow, default.slow),
        }
    }
}
