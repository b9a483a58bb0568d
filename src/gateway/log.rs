//! The log of the process, to stderr: for a person on a terminal, as one JSON object a line otherwise, unless the config says
//! how. There is one for all gateways of a process, and its level changes with a reload.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
    sync::{Arc, OnceLock},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{
    call::Observer,
    config::{Log, LogFormat, LogLevel},
    observe::{AccessLog, Allowance, Form, Outlet, lost_in_json, lost_in_text},
    store::AT_START,
};

static LOG: OnceLock<Running> = OnceLock::new();

struct Running {
    form: Form,
    outlet: Option<Outlet>,
    set: Set,
}

/// Logs from a level on.
type Set = Box<dyn Fn(LogLevel) + Send + Sync>;

/// Starts it. A second start in one process keeps the first.
pub fn start(settings: Log) {
    let terminal = std::io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let greeted = text && std::io::stdout().is_terminal();
    let log = || {
        let log = tracing_subscriber::fmt().with_env_filter(filter(settings.level, greeted));
        log.with_ansi(terminal).with_writer(std::io::stderr)
    };
    // The filter is there for as long as the process is.
    let (started, set): (_, Set) = if text {
        let log = log().with_filter_reloading();
        let handle = log.reload_handle();
        (log.try_init(), Box::new(move |level| drop(handle.reload(filter(level, greeted)))))
    } else {
        let log = log().event_format(Json).with_filter_reloading();
        let handle = log.reload_handle();
        (log.try_init(), Box::new(move |level| drop(handle.reload(filter(level, greeted)))))
    };
    if started.is_ok() {
        let form = if text { Form::Text { colours: terminal } } else { Form::Json };
        let outlet = Outlet::to(std::io::stderr(), if text { lost_in_text } else { lost_in_json })
            .inspect_err(|why| tracing::error!("there is no access log: {why}"))
            .ok();
        let _ = LOG.set(Running { form, outlet, set });
    }
}

/// Writes out what still waits, before the process ends.
pub fn flush() {
    if let Some(outlet) = LOG.get().and_then(|log| log.outlet.as_ref()) {
        outlet.flush();
    }
}

/// Logs from this level on.
pub(super) fn set_level(level: LogLevel) {
    if let Some(log) = LOG.get() {
        (log.set)(level);
    }
}

/// What writes a line for each request, if the config wants it and there is a log.
pub(super) fn of_requests(settings: Log) -> Option<Arc<dyn Observer>> {
    let log = LOG.get()?;
    if !settings.requests || settings.level == LogLevel::Error {
        return None;
    }
    let every = settings.level != LogLevel::Warn;
    let outlet = log.outlet.clone()?;
    Some(Arc::new(AccessLog {
        outlet,
        form: log.form,
        every,
        unread: Allowance::default(),
        slow: settings.slow,
    }))
}

/// `greeted`: a person is told by the words at start-up what a start finds as it should be.
fn filter(level: LogLevel, greeted: bool) -> EnvFilter {
    let name = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let start = if greeted && level == LogLevel::Info { "warn" } else { name };
    // h2 warns of what clients send, a line for each frame of theirs: that is for clients to read.
    EnvFilter::new(format!("{name},h2=off,{AT_START}={start}"))
}

/// One JSON object a line, its fields beside its level and time.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields { target: None, text: String::new() };
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let now = jiff::Timestamp::now();
        let target = fields.target.as_deref().unwrap_or(event.metadata().target());
        let target = serde_json::Value::from(target);
        writeln!(
            writer,
            "{{\"timestamp\":\"{now:.6}\",\"level\":\"{level}\",\"target\":{target}{}}}",
            fields.text
        )
    }
}

/// `,"key":value` for each field.
struct Fields {
    /// What the `log` crate says of where a line comes from.
    target: Option<String>,
    text: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        let value = value.into();
        match field.name() {
            "log.target" => self.target = value.as_str().map(str::to_owned),
            name if name.starts_with("log.") => {}
            name => {
                // A string takes whatever is written to it.
                let _ = write!(self.text, ",{}:{value}", serde_json::Value::from(name));
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_flat_object() {
        let memory = Memory::default();
        let writer = memory.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).event_format(Json).finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(target: "a::b", many = 3_u64, half = 0.5, sure = true, text = "a \"b\"\n", "it {}", "broke");
        });
        let written = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");
        let mut line: serde_json::Value = serde_json::from_str(&written).unwrap();
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
        let want = serde_json::json!({
            "level": "warn", "target": "a::b", "message": "it broke", "many": 3, "half": 0.5, "sure": true, "text": "a \"b\"\n"
        });
        assert_eq!(line, want);
    }
}
