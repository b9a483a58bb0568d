//! The OpenAPI 3.1 document of what is served over REST: every binding of the gateway's own services and of upstreams, the
//! gateway's pages, and the routes that answer by themselves. Pure: from the bindings and the config to utoipa's types.
//!
//! What OpenAPI has no word for (a binding with the verb PROPFIND), and what no request finds, is listed under
//! `x-omitted-bindings`, with the reason.

mod errors;
mod headers;
mod health_body;
mod operation;
mod pages;
mod parameters;
mod path;
mod schema;
mod security;
mod tags;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};
use utoipa::openapi::{
    ComponentsBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Server,
    extensions::Extensions,
    path::{Operation, Paths},
};

use crate::{
    auth::{Access, Terms},
    config::Config,
    schema::{Binding, Template, Verb},
    services::accounts,
    surface::rest::{Kept, health_body::HealthBody},
    transcode::{
        JsonInput, JsonStyle,
        json_schema::{Settings, Walker},
    },
};

/// One binding to be written.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    pub binding: &'a Binding,
    pub style: JsonStyle,
    pub input: JsonInput,
    /// The upstream that answers; `None` for the gateway's own services.
    pub upstream: Option<Arc<str>>,
    /// What its replies look like where that is not as their message has it.
    pub body: Option<Arc<HealthBody>>,
    /// Who may call it.
    pub access: &'a Access,
    /// False where others take each of its paths.
    pub reached: bool,
}

/// On what terms pages and routes that no service stands behind may be called, by their names.
pub type Answers<'a> = HashMap<&'a str, &'a Terms>;

/// A document as it is served.
#[derive(Debug)]
pub struct Document {
    pub json: Kept,
    /// Changes with the document: an `ETag` with its quotes.
    pub etag: String,
}

impl Document {
    /// Writes the document of `listed`, in their order.
    #[must_use]
    pub fn new<'a>(
        config: &Config,
        listed: impl IntoIterator<Item = Listed<'a>>,
        answers: &Answers<'_>,
    ) -> Self {
        let document = document(config, listed, answers);
        // Its types hold nothing that JSON cannot say.
        let mut value = serde_json::to_value(&document).unwrap_or_default();
        settle(&mut value);
        let json = serde_json::to_vec(&value).unwrap_or_default();
        let etag = format!("\"{:016x}\"", fnv(&json));
        Self { json: Kept::new(json.into()), etag }
    }

    /// The same, for people to read; of a gateway at these addresses, where any are given.
    #[must_use]
    pub fn pretty(&self, servers: &[String]) -> String {
        let mut value: Value = serde_json::from_slice(self.json.plain()).unwrap_or_default();
        if !servers.is_empty() {
            value["servers"] = servers.iter().map(|url| json!({ "url": url })).collect();
        }
        format!("{value:#}")
    }
}

/// The document of `listed`, in their order.
#[must_use]
pub fn document<'a>(
    config: &Config,
    listed: impl IntoIterator<Item = Listed<'a>>,
    answers: &Answers<'_>,
) -> OpenApi {
    let mut writer = Writer {
        config,
        paths: path::Paths::default(),
        items: Paths::default(),
        schemas: BTreeMap::new(),
        tags: tags::Tags::default(),
        omitted: Vec::new(),
    };
    // Those of one source and one style share their definitions.
    let mut groups: Vec<Vec<Listed<'a>>> = Vec::new();
    let mut places: HashMap<(Option<Arc<str>>, String), usize> = HashMap::new();
    for one in listed {
        let key = (one.upstream.clone(), format!("{:?}{:?}", one.style, one.input));
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.push(one);
        }
    }
    for group in groups {
        writer.group(&group);
    }
    pages::add(&mut writer, answers);
    writer.finish()
}

/// A document in the making.
struct Writer<'a> {
    config: &'a Config,
    paths: path::Paths,
    items: Paths,
    schemas: BTreeMap<String, Value>,
    tags: tags::Tags,
    omitted: Vec<Value>,
}

