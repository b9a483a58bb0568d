//! A field that a path variable or query parameter names: dotted proto or JSON names, from the request down through its
//! singular messages, resolved against the compiled tables.

use super::codec::{Codec, FieldCodec};
use super::error::{ErrorKind, TranscodeError, did_you_mean};
use super::tables::{Kind, NONE};

/// How deep a field path may go: as deep as JSON may nest.
const MAX_DEPTH: usize = 100;

/// A field of a message, reached through singular messages.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// From the top-level field down to the one that is set; not empty.
    fields: Vec<FieldCodec>,
}

impl Target {
    /// Resolves a dotted path of proto or JSON names to a field that has a text form.
    pub(super) fn resolve(codec: &Codec, path: &str) -> Result<Self, TranscodeError> {
        let mut fields: Vec<FieldCodec> = Vec::new();
        let mut message = Some(codec.clone());
        for name in path.split('.') {
            if let Some(parent) = fields.last()
                && (parent.is_repeated() || parent.is_map())
            {
                let what = if parent.is_map() {
                    "a map: write name[key]"
                } else {
                    "repeated: only its values can be given"
                };
                let reason = format!("{} is {what}", parent.name());
                return Err(TranscodeError::of(ErrorKind::UnknownField, reason).under(path));
            }
            let Some(codec) = message else {
                let parent = fields.last().map_or("", FieldCodec::name);
                let reason = format!("{parent} is no message and has no field \"{name}\"");
                return Err(TranscodeError::of(ErrorKind::UnknownField, reason).under(path));
            };
            let field = codec.field(name).ok_or_else(|| unknown(&codec, name, path))?;
            if fields.len() == MAX_DEPTH {
                let reason = format!("the field path is deeper than {MAX_DEPTH}");
                return Err(TranscodeError::of(ErrorKind::Depth, reason));
            }
            message = field.message();
            fields.push(field);
        }
        Ok(Self { fields })
    }

    /// From the top-level field down to the one that is set.
    pub(super) fn fields(&self) -> &[FieldCodec] {
        &self.fields
    }

    /// The field that is set.
    pub(super) fn leaf(&self) -> Option<&FieldCodec> {
        self.fields.last()
    }

    /// Whether it, or a message around it, is a member of a oneof.
    pub(super) fn in_oneof(&self) -> bool {
        self.fields.iter().any(|field| field.table().oneof != NONE)
    }

    /// The path by proto names.
    pub(super) fn name(&self) -> String {
        self.fields.iter().map(FieldCodec::name).collect::<Vec<_>>().join(".")
    }

    /// The length of the records around a leaf of `length` bytes, from field `at` down, the leaf's included.
    pub(super) fn length(&self, at: usize, leaf: usize) -> usize {
        match self.fields.get(at) {
            Some(field) if at + 1 < self.fields.len() => {
                let inner = self.length(at + 1, leaf);
                let tag = varint_length(u64::from(field.number()) << 3);
                if field.kind() == Kind::Group {
                    2 * tag + inner
                } else {
                    tag + varint_length(inner as u64) + inner
                }
            }
            _ => leaf,
        }
    }
}

fn unknown(codec: &Codec, name: &str, path: &str) -> TranscodeError {
    let fields: Vec<FieldCodec> = codec.fields().collect();
    let near = did_you_mean(name, fields.iter().map(FieldCodec::name));
    let at = if name == path { String::new() } else { format!(" (in {path:?})") };
    let reason = format!("{} has no field {name:?}{at}{near}", codec.name());
    TranscodeError::of(ErrorKind::UnknownField, reason)
}

fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
