//! How the REST surface answers: a unary reply as one JSON value or as the bytes of an HttpBody, everything that fails as
//! an error body; streams are [`super::stream`]'s.

use std::sync::{Arc, Mutex, PoisonError};

use ::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tonic::Status;

use super::{
    accept::Form,
    content::{self, Coding},
    endpoint::Endpoint,
    error::{self, Origin},
    stream,
};
use crate::{
    call::{Body, Encoding, FrameReader, Reply, trace::Part},
    status::{self, Fault, Whose},
    surface::{self, Answer, Protocol, handshake::Handshake, http, metadata},
};

/// Replies shorter than this are sent as they are.
const COMPRESSED_BYTES: usize = 1 << 10;

/// Knows what one REST client asked for, and answers it.
pub struct RestAnswer {
    pub(super) origin: Origin,
    pub(super) target: Target,
}

/// What a request asked for.
pub(super) enum Target {
    /// Nothing that can be called: the outcome is a failure.
    Nothing,
    /// What answers HTTP itself.
    Http,
    /// A tunnel to an upstream, over HTTP/2.
    Socket(Handshake),
    Endpoint {
        endpoint: Arc<Endpoint>,
        form: Form,
    },
}

impl RestAnswer {
    /// The stream whose client gets its head before there is anything to tell; `None` for any other request.
    pub(super) fn eager(&self) -> Option<(Arc<Endpoint>, Form)> {
        match &self.target {
            Target::Endpoint { endpoint, form, .. }
                if endpoint.method().server_streaming && stream::eager(endpoint, *form) =>
            {
                Some((Arc::clone(endpoint), *form))
            }
            _ => None,
        }
    }
}

impl Answer for RestAnswer {
    async fn close(self, outcome: Result<Reply, Status>) -> surface::Response {
        let Self { origin, target } = self;
        let answered = match (target, outcome) {
            (_, Err(status)) => Err(status),
            (Target::Nothing, Ok(_)) => Err(Status::internal("a request that calls nothing was answered")),
            (Target::Socket(handshake), Ok(reply)) => handshake.end(http::response(reply, &origin.method)),
            (Target::Http, Ok(reply)) => coded(http::response(reply, &origin.method), &origin).await,
            (Target::Endpoint { endpoint, form, .. }, Ok(reply)) if endpoint.method().server_streaming => {
                stream::response(endpoint, form, reply, None, origin.head()).await
            }
            (Target::Endpoint { endpoint, .. }, Ok(reply)) => unary(&endpoint, &origin, reply).await,
        };
        answered.unwrap_or_else(|status| error::response(&status, &origin))
    }
}

