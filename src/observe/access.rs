//! The access log: one line a request, when it has ended. As JSON for programs, or for a person at a terminal. What may hold
//! credentials is never in it: no query, no header but the user agent.

use std::{cell::RefCell, io::Write as _, time::Duration};

use http::Version;
use tonic::Code;

use super::{CLIENT_CLOSED, Outlet, allowance::Allowance, line::Line, words::told};
use crate::{
    call::{Ended, Observer, UNREAD, Way},
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
    /// How many lines there are of heads that could not be read.
    pub unread: Allowance,
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
        let wanted = weight.warn || self.every;
        // Of heads that cannot be read somebody may send any number: some lines say it.
        if !wanted || (call.arrived.method.as_str() == UNREAD && !self.unread.takes(call.arrived.at)) {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.form {
                Form::Json => json(line, call, weight),
                // Nothing fails that is written to memory.
                Form::Text { colours } => drop(text(line, call, weight, colours)),
            }
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
        let slow = !call.streams && call.latency() >= self.slow;
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
fn json(out: &mut Vec<u8>, call: &Ended<'_>, weight: Weight) {
    let arrived = call.arrived;
    let mut line = Line::begin(out);
    line.text("level", if weight.warn { "warn" } else { "info" });
    line.text("target", TARGET);
    line.text("message", if weight.slow { "slow request" } else { "request" });
    line.text("surface", call.way.name());
    line.text("method", arrived.method.as_str());
    line.text("path", cut(arrived.uri.path(), MOST_PATH));
    if let Some((name, _)) = call.called() {
        line.text("route", name);
        // The method behind a path, or the name that the config has for a route.
        if let Some(route) = call.route.filter(|route| route.name != *name) {
            let rpc = matches!(call.way, Way::Rest | Way::Mcp);
            line.text(if rpc { "rpc" } else { "route_name" }, &route.name);
        }
    }
    if let Some(asked) = call.asked.filter(|asked| !asked.method.is_empty()) {
        line.text("mcp_method", &asked.method);
        if let Some(tool) = &asked.tool {
            line.text("tool", tool);
        }
    }
    line.number("status", http_status(call).into());
    if let Some(code) = call.code {
        line.text("grpc_status", status::name(code));
    }
    line.millis("duration_ms", call.took);
    if let Some(bytes) = arrived.request_bytes {
        line.number("request_bytes", bytes);
    }
    line.number("response_bytes", call.response_bytes);
    line.shown("client", call.client);
    line.text("protocol", protocol(arrived.version));
    if let Some(agent) = &arrived.user_agent {
        line.text("user_agent", cut(&String::from_utf8_lossy(agent.as_bytes()), MOST_TEXT));
    }
    if let Some(principal) = call.principal {
        line.text("user_id", &principal.id);
    }
    if let Some((upstream, attempts)) = attempts(call) {
        line.text("upstream", upstream);
        line.number("attempts", attempts as u64);
    }
    if let Some(message) = told(call) {
        line.text("error", cut(&message, MOST_TEXT));
    }
    if call.cancelled {
        line.yes("cancelled");
    }
    line.text("request_id", arrived.request_id.to_str().unwrap_or_default());
    if let Some(trace) = &arrived.trace {
        line.shown("trace_id", trace.own.trace);
        line.shown("span_id", trace.own.span);
    }
    line.end();
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
    if let Some(asked) = call.asked.filter(|asked| !asked.method.is_empty()) {
        write!(out, " {}", asked.method.escape_debug())?;
        if let Some(tool) = &asked.tool {
            write!(out, " {tool}")?;
        }
    }
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
