//! What a record keeps for the trace of its request: nothing, unless that is recorded.

use std::time::Instant;

use http::HeaderValue;

use super::Record;
use crate::call::trace::{Fact, Note, What};

/// The most notes of one request.
const MOST_NOTES: usize = 64;

/// What the trace of a request tells beside its head, its attempts and its end.
#[derive(Debug, Default)]
pub struct Traced {
    /// As what an HTTP upstream is asked for it: by `http` or `https`, and the path without its query.
    pub sent_as: Option<(&'static str, String)>,
    /// In the order in which they began.
    pub notes: Vec<Note>,
}

impl Record {
    /// True where the request's trace is recorded.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.arrived.trace.as_ref().is_some_and(|trace| trace.own.sampled)
    }

    /// An HTTP upstream is asked for it by this scheme, as this path.
    pub(crate) fn sends_as(&self, scheme: &'static str, path: &str) {
        if self.is_traced() {
            self.found().traced.sent_as = Some((scheme, path.to_owned()));
        }
    }

    /// Something happened on its way.
    pub(crate) fn happened(&self, name: &'static str, facts: impl FnOnce() -> Vec<(&'static str, Fact)>) {
        if self.is_traced() {
            self.note(Note { name, at: Instant::now(), what: What::Event(facts()) });
        }
    }

    /// Notes something; gives its number, if there is room for it.
    pub(in crate::call) fn note(&self, note: Note) -> Option<usize> {
        let notes = &mut self.found().traced.notes;
        if notes.len() >= MOST_NOTES {
            return None;
        }
        notes.push(note);
        Some(notes.len() - 1)
    }

    /// A part of its way has ended.
    pub(in crate::call) fn part_ended(&self, number: usize) {
        if let Some(Note { at, what: What::Part { took, .. }, .. }) =
            self.found().traced.notes.get_mut(number)
        {
            *took = Some(at.elapsed());
        }
    }

    /// What the upstream of an attempt is told of its parent; `None`: what the request's headers say.
    pub(crate) fn traceparent(&self, attempt: usize) -> Option<HeaderValue> {
        let trace = self.arrived.trace.as_ref().filter(|trace| trace.own.sampled && trace.goes_on)?;
        let span = self.found().attempts.get(attempt)?.span?;
        Some(trace.header_under(span))
    }
}
