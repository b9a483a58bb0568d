//! A JSON object whose members stay as they were written, in their order: what the gateway does not need to understand goes on
//! byte for byte.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::{RawValue, to_raw_value};

/// An object's members.
#[derive(Debug, Clone, Default)]
pub struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// Reads an object.
    ///
    /// # Errors
    /// It is none, or has a member twice.
    pub fn read(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    /// A member as it was written.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// A member that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// A member that is an object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Self> {
        Self::read(self.get(name)?.get()).ok()
    }

    /// Puts a member in the place of the one of its name, or behind all others.
    pub fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, there)) => *there = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The same with a member more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.set(name, raw(&value));
        self
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// As JSON, on one line: what is written over several has no line breaks left.
    #[must_use]
    pub fn written(&self) -> String {
        raw(self).get().to_owned()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|((name, value), (other_name, other))| name == other_name && value.get() == other.get())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("{name:?} is given twice")));
                    }
                    members.push((name, one_line(value)));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A value as raw JSON.
pub fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    // What is serialised here has texts as its keys, and no floats that JSON has not.
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// JSON has line breaks between its tokens alone; in an event, or on a pipe, a message is one line.
fn one_line(value: Box<RawValue>) -> Box<RawValue> {
    if !value.get().contains(['\n', '\r']) {
        return value;
    }
    RawValue::from_string(value.get().replace(['\n', '\r'], " ")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_was_written() {
        let json = r#"{"b":1.0e2,"a":{"x" : [1, 2]},"name":"t","n":12345678901234567890123}"#;
        let mut object = Object::read(json).unwrap();
        assert_eq!(object.written(), json);
        assert_eq!(object.text("name").unwrap(), "t");
        object.set("name", raw("u"));
        object.set("new", raw(&true));
        assert_eq!(object.take("b").unwrap().get(), "1.0e2");
        assert_eq!(
            object.written(),
            r#"{"a":{"x" : [1, 2]},"name":"u","n":12345678901234567890123,"new":true}"#
        );
        assert!(Object::read(r#"{"a":1,"a":2}"#).unwrap_err().contains("twice"));
        assert!(Object::read("[]").is_err());
        let lines = Object::read("{\"a\":{\n\"x\":1\r\n}}").unwrap();
        assert_eq!(lines.written(), "{\"a\":{ \"x\":1  }}");
    }
}
