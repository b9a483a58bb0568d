//! What of a request's head must be so for its body to be read: its method, what it takes, what it brings, and that nothing is
//! said twice that one reader would take the first of and another the last.

use http::{HeaderMap, HeaderValue, Method, header};
use tonic::Status;

use super::{At, Mcp, answer::Client, session_header};
use crate::{
    call::{Body, HttpHead},
    status::{Fault, Refusal, refuse},
};

impl Mcp {
    /// Refuses what cannot be read by its head.
    pub(super) fn fits(
        &self,
        client: &Client,
        head: &HttpHead,
        headers: &HeaderMap,
        body: &Body,
    ) -> Result<(), Status> {
        for name in [header::ORIGIN, header::CONTENT_TYPE] {
            if headers.get_all(&name).iter().count() > 1 {
                // Who looks at the first and who looks at the last would see two requests.
                let message = format!("the header {name} is there more than once");
                return Err(Fault::client().on(Status::invalid_argument(message)));
            }
        }
        if self.at(head.uri.path()) == Some(At::Elsewhere) {
            let location = self.path.to_string();
            return Err(refuse(Refusal::Redirect { location }, "this path has no slash at its end"));
        }
        match head.method {
            Method::OPTIONS => return Ok(()),
            Method::POST => {}
            // What they are about is a session's.
            Method::GET | Method::DELETE if headers.contains_key(session_header()) => return Ok(()),
            _ => {
                let allow = vec![Method::POST];
                let message = format!("{} takes POST; a session has GET and DELETE too", self.path);
                return Err(refuse(Refusal::MethodNotAllowed { allow }, message));
            }
        }
        if client.takes_nothing() {
            let message = "accept excludes all there is: application/json and text/event-stream";
            return Err(refuse(Refusal::NotAcceptable, message));
        }
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let essence = content_type.map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default());
        match essence.map(<[u8]>::trim_ascii) {
            Some(essence) if essence.eq_ignore_ascii_case(b"application/json") => Ok(()),
            // Any page may send a body of no type to any address, without asking first.
            None if !headers.contains_key(header::ORIGIN) || http_body::Body::is_end_stream(body) => Ok(()),
            _ => {
                let message = "a message is JSON: content-type application/json";
                Err(refuse(Refusal::UnsupportedMediaType, message))
            }
        }
    }
}
