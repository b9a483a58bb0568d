//! The members of a JSON object that are asked for, each value as it was written. What two readers could read in two ways is
//! refused: a member given twice, or beside its name in other capitals.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What was found, in the order of the names that were asked for.
#[derive(Debug)]
pub(super) struct Members<'a> {
    names: &'static [&'static str],
    values: Vec<Option<&'a RawValue>>,
}

/// Why a text is no such object.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is no JSON.
    Malformed(String),
    /// It is other JSON, or ambiguous.
    Wrong(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Malformed(why) | Self::Wrong(why)) = self;
        f.write_str(why)
    }
}

impl<'a> Members<'a> {
    /// Reads the members of these names; others are passed over.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn read(json: &'a [u8], names: &'static [&'static str]) -> Result<Self, Unread> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let read = deserializer.deserialize_map(Named(names)).and_then(|values| {
            deserializer.end()?;
            Ok(Self { names, values })
        });
        read.map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Unread::Wrong(error.to_string()),
            _ => Unread::Malformed(error.to_string()),
        })
    }

    /// A member as it was written. One that is `null` is there.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.values.get(at).copied().flatten()
    }

    /// A member that is a text; `Err` for one that is something else.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, ()> {
        self.get(name).map(text).transpose()
    }
}

/// The text of a JSON string.
pub(super) fn text(value: &RawValue) -> Result<Cow<'_, str>, ()> {
    let json = value.get();
    let plain = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str::<String>(json).map(Cow::Owned).map_err(drop),
        None => Err(()),
    }
}

/// True for a JSON object.
pub(super) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

struct Named(&'static [&'static str]);

impl<'de> Visitor<'de> for Named {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let value = map.next_value::<&RawValue>()?;
            let Some(at) = self.0.iter().position(|known| known.eq_ignore_ascii_case(&key.0)) else {
                continue;
            };
            let (Some(known), Some(place)) = (self.0.get(at), values.get_mut(at)) else { continue };
            if *known != key.0 {
                return Err(A::Error::custom(format_args!("{:?} is written {known:?}", key.0)));
            }
            if place.replace(value).is_some() {
                return Err(A::Error::custom(format_args!("{known:?} is given twice")));
            }
        }
        Ok(values)
    }
}

/// A key; one without escapes is not copied.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["id", "method"];

    #[test]
    fn values_are_as_they_were_written() {
        let json = br#" {"id": 1.50, "other": [1, {"id": 2}], "m\u0065thod": "a\"b", "x": "id"} "#;
        let members = Members::read(json, NAMES).unwrap();
        assert_eq!(members.get("id").unwrap().get(), "1.50");
        assert_eq!(members.text("method").unwrap().unwrap(), "a\"b");
        assert_eq!(members.text("id"), Err(()));
        assert!(members.get("other").is_none());
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        let check = |json: &str, malformed: bool, why: &str| match Members::read(json.as_bytes(), NAMES) {
            Err(Unread::Malformed(said)) => assert!(malformed && said.contains(why), "{json}: {said}"),
            Err(Unread::Wrong(said)) => assert!(!malformed && said.contains(why), "{json}: {said}"),
            Ok(members) => panic!("{json}: {members:?}"),
        };
        check(r#"{"id":1,"id":1}"#, false, r#""id" is given twice"#);
        check(r#"{"id":1,"\u0069d":1}"#, false, r#""id" is given twice"#);
        check(r#"{"ID":1}"#, false, r#""ID" is written "id""#);
        check(r#"{"method":"a","Method":"b"}"#, false, r#""Method" is written "method""#);
        check("[]", false, "invalid type: sequence");
        check("7", false, "invalid type: integer");
        check(r#"{"id":1"#, true, "EOF");
        check(r#"{"id":1} x"#, true, "trailing characters");
        check("{\"id\":\"\u{1}\"}", true, "control character");
        check("", true, "EOF");
        assert!(Members::read(b"{\"id\":\"\xff\"}", NAMES).is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"id\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(Members::read(deep.as_bytes(), NAMES).is_ok());
    }
}
