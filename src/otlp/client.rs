//! OTLP as it is sent: one request, over gRPC or over HTTP, and what its answer means for who sends it (OTLP 1.9, "OTLP/gRPC"
//! and "OTLP/HTTP"). It knows no signal: who has one gives its message and where that goes.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
    uri::PathAndQuery,
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    call::{Encoding, frame},
    dispatch::{self, Host, HttpSettings, HttpUpstream, Resilience, Tls, Upstream, ask_framed},
};

/// As much of an answer is read.
const MOST_BYTES: usize = 256 << 10;
/// As much of what an answer says is told.
const MOST_SHOWN: usize = 200;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Where a collector is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub host: Host,
    /// `None`: in clear.
    pub tls: Option<Tls>,
    /// `None`: OTLP/gRPC; else OTLP/HTTP in protobuf, at this path.
    pub path: Option<PathAndQuery>,
    /// Sent with each request: metadata of gRPC, or headers.
    pub headers: HeaderMap,
    /// How long a request may take.
    pub timeout: Duration,
    pub gzip: bool,
}

/// A method of a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Traces,
    Metrics,
}

impl Method {
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

/// A request that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It may be sent again, and not before this time where the collector says one.
    ForNow { wait: Option<Duration>, why: String },
    /// It would be refused again.
    ForGood(String),
}

/// A client of one collector.
pub struct Client {
    settings: Settings,
    reached: Reached,
}

enum Reached {
    Grpc(Arc<Upstream>),
    Http(Box<HttpUpstream>, PathAndQuery),
}

impl Client {
    /// Nothing connects before the first request. It belongs to the current runtime, which looks its name up again.
    ///
    /// # Errors
    /// Says which setting is not usable: a host that cannot be an authority, a CA that cannot be read.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let host = settings.host.clone();
        let reached = match settings.path.clone() {
            None => {
                let upstream = dispatch::Settings {
                    tls: settings.tls.clone(),
                    ..dispatch::Settings::new(&host.to_string(), &host.host, host.port)
                };
                let upstream = Arc::new(Upstream::new(upstream, 0)?);
                upstream.look_after();
                Reached::Grpc(upstream)
            }
            Some(path) => {
                let upstream = HttpUpstream::new(
                    HttpSettings {
                        name: host.to_string().into(),
                        hosts: vec![host],
                        tls: settings.tls.clone(),
                        http2: false,
                        authority: None,
                        headers: HeaderMap::new(),
                        connect_timeout: Duration::from_secs(5),
                        handshake_timeout: Duration::from_secs(5),
                        resilience: Resilience::default(),
                    },
                    0,
                )?;
                upstream.look_after();
                Reached::Http(Box::new(upstream), path)
            }
        };
        Ok(Self { settings, reached })
    }

    /// Sends one request; the answer may say that some of it was not taken.
    ///
    /// # Errors
    /// It was not taken, and whether it may be sent again.
    pub async fn send<A: Message + Default>(
        &self,
        method: Method,
        request: &impl Message,
    ) -> Result<A, Refused> {
        let mut headers = self.settings.headers.clone();
        match &self.reached {
            Reached::Grpc(upstream) => {
                let message = self.framed(request, &mut headers).map_err(Refused::ForGood)?;
                let answer = ask_framed(
                    upstream,
                    method.path(),
                    (headers, message),
                    self.settings.timeout,
                    MOST_BYTES,
                );
                answer.await.map_err(|status| of_status(&status))
            }
            Reached::Http(upstream, path) => {
                headers.insert(CONTENT_TYPE, PROTOBUF);
                let mut body = Bytes::from(request.encode_to_vec());
                if self.settings.gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    let packed = Encoding::Gzip.compress(&body);
                    body = packed.map_err(|error| Refused::ForGood(error.to_string()))?.into();
                }
                let posted = upstream.post(path.clone(), headers, body, self.settings.timeout, MOST_BYTES);
                let posted = posted.await.map_err(|status| of_status(&status))?;
                if posted.status != StatusCode::OK {
                    return Err(of_http(posted.status, &posted.headers, &posted.body));
                }
                A::decode(posted.body)
                    .map_err(|_| Refused::ForGood("it answers with what is not OTLP".to_owned()))
            }
        }
    }

    fn framed(&self, request: &impl Message, headers: &mut HeaderMap) -> Result<Bytes, String> {
        if !self.settings.gzip {
            let framed =
                frame(|out| request.encode(out).map_err(|error| Status::internal(error.to_string())));
            return framed.map_err(|status| status.message().to_owned());
        }
        headers.insert(GRPC_ENCODING, HeaderValue::from_static("gzip"));
        let packed = Encoding::Gzip.compress(&request.encode_to_vec()).map_err(|error| error.to_string())?;
        let length = u32::try_from(packed.len()).map_err(|error| error.to_string())?;
        Ok([&[1][..], &length.to_be_bytes(), &packed].concat().into())
    }
}