/// Compresses what the config answers by itself, as any text is; a longer body than this is an upstream's, and passes as it
/// comes.
async fn coded(response: surface::Response, origin: &Origin) -> Result<surface::Response, Status> {
    const LONGEST: u64 = 1 << 20;
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let whole = http_body::Body::size_hint(response.body()).exact();
    let worth = whole.is_some_and(|bytes| bytes >= COMPRESSED_BYTES as u64 && bytes <= LONGEST);
    if !worth || !content_type.is_some_and(content::is_text) {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let body =
        body.collect().await.map_err(|error| Status::internal(format!("the answer broke off: {error}")))?;
    let body = encode(body.to_bytes(), origin.accept_encoding.as_ref(), &mut head.headers)?;
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(surface::Response::from_parts(head, body.into()))
}

/// The response of a unary call that went well so far.
async fn unary(endpoint: &Endpoint, origin: &Origin, reply: Reply) -> Result<surface::Response, Status> {
    let (accept_encoding, head) = (origin.accept_encoding.as_ref(), origin.head());
    let Reply { metadata: mut headers, body, http_status, guards, .. } = reply;
    let mut reader = reader(endpoint, &headers, body);
    let message = reader.next().await?;
    let extra = if message.is_some() { reader.next().await? } else { None };
    let miscounted = |how_many: &str| {
        let text = format!("the upstream answered {} with {how_many}", endpoint.method().full_name);
        Fault::upstream().on(Status::internal(text))
    };
    if extra.is_some() {
        return Err(miscounted("more than one message"));
    }
    let trailers = outcome(&headers, reader.take_trailers())?;
    let message = message.ok_or_else(|| miscounted("no message"))?;
    let _transcoding = Part::begin(origin.record.as_ref(), "transcode response");
    metadata::to_response(&mut headers, Protocol::Rest);
    if let Some(trailers) = trailers {
        merge_trailers(&mut headers, trailers);
    }
    let body = if endpoint.replies_raw() {
        let raw = endpoint.raw(&message)?;
        headers.insert(header::CONTENT_TYPE, content_type(&raw.content_type));
        if content::is_text(&raw.content_type) {
            encode(raw.data, accept_encoding, &mut headers)?
        } else {
            raw.data
        }
    } else {
        let mut json = Vec::new();
        endpoint.json(&message, false, &mut json)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        encode(json.into(), accept_encoding, &mut headers)?
    };
    let status = http_status.map_or(StatusCode::OK, |status| status.0);
    let bodiless = status.is_informational() || matches!(status.as_u16(), 204 | 304);
    if bodiless {
        headers.remove(header::CONTENT_TYPE);
    } else if head {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let body = if bodiless || head { Body::empty() } else { Body::from(body) };
    let mut response = Response::new(guards.into_body(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Compresses a body that is worth it, if the client takes it so, and says so in `headers`.
///
/// # Errors
/// INTERNAL: the coder failed.
pub fn encode(
    body: Bytes,
    accept_encoding: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) -> Result<Bytes, Status> {
    if body.len() < COMPRESSED_BYTES || headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(body);
    }
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Some(coding) = accept_encoding.and_then(Coding::of_reply) else { return Ok(body) };
    let coded = coding
        .encode(&body)
        .map_err(|error| Status::internal(format!("the reply could not be compressed: {error}")))?;
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    Ok(coded.into())
}

/// A text that is sent often: compressed once by each coding that is asked for.
#[derive(Debug)]
pub struct Kept {
    plain: Bytes,
    coded: Mutex<Vec<(Coding, Bytes)>>,
}

impl Kept {
    #[must_use]
    pub fn new(plain: Bytes) -> Self {
        Self { plain, coded: Mutex::default() }
    }

    #[must_use]
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// As [`encode`] has it.
    ///
    /// # Errors
    /// It cannot be compressed.
    pub fn encode(
        &self,
        accept_encoding: Option<&HeaderValue>,
        headers: &mut HeaderMap,
    ) -> Result<Bytes, Status> {
        let coding = accept_encoding.and_then(Coding::of_reply);
        let known = |coding: Coding| {
            let coded = self.coded.lock().unwrap_or_else(PoisonError::into_inner);
            coded.iter().find(|(known, _)| *known == coding).map(|(_, bytes)| bytes.clone())
        };
        if let Some((coding, bytes)) = coding.and_then(|coding| Some((coding, known(coding)?))) {
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            return Ok(bytes);
        }
        let bytes = encode(self.plain.clone(), accept_encoding, headers)?;
        if let Some(coding) = coding.filter(|_| headers.contains_key(header::CONTENT_ENCODING)) {
            let mut coded = self.coded.lock().unwrap_or_else(PoisonError::into_inner);
            coded.push((coding, bytes.clone()));
            // Two that came at once have compressed it both: one is enough.
            coded.dedup_by_key(|(coding, _)| *coding);
        }
        Ok(bytes)
    }
}

/// Reads the frames of a reply.
pub(super) fn reader(endpoint: &Endpoint, headers: &HeaderMap, body: Body) -> FrameReader {
    FrameReader::new(body, Whose::Upstream, Encoding::of(headers), endpoint.route.limits.response_bytes)
}

/// How a reply ended, by its trailers or, where it has none, by its head.
pub(in crate::surface) fn outcome(
    head: &HeaderMap,
    trailers: Option<HeaderMap>,
) -> Result<Option<HeaderMap>, Status> {
    let found = trailers.as_ref().and_then(status::from_trailers).or_else(|| status::from_trailers(head));
    match found {
        Some(Ok(())) => Ok(trailers),
        Some(Err(mut status)) => {
            // What came beside the status belongs to it: `www-authenticate`, `retry-after`, limits.
            let mut beside = head.clone();
            metadata::to_response(&mut beside, Protocol::Rest);
            if let Some(trailers) = trailers {
                merge_trailers(&mut beside, trailers);
            }
            *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(beside);
            Err(status)
        }
        None => {
            Err(Fault::upstream().on(Status::unknown("the upstream's reply ended without a grpc-status")))
        }
    }
}

/// Makes a unary reply's trailers headers; only those that collide with one are renamed.
fn merge_trailers(headers: &mut HeaderMap, mut trailers: HeaderMap) {
    metadata::to_response(&mut trailers, Protocol::Rest);
    let mut names: Vec<HeaderName> = trailers.keys().cloned().collect();
    names.retain(|name| !status::is_status(name));
    for name in names {
        let collides = headers.contains_key(&name);
        let target =
            if collides { HeaderName::try_from(format!("grpc-trailer-{name}")) } else { Ok(name.clone()) };
        let Ok(target) = target else { continue };
        for value in trailers.get_all(&name) {
            headers.append(target.clone(), value.clone());
        }
    }
}

/// The `Content-Type` of an HttpBody.
pub(super) fn content_type(named: &str) -> HeaderValue {
    match HeaderValue::from_str(named) {
        Ok(value) if !named.is_empty() => value,
        _ => HeaderValue::from_static("application/octet-stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_kept_is_compressed_once_by_each_coding() {
        let text = "what is sent often, ".repeat(100);
        let kept = Kept::new(text.clone().into());
        let ask = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            let bytes = kept.encode(Some(&HeaderValue::from_static(accept)), &mut headers).unwrap();
            assert_eq!(headers[header::VARY], "accept-encoding", "{accept}");
            (bytes, headers.get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap().to_owned()))
        };
        for accept in ["gzip", "br", "zstd"] {
            let ((first, coding), (second, again)) = (ask(accept), ask(accept));
            assert_eq!((coding.as_deref(), again.as_deref()), (Some(accept), Some(accept)));
            assert!(first.len() < text.len() && first.as_ptr() == second.as_ptr(), "{accept}");
        }
        assert_eq!(ask("identity"), (Bytes::from(text), None));
    }
}
