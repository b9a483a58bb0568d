//! The words at start-up: what is reachable, for a person at a terminal, or as one line of JSON for what collects a
//! container's output.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use super::paint::Paint;
use crate::{
    config::{Config, Own, Page, SchemaSource},
    route::{
        Destination,
        catalog::{Catalog, MethodEntry, Source},
    },
    store::{State, StoreHealth},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a gateway that has just begun to listen says of itself.
pub(super) struct Words<'a> {
    pub(super) config: &'a Config,
    pub(super) catalog: &'a Catalog,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Where its operator's listener is.
    pub(super) admin: Option<SocketAddr>,
    /// The stores that it keeps something in.
    pub(super) stores: &'a [StoreHealth],
}

impl Words<'_> {
    /// The one line that tells that it listens.
    pub(super) fn listening(&self) -> String {
        format!("propylon {VERSION} is listening on {}://{}", self.scheme(), self.address)
    }

    /// How its port is asked.
    pub(super) fn scheme(&self) -> &'static str {
        if self.config.tls.is_some() { "https" } else { "http" }
    }

    /// What tools are told of the certificate and its authority, with a space behind it: curl's, and grpcurl's.
    fn trust(&self) -> (&'static str, &'static str) {
        if self.config.tls.is_some() { ("--cacert CA.pem ", "-cacert CA.pem ") } else { ("", "-plaintext ") }
    }

    /// Everything, for a person.
    pub(super) fn for_a_person(&self, paint: Paint) -> String {
        let mut out = format!("{}\n\n", paint.bold(&self.listening()));
        let mut row = |label: &str, text: &str| {
            out.push_str(&format!("  {}  {text}\n", paint.dim(&format!("{label:9}"))));
        };
        row("speaks", "gRPC, gRPC-Web, REST and MCP, on the one port");
        let own = self.sources().filter(|source| source.destination == Destination::Local);
        row("services", &format!("{} of its own", own.map(|source| source.services.len()).sum::<usize>()));
        let upstreams: Vec<_> = self.upstreams().collect();
        let width = |text: fn(&Source) -> &str| upstreams.iter().map(|source| text(source).len()).max();
        let (names, addresses) = (width(Source::name), width(|source| &source.address));
        for source in &upstreams {
            let (said, fine) = self.state(source);
            let said = if fine { said } else { paint.yellow(&said) };
            row(
                "upstream",
                &format!(
                    "{}  {}  {said}",
                    paint.cyan(&format!("{:1$}", source.name(), names.unwrap_or_default())),
                    paint.dim(&format!("{:1$}", source.address, addresses.unwrap_or_default())),
                ),
            );
        }
        for upstream in &self.config.http_upstreams {
            let address = upstream.addresses.to_string();
            row("upstream", &format!("{}  {}  plain HTTP", paint.cyan(&upstream.name), paint.dim(&address)));
        }
        for StoreHealth { address, state, .. } in self.stores {
            let said = match state {
                State::Up { .. } => paint.dim(address),
                State::Unknown => {
                    let away = "does not answer yet; accounts and keys come in when it does";
                    format!("{}  {}", paint.dim(address), paint.yellow(away))
                }
                State::Down { error, .. } => {
                    let away = format!("is away: {error}; accounts and keys come in when it is there");
                    format!("{}  {}", paint.dim(address), paint.yellow(&away))
                }
            };
            row("store", &said);
        }
        if let Some(admin) = self.admin {
            row(
                "admin",
                &format!("http://{admin}  {}", paint.dim("probes, health and /admin, in plain text")),
            );
        }
        let pages = self.pages();
        if !pages.is_empty() {
            row("pages", &pages.join("  "));
        }
        if let Some(mcp) = self.mcp() {
            row("MCP", &mcp);
        }
        let health = self.health();
        if !health.is_empty() {
            row("health", &health.join("  "));
        }
        let lines = [self.curl(), self.grpcurl(), self.list_tools()];
        if lines.iter().any(Option::is_some) {
            out.push('\n');
        }
        for line in lines.iter().flatten() {
            out.push_str(&format!("  {}\n", paint.green(line)));
        }
        out
    }

    /// Everything, as one line of JSON.
    pub(super) fn for_a_program(&self) -> String {
        let upstreams = self.upstreams().map(|source| {
            json!({
                "name": source.name(),
                "address": &*source.address,
                "schema": source.files.is_some(),
                "services": source.services.len(),
                "methods": methods(source),
            })
        });
        let proxied = self.config.http_upstreams.iter().map(|upstream| {
            json!({ "name": &*upstream.name, "address": upstream.addresses.to_string(), "http": true })
        });
        let stores = self.stores.iter().map(|StoreHealth { store, address, state, .. }| match state {
            State::Up { .. } => json!({ "name": store, "address": address, "up": true }),
            State::Unknown => json!({ "name": store, "address": address, "up": false }),
            State::Down { error, .. } => {
                json!({ "name": store, "address": address, "up": false, "error": error })
            }
        });
        let line = json!({
            "event": "listening",
            "message": self.listening(),
            "version": VERSION,
            "address": self.address.to_string(),
            "port": self.address.port(),
            "tls": self.config.tls.is_some(),
            "admin": self.admin.map(|admin| admin.to_string()),
            "environment": &*self.config.environment,
            "pid": std::process::id(),
            "upstreams": upstreams.chain(proxied).collect::<Vec<Value>>(),
            "stores": stores.collect::<Vec<Value>>(),
            "pages": self.pages(),
            "mcp": self.catalog.mcp(),
            "tools": self.tools(),
            "health": self.health(),
        });
        line.to_string()
    }

    /// What of its own can be looked at in a browser.
    pub(super) fn pages(&self) -> Vec<String> {
        let pages = [Page::Index, Page::Docs, Page::Redoc, Page::Openapi];
        pages.into_iter().filter_map(|page| self.config.built_ins.path_of(page)).collect()
    }

    fn health(&self) -> Vec<String> {
        let probes = [Page::Livez, Page::Readyz];
        let mut paths: Vec<String> =
            probes.into_iter().filter_map(|page| self.config.built_ins.path_of(page)).collect();
        let check = self.own_binding("/propylon.gateway.v1.HealthService/Check");
        paths.extend(check);
        paths
    }

    /// A call that goes well, over REST.
    fn curl(&self) -> Option<String> {
        let path = self
            .own_binding("/propylon.gateway.v1.HealthService/Ping")
            .or_else(|| self.health().into_iter().next())
            .or_else(|| self.pages().into_iter().next())?;
        Some(format!("curl {}{}://{}{path}", self.trust().0, self.scheme(), self.reachable()))
    }

    /// A call that goes well, over gRPC.
    fn grpcurl(&self) -> Option<String> {
        let reflection = self.config.built_ins.get(Own::Reflection).enabled;
        reflection.then(|| format!("grpcurl {}{} list", self.trust().1, self.reachable()))
    }

    /// Where MCP is spoken, and how many tools it has.
    pub(super) fn mcp(&self) -> Option<String> {
        Some(format!("{}, {}", self.catalog.mcp()?, count(self.tools(), "tool")))
    }

    /// A request for the tools there are, where there are any.
    fn list_tools(&self) -> Option<String> {
        let path = self.catalog.mcp().filter(|_| self.tools() > 0)?;
        let json = "-H 'content-type: application/json' -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}'";
        Some(format!("curl {}{json} {}://{}{path}", self.trust().0, self.scheme(), self.reachable()))
    }

    fn tools(&self) -> usize {
        let services = self.sources().flat_map(|source| &source.services);
        let methods = services.flat_map(|service| service.methods.iter().flatten());
        let far: usize = self.catalog.mcp_servers().iter().filter_map(|server| server.tools).sum();
        methods.filter(|method| method.tool.is_some()).count() + far
    }

    /// Calls of one method of an upstream, over REST and over gRPC: of a method that takes and gives one message, and
    /// rather of one whose path has no variables.
    pub(super) fn calls(&self) -> Vec<String> {
        let services = self.upstreams().flat_map(|source| &source.services);
        let unary: Vec<&MethodEntry> = services
            .flat_map(|service| service.methods.iter().flatten())
            .filter(|method| !method.client_streaming && !method.server_streaming)
            .collect();
        let (address, scheme, (curl, grpcurl)) = (self.reachable(), self.scheme(), self.trust());
        let plain = unary
            .iter()
            .find_map(|method| Some((*method, format!("curl {curl}{scheme}://{address}{}", plain(method)?))));
        let own = || {
            let method =
                unary.iter().find(|method| method.rest.contains(&format!("POST {}", method.path)))?;
            let json = "-H 'content-type: application/json' -d '{}'";
            Some((*method, format!("curl {curl}{json} {scheme}://{address}{}", method.path)))
        };
        let Some((method, by_curl)) = plain.or_else(own) else {
            return [self.curl(), self.grpcurl(), self.list_tools()].into_iter().flatten().collect();
        };
        let name = method.path.trim_start_matches('/');
        let by_grpcurl = format!("grpcurl {grpcurl}-d '{{}}' {address} {name}");
        let reflection = self.config.built_ins.get(Own::Reflection).enabled;
        [Some(by_curl), reflection.then_some(by_grpcurl), self.list_tools()].into_iter().flatten().collect()
    }

    /// What is known of an upstream, and whether that is as it should be.
    pub(super) fn state(&self, source: &Source) -> (String, bool) {
        let written = self.config.upstreams.iter().find(|upstream| *upstream.name == *source.name());
        let (services, methods) = (count(source.services.len(), "service"), count(methods(source), "method"));
        match (written.map(|upstream| &upstream.schema), source.files.is_some()) {
            (Some(SchemaSource::Reflection { .. }), false) => {
                ("does not answer yet; its methods appear when it does".to_owned(), false)
            }
            (Some(SchemaSource::Descriptors(_)), _) => {
                (format!("{services}, {methods}, by its descriptor file"), true)
            }
            (Some(SchemaSource::Unknown), _) => (format!("{services} by name, as gRPC and gRPC-Web"), true),
            (_, _) => (format!("{services}, {methods}"), true),
        }
    }

    /// Where somebody on this machine reaches it.
    fn reachable(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    /// The path of the first binding of one of the gateway's own methods.
    fn own_binding(&self, path: &str) -> Option<String> {
        let own = self.sources().filter(|source| source.destination == Destination::Local);
        let mut methods =
            own.flat_map(|source| &source.services).flat_map(|service| service.methods.iter().flatten());
        plain(methods.find(|method| *method.path == *path)?).map(str::to_owned)
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.catalog.sources().iter()
    }

    fn upstreams(&self) -> impl Iterator<Item = &Source> {
        self.sources().filter(|source| source.destination != Destination::Local)
    }
}

