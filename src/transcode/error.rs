//! What went wrong in a conversion: where (a path of fields, and a place in the JSON text), what kind of fault, and a
//! sentence for the person who sent it. The path is built only on the way out of a failure, so success pays nothing.

use std::fmt;

/// Why a message could not be converted.
///
/// `kind()` says whose fault it is: every kind but [`ErrorKind::Wire`] and [`ErrorKind::Unprintable`] is the fault of whoever
/// wrote the JSON (INVALID_ARGUMENT); those two are the fault of whoever encoded the protobuf message (INTERNAL when it is an
/// upstream's reply).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscodeError(Box<Detail>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    kind: ErrorKind,
    path: String,
    /// The query parameter at fault, as the client wrote it; its message names it already.
    parameter: Option<Box<str>>,
    message: String,
    offset: Option<usize>,
    position: Option<(usize, usize)>,
}

/// What kind of fault a [`TranscodeError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is not JSON: bad token, truncated, trailing bytes.
    Syntax,
    /// A value of another JSON type than the field takes, or text that does not read as the field's type.
    Type,
    /// A number, timestamp or duration outside what the field can hold.
    Range,
    /// The message has no field of that name, or the pool no type or extension of that name.
    UnknownField,
    /// The enum has no value of that name or number.
    UnknownEnumValue,
    /// A key given twice (also once by each of its two names).
    Duplicate,
    /// Two members of one oneof.
    Oneof,
    /// Nested deeper than the limit.
    Depth,
    /// Text that is not UTF-8, or an unpaired surrogate.
    Utf8,
    /// The protobuf message is malformed.
    Wire,
    /// A well-formed protobuf message whose value has no JSON form (a timestamp out of range, for example).
    Unprintable,
}

impl TranscodeError {
    /// What kind of fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// True when the JSON is at fault, false when the protobuf message is.
    pub fn is_input(&self) -> bool {
        !matches!(self.0.kind, ErrorKind::Wire | ErrorKind::Unprintable)
    }

    /// Where in the message: `book.chapters[3].title`, `labels["a"]`; empty for the message itself.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// What a google.rpc.BadRequest names: the query parameter at fault, else the path.
    pub fn field(&self) -> &str {
        self.0.parameter.as_deref().unwrap_or(&self.0.path)
    }

    /// The same fault, of a query parameter.
    pub(super) fn of_parameter(mut self, name: &str) -> TranscodeError {
        self.0.parameter = Some(name.into());
        self
    }

    /// The sentence alone, without path and position.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line and column (both from 1, the column in characters) in the JSON input; `None` when the wire is at fault.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.position
    }

    /// The same fault, reported below `parent` (a field's name or a whole path).
    pub fn under(mut self, parent: &str) -> TranscodeError {
        self.prepend(parent);
        self
    }

    pub(super) fn json(kind: ErrorKind, offset: usize, message: impl Into<String>) -> TranscodeError {
        let message = message.into();
        TranscodeError(Box::new(Detail {
            kind,
            path: String::new(),
            parameter: None,
            message,
            offset: Some(offset),
            position: None,
        }))
    }

    pub(super) fn wire(message: impl Into<String>) -> TranscodeError {
        TranscodeError::of(ErrorKind::Wire, message)
    }

    pub(super) fn unprintable(message: impl Into<String>) -> TranscodeError {
        TranscodeError::of(ErrorKind::Unprintable, message)
    }

    pub(super) fn of(kind: ErrorKind, message: impl Into<String>) -> TranscodeError {
        let message = message.into();
        TranscodeError(Box::new(Detail {
            kind,
            path: String::new(),
            parameter: None,
            message,
            offset: None,
            position: None,
        }))
    }

    fn prepend(&mut self, segment: &str) {
        let path = &mut self.0.path;
        if !path.is_empty() && !path.starts_with('[') {
            path.insert(0, '.');
        }
        path.insert_str(0, segment);
    }

    #[cold]
    pub(super) fn in_field(mut self, name: &str) -> TranscodeError {
        self.prepend(name);
        self
    }

    #[cold]
    pub(super) fn in_index(mut self, index: usize) -> TranscodeError {
        self.prepend(&format!("[{index}]"));
        self
    }

    #[cold]
    pub(super) fn in_key(mut self, key: &str) -> TranscodeError {
        self.prepend(&format!("[{key:?}]"));
        self
    }

    /// Turns the byte offset into a line and a column of `json`.
    #[cold]
    pub(super) fn locate(mut self, json: &[u8]) -> TranscodeError {
        if let Some(offset) = self.0.offset {
            let before = &json[..offset.min(json.len())];
            let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
            self.0.position = Some((line, column));
        }
        self
    }
}

impl fmt::Display for TranscodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match shortened(&self.0.path) {
            ("", _) => {}
            (path, None) => write!(f, "{path}: ")?,
            (start, Some(end)) => write!(f, "{start}…{end}: ")?,
        }
        f.write_str(&self.0.message)?;
        if let Some((line, column)) = self.0.position {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TranscodeError {}

/// A path's beginning and end where it is longer than anyone reads: that of a message nested a hundred times.
fn shortened(path: &str) -> (&str, Option<&str>) {
    const ENDS: usize = 100;
    let start = path.get(..path.floor_char_boundary(ENDS));
    let end = path.get(path.floor_char_boundary(path.len().saturating_sub(ENDS))..);
    match (start, end) {
        (Some(start), Some(end)) if path.len() > 2 * ENDS => (start, Some(end)),
        _ => (path, None),
    }
}

/// `; did you mean X?` for the candidate nearest to `wanted`, or nothing when none is near.
pub(super) fn did_you_mean<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(wanted, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The candidate nearest to `wanted` (Damerau-Levenshtein, case aside), when it is near enough to be a slip of the hand.
fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer names are nobody's slip, and the comparison is quadratic in the length.
    if wanted.len() > 100 {
        return None;
    }
    let lower = wanted.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(wanted.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
