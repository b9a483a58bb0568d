//! Draws an explanation for a terminal: the verdict first, then what was met in the order it was met, and of a refusal
//! the near misses, each laid over the path with marks where they differ.

use crate::proto::gateway_v1::{
    ExplainRouteRequest, ExplainRouteResponse, ExplainedBinding, ExplainedDestination, ExplainedMethod,
    ExplainedParameter, NearMiss,
};

use super::paint::{Paint, bytes};

/// The column that values begin in.
const VALUES: usize = 15;

/// The explanation of a request as lines of text.
pub(super) fn drawn(request: &ExplainRouteRequest, answer: &ExplainRouteResponse, paint: Paint) -> String {
    let mut sheet = Sheet { text: String::new(), paint };
    sheet.line(&format!("{} {}", paint.bold(&request.method), request.path));
    sheet.line("");
    sheet.verdict(answer);
    sheet.line("");
    sheet.facts(answer);
    sheet.near_misses(&request.method, &answer.near_misses);
    sheet.text
}

struct Sheet {
    text: String,
    paint: Paint,
}

impl Sheet {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// A fact under its name.
    fn row(&mut self, name: &str, value: &str) {
        let paint = self.paint;
        self.line(&format!("  {}{value}", paint.dim(&format!("{name:<width$}", width = VALUES - 2))));
    }

    /// What becomes of the request, in one line, and why.
    fn verdict(&mut self, answer: &ExplainRouteResponse) {
        let paint = self.paint;
        let status = || {
            let code = u16::try_from(answer.http_status).ok();
            let code = code.and_then(|code| http::StatusCode::from_u16(code).ok());
            let reason = code.and_then(|code| code.canonical_reason()).unwrap_or_default();
            format!("{} {reason}", answer.http_status).trim_end().to_owned()
        };
        match answer.outcome.as_str() {
            "passes" => {
                let to = answer.destination.as_ref().map(whither).unwrap_or_default();
                self.line(&format!("  {} {}", paint.green("✓"), paint.bold(&format!("goes to {to}"))));
            }
            "depends" => {
                let to = answer.destination.as_ref().map(whither).unwrap_or_default();
                let said = format!("goes to {to}, if its credentials are good");
                self.line(&format!("  {} {}", paint.yellow("?"), paint.bold(&said)));
            }
            "refused" => {
                let (http, grpc) = (status(), format!("{} ({})", answer.status, answer.code));
                // What the client sees first is said first.
                let (first, second) = if answer.surface.starts_with("grpc") {
                    (grpc, format!("HTTP {http}"))
                } else {
                    (http, grpc)
                };
                let second = paint.dim(&format!("· {second}"));
                self.line(&format!("  {} {} {second}", paint.red("✗"), paint.red(&first)));
                self.line(&format!("    {}", answer.message));
            }
            _ => {
                let mark = if answer.http_status < 400 { paint.green("✓") } else { paint.yellow("!") };
                self.line(&format!("  {mark} {}", paint.bold(&format!("is answered {}", status()))));
                if !answer.message.is_empty() {
                    self.line(&format!("    {}", answer.message));
                }
            }
        }
        for (name, value) in &answer.answer_headers {
            self.line(&format!("    {}", paint.dim(&format!("{name}: {value}"))));
        }
    }

    fn facts(&mut self, answer: &ExplainRouteResponse) {
        let paint = self.paint;
        let surface = match answer.surface.as_str() {
            "grpc" => "gRPC",
            "grpc-web" => "gRPC-Web",
            "rest" => "REST",
            "websocket" => "WebSocket",
            "mcp" => "MCP",
            "http" => "plain HTTP",
            "preflight" => "CORS preflight",
            "page" => "one of the gateway's own pages",
            other => other,
        };
        self.row("surface", surface);
        if let Some(binding) = &answer.binding {
            let verb = paint.bold(&binding.verb);
            self.row("binding", &format!("{verb} {}", paint.cyan(&binding.template)));
        }
        if let Some(method) = &answer.method {
            self.method(method);
        }
        if let Some(binding) = &answer.binding {
            self.binding(binding);
        }
        if let Some(route) = &answer.route {
            self.row("route", &route.name);
            if !route.conditions.is_empty() {
                self.row("", &paint.dim(&format!("for requests with {}", route.conditions.join(", "))));
            }
            let timeout = match route.timeout {
                timeout if timeout > 0.0 => format!("{timeout} s"),
                _ => "no time limit".to_owned(),
            };
            let bytes = |count: f64| if count == 0.0 { "of any length".to_owned() } else { bytes(count) };
            let (request, reply) = (bytes(route.request_bytes), bytes(route.response_bytes));
            self.row("rules", &format!("{timeout} · request {request} · reply {reply}"));
            let pages = match route.cors_origins.as_str() {
                "none" => "no page of another origin",
                "*" => "pages of any origin",
                "loopback" => "pages of this machine",
                listed => &format!("pages of {listed}"),
            };
            self.row("cors", pages);
        }
        for (place, policy) in answer.policies.iter().enumerate() {
            let name = if place == 0 { "policies" } else { "" };
            let effect = if policy.refuses { paint.red(&policy.effect) } else { policy.effect.clone() };
            self.row(name, &format!("{} {}  {effect}", place + 1, paint.bold(&policy.name)));
        }
        if !matches!(answer.outcome.as_str(), "passes" | "depends")
            && let Some(destination) = &answer.destination
        {
            self.row("destination", &whither(destination));
        }
    }

