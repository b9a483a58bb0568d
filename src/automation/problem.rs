//! What is wrong with a request's fields: all of it is said at once.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<FieldViolation>);

impl Problems {
    /// Keeps what is wrong with a field, or gives its value.
    pub(super) fn check<T>(&mut self, field: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|why| self.0.push(FieldViolation::new(field, why))).ok()
    }

    /// The same of a field that may be left out.
    pub(super) fn optional<T, U>(
        &mut self,
        field: &str,
        given: Option<T>,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        given.and_then(|given| self.check(field, check(given)))
    }

    /// What was checked, unless something was wrong.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with a `google.rpc.BadRequest`.
    pub(super) fn none<T>(self, checked: Option<T>) -> Result<T, Status> {
        match checked {
            Some(checked) if self.0.is_empty() => Ok(checked),
            _ => Err(self.status()),
        }
    }

    fn status(self) -> Status {
        let all: Vec<_> =
            self.0.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description)).collect();
        Status::with_error_details(
            Code::InvalidArgument,
            all.join("; "),
            ErrorDetails::with_bad_request(self.0),
        )
    }
}

/// How many a list has unless it is said, and at most.
const LISTED: i32 = 100;
const MOST_LISTED: i32 = 1000;

/// How many are passed over.
///
/// # Errors
/// It is less than none.
pub(super) fn at_least_none(number: i32) -> Result<i32, String> {
    if number < 0 { Err("it is 0 or more".to_owned()) } else { Ok(number) }
}

/// How many a list has.
///
/// # Errors
/// More than there may be.
pub(super) fn limit(number: i32) -> Result<i32, String> {
    match number {
        0 => Ok(LISTED),
        1..=MOST_LISTED => Ok(number),
        _ => Err(format!("it is 1 to {MOST_LISTED}")),
    }
}

/// True for what can be an id: whatever else is sent is of nothing, and no store is asked for it.
pub(super) fn is_id(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

/// A text of one line, trimmed, of 1 to `most` characters.
///
/// # Errors
/// What is wrong with it.
pub(super) fn line(text: &str, most: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is needed".to_owned());
    }
    if text.chars().count() > most {
        return Err(format!("it has at most {most} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has no control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut problems = Problems::default();
        assert_eq!(problems.check("a", line(" x ", 1)), Some("x".to_owned()));
        assert_eq!(problems.check("b", line("", 1)), None);
        assert_eq!(problems.optional("c", Some("xy"), |text| line(text, 1)), None);
        assert_eq!(problems.optional("d", None::<&str>, |text| line(text, 1)), None);
        let status = problems.none(Some(())).unwrap_err();
        assert_eq!(status.message(), "b: it is needed; c: it has at most 1 characters");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 2);
        assert!(line("a\u{7}b", 9).is_err());
        assert_eq!(Problems::default().none(Some(7)).unwrap(), 7);
    }
}
