//! What a text is to a type of variables: a value of it or not, and which. Every look is bounded in time and memory, whatever
//! the text and the pattern are. The words of the answers are those that clients of this system know.

mod builtin;
mod json;
mod pattern;
mod yaml;

use prost_types::{ListValue, Struct, Value, value::Kind};

pub(super) use self::{builtin::Builtin, pattern::Pattern};

/// The longest text that is looked at, in bytes.
pub(super) const MOST_TEXT: usize = 64 << 10;
/// The deepest value that is read out of a text: as deep as what playbooks keep.
const MOST_LEVELS: usize = super::content::MOST_LEVELS;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) valid: bool,
    pub(super) message: String,
    /// What the text stands for.
    pub(super) parsed: Option<Value>,
}

impl Verdict {
    /// What a reader has read, or why it could not.
    fn read(read: Result<Value, String>) -> Self {
        match read {
            Ok(value) => Self { valid: true, message: "Validation réussie".to_owned(), parsed: Some(value) },
            Err(why) => Self { valid: false, message: format!("Erreur de validation: {why}"), parsed: None },
        }
    }

    /// What came of a regular expression.
    fn matched(matches: bool, text: &str) -> Self {
        match matches {
            true => Self { valid: true, message: "Match".to_owned(), parsed: Some(string(text)) },
            false => Self { valid: false, message: "Format invalide".to_owned(), parsed: None },
        }
    }
}

/// JSON as a value; `None` of what stands for nothing, or is too deep to be shown.
pub(super) fn value_of(json: serde_json::Value) -> Option<Value> {
    if json.is_null() { None } else { json::converted(json, 1).ok() }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn string(text: &str) -> Value {
    value(Kind::StringValue(text.to_owned()))
}

fn list(values: Vec<Value>) -> Value {
    value(Kind::ListValue(ListValue { values }))
}

fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    value(Kind::StructValue(Struct { fields: fields.into_iter().collect() }))
}

fn too_deep() -> String {
    format!("it is nested too deeply: at most {MOST_LEVELS} levels are read")
}
