//! A contract file: the cases that one of the reference systems promises, as data. Its format is told in
//! `tests/contracts/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One system's contract.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contract {
    pub(super) system: String,
    /// Where its document is: of interest to readers alone.
    #[serde(rename = "reference")]
    _reference: String,
    /// The config that makes the gateway that system.
    pub(super) preset: String,
    /// The variables that the document starts it with.
    pub(super) environment: BTreeMap<String, String>,
    #[serde(rename = "documented_ports", default)]
    _documented_ports: Value,
    #[serde(rename = "routes", default)]
    _routes: Value,
    #[serde(rename = "documented_defaults", default)]
    _documented_defaults: Value,
    #[serde(rename = "listens", default)]
    _listens: Value,
    #[serde(rename = "stand_ins")]
    _stand_ins: Value,
    #[serde(rename = "fixtures")]
    _fixtures: Value,
    pub(super) cases: Vec<Case>,
}

/// One case: what is sent, and what comes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<Value>,
    pub(super) body_text: Option<String>,
    /// So many bytes as its body.
    pub(super) body_bytes: Option<usize>,
    pub(super) expect: Map<String, Value>,
    #[serde(default)]
    pub(super) needs: Vec<Map<String, Value>>,
    #[serde(default)]
    pub(super) save: BTreeMap<String, String>,
    #[serde(default = "once")]
    pub(super) repeat: usize,
    #[serde(default)]
    pub(super) concurrent: bool,
    pub(super) kind: Option<String>,
    pub(super) rate: Option<u32>,
    pub(super) duration_s: Option<u32>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "note")]
    _note: Option<String>,
    /// What the product says where it says otherwise than the document: the document holds, unless this is said here.
    #[serde(rename = "spec_says")]
    _spec_says: Option<Value>,
    #[serde(rename = "optional", default)]
    _optional: bool,
}

fn once() -> usize {
    1
}

impl Contract {
    /// Reads `tests/contracts/NAME.yaml`.
    pub(super) fn read(name: &str) -> Self {
        let file = crate::support::tools::package().join(format!("tests/contracts/{name}.yaml"));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}

impl Case {
    /// What it needs under a name, if it does.
    pub(super) fn need(&self, name: &str) -> Option<&Value> {
        self.needs.iter().find_map(|need| need.get(name))
    }
}

/// What `${name}` stands for, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(pub(super) BTreeMap<String, String>);

impl Names {
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// A text with every `${name}` replaced; what a case before should have kept, and has not, stays as it is.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) =
                after.split_once('}').unwrap_or_else(|| panic!("{text}: a place without end"));
            out.push_str(before);
            match (self.0.get(name), name.strip_prefix("bytes:")) {
                (_, Some(bytes)) => out.push_str(&"x".repeat(bytes.parse().expect("a number of bytes"))),
                (Some(value), _) => out.push_str(value),
                (None, _) => out.extend(["${", name, "}"]),
            }
            rest = behind;
        }
        out + rest
    }

    /// A value in which `$same:name` is the text that is kept under that name.
    pub(super) fn same(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix("$same:") {
                // A case that failed keeps nothing: those after it fail too, and all are told.
                Some(name) => match self.0.get(name) {
                    Some(kept) => kept.clone().into(),
                    None => format!("what an earlier case should have kept as {name}").into(),
                },
                None => value.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.same(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.same(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// The same, of each text in a value.
    pub(super) fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill(text).into(),
            Value::Array(items) => items.iter().map(|item| self.fill_value(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.fill_value(value))).collect()
            }
            other => other.clone(),
        }
    }
}
