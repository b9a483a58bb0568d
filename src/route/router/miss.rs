//! What a router says where it finds nothing, or takes nothing in.

use std::fmt;

use crate::schema::Verb;

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No template matches (404); what is near is told by [`Router::near`](super::Router::near).
    NotFound,
    /// Templates match, with other HTTP methods (405): those, sorted, for `Allow`.
    WrongVerb {
        /// HTTP methods, `HEAD` where `GET` is.
        allow: Vec<String>,
    },
    /// A segment's escapes are cut short or decode to no UTF-8 (400).
    BadEscape {
        /// The raw segment.
        segment: String,
    },
    /// The path without its trailing slash is found (see [`TrailingSlash::Redirect`]).
    Redirect(
        /// The raw path to go to.
        String,
    ),
}

/// Two bindings that match the same requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The HTTP method.
    pub verb: Verb,
    /// The label and template inserted first.
    pub first: (String, String),
    /// The label and template refused.
    pub second: (String, String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, first, second } = self;
        write!(
            f,
            "two bindings match the same requests: {verb} {} of {} and {verb} {} of {}",
            first.1, first.0, second.1, second.0
        )
    }
}

impl std::error::Error for Conflict {}
