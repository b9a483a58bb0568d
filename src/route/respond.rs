//! Routes that answer by themselves: a fixed response with the request's own words in it, or a redirect. Plain data; a text
//! with places is compiled when the config is loaded, so that a request can only find values for them.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, StatusCode};

/// A response that is all written in the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    pub status: StatusCode,
    /// Beside `content-type`; values may have places.
    pub headers: Vec<(HeaderName, Text)>,
    pub content_type: Arc<str>,
    pub body: Text,
    /// The body is JSON: what fills a place is escaped as inside a JSON string.
    pub json: bool,
}

/// A redirect (301, 302, 303, 307 or 308).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub status: StatusCode,
    /// The `Location`; what fills a place is percent-encoded as inside a path.
    pub to: Text,
    /// Carry the request's query on, where `to` has none of its own.
    pub keep_query: bool,
}

/// A text with places, written `${name}`; `$${` stands for `${`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

/// A piece of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(Arc<str>),
    Place(Place),
}

/// What fills a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `${path.NAME}`: what the variable of the route's path template captured.
    Captured(Arc<str>),
    /// `${query.NAME}`: the first parameter of that name; empty where there is none.
    Query(Arc<str>),
    /// `${header.NAME}`: the request's header; empty where there is none.
    Header(HeaderName),
    /// `${request.method}`
    Method,
    /// `${request.path}`
    Path,
    /// `${request.id}`
    RequestId,
    /// `${request.host}`
    Host,
    /// `${client.address}`
    ClientAddress,
    /// `${gateway.version}`
    Version,
    /// `${time.now}`: RFC 3339, to the millisecond.
    Now,
    /// `${message}`: what a failure would have said; in messages of the REST profile alone.
    Message,
    /// `${limit.calls}`: how many calls the limit allows that refused one; in messages of the REST profile alone.
    LimitCalls,
    /// `${limit.retry_after}`: in how many seconds it lets another one through; in messages of the REST profile alone.
    LimitRetryAfter,
}

/// What a request has for the places of a text.
pub trait Values {
    /// The value of a place; `None` leaves it empty.
    fn value(&self, place: &Place) -> Option<String>;
}

impl Text {
    /// Fills the places; each value is written by `escape`.
    pub fn fill(&self, values: &impl Values, escape: impl Fn(&Place, &str, &mut String)) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Place(place) => escape(place, &values.value(place).unwrap_or_default(), &mut out),
            }
        }
        out
    }
}

impl Piece {
    /// The text of a literal; empty for a place.
    #[must_use]
    pub fn literal(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Place(_) => "",
        }
    }
}

/// As it is written in the config.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(&text.replace("${", "$${")),
            Piece::Place(place) => write!(f, "${{{place}}}"),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Captured(name) => write!(f, "path.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Method => f.write_str("request.method"),
            Self::Path => f.write_str("request.path"),
            Self::RequestId => f.write_str("request.id"),
            Self::Host => f.write_str("request.host"),
            Self::ClientAddress => f.write_str("client.address"),
            Self::Version => f.write_str("gateway.version"),
            Self::Now => f.write_str("time.now"),
            Self::Message => f.write_str("message"),
            Self::LimitCalls => f.write_str("limit.calls"),
            Self::LimitRetryAfter => f.write_str("limit.retry_after"),
        }
    }
}

impl Place {
    /// Whether its value is in the request's headers.
    #[must_use]
    pub fn of_headers(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Host)
    }
}

/// The request's headers as values of `${header.NAME}`: the first of a name, if it is text.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
