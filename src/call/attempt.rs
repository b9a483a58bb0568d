//! What a record knows of the sendings of its call.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use tonic::Code;

use super::trace::SpanId;

/// One sending of a call to an endpoint.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The upstream's name in the config.
    pub upstream: Arc<str>,
    pub endpoint: SocketAddr,
    pub began: Instant,
    /// When the head of an answer came, if one did.
    pub answered: Option<Instant>,
    /// The HTTP status of an HTTP upstream's answer.
    pub http_status: Option<u16>,
    pub ended: Option<Instant>,
    pub outcome: Outcome,
    /// Its span, where the call is traced.
    pub span: Option<SpanId>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is still on its way, or the call was given up before anybody could say.
    Open,
    /// It was answered, and the answer was passed on.
    Answered,
    /// It failed, or was answered with a failure.
    Failed {
        code: Code,
        message: String,
        /// It is the upstream's own word.
        said: bool,
    },
}

/// Mostly there is one, and no list is made for it.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    first: Option<Attempt>,
    others: Vec<Attempt>,
}

impl Attempts {
    /// In the order in which they began.
    pub(super) fn all(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.others)
    }

    /// Adds one; gives its number.
    pub(super) fn add(&mut self, attempt: Attempt) -> usize {
        if self.first.is_none() {
            self.first = Some(attempt);
            return 0;
        }
        self.others.push(attempt);
        self.others.len()
    }

    pub(super) fn get(&mut self, number: usize) -> Option<&mut Attempt> {
        match number.checked_sub(1) {
            None => self.first.as_mut(),
            Some(other) => self.others.get_mut(other),
        }
    }
}