/// What a gRPC status means: some say by themselves that the request may be sent again, RESOURCE_EXHAUSTED only where it
/// says when.
fn of_status(status: &Status) -> Refused {
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let again = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => wait.is_some(),
        _ => false,
    };
    let why = shown(status.message(), status.code().description());
    if again { Refused::ForNow { wait, why } } else { Refused::ForGood(why) }
}

/// The same of an HTTP status. What the body says is a `google.rpc.Status`.
fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refused {
    let said = tonic_types::Status::decode(body).map(|said| said.message).unwrap_or_default();
    let why = shown(&said, &format!("it answers with {}", status.as_u16()));
    if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
        return Refused::ForGood(why);
    }
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    Refused::ForNow { wait, why }
}

/// The beginning of what was said, on one line, or other words where nothing was.
fn shown(said: &str, otherwise: &str) -> String {
    let said: String = said.chars().take(MOST_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if said.trim().is_empty() { otherwise.to_owned() } else { said }
}

/// Where it is.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { host, tls, path, .. } = &self.settings;
        write!(f, "{}://{host}", if tls.is_some() { "https" } else { "http" })?;
        path.as_ref().map_or(Ok(()), |path| f.write_str(path.path()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({self})")
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn again(refused: &Refused) -> Option<Option<u64>> {
        match refused {
            Refused::ForNow { wait, .. } => Some(wait.map(|wait| wait.as_secs())),
            Refused::ForGood(_) => None,
        }
    }

    #[test]
    fn what_may_be_sent_again_is_what_otlp_says() {
        let details = |code, wait: Option<u64>| {
            let details = ErrorDetails::with_retry_info(wait.map(Duration::from_secs));
            again(&of_status(&Status::with_error_details(code, "full", details)))
        };
        assert_eq!(details(Code::Unavailable, Some(7)), Some(Some(7)));
        assert_eq!(details(Code::ResourceExhausted, Some(7)), Some(Some(7)));
        assert_eq!(again(&of_status(&Status::resource_exhausted("full"))), None);
        for (status, want) in [
            (Status::unavailable(""), true),
            (Status::deadline_exceeded(""), true),
            (Status::data_loss(""), true),
            (Status::invalid_argument(""), false),
            (Status::unauthenticated(""), false),
            (Status::unimplemented(""), false),
        ] {
            assert_eq!(again(&of_status(&status)).is_some(), want, "{status}");
        }
        let http = |status: u16, after: Option<&'static str>| {
            let headers = after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after)));
            again(&of_http(StatusCode::from_u16(status).unwrap(), &headers.into_iter().collect(), b""))
        };
        assert_eq!(http(429, Some("30")), Some(Some(30)));
        assert_eq!(http(503, None), Some(None));
        assert_eq!((http(400, None), http(500, None), http(404, None)), (None, None, None));
    }

    #[test]
    fn why_is_told_in_the_collectors_words() {
        let body = tonic_types::Status { code: 3, message: "no\nspans".to_owned(), details: Vec::new() };
        let of = |body: &[u8]| of_http(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        assert_eq!(of(&body.encode_to_vec()), Refused::ForGood("no spans".to_owned()));
        assert_eq!(of(b""), Refused::ForGood("it answers with 400".to_owned()));
        assert_eq!(of(b"<html>"), Refused::ForGood("it answers with 400".to_owned()));
    }
}
