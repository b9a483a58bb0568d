//! The terms of each route: which of the config's rules hold there.

use std::{collections::HashMap, sync::Arc};

use tracing::warn;

use super::{Build, Face, Known};
use crate::{
    auth::{Access, Credentials, Entry, Pattern, Place, Rule, Rulebook, Terms},
    config::{self, Config, SchemaSource},
    schema::{Method, Template, Verb, bindings, did_you_mean},
};

/// The rules of a config, those of its routes among them.
pub(super) fn rulebook(config: &Config, knows_anybody: bool) -> Rulebook {
    let mut book = config.callers.rules.clone();
    if !knows_anybody {
        // Nobody could ever be an administrator: then `AdminService` itself decides, by where a call comes from.
        book.own.push(Entry {
            key: "default".into(),
            patterns: vec![Pattern::Service("propylon.gateway.v1.AdminService".to_owned())],
            what: Arc::new(Rule::public(
                "this machine alone: nobody can be known, so nobody is an administrator",
            )),
        });
    }
    for (number, route) in config.services.iter().enumerate() {
        let Some(rule) = &route.rules.access else { continue };
        let pattern = match (route.pattern.split_once('/'), route.pattern.strip_suffix('*')) {
            (Some(_), _) => Pattern::Method(route.pattern.clone()),
            (None, Some(prefix)) => Pattern::Package(prefix.to_owned()),
            (None, None) => Pattern::Service(route.pattern.clone()),
        };
        let key = format!("routes[{number}].access").into();
        book.access.push(Entry { key, patterns: vec![pattern], what: Arc::clone(rule) });
    }
    book
}

impl Build<'_> {
    /// The terms of a method whose schema is known.
    pub(super) fn terms_of(
        &mut self,
        face: &Face<'_>,
        method: &Method,
        upstream: Option<&config::Upstream>,
    ) -> Terms {
        let Some(method) = face.known.schema.method(method.path.as_str()) else { return nobody() };
        // The path that every method may have is its name over again, and is under the rules of its name.
        let (bindings, _) = bindings(method, &self.config.http_rules, false);
        let paths: Vec<(Verb, Arc<Template>)> =
            bindings.into_iter().map(|binding| (binding.verb, binding.template)).collect();
        let name = method.path.as_str().trim_start_matches('/');
        match self.terms(&Place { method: name, paths: &paths }, upstream) {
            Ok(terms) => terms,
            Err(why) => {
                self.mistake(face, why);
                nobody()
            }
        }
    }

    /// The terms of services whose schema is not known, or of one method of theirs.
    pub(super) fn terms_of_services(&mut self, pattern: &str, upstream: &config::Upstream) -> Terms {
        match self.terms(&Place { method: pattern, paths: &[] }, Some(upstream)) {
            Ok(terms) => terms,
            Err(why) => {
                self.mistakes.push(why);
                nobody()
            }
        }
    }

    fn terms(&mut self, place: &Place<'_>, upstream: Option<&config::Upstream>) -> Result<Terms, String> {
        let (access, limits) = self.rules.terms(place, upstream.is_none(), &mut self.used)?;
        let forward = upstream.is_some_and(|upstream| upstream.forward_credentials);
        Ok(Terms { access, limits, credentials: Arc::new(Credentials { forward, own: Vec::new() }) })
    }

    /// A rule that is about nothing is a mistake, once every schema is known. Where a schema comes by reflection, what it
    /// has today may be gone tomorrow: there it is said in the log.
    pub(super) fn unused_rules(&mut self, schemas: &HashMap<Arc<str>, Arc<Known>>) {
        let upstreams = &self.config.upstreams;
        if !upstreams.iter().all(|up| schemas.contains_key(&up.name) || up.schema == SchemaSource::Unknown) {
            return;
        }
        let strict = upstreams.iter().all(|up| !matches!(up.schema, SchemaSource::Reflection { .. }));
        let names: Vec<String> = schemas
            .values()
            .flat_map(|known| known.schema.methods())
            .map(|method| method.path.as_str().trim_start_matches('/').to_owned())
            .collect();
        for (key, pattern) in self.rules.unused(&self.used) {
            let near = did_you_mean(&pattern.to_string(), names.iter().map(String::as_str));
            let message = format!("{key}: {pattern} is about nothing that is served{near}");
            if strict {
                self.mistakes.push(message);
            } else {
                warn!("{message}");
            }
        }
    }
}

/// Terms on which nobody may call: what is not understood is not opened.
fn nobody() -> Terms {
    Terms { access: Access::all(Vec::new()), ..Terms::default() }
}