/// The path of a GET binding that has nothing to fill in.
fn plain(method: &MethodEntry) -> Option<&str> {
    let paths = method.rest.iter().filter_map(|rest| rest.strip_prefix("GET "));
    paths.into_iter().find(|path| !path.contains(['{', '*']))
}

fn methods(source: &Source) -> usize {
    source.services.iter().filter_map(|service| service.methods.as_ref()).map(Vec::len).sum()
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Upstream, upstream_address},
        route::catalog::ServiceEntry,
        store::Micros,
    };

    fn method(path: &str, streams: bool, rest: &[&str]) -> MethodEntry {
        MethodEntry {
            path: path.into(),
            client_streaming: false,
            server_streaming: streams,
            rest: rest.iter().map(|text| (*text).to_owned()).collect(),
            route: path.into(),
            variants: Vec::new(),
            tool: None,
        }
    }

    fn source(destination: Destination, service: &str, methods: Vec<MethodEntry>) -> Source {
        Source {
            address: if destination == Destination::Local { "" } else { "http://127.0.0.1:9000" }.into(),
            destination,
            services: vec![ServiceEntry {
                name: service.into(),
                methods: Some(methods),
                route: "".into(),
                variants: Vec::new(),
            }],
            files: None,
        }
    }

    fn catalog(books: Vec<MethodEntry>) -> Catalog {
        let mut catalog = Catalog::default();
        let own = "propylon.gateway.v1.HealthService";
        let ping = method(&format!("/{own}/Ping"), false, &["GET /ping"]);
        let check = method(&format!("/{own}/Check"), false, &["GET /health", "GET /api/v1/health"]);
        catalog.push(source(Destination::Local, own, vec![ping, check]));
        catalog.push(source(Destination::Upstream("books".into()), "b.v1.Books", books));
        catalog
    }

    fn config() -> Config {
        let books = Upstream::at("books", upstream_address("127.0.0.1:9000").unwrap());
        Config { upstreams: vec![books], ..Config::default() }
    }

    /// One that is there, one that is not.
    fn stores() -> [StoreHealth; 2] {
        let since = Micros::now();
        let down = State::Down { since, error: "connection refused".to_owned() };
        let store = |store, address: &str, state| StoreHealth {
            store,
            address: address.to_owned(),
            state,
            latency: None,
            answered: 0,
            failed: 0,
            outages: 0,
        };
        [
            store("database", "sqlite:data/propylon.db", State::Up { since }),
            store("redis", "redis://cache:6379/0", down),
        ]
    }

    #[test]
    fn a_person_sees_what_is_reachable() {
        let (config, catalog) = (config(), catalog(vec![method("/b.v1.Books/Get", false, &[])]));
        let address = ([0, 0, 0, 0], 8080).into();
        let words = Words { config: &config, catalog: &catalog, address, admin: None, stores: &stores() };
        let want = format!(
            "propylon {VERSION} is listening on http://0.0.0.0:8080\n
  speaks     gRPC, gRPC-Web, REST and MCP, on the one port
  services   1 of its own
  upstream   books  http://127.0.0.1:9000  does not answer yet; its methods appear when it does
  store      sqlite:data/propylon.db
  store      redis://cache:6379/0  is away: connection refused; accounts and keys come in when it is there
  pages      /  /docs  /redoc  /openapi.json
  health     /livez  /readyz  /health

  curl http://127.0.0.1:8080/ping
  grpcurl -plaintext 127.0.0.1:8080 list
"
        );
        assert_eq!(words.for_a_person(Paint::new(false)), want);
        assert!(words.for_a_person(Paint::new(true)).contains("\x1b["));
    }

    #[test]
    fn a_program_reads_one_line() {
        let (config, catalog) = (config(), catalog(vec![method("/b.v1.Books/Get", false, &[])]));
        let address = ([127, 0, 0, 1], 8080).into();
        let words = Words { config: &config, catalog: &catalog, address, admin: None, stores: &stores() };
        let line = words.for_a_program();
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["event"], &line["port"]), (&json!("listening"), &json!(8080)));
        assert_eq!(line["upstreams"][0]["name"], "books");
        let want = json!([
            { "name": "database", "address": "sqlite:data/propylon.db", "up": true },
            {
                "name": "redis", "address": "redis://cache:6379/0", "up": false,
                "error": "connection refused"
            }
        ]);
        assert_eq!(line["stores"], want);
        assert_eq!(
            (&line["upstreams"][0]["schema"], &line["upstreams"][0]["methods"]),
            (&json!(false), &json!(1))
        );
    }

    #[test]
    fn calls_are_of_a_method_that_can_be_called_as_it_is() {
        let config = config();
        let check = |books: Vec<MethodEntry>, want: &[&str]| {
            let catalog = catalog(books);
            let address = ([127, 0, 0, 1], 1).into();
            let words = Words { config: &config, catalog: &catalog, address, admin: None, stores: &[] };
            assert_eq!(words.calls(), want);
        };
        // Where there is none, it is the gateway itself that can be asked.
        let own = ["curl http://127.0.0.1:1/ping", "grpcurl -plaintext 127.0.0.1:1 list"];
        check(vec![], &own);
        check(vec![method("/b.v1.Books/Watch", true, &["GET /v1/watch"])], &own);
        let get = method("/b.v1.Books/Get", false, &["GET /v1/{name}", "POST /b.v1.Books/Get"]);
        let json = "-H 'content-type: application/json' -d '{}'";
        check(
            vec![get.clone()],
            &[
                &format!("curl {json} http://127.0.0.1:1/b.v1.Books/Get"),
                "grpcurl -plaintext -d '{}' 127.0.0.1:1 b.v1.Books/Get",
            ],
        );
        let list = method("/b.v1.Books/List", false, &["GET /v1/books"]);
        let want =
            ["curl http://127.0.0.1:1/v1/books", "grpcurl -plaintext -d '{}' 127.0.0.1:1 b.v1.Books/List"];
        check(vec![get, list], &want);
    }
}
