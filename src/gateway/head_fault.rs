//! What is wrong with a request that never came whole, and how its client is told.

use std::time::Duration;

use tonic::Status;

use crate::{
    config::Config,
    status::{Fault, Refusal, refuse},
};

/// What is wrong with the head of a request of HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadFault {
    /// It did not come whole within this time.
    Late(Duration),
    /// It is TLS, which is not spoken here.
    Tls,
    /// It is not HTTP/1.1, for this reason.
    Malformed(String),
    /// Its first line is too long.
    UriTooLong,
    /// It is so far over the limit that it was not read to its end, or has more headers than there may be.
    TooLarge,
}

impl HeadFault {
    pub(super) fn status(&self, config: &Config) -> Status {
        match self {
            Self::Late(within) => {
                let message = format!("the head of the request did not come whole within {within:?}");
                refuse(Refusal::RequestTimeout, message)
            }
            Self::Tls => Fault::client().on(Status::invalid_argument(
                "TLS was spoken to a port of plain HTTP: say http:// instead of https:// (grpcurl: -plaintext)",
            )),
            Self::Malformed(why) => {
                let message = format!("the head of the request is not HTTP/1.1: {why}");
                Fault::client().on(Status::invalid_argument(message))
            }
            Self::UriTooLong => {
                refuse(Refusal::UriTooLong, "the URI of the request is longer than any that is read")
            }
            Self::TooLarge => {
                let Config { header_bytes: bytes, headers, .. } = config;
                let message = format!(
                    "the head of the request is over a limit: {bytes} bytes, or {headers} headers"
                );
                refuse(Refusal::HeadersTooLarge, message)
            }
        }
    }
}
