//! The access log: one line a request, when it has ended. As JSON for programs, or for a person at a terminal. What may hold
//! credentials is never in it: no query, no header but the user agent.

use std::{borrow::Cow, cell::RefCell, io::Write as _, time::Duration};

use http::Version;
use tonic::Code;

use super::{CLIENT_CLOSED, Outlet};
use crate::{
    call::{Ended, Observer},
    route::Destination,
    status,
    telemetry::Credentials,
};

/// Whom the lines are of, for those who filter.
const TARGET: &str = "propylon::access";
/// What is longer is cut: a client writes it.
const MOST_PATH: usize = 2048;
const MOST_TEXT: usize = 512;

/// Writes a line for each request.
#[derive(Debug)]
pub struct AccessLog {
    pub outlet: Outlet,
    pub form: Form,
    /// Lines of less weight than a warning are written too.
    pub every: bool,
    /// A call that takes this long is worth a warning, unless it is a stream.
    pub slow: Duration,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    /// For a person, in colours or not.
    Text {
        colours: bool,
    },
}

/// A request that is worth a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weight {
    warn: bool,
    slow: bool,
}

impl Observer for AccessLog {
    fn ended(&self, call: &Ended<'_>) {
        thread_local! {
            /// Made once a thread.
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let weight = self.weight(call);
        if !weight.warn && !self.every {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            // Nothing fails that is written to memory.
            let _ = match self.form {
                Form::Json => json(line, call, weight),
                Form::Text { colours } => text(line, call, weight, colours),
            };
            line.push(b'\n');
            self.outlet.write(line);
        });
    }
}

impl AccessLog {
    fn weight(&self, call: &Ended<'_>) -> Weight {
        let failed = call.http_status.is_some_and(|status| status.is_server_error())
            || call
                .code
                .is_some_and(|code| code != Code::Unimplemented && status::http_of(code).is_server_error());
        let distrusted = call.credentials == Some(Credentials::Refused);
        let slow = !call.streams && call.took >= self.slow;
        Weight { warn: failed || slow || distrusted, slow }
    }
}

fn http_status(call: &Ended<'_>) -> u16 {
    call.http_status.map_or(CLIENT_CLOSED, |status| status.as_u16())
}

/// The name of the upstream that was asked last, and how often any was.
fn attempts<'a>(call: &'a Ended<'_>) -> Option<(&'a str, usize)> {
    let mut all = call.attempts();
    let first = all.next()?;
    let (last, others) = all.fold((first, 0), |(_, count), attempt| (attempt, count + 1));
    Some((&last.upstream, others + 1))
}

/// `{"timestamp":…,"level":"info","target":"propylon::access","message":"request", …}`
fn json(out: &mut Vec<u8>, call: &Ended<'_>, weight: Weight) -> std::io::Result<()> {
    let arrived = call.arrived;
    let level = if weight.warn { "warn" } else { "info" };
    let now = jiff::Timestamp::now();
    write!(out, "{{\"timestamp\":\"{now:.6}\",\"level\":\"{level}\",\"target\":\"{TARGET}\",\"message\":\"")?;
    out.extend_from_slice(if weight.slow { b"slow request\"" } else { b"request\"" });
    string(out, "surface", call.way.name())?;
    string(out, "method", arrived.method.as_str())?;
    string(out, "path", cut(arrived.uri.path(), MOST_PATH))?;
    match (call.binding, call.route) {
        (Some(binding), Some(route)) => {
            string(out, "route", &binding.template)?;
            string(out, "rpc", &route.name)?;
        }
        (_, Some(route)) if route.destination != Destination::Nothing => string(out, "route", &route.name)?,
        _ => {}
    }
    write!(out, ",\"status\":{}", http_status(call))?;
    if let Some(code) = call.code {
        string(out, "grpc_status", status::name(code))?;
    }
    let micros = call.took.as_micros();
    write!(out, ",\"duration_ms\":{}.{:03}", micros / 1000, micros % 1000)?;
    if let Some(bytes) = arrived.request_bytes {
        write!(out, ",\"request_bytes\":{bytes}")?;
    }
    write!(out, ",\"response_bytes\":{}", call.response_bytes)?;
    write!(out, ",\"client\":\"{}\",\"protocol\":\"{}\"", call.client, protocol(arrived.version))?;
    if let Some(agent) = &arrived.user_agent {
        string(out, "user_agent", cut(&String::from_utf8_lossy(agent.as_bytes()), MOST_TEXT))?;
    }
    if let Some(principal) = call.principal {
        string(out, "user_id", &principal.id)?;
    }
    if let Some((upstream, attempts)) = attempts(call) {
        string(out, "upstream", upstream)?;
        write!(out, ",\"attempts\":{attempts}")?;
    }
    if let Some(message) = told(call) {
        string(out, "error", cut(&message, MOST_TEXT))?;
    }
    if call.cancelled {
        out.extend_from_slice(b",\"cancelled\":true");
    }
    string(out, "request_id", arrived.request_id.to_str().unwrap_or_default())?;
    if let Some(trace) = &arrived.trace {
        write!(out, ",\"trace_id\":\"{}\",\"span_id\":\"{}\"", trace.own.trace, trace.own.span)?;
    }
    out.push(b'}');
    Ok(())
}

