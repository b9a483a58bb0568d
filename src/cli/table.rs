//! The table of what is served: every method with its gRPC, gRPC-Web and REST address, and the tool that it is to agents.

use super::{paint::Paint, words::Words};
use crate::route::{Destination, catalog::MethodEntry};

/// The upstreams' methods as a table for a terminal.
pub(super) fn table(words: &Words<'_>, paint: Paint) -> String {
    let mut out = String::new();
    let sources = words.catalog.sources().iter();
    for source in sources.filter(|source| source.destination != Destination::Local) {
        let (state, fine) = words.state(source);
        let state = if fine { paint.dim(&state) } else { paint.yellow(&state) };
        out += &format!("{}  {state}\n", paint.bold(&source.address));
        for service in &source.services {
            let Some(methods) = &service.methods else { continue };
            out += &format!("\n  {}\n", paint.cyan(&service.name));
            let rows: Vec<_> = methods.iter().flat_map(rows).collect();
            let tools = methods.iter().any(|method| method.tool.is_some());
            let heading =
                ["gRPC, gRPC-Web", "", "REST", if tools { "MCP tool" } else { "" }].map(str::to_owned);
            let width = |column: usize| {
                let rows = rows.iter().chain([&heading]);
                rows.map(|row| row[column].chars().count()).max().unwrap_or_default()
            };
            let (name, shape) = (width(0), width(1));
            let verb = rows
                .iter()
                .filter_map(|[_, _, rest, _]| Some(address(rest)?.0.len()))
                .max()
                .unwrap_or_default();
            // Verbs are as wide as the widest.
            let shown = |rest: &str| match address(rest) {
                Some((word, path)) => format!("{word:verb$} {path}"),
                None => rest.to_owned(),
            };
            let rests = rows.iter().map(|[_, _, rest, _]| shown(rest).chars().count());
            let wide = rests.max().unwrap_or_default().max(heading[2].len());
            let [left, _, right, last] = &heading;
            let titles = format!("{left:name$}  {:shape$}  {right:wide$}  {last}", "");
            out += &format!("    {}\n", paint.dim(titles.trim_end()));
            for [method, streams, rest, tool] in &rows {
                let space = if tool.is_empty() { 0 } else { 2 + wide - shown(rest).chars().count() };
                let (method, streams) = (format!("{method:name$}"), format!("{streams:shape$}"));
                // What tells one from the other stands out.
                let method = match method.rsplit_once('/') {
                    Some((service, method)) => format!("{}{method}", paint.dim(&format!("{service}/"))),
                    None => method,
                };
                let rest = match address(rest) {
                    Some((word, path)) => format!("{} {path}", paint.green(&format!("{word:verb$}"))),
                    None => paint.dim(rest),
                };
                let tool = format!("{:space$}{}", "", paint.cyan(tool));
                out += &format!("    {method}  {}  {rest}{}\n", paint.yellow(&streams), tool.trim_end());
            }
        }
        out.push('\n');
    }
    out
}

/// The verb and the path of an address over REST; `None` where there is none.
fn address(rest: &str) -> Option<(&str, &str)> {
    rest.split_once(' ').filter(|(_, path)| path.starts_with('/'))
}

/// A row for the method and its first binding, and one for each further binding: the address over gRPC and gRPC-Web, what
/// streams, REST, and the tool.
fn rows(method: &MethodEntry) -> Vec<[String; 4]> {
    let streams = match (method.client_streaming, method.server_streaming) {
        (false, false) => "",
        (false, true) => "server stream",
        (true, false) => "client stream",
        (true, true) => "both streams",
    };
    let none = "(gRPC and gRPC-Web only)".to_owned();
    let tool = method.tool.as_deref().unwrap_or_default().to_owned();
    // Every method is at its own path too: that is said once, below the table.
    let own = format!("POST {}", method.path);
    let mut bindings = method.rest.iter().filter(|rest| **rest != own || method.rest.len() == 1);
    let mut rows =
        vec![[method.path.to_string(), streams.to_owned(), bindings.next().cloned().unwrap_or(none), tool]];
    rows.extend(bindings.map(|rest| [String::new(), String::new(), rest.clone(), String::new()]));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        route::catalog::{Catalog, ServiceEntry, Source},
    };

    #[test]
    fn every_method_has_a_row_and_every_binding_too() {
        let method = |path: &str, streams: bool, rest: &[&str]| MethodEntry {
            path: path.into(),
            client_streaming: streams,
            server_streaming: streams,
            rest: rest.iter().map(|text| (*text).to_owned()).collect(),
            route: path.into(),
            variants: Vec::new(),
            tool: None,
        };
        let mut catalog = Catalog::default();
        catalog.push(Source {
            destination: Destination::Upstream("books".into()),
            address: "http://127.0.0.1:9000".into(),
            services: vec![ServiceEntry {
                name: "b.v1.Books".into(),
                methods: Some(vec![
                    method("/b.v1.Books/Get", false, &["GET /v1/{name=books/*}", "PATCH /v1/book"]),
                    method("/b.v1.Books/Chat", true, &[]),
                ]),
                route: "".into(),
                variants: Vec::new(),
            }],
            files: None,
        });
        let config = Config::default();
        let address = ([127, 0, 0, 1], 8080).into();
        let words = Words { config: &config, catalog: &catalog, address, admin: None, stores: &[] };
        let want = "\
http://127.0.0.1:9000  1 service, 2 methods

  b.v1.Books
    gRPC, gRPC-Web                  REST
    /b.v1.Books/Get                 GET   /v1/{name=books/*}
                                    PATCH /v1/book
    /b.v1.Books/Chat  both streams  (gRPC and gRPC-Web only)

";
        assert_eq!(table(&words, Paint::new(false)), want);
    }
}
