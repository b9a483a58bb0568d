//! `google.protobuf.Any` from JSON: an object whose `@type`, which may stand anywhere in it, says how to read the rest.

use super::{Parser, Result};
use crate::transcode::error::{ErrorKind, TranscodeError, did_you_mean};
use crate::transcode::tables::{Form, Message};
use crate::transcode::wire::{begin_length, end_length, put_varint};

use super::collection::text;

const TYPE_URL: u8 = 0x0a;
const VALUE: u8 = 0x12;

impl<'a> Parser<'a, '_> {
    pub(super) fn any(&mut self, depth: u32) -> Result<()> {
        if self.peek() != b'{' {
            return Err(self.expected(format_args!("an object with an `@type`")));
        }
        let start = self.at;
        let Some((url, url_at)) = self.find_type(depth)? else {
            let end = self.at;
            self.at = start + 1;
            self.space();
            if self.takes(b"}") {
                return Ok(());
            }
            self.at = end;
            return Err(TranscodeError::json(ErrorKind::Type, start, "an Any's object has no `@type`"));
        };
        self.at = start;
        let message = self.resolve(&url, url_at)?;
        self.out.push(TYPE_URL);
        put_varint(self.out, url.len() as u64);
        self.out.extend_from_slice(&url);
        self.out.push(VALUE);
        let value = begin_length(self.out);
        if message.form == Form::Object {
            self.object(message, depth + 1, true)?;
        } else {
            self.boxed_value(message, depth + 1)?;
        }
        if self.out.len() == value {
            self.out.truncate(value - 2);
        } else {
            end_length(self.out, value);
        }
        Ok(())
    }

    /// Walks the whole object for its `@type`; whatever else it has is read afterwards.
    fn find_type(&mut self, depth: u32) -> Result<Option<(Vec<u8>, usize)>> {
        let mut found = None;
        self.at += 1;
        self.space();
        if self.takes(b"}") {
            return Ok(None);
        }
        loop {
            let key_at = self.at;
            let is_type = *self.key()? == *b"@type";
            self.colon()?;
            if is_type {
                if found.is_some() {
                    return Err(TranscodeError::json(ErrorKind::Duplicate, key_at, "`@type` is given twice")
                        .in_field("@type"));
                }
                if self.peek() != b'"' {
                    return Err(self.expected(format_args!("a type URL as a string")).in_field("@type"));
                }
                let url_at = self.at;
                found = Some((self.string()?.into_owned(), url_at));
            } else {
                self.skip_value(depth)?;
            }
            if !self.more(b'}')? {
                return Ok(found);
            }
        }
    }

    fn resolve(&self, url: &[u8], url_at: usize) -> Result<&'a Message> {
        let url = text(url);
        let refuse =
            |sentence| Err(TranscodeError::json(ErrorKind::UnknownField, url_at, sentence).in_field("@type"));
        let Some((_, name)) = url.rsplit_once('/') else {
            return refuse(format!(
                "`{url}` is not a type URL such as `type.googleapis.com/package.Message`"
            ));
        };
        let Some(message) = self.tables.message_named(name) else {
            let near = did_you_mean(name, self.tables.messages.iter().map(|message| &*message.name));
            return refuse(format!("no message `{name}` is known{near}"));
        };
        Ok(message)
    }

    /// Reads `{"@type": …, "value": …}`, where the value has the message's own JSON form.
    fn boxed_value(&mut self, message: &'a Message, depth: u32) -> Result<()> {
        let mut given = false;
        self.at += 1;
        self.space();
        loop {
            let key_at = self.at;
            let key = self.key()?;
            self.colon()?;
            match &*key {
                b"@type" => self.skip_value(depth)?,
                b"value" if given => {
                    return Err(TranscodeError::json(ErrorKind::Duplicate, key_at, "`value` is given twice")
                        .in_field("value"));
                }
                b"value" => {
                    given = true;
                    self.message(message, depth).map_err(|error| error.in_field("value"))?;
                }
                _ if self.ignore_unknown => self.skip_value(depth)?,
                other => {
                    let sentence = format!(
                        "an Any of {} has only `@type` and `value`, not `{}`",
                        message.name,
                        text(other)
                    );
                    return Err(TranscodeError::json(ErrorKind::UnknownField, key_at, sentence)
                        .in_field(&text(other)));
                }
            }
            if !self.more(b'}')? {
                break;
            }
        }
        if given {
            return Ok(());
        }
        let sentence = format!("an Any of {} needs its `value`", message.name);
        Err(TranscodeError::json(ErrorKind::Type, self.at, sentence))
    }
}