/// `2026-01-02T03:04:05Z  INFO GET /v1/books 200 1.234ms 512 B rest user=7 upstream=books error="…"`
fn text(out: &mut Vec<u8>, call: &Ended<'_>, weight: Weight, colours: bool) -> std::io::Result<()> {
    const GREEN: &str = "\x1b[32m";
    const YELLOW: &str = "\x1b[33m";
    const PLAIN: &str = "\x1b[0m";
    let arrived = call.arrived;
    let (level, colour) = if weight.warn { (" WARN", YELLOW) } else { (" INFO", GREEN) };
    let (colour, plain) = if colours { (colour, PLAIN) } else { ("", "") };
    let now = jiff::Timestamp::now();
    let path = cut(arrived.uri.path(), MOST_PATH).escape_debug();
    write!(out, "{now:.3} {colour}{level}{plain} {} {path} {}", arrived.method, http_status(call))?;
    if let Some(code) = call.code.filter(|code| *code != Code::Ok) {
        write!(out, " {}", status::name(code))?;
    }
    write!(out, " {:.1?} {} B {}", call.took, call.response_bytes, call.way.name())?;
    if weight.slow {
        out.extend_from_slice(b" slow");
    }
    if call.cancelled {
        out.extend_from_slice(b" cancelled");
    }
    write!(out, " client={}", call.client)?;
    if let Some(principal) = call.principal {
        write!(out, " user={}", principal.id.escape_debug())?;
    }
    if let Some((upstream, attempts)) = attempts(call) {
        write!(out, " upstream={upstream}")?;
        if attempts > 1 {
            write!(out, " attempts={attempts}")?;
        }
    }
    if let Some(message) = told(call) {
        write!(out, " error={:?}", cut(&message, MOST_TEXT))?;
    }
    write!(out, " id={}", arrived.request_id.to_str().unwrap_or_default())
}

fn string(out: &mut Vec<u8>, key: &str, value: &str) -> std::io::Result<()> {
    write!(out, ",\"{key}\":")?;
    serde_json::to_writer(out, value).map_err(Into::into)
}

/// What its caller was told. What is wrong with a request is said by the words of its query or body, in quotes, and these are
/// for nobody else to read.
fn told<'a>(call: &Ended<'a>) -> Option<Cow<'a, str>> {
    let message = call.message?;
    if call.code != Some(Code::InvalidArgument) || !message.contains('"') {
        return Some(message.into());
    }
    let mut out = String::with_capacity(message.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in message.chars() {
        match c {
            '"' if !escaped => {
                out.push_str(if quoted { "…\"" } else { "\"" });
                quoted = !quoted;
            }
            c if !quoted => out.push(c),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    Some(out.into())
}

/// At most so many bytes of it.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
