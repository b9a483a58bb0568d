//! The table of what is served: every method with its gRPC, gRPC-Web and REST address.

use std::{fmt::Write as _, net::SocketAddr};

use crate::route::{
    Destination,
    catalog::{Catalog, MethodEntry},
};

/// The upstreams' methods as a table for a terminal.
pub(super) fn table(catalog: &Catalog, address: SocketAddr) -> String {
    let mut out = String::new();
    let mut first = None;
    for source in catalog.sources().iter().filter(|source| source.destination != Destination::Local) {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{} ({})", source.name(), source.address);
        if source.services.is_empty() {
            let _ = writeln!(out, "  has not answered reflection yet; its methods appear when it does");
        }
        for service in &source.services {
            let Some(methods) = &service.methods else { continue };
            let _ = writeln!(out, "\n  {}", service.name);
            let rows: Vec<_> = methods.iter().flat_map(rows).collect();
            let heading = ["gRPC, gRPC-Web".to_owned(), String::new(), "REST".to_owned()];
            let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
            let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
            let (name, shape) = (width(0), width(1));
            for [method, streams, rest] in &rows {
                let _ = writeln!(out, "    {method:name$}  {streams:shape$}  {rest}");
            }
            first = first.or_else(|| methods.first().map(|method| method.path.clone()));
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "served at http://{address}; over REST each of them at POST /package.Service/Method too"
    );
    if let Some(path) = first {
        let method = path.trim_start_matches('/');
        let _ = writeln!(out, "  grpcurl -plaintext {address} describe {}", method.replace('/', "."));
        let _ = writeln!(out, "  grpcurl -plaintext -d '{{}}' {address} {method}");
    }
    out
}

/// A row for the method and its first binding, and one for each further binding: the address over gRPC and gRPC-Web, what
/// streams, REST.
fn rows(method: &MethodEntry) -> Vec<[String; 3]> {
    let streams = match (method.client_streaming, method.server_streaming) {
        (false, false) => "",
        (false, true) => "server stream",
        (true, false) => "client stream",
        (true, true) => "both streams",
    };
    let none = "(gRPC and gRPC-Web only)".to_owned();
    // Every method is at its own path too: that is said once, below the table.
    let own = format!("POST {}", method.path);
    let mut bindings = method.rest.iter().filter(|rest| **rest != own || method.rest.len() == 1);
    let mut rows =
        vec![[method.path.to_string(), streams.to_owned(), bindings.next().cloned().unwrap_or(none)]];
    rows.extend(bindings.map(|rest| [String::new(), String::new(), rest.clone()]));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::catalog::{ServiceEntry, Source};

    #[test]
    fn every_method_has_a_row_and_every_binding_too() {
        let method = |path: &str, streams: bool, rest: &[&str]| MethodEntry {
            path: path.into(),
            client_streaming: streams,
            server_streaming: streams,
            rest: rest.iter().map(|text| (*text).to_owned()).collect(),
            route: path.into(),
        };
        let mut catalog = Catalog::default();
        catalog.push(Source {
            destination: Destination::Upstream("books".into()),
            address: "http://127.0.0.1:9000".into(),
            services: vec![ServiceEntry {
                name: "b.v1.Books".into(),
                methods: Some(vec![
                    method("/b.v1.Books/Get", false, &["GET /v1/{name=books/*}", "GET /v1/book"]),
                    method("/b.v1.Books/Chat", true, &[]),
                ]),
                route: "".into(),
            }],
            files: None,
        });
        let want = "\
books (http://127.0.0.1:9000)

  b.v1.Books
    gRPC, gRPC-Web                  REST
    /b.v1.Books/Get                 GET /v1/{name=books/*}
                                    GET /v1/book
    /b.v1.Books/Chat  both streams  (gRPC and gRPC-Web only)

served at http://127.0.0.1:8080; over REST each of them at POST /package.Service/Method too
  grpcurl -plaintext 127.0.0.1:8080 describe b.v1.Books.Get
  grpcurl -plaintext -d '{}' 127.0.0.1:8080 b.v1.Books/Get
";
        assert_eq!(table(&catalog, ([127, 0, 0, 1], 8080).into()), want);
    }
}