impl Writer<'_> {
    /// Adds the bindings of one source.
    fn group(&mut self, group: &[Listed<'_>]) {
        let Some(first) = group.first() else { return };
        let settings = |suffix: String| Settings {
            style: first.style,
            ignore_unknown: first.input.ignore_unknown,
            plain: false,
            references: "#/components/schemas/",
            suffix,
            // Of an upstream's fields nobody here knows more than its schema says.
            forms: if first.upstream.is_none() { accounts::form } else { |_| None },
        };
        let mut walker = Walker::new(settings(String::new()));
        let (mut operations, omitted) = self.operations(&mut walker, group);
        self.omitted.extend(omitted);
        let mut definitions = walker.definitions();
        let differs = |(name, schema): (&String, &Value)| {
            self.schemas.get(name).is_some_and(|known| known != schema)
                || [errors::ERROR, errors::STREAM_ERROR].contains(&name.as_str())
        };
        if definitions.iter().any(differs) {
            // Another source has other messages of these names: all of this one's get a name of their own.
            let source = first.upstream.as_deref().unwrap_or("gateway");
            let source = source.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            let mut walker = Walker::new(settings(format!("-{source}")));
            operations = self.operations(&mut walker, group).0;
            definitions = walker.definitions();
        }
        self.schemas.extend(definitions);
        for Made { path, verb, operation } in operations {
            self.put(&path, verb, operation, &headers::OF_METHODS);
        }
        let mut comments = Walker::new(settings(String::new()));
        for one in group {
            let service = one.binding.method.descriptor.parent_service();
            self.tags.put(service.full_name(), one.upstream.is_none(), || {
                comments.comments().of(&service.parent_file(), service.path())
            });
        }
    }

    /// The operations of bindings, and the bindings that can be none.
    fn operations(&mut self, walker: &mut Walker, group: &[Listed<'_>]) -> (Vec<Made>, Vec<Value>) {
        let mut made = Vec::with_capacity(group.len());
        let mut bindings_of: HashMap<&str, usize> = HashMap::new();
        let mut omitted = Vec::new();
        for one in group {
            let binding = one.binding;
            let name = &*binding.method.full_name;
            let number = bindings_of.entry(name).or_default();
            *number += 1;
            let id = match (*number, binding.implicit) {
                (1, false) => name.to_owned(),
                (number, false) => format!("{name}-{number}"),
                (_, true) => format!("{name}-rpc"),
            };
            let verb = match http_method(&binding.verb) {
                Some(verb) if one.reached => verb,
                unsaid => {
                    let shadowed = unsaid.map(|_| "another binding takes every path that it has");
                    omitted.push(omission(&binding.verb, &binding.template, name, shadowed));
                    continue;
                }
            };
            let path = self.paths.path(&binding.template, |index| {
                let fields = binding.variables.get(index).map(|variable| variable.fields.as_slice());
                fields.unwrap_or_default().iter().map(|field| walker.name(field)).collect()
            });
            let operation = operation::operation(walker, one, &path, id, self.config);
            made.push(Made { path: path.text, verb, operation });
        }
        (made, omitted)
    }

    /// Enters an operation; what is there already was matched first, and stays. `headers`: the parameters of its path,
    /// which are all its operations'.
    fn put(&mut self, path: &str, verb: HttpMethod, operation: Operation, headers: &[&str]) {
        if self.items.get_path_operation(path, verb.clone()).is_none() {
            self.items.add_path_operation(path, vec![verb], operation);
        }
        if let Some(item) = self.items.paths.get_mut(path) {
            // utoipa's parameters know no reference.
            item.extensions = Some(Extensions::from_iter([("parameters", headers::taken(headers))]));
        }
    }

    fn finish(mut self) -> OpenApi {
        let config = self.config;
        self.schemas
            .extend(errors::schemas(&config.rest.profile).map(|(name, schema)| (name.to_owned(), schema)));
        let mut components = ComponentsBuilder::new()
            .schemas_from_iter(self.schemas.iter().map(|(name, value)| (name, schema::schema(value))))
            .responses_from_iter(errors::responses(&config.rest.profile))
            .extensions(Some(Extensions::from_iter([
                ("parameters", headers::parameters()),
                ("headers", headers::headers()),
            ])));
        for (name, scheme) in security::schemes(config) {
            components = components.security_scheme(name, scheme);
        }
        let version = config.rest.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
        let info = InfoBuilder::new()
            .title(&*config.rest.title)
            .version(version)
            .description(Some(&*config.rest.description).filter(|text| !text.is_empty()))
            .build();
        let omitted = (!self.omitted.is_empty())
            .then(|| Extensions::from_iter([("x-omitted-bindings", Value::from(self.omitted))]));
        let mut document = OpenApiBuilder::new()
            .info(info)
            .servers(Some([Server::new("/")]))
            .paths(self.items)
            .components(Some(components.build()))
            .tags(Some(self.tags.sorted()))
            .build();
        document.extensions = omitted;
        document
    }
}

/// An operation and its place.
struct Made {
    path: String,
    verb: HttpMethod,
    operation: Operation,
}

/// A binding, or a route, that OpenAPI cannot say.
fn omission(verb: &Verb, template: &Template, name: &str, shadowed: Option<&str>) -> Value {
    let reason = match verb {
        _ if shadowed.is_some() => shadowed.unwrap_or_default().to_owned(),
        Verb::Any => "it takes every verb that no other binding of its path has".to_owned(),
        verb => format!("OpenAPI 3.1 has no word for the verb {verb}"),
    };
    json!({"verb": verb.as_str(), "path": template.as_str(), "name": name, "reason": reason})
}

fn http_method(verb: &Verb) -> Option<HttpMethod> {
    Some(match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Put => HttpMethod::Put,
        Verb::Post => HttpMethod::Post,
        Verb::Delete => HttpMethod::Delete,
        Verb::Patch => HttpMethod::Patch,
        Verb::Custom(name) => match name.as_str() {
            "HEAD" => HttpMethod::Head,
            "OPTIONS" => HttpMethod::Options,
            "TRACE" => HttpMethod::Trace,
            _ => return None,
        },
        Verb::Any => return None,
    })
}

/// Puts what utoipa has no word for, and keeps in a hash map, in one order: the same document is the same text.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let unsettled = |name: &str| {
                let known = [
                    "allOf",
                    "deprecated",
                    "headers",
                    "maximum",
                    "oneOf",
                    "parameters",
                    "readOnly",
                    "writeOnly",
                ];
                known.contains(&name) || name.starts_with("x-")
            };
            let mut names: Vec<String> = members.keys().filter(|name| unsettled(name)).cloned().collect();
            if names.len() > 1 {
                names.sort_unstable();
                for name in names {
                    if let Some(inner) = members.shift_remove(&name) {
                        members.insert(name, inner);
                    }
                }
            }
            members.values_mut().for_each(settle);
        }
        Value::Array(all) => all.iter_mut().for_each(settle),
        _ => {}
    }
}

/// FNV-1a: no secret, only a change to be seen.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
