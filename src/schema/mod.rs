//! What the protos say
use std::sync::Arc;
#[derive(Debug)]
pub struct Method {
    pub path: http::uri::PathAndQuery,
    pub full_name: Arc<str>,
    pub client_streaming: bool,
    pub server_streaming: bool,
}
