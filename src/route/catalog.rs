//! The catalogue: what is served, by whom, and the schema files behind it. The snapshot builds it when the config or an
//! upstream's schema changes; the routing, health and reflection services answer from it. Plain data.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Destination, Route, Routes, Weighted};
use crate::schema::{self, File, Files, Schema};

/// What is served: the gateway's own services first, then each upstream's in the order of the config.
#[derive(Debug, Default)]
pub struct Catalog {
    sources: Vec<Source>,
    /// The source that serves a service, by the service's full name.
    owners: HashMap<Arc<str>, usize>,
    conflicts: Vec<Conflict>,
    paths: Vec<PathEntry>,
    pages: Vec<Arc<str>>,
    mcp: Vec<Arc<str>>,
    mcp_servers: Vec<McpServerEntry>,
}

/// A federated MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServerEntry {
    pub name: Arc<str>,
    /// Its URL, or the program that it is.
    pub address: String,
    /// How many of its tools are shown; `None` while it is away.
    pub tools: Option<usize>,
    /// The names of its routes.
    pub routes: Vec<Arc<str>>,
}

/// A path that is answered by what the config says.
#[derive(Debug, Clone)]
pub struct PathEntry {
    /// HTTP methods, sorted; `*` for any.
    pub verbs: Vec<Arc<str>>,
    pub template: Arc<str>,
    /// What a request is, beside its path, in words; empty where it may be any.
    pub when: Vec<String>,
    /// At least one, each with its weight.
    pub destinations: Vec<(u32, Destination)>,
    /// The name of its route.
    pub route: Arc<str>,
}

/// Where some services come from.
#[derive(Debug)]
pub struct Source {
    pub destination: Destination,
    /// Where calls go, such as `http://127.0.0.1:50051`; empty for the gateway's own services.
    pub address: Arc<str>,
    pub services: Vec<ServiceEntry>,
    /// The files of its schema; `None` while that is not known.
    pub files: Option<Files>,
}

/// One service.
#[derive(Debug, Clone)]
pub struct ServiceEntry {
    /// Its full name, or a pattern that ends in `*` where the schema is not known.
    pub name: Arc<str>,
    /// In the order of the file; `None` where the schema is not known.
    pub methods: Option<Vec<MethodEntry>>,
    /// The name of the route of a service whose schema is not known; empty for others, whose methods have one each.
    pub route: Arc<str>,
    /// Where some of its calls go, in words; of a service whose schema is not known.
    pub variants: Vec<String>,
}

/// One method of a service whose schema is known.
#[derive(Debug, Clone)]
pub struct MethodEntry {
    /// `/package.Service/Method`
    pub path: Arc<str>,
    pub client_streaming: bool,
    pub server_streaming: bool,
    /// Its REST bindings, each as `GET /v1/{name=shelves/*}`.
    pub rest: Vec<String>,
    /// The name of its route.
    pub route: Arc<str>,
    /// Where some of its calls go, in words (see [`variants`]).
    pub variants: Vec<String>,
    /// The name of the tool that it is to agents, if it is one.
    pub tool: Option<Arc<str>>,
}

/// What a list says of a method beside what its schema says.
#[derive(Debug, Clone, Default)]
pub struct Described {
    pub route: Arc<str>,
    pub rest: Vec<String>,
    pub variants: Vec<String>,
    pub tool: Option<Arc<str>>,
}

/// A file name that stands for different contents in two sources. By name the first is answered; a symbol is answered
/// with the files of the source that serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub file: String,
    /// The name of the source whose file is answered.
    pub first: String,
    /// The name of the other source.
    pub second: String,
}

/// Services that every server has for itself: an upstream's are never shown as the gateway's.
pub const EVERY_SERVERS_OWN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

impl Catalog {
    /// Adds a source behind those already there. An upstream's own health and reflection services are left out, and
    /// so is a service that an earlier source serves: calls go to the first.
    pub fn push(&mut self, mut source: Source) {
        let index = self.sources.len();
        let upstream = source.destination != Destination::Local;
        source.services.retain(|service| {
            let own = upstream && EVERY_SERVERS_OWN.contains(&&*service.name);
            !own && !self.owners.contains_key(&service.name)
        });
        for service in &source.services {
            self.owners.insert(Arc::clone(&service.name), index);
        }
        self.conflicts.extend(self.conflicts_with(&source));
        self.sources.push(source);
    }

