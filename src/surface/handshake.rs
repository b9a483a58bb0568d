//! A WebSocket over HTTP/2 (RFC 8441) whose upstream speaks HTTP/1.1: the extended CONNECT goes on as the handshake that it
//! stands for (RFC 6455, 4.1), and the upstream's 101 comes back as a 200.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tonic::Status;

use super::{Request, Response};
use crate::status::Fault;

/// What an upstream's answer has to say.
#[derive(Debug, Clone)]
pub(super) struct Handshake {
    accept: HeaderValue,
}

impl Handshake {
    /// Makes an extended CONNECT the handshake of HTTP/1.1, which its extensions then say.
    ///
    /// # Errors
    /// INTERNAL: the machine gives no randomness.
    pub(super) fn begin(request: &mut Request) -> Result<(), Status> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| Status::internal("the machine gives no randomness for a WebSocket's key"))?;
        let key = STANDARD.encode(random);
        let accept = text(&accept_of(&key))?;
        *request.method_mut() = Method::GET;
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, text(&key)?);
        request.extensions_mut().insert(Self { accept });
        Ok(())
    }

    /// The response to the CONNECT.
    ///
    /// # Errors
    /// UNIMPLEMENTED, the upstream's fault: it answered, and did not switch; INTERNAL: it did not accept what it was sent.
    pub(super) fn end(self, mut response: Response) -> Result<Response, Status> {
        let wrong = |status: Status| Err(Fault::upstream().on(status));
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {}
            // To a CONNECT that would say that the tunnel is open.
            status if status.is_success() => {
                return wrong(Status::unimplemented("the upstream speaks no WebSocket at this path"));
            }
            _ => return Ok(response),
        }
        let headers: &mut HeaderMap = response.headers_mut();
        if headers.get(header::SEC_WEBSOCKET_ACCEPT) != Some(&self.accept) {
            return wrong(Status::internal("the upstream did not accept the WebSocket's key"));
        }
        for name in [header::SEC_WEBSOCKET_ACCEPT, header::UPGRADE, header::CONNECTION] {
            headers.remove(name);
        }
        *response.status_mut() = StatusCode::OK;
        Ok(response)
    }
}

/// RFC 6455, 4.2.2: what accepts a key.
fn accept_of(key: &str) -> String {
    const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    STANDARD.encode(aws_lc_rs::digest::digest(sha1, format!("{key}{SALT}").as_bytes()))
}

fn text(text: &str) -> Result<HeaderValue, Status> {
    HeaderValue::from_str(text).map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_specification_shows() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
