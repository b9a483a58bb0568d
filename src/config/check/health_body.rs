//! `[rest.health]` checked: what the health bodies look like.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::Check;
use crate::{
    config::{document::path::child, mistake::Mistake, settings},
    health::Check as Figure,
    schema::nearest,
    surface::rest::health_body::{HealthBody, MIB, Member, Part, Services, Template},
};

/// The members of the body of `Check`.
const FIELDS: [&str; 9] =
    ["status", "timestamp", "version", "environment", "uptime", "services", "checks", "summary", "cache_hit"];
/// Those of a service, and of a check.
const OF_SERVICE: [&str; 3] = ["status", "latency_ms", "message"];
const OF_CHECK: [&str; 6] = ["name", "status", "message", "latency_ms", "details", "checked_at"];

impl Check<'_> {
    /// `None` where the bodies are as they are. `proto_names`: a member that is given no name has the proto file's.
    pub(super) fn health_body(
        &mut self,
        written: settings::HealthBody,
        proto_names: bool,
    ) -> Option<Arc<HealthBody>> {
        let settings::HealthBody {
            fields,
            service_fields,
            check_fields,
            whole_milliseconds,
            messages,
            details,
        } = written;
        let whole = |known: &[&str]| known.iter().map(|name| (*name).to_owned()).collect();
        let mut members = |key: &str, written: Option<Vec<String>>, known: &[&str]| {
            written.map(|names| self.members(&format!("rest.health.{key}"), &names, known, proto_names))
        };
        let fields = members("fields", fields, &FIELDS);
        let checks = members("check_fields", check_fields, &OF_CHECK);
        let services = match service_fields {
            None => Services::Whole,
            Some(settings::OneOrMore::One(name)) => {
                if !OF_SERVICE.contains(&name.as_str()) {
                    let mistake = Mistake::new("rest.health.service_fields", nothing("a service", &name));
                    self.found.push(mistake.near(&name, OF_SERVICE));
                }
                Services::Value(name.into())
            }
            Some(settings::OneOrMore::Several(names)) => {
                let path = "rest.health.service_fields";
                Services::Members(self.members(path, &names, &OF_SERVICE, proto_names))
            }
        };
        let messages = messages.into_iter().filter_map(|(name, text)| {
            let path = child("rest.health.messages", &name);
            let check = self.check_named(&path, &name)?;
            Some((name.into(), self.figures_text(&path, &text, check)?))
        });
        let messages: BTreeMap<Arc<str>, Template> = messages.collect();
        let mut all: BTreeMap<Arc<str>, Vec<(Arc<str>, Template)>> = BTreeMap::new();
        for (name, texts) in details {
            let path = child("rest.health.details", &name);
            let Some(check) = self.check_named(&path, &name) else { continue };
            let texts = texts.into_iter().filter_map(|(key, text)| {
                let template = self.figures_text(&child(&path, &key), &text, check)?;
                Some((key.into(), template))
            });
            all.insert(name.into(), texts.collect());
        }
        let body = HealthBody {
            fields,
            services,
            checks,
            whole_milliseconds: whole_milliseconds.unwrap_or_default(),
            messages,
            details: all,
        };
        if body == HealthBody::default() {
            return None;
        }
        if proto_names {
            return Some(Arc::new(body));
        }
        // What is written anew has all its names from here.
        let named = |known: &[&str]| {
            let names: Vec<String> = whole(known);
            names.iter().map(|name| member(name, name, proto_names)).collect()
        };
        Some(Arc::new(HealthBody {
            fields: body.fields.or_else(|| Some(named(&FIELDS))),
            services: match body.services {
                Services::Whole => Services::Members(named(&OF_SERVICE)),
                other => other,
            },
            checks: body.checks.or_else(|| Some(named(&OF_CHECK))),
            ..body
        }))
    }

    /// `NAME`, or `KEY=NAME`.
    fn members(&mut self, path: &str, written: &[String], known: &[&str], proto_names: bool) -> Vec<Member> {
        let mut keys = HashSet::new();
        let mut members = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let (key, field) = match text.split_once('=') {
                Some((key, field)) => (key.trim(), field.trim()),
                None => ("", text.as_str()),
            };
            if !known.contains(&field) {
                let what = if known.len() == FIELDS.len() { "the health body" } else { "it" };
                let message = if known.len() == FIELDS.len() {
                    format!("{what} has no {field:?}")
                } else {
                    nothing(if known == OF_SERVICE { "a service" } else { "a check" }, field)
                };
                self.found.push(Mistake::new(path, message).near(field, known.iter().copied()));
                continue;
            }
            let member = member(key, field, proto_names);
            if !keys.insert(Arc::clone(&member.key)) {
                self.found.add(path, format!("{:?} is there already", member.key));
                continue;
            }
            members.push(member);
        }
        members
    }

    fn check_named(&mut self, path: &str, name: &str) -> Option<Figure> {
        let found = Figure::ALL.into_iter().find(|check| check.name() == name);
        if found.is_none() {
            let known = Figure::ALL.map(Figure::name);
            let message = format!("{name:?} is no check; there are {}", known.join(", "));
            self.found.push(Mistake::new(path, message).near(name, known).of_key());
        }
        found
    }

    /// A text with places for the figures of a check.
    fn figures_text(&mut self, path: &str, written: &str, check: Figure) -> Option<Template> {
        let mut known: Vec<String> = vec!["message".to_owned()];
        for name in check.figures() {
            known.push((*name).to_owned());
            let (of_bytes, of_mib) = MIB;
            known.extend(name.strip_suffix(of_bytes).map(|name| format!("{name}{of_mib}")));
        }
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                let message = format!("the place \"${{{after}\" has no end: ${{name}}");
                self.found.add(path, message);
                return None;
            };
            if !before.is_empty() {
                parts.push(Part::Literal(before.into()));
            }
            if !known.iter().any(|known| known == name) {
                let near = nearest(name, known.iter().map(String::as_str));
                let message = format!(
                    "the check {} has no figure {name:?}; known are {}",
                    check.name(),
                    known.join(", ")
                );
                self.found.push(Mistake::new(path, message).meaning(near).within(format!("${{{name}}}")));
                return None;
            }
            parts.push(Part::Place(name.into()));
            rest = behind;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Some(Template(parts))
    }
}

fn nothing(of: &str, name: &str) -> String {
    format!("{of} has no {name:?}; NAME=VALUE names one otherwise")
}

/// A field under its own name, or its name in lowerCamelCase, unless it is given another.
fn member(key: &str, field: &str, proto_names: bool) -> Member {
    let key = match (key, proto_names) {
        ("", true) => field.to_owned(),
        ("", false) => camel(field),
        (key, false) if key == field => camel(field),
        (key, _) => key.to_owned(),
    };
    Member { key: key.into(), field: field.into() }
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let mut letters = part.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &capital.into_iter().chain(letters).collect::<String>()
    })
}
