//! A message of the gateway's own services as JSON text, in the style of their REST face: for those who print one.

use std::sync::{Arc, LazyLock};

use prost::Message;
use tonic::Status;

use crate::{
    proto::FILE_DESCRIPTOR_SET,
    schema::Schema,
    transcode::{JsonStyle, Tables},
};

static TABLES: LazyLock<Option<Arc<Tables>>> = LazyLock::new(|| {
    let schema = Schema::decode(FILE_DESCRIPTOR_SET).ok()?;
    Some(Tables::compile(schema.pool()))
});

/// Proto names, defaults printed, indented.
const STYLE: JsonStyle = JsonStyle { proto_names: true, defaults: true, enum_numbers: false, pretty: true };

/// The JSON of a message, whose full name is `name`.
///
/// # Errors
/// INTERNAL: it is no message of the gateway's own services.
pub fn json(name: &str, message: &impl Message) -> Result<String, Status> {
    let codec = TABLES.as_ref().and_then(|tables| tables.codec(name));
    let codec = codec.ok_or_else(|| Status::internal(format!("the contract has no message {name}")))?;
    let mut out = Vec::new();
    codec
        .to_json(&message.encode_to_vec(), &STYLE, &mut out)
        .map_err(|error| Status::internal(format!("{name}: {error}")))?;
    String::from_utf8(out).map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::gateway_v1::ListRoutesRequest;

    #[test]
    fn a_message_is_written_as_rest_writes_it() {
        let message = ListRoutesRequest { service: "a.B".into() };
        let text = json("propylon.gateway.v1.ListRoutesRequest", &message).unwrap();
        assert_eq!(text, "{\n  \"service\": \"a.B\"\n}");
        assert!(json("propylon.gateway.v1.Nothing", &message).is_err());
    }
}
