//! What a reload changed in what is served, in words: services, methods and bindings that came, went, or go elsewhere.

use std::collections::BTreeMap;

use crate::route::{
    Destination,
    catalog::{Catalog, ServiceEntry},
};

/// What differs between two catalogues, a sentence each.
pub(super) fn changes(before: &Catalog, after: &Catalog) -> Vec<String> {
    let (old, new) = (services(before), services(after));
    let mut said = Vec::new();
    for (name, (destination, service)) in &new {
        let Some((was, old)) = old.get(name) else {
            said.push(format!("added service {name} ({}{})", shown(destination), count(service)));
            continue;
        };
        if was != destination {
            said.push(format!("service {name} is answered by {}, was by {}", shown(destination), shown(was)));
        }
        said.extend(methods(name, old, service));
    }
    let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
    said.extend(
        gone.map(|(name, (destination, _))| format!("removed service {name} ({})", shown(destination))),
    );
    said
}

type Services<'a> = BTreeMap<&'a str, (&'a Destination, &'a ServiceEntry)>;

fn services(catalog: &Catalog) -> Services<'_> {
    catalog.services().map(|(source, service)| (&*service.name, (&source.destination, service))).collect()
}

fn shown(destination: &Destination) -> String {
    match destination {
        Destination::Local => "the gateway itself".to_owned(),
        Destination::Upstream(name) => format!("upstream {name}"),
        Destination::Proxy(proxy) => format!("upstream {}", proxy.upstream),
        Destination::McpServer(name) => format!("MCP server {name}"),
        Destination::Page => "a page".to_owned(),
        Destination::Nothing => "nothing".to_owned(),
        Destination::Respond(_) | Destination::Redirect(_) => "the config".to_owned(),
    }
}

fn count(service: &ServiceEntry) -> String {
    match service.methods.as_deref() {
        None => ", its schema is not known".to_owned(),
        Some([_]) => ", 1 method".to_owned(),
        Some(methods) => format!(", {} methods", methods.len()),
    }
}

/// What differs between two versions of one service.
fn methods(name: &str, before: &ServiceEntry, after: &ServiceEntry) -> Vec<String> {
    let (old, new) = match (&before.methods, &after.methods) {
        (Some(old), Some(new)) => (old, new),
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![format!("the schema of service {name} is known now")],
        (Some(_), None) => return vec![format!("the schema of service {name} is not known any more")],
    };
    let mut said = Vec::new();
    for method in new {
        let path = method.path.trim_start_matches('/');
        let Some(was) = old.iter().find(|old| old.path == method.path) else {
            said.push(format!("added {path}{}", bindings(&method.rest)));
            continue;
        };
        let added = method.rest.iter().filter(|rest| !was.rest.contains(rest));
        said.extend(added.map(|rest| format!("added {rest} ({path})")));
        let removed = was.rest.iter().filter(|rest| !method.rest.contains(rest));
        said.extend(removed.map(|rest| format!("removed {rest} ({path})")));
        if (was.client_streaming, was.server_streaming) != (method.client_streaming, method.server_streaming)
        {
            said.push(format!("{path} streams otherwise"));
        }
    }
    let gone = old.iter().filter(|old| new.iter().all(|method| method.path != old.path));
    said.extend(gone.map(|method| format!("removed {}", method.path.trim_start_matches('/'))));
    said
}

fn bindings(rest: &[String]) -> String {
    if rest.is_empty() { String::new() } else { format!(" ({})", rest.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::catalog::{MethodEntry, Source};

    /// Upstream, service, and its methods with a binding each (empty: none), where they are known.
    type Row<'a> = (&'a str, &'a str, Option<&'a [(&'a str, &'a str)]>);

    fn catalog(rows: &[Row<'_>]) -> Catalog {
        let mut catalog = Catalog::default();
        for (upstream, service, methods) in rows {
            let method = |(name, rest): &(&str, &str)| MethodEntry {
                path: format!("/{service}/{name}").into(),
                client_streaming: false,
                server_streaming: *name == "Watch",
                rest: if rest.is_empty() { vec![] } else { vec![(*rest).to_owned()] },
                route: "".into(),
                variants: Vec::new(),
                tool: None,
            };
            let methods = methods.map(|methods| methods.iter().map(method).collect());
            catalog.push(Source {
                destination: Destination::Upstream((*upstream).into()),
                address: "".into(),
                services: vec![ServiceEntry {
                    name: (*service).into(),
                    methods,
                    route: "".into(),
                    variants: Vec::new(),
                }],
                files: None,
            });
        }
        catalog
    }

    #[test]
    fn what_came_and_went() {
        let check = |before: &[Row<'_>], after: &[Row<'_>], want: &[&str]| {
            assert_eq!(changes(&catalog(before), &catalog(after)), want, "{before:?} {after:?}");
        };
        let books: Row<'_> = ("one", "b.Books", Some(&[("Get", "GET /b"), ("List", "")]));
        check(&[books], &[books], &[]);
        check(&[], &[books], &["added service b.Books (upstream one, 2 methods)"]);
        check(&[], &[("one", "b.*", None)], &["added service b.* (upstream one, its schema is not known)"]);
        check(&[books], &[], &["removed service b.Books (upstream one)"]);
        let elsewhere = ("two", books.1, books.2);
        check(&[books], &[elsewhere], &["service b.Books is answered by upstream two, was by upstream one"]);
        let other: Row<'_> = ("one", "b.Books", Some(&[("Get", "GET /c"), ("Find", "GET /f")]));
        let want = [
            "added GET /c (b.Books/Get)",
            "removed GET /b (b.Books/Get)",
            "added b.Books/Find (GET /f)",
            "removed b.Books/List",
        ];
        check(&[books], &[other], &want);
        let unknown = ("one", "b.Books", None);
        check(&[books], &[unknown], &["the schema of service b.Books is not known any more"]);
        check(&[unknown], &[books], &["the schema of service b.Books is known now"]);
    }
}