    /// The names of all routes, by which their calls are counted, the templates of bindings among them.
    #[must_use]
    pub fn route_names(&self) -> HashSet<Arc<str>> {
        let services = || self.sources.iter().flat_map(|source| &source.services);
        let methods = || services().filter_map(|service| service.methods.as_ref()).flatten();
        let template = |binding: &String| binding.split_once(' ').map(|(_, template)| Arc::from(template));
        let paths = self.paths.iter().flat_map(|path| [&path.template, &path.route]);
        let mut names: HashSet<Arc<str>> = paths.chain(&self.pages).chain(&self.mcp).cloned().collect();
        names.extend(self.mcp_servers.iter().flat_map(|server| &server.routes).cloned());
        names.extend(services().map(|service| Arc::clone(&service.route)));
        names.extend(methods().flat_map(|method| [&method.path, &method.route]).cloned());
        names.extend(methods().flat_map(|method| method.rest.iter().filter_map(template)));
        names
    }

    /// Adds a path that is answered by what the config says.
    pub fn push_path(&mut self, path: PathEntry) {
        self.paths.push(path);
    }

    /// The paths that are answered by what the config says, in its order.
    #[must_use]
    pub fn paths(&self) -> &[PathEntry] {
        &self.paths
    }

    /// Adds the path of one of the gateway's own pages.
    pub fn push_page(&mut self, path: &str) {
        self.pages.push(path.into());
    }

    /// The paths of the gateway's own pages.
    #[must_use]
    pub fn pages(&self) -> &[Arc<str>] {
        &self.pages
    }

    /// Adds a federated MCP server.
    pub fn push_mcp_server(&mut self, server: McpServerEntry) {
        self.mcp_servers.push(server);
    }

    /// The federated MCP servers, in the order of the config.
    #[must_use]
    pub fn mcp_servers(&self) -> &[McpServerEntry] {
        &self.mcp_servers
    }

    /// Says where an endpoint of MCP's is; the first is that for everybody.
    pub fn push_mcp(&mut self, path: &str) {
        self.mcp.push(path.into());
    }

    /// Where MCP's endpoint is, if there is one.
    #[must_use]
    pub fn mcp(&self) -> Option<&str> {
        self.mcps().next()
    }

    /// Where all of MCP's endpoints are.
    pub fn mcps(&self) -> impl Iterator<Item = &str> {
        self.mcp.iter().map(|path| &**path)
    }

    /// All sources in their order.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every service with its source, in the order of the sources.
    pub fn services(&self) -> impl Iterator<Item = (&Source, &ServiceEntry)> {
        self.sources.iter().flat_map(|source| source.services.iter().map(move |service| (source, service)))
    }

    /// The index of the source that serves a service, by the service's full name.
    #[must_use]
    pub fn owner(&self, service: &str) -> Option<usize> {
        self.owners.get(service).copied()
    }

    /// The files of different contents and one name.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    fn conflicts_with(&self, source: &Source) -> Vec<Conflict> {
        let Some(files) = &source.files else { return Vec::new() };
        let own = |file: &File| {
            let declares = |service: &&str| files.by_symbol(service).is_some_and(|f| f.name == file.name);
            EVERY_SERVERS_OWN.iter().any(declares)
        };
        // Clients have their own copies of google/protobuf, in as many versions as there are compilers.
        let compared = files.iter().filter(|file| !file.name.starts_with("google/protobuf/") && !own(file));
        let mut conflicts = Vec::new();
        for file in compared {
            let earlier = self
                .sources
                .iter()
                .find_map(|earlier| Some((earlier, earlier.files.as_ref()?.by_name(&file.name)?)));
            if let Some((earlier, first)) = earlier
                && !first.declares_the_same(file)
            {
                conflicts.push(Conflict {
                    file: file.name.clone(),
                    first: earlier.name().to_owned(),
                    second: source.name().to_owned(),
                });
            }
        }
        conflicts
    }
}

impl Source {
    /// A source whose schema is known. `describe` says of a method what its schema does not.
    pub fn of(
        destination: Destination,
        address: impl Into<Arc<str>>,
        schema: &Schema,
        mut describe: impl FnMut(&schema::Method) -> Described,
    ) -> Self {
        let mut method = |method: &Arc<schema::Method>| {
            let Described { route, rest, variants, tool } = describe(method);
            MethodEntry {
                path: method.path.as_str().into(),
                client_streaming: method.client_streaming,
                server_streaming: method.server_streaming,
                rest,
                route,
                variants,
                tool,
            }
        };
        let services = schema.services().iter().map(|service| ServiceEntry {
            name: Arc::clone(&service.full_name),
            methods: Some(service.methods.iter().map(&mut method).collect()),
            route: Arc::default(),
            variants: Vec::new(),
        });
        let services = services.collect();
        Self { destination, address: address.into(), services, files: Some(Files::of(schema)) }
    }

