//! What the bodies of `GET /health` and `GET /health/services` look like where a deployment has them otherwise: which members
//! there are and what they are called, of the whole, of each service and of each check; and the words and figures of the
//! process's own checks. Plain data; `[rest.health]` in the config.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Number, Value};

/// The bodies of one deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthBody {
    /// The members of the whole; all of them without.
    pub fields: Option<Vec<Member>>,
    pub services: Services,
    /// The members of each check; all of them without.
    pub checks: Option<Vec<Member>>,
    /// Milliseconds are whole numbers.
    pub whole_milliseconds: bool,
    /// The message of a check, by its name.
    pub messages: BTreeMap<Arc<str>, Template>,
    /// The details of a check, by its name: each with what it says.
    pub details: BTreeMap<Arc<str>, Vec<(Arc<str>, Template)>>,
}

/// What each service is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Services {
    /// All its members.
    #[default]
    Whole,
    Members(Vec<Member>),
    /// The value of one of them, in place of an object.
    Value(Arc<str>),
}

/// A member under the name that it has in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub key: Arc<str>,
    /// The field's name in the proto file.
    pub field: Arc<str>,
}

/// A text with places for figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal(Arc<str>),
    /// `${NAME}`: the figure of that name; `${NAME_mib}` is `NAME_bytes` in MiB, `${message}` what the check says itself.
    Place(Arc<str>),
}

/// What a figure in bytes is called in MiB.
pub const MIB: (&str, &str) = ("_bytes", "_mib");

impl HealthBody {
    /// Gives a body its members; `whole` has all, by their names in the proto file.
    #[must_use]
    pub fn shape(&self, whole: Value) -> Value {
        let Value::Object(mut whole) = whole else { return whole };
        if let Some(Value::Object(services)) = whole.get_mut("services") {
            services.values_mut().for_each(|service| *service = self.service(service.take()));
        }
        if let Some(Value::Array(checks)) = whole.get_mut("checks") {
            checks.iter_mut().for_each(|check| *check = self.check(check.take()));
        }
        Value::Object(match &self.fields {
            None => whole,
            Some(members) => chosen(&mut whole, members),
        })
    }

    fn service(&self, service: Value) -> Value {
        let Value::Object(mut service) = service else { return service };
        self.round(&mut service);
        match &self.services {
            Services::Whole => Value::Object(service),
            Services::Members(members) => Value::Object(chosen(&mut service, members)),
            Services::Value(field) => service.remove(&**field).unwrap_or(Value::Null),
        }
    }

    fn check(&self, check: Value) -> Value {
        let Value::Object(mut check) = check else { return check };
        self.round(&mut check);
        let name = check.get("name").and_then(Value::as_str).unwrap_or_default();
        // Why no calls are taken is not for other words.
        let troubled = name == "server" && check.get("status").and_then(Value::as_str) != Some("healthy");
        let (message, details) = (self.messages.get(name).filter(|_| !troubled), self.details.get(name));
        let message = message.map(|template| template.fill(&check));
        let details = details.map(|members| {
            let filled = members.iter().map(|(key, template)| (key.to_string(), template.fill(&check)));
            filled.collect::<Map<_, _>>()
        });
        if let Some(message) = message {
            check.insert("message".to_owned(), message);
        }
        if let Some(details) = details {
            check.insert("details".to_owned(), Value::Object(details));
        }
        Value::Object(match &self.checks {
            None => check,
            Some(members) => chosen(&mut check, members),
        })
    }

    fn round(&self, members: &mut Map<String, Value>) {
        if !self.whole_milliseconds {
            return;
        }
        if let Some(latency) = members.get_mut("latency_ms")
            && let Some(number) = latency.as_f64()
        {
            // It is no negative number, and none beyond a timeout.
            *latency = Value::Number(Number::from(number.round() as u64));
        }
    }
}

/// The members that are wanted; what is not there is left out.
fn chosen(whole: &mut Map<String, Value>, members: &[Member]) -> Map<String, Value> {
    let members = members.iter().filter_map(|Member { key, field }| Some((key, whole.get(&**field)?)));
    members.map(|(key, value)| (key.to_string(), value.clone())).collect()
}

