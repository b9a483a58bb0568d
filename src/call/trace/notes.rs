//! What a recorded call tells of its way beside where it was sent: the parts of it that took time, and what happened.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::SpanId;
use crate::call::Record;

/// One thing that is told.
#[derive(Debug, Clone)]
pub struct Note {
    pub name: &'static str,
    pub at: Instant,
    pub what: What,
}

/// What it is.
#[derive(Debug, Clone)]
pub enum What {
    /// Something happened.
    Event(Vec<(&'static str, Fact)>),
    /// It took time, from then on; `None` while it goes on.
    Part { span: SpanId, took: Option<Duration> },
}

/// A fact of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Text(String),
    Number(i64),
}

/// A part of the way that has begun, if anybody wants to know; it ends when this is dropped.
#[derive(Debug, Default)]
pub struct Part(Option<(Arc<Record>, usize)>);

impl Part {
    /// Begins one.
    #[must_use]
    pub fn begin(record: Option<&Arc<Record>>, name: &'static str) -> Self {
        let Some(record) = record.filter(|record| record.is_traced()) else { return Self(None) };
        let what = What::Part { span: SpanId::new(), took: None };
        let number = record.note(Note { name, at: Instant::now(), what });
        Self(number.map(|number| (Arc::clone(record), number)))
    }

    /// It has ended.
    pub fn end(&mut self) {
        if let Some((record, number)) = mem::take(&mut self.0) {
            record.part_ended(number);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.end();
    }
}
