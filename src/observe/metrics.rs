//! The numbers of calls: counted when they have ended, by their route, and what became of what was sent to upstreams.

use std::sync::Arc;

use http::{Method, StatusCode};
use prometheus::IntGauge;
use tonic::Code;

use super::CLIENT_CLOSED;
use crate::{
    call::{Arrived, Asked, Attempt, Ended, Observer, Outcome, Way},
    status,
    telemetry::{Kind, Seen, Sent, Telemetry, Tools},
};

/// Counts calls.
#[derive(Debug)]
pub struct CallMetrics {
    telemetry: Arc<Telemetry>,
    /// On their way in plain text, and over TLS.
    active: [IntGauge; 2],
}

impl CallMetrics {
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        let active = ["http", "https"].map(|scheme| telemetry.calls.active(scheme));
        Self { telemetry, active }
    }

    fn active(&self, secure: bool) -> &IntGauge {
        let [plain, tls] = &self.active;
        if secure { tls } else { plain }
    }
}

impl Observer for CallMetrics {
    fn began(&self, arrived: &Arrived) {
        self.active(arrived.secure).inc();
    }

    fn ended(&self, call: &Ended<'_>) {
        self.active(call.arrived.secure).dec();
        let calls = &self.telemetry.calls;
        calls.ended(call.called(), seen(call), call.latency(), call.arrived.at + call.took);
        if let Some(asked) = call.asked {
            of_tools(call, asked, &calls.tools);
        }
        if let Some(limit) = call.limited {
            self.telemetry.own.limited(limit);
        }
        if let Some(credentials) = call.credentials {
            self.telemetry.own.presented(credentials);
        }
        self.upstream(call);
    }
}

impl CallMetrics {
    fn upstream(&self, call: &Ended<'_>) {
        let mut attempts = call.attempts();
        let Some(first) = attempts.next() else { return };
        // A call goes to one upstream, however often.
        let upstream = self.telemetry.upstreams.of(&first.upstream);
        upstream.attempted(became(first));
        let (mut last, mut sent) = (first, 1);
        for attempt in attempts {
            upstream.attempted(became(attempt));
            (last, sent) = (attempt, sent + 1);
        }
        let ended = last.ended.unwrap_or_else(|| call.arrived.at + call.took);
        upstream.called(sent, became(last), ended.saturating_duration_since(first.began));
    }
}

/// The methods of MCP that there are; what a client makes up is no label.
const METHODS: [&str; 19] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tools/call",
    "tools/list",
];
const OTHER_METHOD: &str = "_OTHER";

/// A request of MCP, by the conventions for it.
fn of_tools(call: &Ended<'_>, asked: &Asked, tools: &Tools) {
    if let Some(lasted) = asked.session {
        tools.session_ended(lasted);
    }
    if asked.method.is_empty() {
        return;
    }
    let method = METHODS.into_iter().find(|known| **known == *asked.method).unwrap_or(OTHER_METHOD);
    let number;
    let error = match asked.error {
        Some(error) => {
            number = error.to_string();
            &number
        }
        None if call.cancelled => "cancelled",
        None if call.code.is_some_and(|code| code != Code::Ok) => "tool_error",
        None => "",
    };
    // A tool's answer may come in a stream, which ends with it; who listens does so for as long as he likes.
    let took = if asked.tool.is_some() { call.took } else { call.latency() };
    tools.asked(method, asked.tool.as_deref(), error, took);
}

/// What an application answers is an answer, whatever it says.
fn became(attempt: &Attempt) -> Sent {
    match &attempt.outcome {
        Outcome::Open => Sent::Cancelled,
        Outcome::Failed { code, said, .. }
            if !said || matches!(code, Code::Unavailable | Code::DeadlineExceeded) =>
        {
            Sent::Failed
        }
        Outcome::Answered | Outcome::Failed { .. } => Sent::Answered,
    }
}

/// The number of a status; of one that nobody knows its class, as 200 for 299: an upstream may make up hundreds.
fn known(status: StatusCode) -> u16 {
    let number = status.as_u16();
    if status.canonical_reason().is_some() { number } else { number / 100 * 100 }
}

fn seen(call: &Ended<'_>) -> Seen {
    let arrived = call.arrived;
    let kind = match call.way {
        Way::Grpc | Way::GrpcWeb => Kind::Rpc,
        Way::Rest | Way::Mcp | Way::Http => Kind::Http,
    };
    let by_code = || call.code.is_some_and(|code| status::http_of(code).is_server_error());
    // What there is not is its client's mistake.
    let unknown = call.code == Some(Code::Unimplemented) && call.called().is_none();
    let failed = match kind {
        Kind::Rpc => by_code() && !unknown,
        // A tool that fails is answered with 200.
        Kind::Http if call.way == Way::Mcp && call.http_status == Some(StatusCode::OK) => {
            by_code() && call.code != Some(Code::Unimplemented)
        }
        Kind::Http => call.http_status.is_some_and(|status| status.is_server_error()),
    };
    Seen {
        kind,
        surface: call.way.name(),
        method: method(&arrived.method),
        scheme: if arrived.secure { "https" } else { "http" },
        status: call.http_status.map_or(CLIENT_CLOSED, known),
        code: call.code.filter(|_| kind == Kind::Rpc || call.way == Way::Mcp).map(status::name),
        failed,
        cancelled: call.cancelled,
    }
}

/// Those that everybody knows; what a client makes up is no label.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}