impl Template {
    /// The text of a check; a place alone is the figure itself.
    fn fill(&self, check: &Map<String, Value>) -> Value {
        if let [Part::Place(name)] = &*self.0 {
            return figure(check, name);
        }
        let words = self.0.iter().map(|part| match part {
            Part::Literal(text) => text.to_string(),
            Part::Place(name) => match figure(check, name) {
                Value::String(text) => text,
                other => other.to_string(),
            },
        });
        words.collect::<String>().into()
    }
}

/// A figure; null where the check has none of the name.
fn figure(check: &Map<String, Value>, name: &str) -> Value {
    if name == "message" {
        return check.get("message").cloned().unwrap_or_default();
    }
    let details = |name: &str| check.get("details").and_then(|details| details.get(name));
    if let Some(found) = details(name) {
        return found.clone();
    }
    let (of_bytes, of_mib) = MIB;
    let bytes = name.strip_suffix(of_mib).and_then(|name| details(&format!("{name}{of_bytes}"))?.as_f64());
    bytes.map_or(Value::Null, |bytes| ((bytes / 1_048_576.0 * 100.0).round() / 100.0).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(names: &[(&str, &str)]) -> Vec<Member> {
        names.iter().map(|(key, field)| Member { key: (*key).into(), field: (*field).into() }).collect()
    }

    fn whole() -> Value {
        json!({
            "status": "healthy", "version": "1", "cache_hit": false,
            "services": {"a": {"status": "up", "latency_ms": 1.6}, "b": {"status": "down", "message": "is away"}},
            "checks": [
                {"name": "memory", "status": "healthy", "message": "fine", "latency_ms": 0.2,
                 "details": {"rss_bytes": 31_981_568.0, "used_percent": 3.5}},
                {"name": "cpu", "status": "healthy", "message": "idle", "latency_ms": 0.1, "details": {}},
            ],
        })
    }

    #[test]
    fn by_default_nothing_changes() {
        assert_eq!(HealthBody::default().shape(whole()), whole());
    }

    #[test]
    fn members_are_chosen_and_named() {
        let body = HealthBody {
            fields: Some(members(&[("status", "status"), ("services", "services"), ("none", "uptime")])),
            services: Services::Value("status".into()),
            ..HealthBody::default()
        };
        assert_eq!(body.shape(whole()), json!({"status": "healthy", "services": {"a": "up", "b": "down"}}));
        let body = HealthBody {
            fields: Some(members(&[("services", "services")])),
            services: Services::Members(members(&[("state", "status"), ("ms", "latency_ms")])),
            whole_milliseconds: true,
            ..HealthBody::default()
        };
        let want = json!({"services": {"a": {"state": "up", "ms": 2}, "b": {"state": "down"}}});
        assert_eq!(body.shape(whole()), want);
    }

    #[test]
    fn a_check_says_its_figures_in_other_words() {
        let place = |name: &str| Part::Place(name.into());
        let text = |parts: Vec<Part>| Template(parts);
        let percent = text(vec![
            Part::Literal("Memory usage: ".into()),
            place("used_percent"),
            Part::Literal("%".into()),
        ]);
        let details = vec![
            ("heap".into(), text(vec![place("rss_mib"), Part::Literal("MB".into())])),
            ("percent".into(), text(vec![place("used_percent")])),
            ("said".into(), text(vec![place("message")])),
            ("none".into(), text(vec![place("other")])),
        ];
        let body = HealthBody {
            fields: Some(members(&[("checks", "checks")])),
            checks: Some(members(&[
                ("name", "name"),
                ("message", "message"),
                ("latency", "latency_ms"),
                ("details", "details"),
            ])),
            messages: BTreeMap::from([("memory".into(), percent)]),
            details: BTreeMap::from([("memory".into(), details)]),
            ..HealthBody::default()
        };
        let want = json!({"checks": [
            {"name": "memory", "message": "Memory usage: 3.5%", "latency": 0.2,
             "details": {"heap": "30.5MB", "percent": 3.5, "said": "fine", "none": null}},
            {"name": "cpu", "message": "idle", "latency": 0.1, "details": {}},
        ]});
        assert_eq!(body.shape(whole()), want);
    }
}