    fn method(&mut self, method: &ExplainedMethod) {
        self.row("method", method.path.trim_start_matches('/'));
        if !method.schema_known {
            self.row("", &self.paint.dim("its schema is not known: it passes as gRPC and gRPC-Web alone"));
            return;
        }
        let stream = |streams: bool| if streams { "stream " } else { "" };
        let (asks, answers) = (stream(method.client_streaming), stream(method.server_streaming));
        let text = format!("{asks}{} → {answers}{}", method.request, method.response);
        self.row("", &self.paint.dim(&text));
    }

    fn binding(&mut self, binding: &ExplainedBinding) {
        self.parameters("path", &binding.path);
        self.parameters("query", &binding.query);
        if binding.body.is_empty() {
            return;
        }
        let body = match (binding.body.as_str(), binding.body_field.as_str()) {
            ("none", _) => "none".to_owned(),
            (kind, field) => {
                let kind = if kind == "json" { "JSON" } else { "bytes of any type" };
                let what =
                    if field == "*" { "the whole message".to_owned() } else { format!("the field {field}") };
                format!("{kind}, {what}")
            }
        };
        self.row("body", &body);
        let field = match binding.response_field.as_str() {
            "" => String::new(),
            field => format!(", the field {field}"),
        };
        if !binding.answers.is_empty() && binding.answers != "websocket" {
            self.row("answers", &format!("{}{field}", binding.answers));
        }
    }