    /// A source whose schema is not known: services by pattern, each with the name of its route and its variants.
    pub fn unknown(
        destination: Destination,
        address: impl Into<Arc<str>>,
        patterns: impl IntoIterator<Item = (Arc<str>, Arc<str>, Vec<String>)>,
    ) -> Self {
        let entry = |(name, route, variants)| ServiceEntry { name, methods: None, route, variants };
        let services = patterns.into_iter().map(entry).collect();
        Self { destination, address: address.into(), services, files: None }
    }

    /// `built-in`, or the upstream's name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.destination {
            Destination::Local | Destination::Page | Destination::Nothing => "built-in",
            Destination::Upstream(name) | Destination::McpServer(name) => name,
            Destination::Proxy(proxy) => &proxy.upstream,
            Destination::Respond(_) | Destination::Redirect(_) => "config",
        }
    }
}

/// Where the calls of routes go that are not for all of one method or service to one place, each in words.
#[must_use]
pub fn variants(routes: &Routes) -> Vec<String> {
    let to = |routes: &Weighted<Route>| {
        let all: Vec<_> = routes.iter().map(|(weight, route)| (weight, &route.destination)).collect();
        shares(all.into_iter())
    };
    let some =
        routes.when().iter().map(|(when, routes)| format!("{}: {}", when.words().join(", "), to(routes)));
    let several = routes.always().into_iter().filter(|routes| routes.iter().count() > 1);
    some.chain(several.map(to)).collect()
}

/// Where something leads, in words; of several places each with its weight.
pub fn shares<'a>(shares: impl Iterator<Item = (u64, &'a Destination)> + Clone) -> String {
    let name = |destination: &Destination| match destination {
        Destination::Respond(respond) => respond.status.as_u16().to_string(),
        Destination::Redirect(redirect) => redirect.to.to_string(),
        Destination::Proxy(proxy) => proxy.upstream.to_string(),
        Destination::Local | Destination::Page | Destination::Nothing => String::new(),
        Destination::Upstream(name) | Destination::McpServer(name) => name.to_string(),
    };
    let several = shares.clone().count() > 1;
    let one = |(weight, destination)| match several {
        true => format!("{} ({weight})", name(destination)),
        false => name(destination),
    };
    shares.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose one file `shared.proto` holds a message of `fields` fields, and `services` without methods.
    fn source(name: &str, services: &[&str], fields: &[&str]) -> Source {
        let mut text = String::from("syntax = \"proto3\"; message M {");
        for (number, field) in fields.iter().enumerate() {
            text.push_str(&format!("string {field} = {};", number + 1));
        }
        text.push('}');
        let file = protox::file::File::from_source("shared.proto", &text).unwrap();
        let schema =
            Schema::from_files([prost::Message::encode_to_vec(file.file_descriptor_proto())]).unwrap();
        let destination = Destination::Upstream(name.into());
        let mut source = Source::of(destination, "", &schema, |_| Described::default());
        source.services = services
            .iter()
            .map(|name| ServiceEntry {
                name: (*name).into(),
                methods: Some(Vec::new()),
                route: Arc::default(),
                variants: Vec::new(),
            })
            .collect();
        source
    }

    #[test]
    fn the_first_source_serves_and_an_upstreams_own_services_are_left_out() {
        let mut catalog = Catalog::default();
        catalog.push(source("one", &["a.A", "grpc.health.v1.Health"], &[]));
        catalog.push(source("two", &["b.B", "a.A", "grpc.reflection.v1alpha.ServerReflection"], &[]));
        let services: Vec<_> = catalog.services().map(|(s, entry)| (s.name(), &*entry.name)).collect();
        assert_eq!(services, [("one", "a.A"), ("two", "b.B")]);
        let check = |service: &str, want| assert_eq!(catalog.owner(service), want, "{service}");
        check("a.A", Some(0));
        check("b.B", Some(1));
        check("grpc.health.v1.Health", None);
        check("", None);
    }

    #[test]
    fn a_conflict_is_a_name_of_different_contents() {
        let mut catalog = Catalog::default();
        catalog.push(source("one", &[], &["a", "b"]));
        catalog.push(source("two", &[], &["a", "b"]));
        assert_eq!(catalog.conflicts(), []);
        catalog.push(source("three", &[], &["a"]));
        let conflict = Conflict { file: "shared.proto".into(), first: "one".into(), second: "three".into() };
        assert_eq!(catalog.conflicts(), [conflict]);
    }
}
