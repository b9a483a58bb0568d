//! `propylon explain`: what a request would meet, asked of a gateway that runs or of one built here. `explained` draws it.

use std::collections::BTreeMap;

use clap::Args;

use super::{Failure, asked::Asked, explained, paint::Paint, say};
use crate::{config::colours, proto::gateway_v1::ExplainRouteRequest, surface::json};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propylon explain GET '/v1/shelves/7/books?page_size=10'
  propylon explain POST /v1/shelves/7/books -d '{\"title\": \"Ulysses\"}'
  propylon explain grpc library.v1.Library/GetBook
  propylon explain websocket /v1/chat
  propylon explain POST /v1/pages -H 'accept: text/event-stream' -d '{}'
  propylon explain GET /v1/books --server gateway.internal:8080 --json")]
pub(super) struct Explain {
    /// The HTTP method; or `grpc`, `grpc-web` or `websocket` for a call of that kind
    #[arg(value_name = "METHOD")]
    method: String,
    /// The path, with its query; of gRPC, package.Service/Method
    #[arg(value_name = "PATH")]
    path: String,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body of a REST request
    #[arg(short = 'd', long = "data", value_name = "BODY", default_value = "", hide_default_value = true)]
    body: String,
    #[command(flatten)]
    asked: Asked,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Explain) -> Result<(), Failure> {
    let request = request(arguments)?;
    let answer = arguments.asked.explain(&request)?;
    if arguments.json {
        let text = json("propylon.gateway.v1.ExplainRouteResponse", &answer);
        say(&text.map_err(|status| Failure::system(status.message()))?);
    } else {
        say(explained::drawn(&request, &answer, Paint::new(colours())).trim_end());
    }
    Ok(())
}

/// The request that is meant.
fn request(arguments: &Explain) -> Result<ExplainRouteRequest, Failure> {
    let mut headers = BTreeMap::new();
    for header in &arguments.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| Failure::config(format!("-H: {header:?} is not a header; it is 'name: value'")))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        // As HTTP joins values of one name.
        let values: &mut String = headers.entry(name).or_default();
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(value);
    }
    let mut given = |name: &str, value: &str| {
        headers.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    let method = match arguments.method.to_ascii_lowercase().as_str() {
        kind @ ("grpc" | "grpc-web") => {
            given("content-type", &format!("application/{kind}"));
            "POST".to_owned()
        }
        "websocket" => {
            given("connection", "upgrade");
            given("upgrade", "websocket");
            given("sec-websocket-version", "13");
            given("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            "GET".to_owned()
        }
        // `get` is a method of its own to HTTP, and never meant.
        lower if lower == arguments.method => lower.to_ascii_uppercase(),
        _ => arguments.method.clone(),
    };
    Ok(ExplainRouteRequest { method, path: path(&arguments.path), headers, body: arguments.body.clone() })
}

/// The path of what may be a whole URL, or lack its first slash.
fn path(text: &str) -> String {
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or("/")),
        None => text,
    };
    if path.starts_with('/') || path == "*" { path.to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    fn read(words: &[&str]) -> ExplainRouteRequest {
        let line = Line::try_parse_from(std::iter::once("explain").chain(words.iter().copied())).unwrap();
        let read = request(&line.explain);
        read.unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    #[test]
    fn a_request_is_read_from_words() {
        let check = |words: &[&str], method: &str, path: &str, headers: &[(&str, &str)]| {
            let request = read(words);
            let got: Vec<_> = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(
                (request.method.as_str(), request.path.as_str(), got.as_slice()),
                (method, path, headers)
            );
        };
        check(&["GET", "/v1/x?y=1"], "GET", "/v1/x?y=1", &[]);
        check(&["get", "v1/x"], "GET", "/v1/x", &[]);
        check(&["Get", "/"], "Get", "/", &[]);
        check(&["GET", "http://h:1/v1/x?y"], "GET", "/v1/x?y", &[]);
        check(&["GET", "https://h"], "GET", "/", &[]);
        check(&["OPTIONS", "*"], "OPTIONS", "*", &[]);
        check(&["grpc", "a.B/C"], "POST", "/a.B/C", &[("content-type", "application/grpc")]);
        check(&["GRPC-web", "/a.B/C"], "POST", "/a.B/C", &[("content-type", "application/grpc-web")]);
        check(
            &["GET", "/", "-H", "Accept: a", "-H", "accept:b", "-H", "x: 1:2"],
            "GET",
            "/",
            &[("accept", "a, b"), ("x", "1:2")],
        );
        let socket = read(&["websocket", "/v1/chat"]);
        assert_eq!((socket.method.as_str(), socket.headers.len()), ("GET", 4));
        assert_eq!(read(&["POST", "/", "-d", "{}"]).body, "{}");
    }
}