    /// What the path or the query says, in columns.
    fn parameters(&mut self, label: &str, parameters: &[ExplainedParameter]) {
        let paint = self.paint;
        let width =
            |text: fn(&ExplainedParameter) -> usize| parameters.iter().map(text).max().unwrap_or_default();
        let (names, values) =
            (width(|p| p.name.chars().count()), width(|p| quoted(&p.value).chars().count()));
        for (place, parameter) in parameters.iter().enumerate() {
            let name = if place == 0 { label } else { "" };
            let value = quoted(&parameter.value);
            let mut line = format!("{:names$}  {value:values$}  ", parameter.name);
            if parameter.problem.is_empty() {
                let other = parameter.field.as_str() != parameter.name;
                let field = if other && !parameter.field.is_empty() {
                    format!("{} → {}", parameter.r#type, parameter.field)
                } else {
                    parameter.r#type.clone()
                };
                let skipped = field.is_empty() && label == "query";
                line.push_str(&paint.dim(if skipped { "skipped" } else { &field }));
            } else {
                line.push_str(&paint.red("✗"));
                line.push_str(&format!(" {}", parameter.problem));
            }
            self.row(name, &line);
        }
    }

    fn near_misses(&mut self, method: &str, near: &[NearMiss]) {
        let paint = self.paint;
        for (place, near) in near.iter().enumerate() {
            self.line("");
            let name = if place == 0 { "near" } else { "" };
            let beside = Beside::of(method, near);
            let template = format!("{} {}", paint.bold(&beside.verb), paint.cyan(&beside.template));
            self.row(name, &format!("{template}  {}", paint.dim(&near.method)));
            if !near.segments.is_empty() {
                self.row("", &format!("{} {}", beside.asked_verb, beside.asked));
                if beside.marks.contains('^') {
                    self.row("", &paint.red(&beside.marks));
                }
            }
            self.row("", &format!("{}{}", paint.yellow("→ "), near.why));
        }
    }
}

/// A template over a path, segment under segment, and marks below where they differ.
struct Beside {
    verb: String,
    asked_verb: String,
    template: String,
    asked: String,
    marks: String,
}

impl Beside {
    fn of(method: &str, near: &NearMiss) -> Self {
        let width = near.verb.chars().count().max(method.chars().count());
        let verb = format!("{:width$}", near.verb);
        let asked_verb = format!("{method:width$}");
        let differs = near.verb != "*" && near.verb != method && !(near.verb == "GET" && method == "HEAD");
        let mut marks = if differs { "^".repeat(method.chars().count()) } else { String::new() };
        marks = format!("{marks:width$} ");
        if near.segments.is_empty() {
            return Self { verb, asked_verb, template: near.path.clone(), asked: String::new(), marks };
        }
        let (mut template, mut asked) = (String::new(), String::new());
        for segment in &near.segments {
            let (wanted, got) = (segment.wanted.as_str(), segment.got.as_str());
            if wanted.is_empty() && got.is_empty() {
                // The slash at the end of the path.
                template.push(' ');
                asked.push('/');
                marks.push('^');
                continue;
            }
            let length = wanted.chars().count().max(got.chars().count());
            // A segment that one side lacks has no slash there either.
            let part = |text: &str| match text {
                "" => " ".repeat(length + 1),
                text => format!("/{text:length$}"),
            };
            template.push_str(&part(wanted));
            asked.push_str(&part(got));
            let count = got.chars().count();
            let mark = match (segment.fits, got) {
                (true, _) => String::new(),
                (false, "") => "^".repeat(length),
                // What is missing is the verb at its end.
                (false, got) if wanted.starts_with(got) => " ".repeat(count) + &"^".repeat(length - count),
                (false, _) => "^".repeat(count),
            };
            marks.push_str(&format!(" {mark:length$}"));
        }
        Self { verb, asked_verb, template: template.trim_end().to_owned(), asked, marks }
    }
}

/// A destination in words.
fn whither(destination: &ExplainedDestination) -> String {
    let one = one_of(destination);
    let sent = match &*destination.sent_path {
        "" => String::new(),
        path => format!(", as {path}"),
    };
    let shares = match &*destination.shares {
        "" => String::new(),
        shares => format!(" (this time; of {shares})"),
    };
    format!("{one}{sent}{shares}")
}

fn one_of(destination: &ExplainedDestination) -> String {
    let ExplainedDestination { kind, name, address, schema_known, .. } = destination;
    match kind.as_str() {
        "built-in" => "the gateway's own service".to_owned(),
        "upstream" => {
            let schema = if *schema_known { "" } else { ", its schema not known" };
            format!("upstream {name} at {address}{schema}")
        }
        "http" => format!("upstream {name} at {address}, by HTTP"),
        "respond" => "the route's own response".to_owned(),
        "redirect" => format!("a redirect to {name}"),
        "page" => format!("the gateway's own page {name}"),
        other => format!("{other} {name}"),
    }
}

/// A value of a request between quotes, cut where it is long.
fn quoted(value: &str) -> String {
    const MOST: usize = 40;
    if value.chars().count() <= MOST {
        return format!("{value:?}");
    }
    let begin: String = value.chars().take(MOST - 1).collect();
    format!("{:?}", format!("{begin}…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::gateway_v1::SegmentMatch;

    fn segment(wanted: &str, got: &str, fits: bool) -> SegmentMatch {
        SegmentMatch { wanted: wanted.to_owned(), got: got.to_owned(), fits }
    }

    #[test]
    fn marks_stand_below_what_differs() {
        let check = |method: &str, verb: &str, segments: &[SegmentMatch], want: [&str; 3]| {
            let near = NearMiss { verb: verb.to_owned(), segments: segments.to_vec(), ..NearMiss::default() };
            let beside = Beside::of(method, &near);
            let lines = [
                format!("{} {}", beside.verb, beside.template),
                format!("{} {}", beside.asked_verb, beside.asked),
                beside.marks,
            ];
            assert_eq!(lines.each_ref().map(|line| line.trim_end()), want);
        };
        let v1 = || segment("v1", "v1", true);
        let shelves = segment("shelves", "shelfs", false);
        check("GET", "GET", &[v1(), shelves], ["GET /v1/shelves", "GET /v1/shelfs", "        ^^^^^^"]);
        check("PUT", "DELETE", &[v1()], ["DELETE /v1", "PUT    /v1", "^^^"]);
        check("HEAD", "GET", &[v1()], ["GET  /v1", "HEAD /v1", ""]);
        check("POST", "*", &[v1()], ["*    /v1", "POST /v1", ""]);
        let less = segment("{id}", "", false);
        check("GET", "GET", &[v1(), less], ["GET /v1/{id}", "GET /v1", "        ^^^^"]);
        let more = segment("", "api", false);
        check("GET", "GET", &[more, v1()], ["GET     /v1", "GET /api/v1", "     ^^^"]);
        let verb = segment("books:move", "books", false);
        check("GET", "GET", &[verb], ["GET /books:move", "GET /books", "          ^^^^^"]);
        let slash = segment("", "", false);
        check("GET", "GET", &[v1(), slash], ["GET /v1", "GET /v1/", "       ^"]);
    }

    #[test]
    fn colours_are_around_the_same_words() {
        let request = ExplainRouteRequest { method: "GET".into(), path: "/x".into(), ..Default::default() };
        let answer = ExplainRouteResponse {
            surface: "rest".into(),
            outcome: "refused".into(),
            http_status: 404,
            code: 5,
            status: "NOT_FOUND".into(),
            message: "there is no GET /x".into(),
            ..Default::default()
        };
        let plain = drawn(&request, &answer, Paint::new(false));
        assert_eq!(
            plain,
            "GET /x\n\n  ✗ 404 Not Found · NOT_FOUND (5)\n    there is no GET /x\n\n  surface      REST\n"
        );
        let mut bare = drawn(&request, &answer, Paint::new(true));
        assert!(bare.contains("\x1b[1;31m404 Not Found\x1b[0m"), "{bare:?}");
        while let Some(at) = bare.find('\x1b') {
            let end = bare[at..].find('m').unwrap();
            bare.replace_range(at..=at + end, "");
        }
        assert_eq!(bare, plain);
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
        assert_eq!(quoted(&"ä".repeat(50)), format!("\"{}…\"", "ä".repeat(39)));
    }
}
