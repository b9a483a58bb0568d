//! The types that are always there.

use prost_types::{Value, value::Kind};

use super::{Verdict, json, string, value, yaml};

/// A type that nobody needs to define.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::automation) enum Builtin {
    String,
    Int,
    Bool,
    List,
    Dict,
}

impl Builtin {
    pub(in crate::automation) const ALL: [Self; 5] =
        [Self::String, Self::Int, Self::Bool, Self::List, Self::Dict];

    pub(in crate::automation) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::List => "list",
            Self::Dict => "dict",
        }
    }

    pub(in crate::automation) fn label(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Int => "Integer",
            Self::Bool => "Boolean",
            Self::List => "List",
            Self::Dict => "Dictionary",
        }
    }

    pub(in crate::automation) fn description(self) -> &'static str {
        match self {
            Self::String => "Any text.",
            Self::Int => "A whole number.",
            Self::Bool => "true or false; also yes, no, on, off, 1 and 0, in any case.",
            Self::List => "A list, in JSON or YAML.",
            Self::Dict => "A mapping, in JSON or YAML.",
        }
    }

    pub(in crate::automation) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether a text is a value.
    pub(in crate::automation) fn verdict(self, text: &str) -> Verdict {
        Verdict::read(match self {
            Self::String => Ok(string(text)),
            Self::Int => int(text.trim()),
            Self::Bool => bool(text.trim()),
            Self::List => collection(text, "list", |kind| matches!(kind, Kind::ListValue(_))),
            Self::Dict => collection(text, "mapping", |kind| matches!(kind, Kind::StructValue(_))),
        })
    }
}

/// Whole numbers of any size; one that a double does not hold stays a text.
fn int(text: &str) -> Result<Value, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it is no whole number".to_owned());
    }
    let exact = text.parse::<i64>().ok().filter(|number| number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS);
    Ok(exact.map_or_else(|| string(text), |number| value(Kind::NumberValue(number as f64))))
}

fn bool(text: &str) -> Result<Value, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(value(Kind::BoolValue(true))),
        "false" | "no" | "off" | "0" => Ok(value(Kind::BoolValue(false))),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// JSON where it begins as JSON does, else YAML, which says better what is wrong with what is neither.
fn collection(text: &str, what: &str, fits: impl Fn(&Kind) -> bool) -> Result<Value, String> {
    let read = match text.trim_start().starts_with(['[', '{']) {
        true => json::read(text).or_else(|_| yaml::read(text))?,
        false => yaml::read(text)?,
    };
    if read.kind.as_ref().is_some_and(fits) { Ok(read) } else { Err(format!("it is no {what}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_values_or_not() {
        let check = |builtin: Builtin, text: &str, want: Option<Kind>| {
            let verdict = builtin.verdict(text);
            assert_eq!(
                (verdict.valid, verdict.parsed.and_then(|value| value.kind)),
                (want.is_some(), want),
                "{text}"
            );
        };
        let number = |number| Some(Kind::NumberValue(number));
        check(Builtin::String, "", Some(Kind::StringValue(String::new())));
        check(Builtin::Int, "42", number(42.0));
        check(Builtin::Int, " -7 ", number(-7.0));
        check(Builtin::Int, "+9007199254740992", number(9007199254740992.0));
        check(Builtin::Int, "9007199254740993", Some(Kind::StringValue("9007199254740993".to_owned())));
        for bad in ["", "-", "4.2x", "4.0", "0x10", "१"] {
            check(Builtin::Int, bad, None);
        }
        check(Builtin::Bool, "TRUE", Some(Kind::BoolValue(true)));
        check(Builtin::Bool, "off", Some(Kind::BoolValue(false)));
        check(Builtin::Bool, "maybe", None);
        for (builtin, good, bad) in [
            (Builtin::List, ["[1]", "- 1\n- 2"], ["{}", "x"]),
            (Builtin::Dict, ["{\"a\": 1}", "a: 1"], ["[]", "1"]),
        ] {
            assert!(good.iter().all(|text| builtin.verdict(text).valid), "{builtin:?}");
            assert!(!bad.iter().any(|text| builtin.verdict(text).valid), "{builtin:?}");
        }
        assert_eq!(Builtin::ALL.map(|one| Builtin::of(one.name())), Builtin::ALL.map(Some));
    }
}
