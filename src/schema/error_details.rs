//! The types of error details that everybody uses (google/rpc/error_details.proto): a schema that does not import them
//! still gets errors with them.

use prost_reflect::{DescriptorPool, prost_types::FileDescriptorProto};

use super::Schema;

/// The pool of a schema, and in it google.rpc's error details, where the schema does not have them itself. `common` is a schema
/// that has.
#[must_use]
pub fn with_error_details(schema: &Schema, common: &Schema) -> DescriptorPool {
    let mut pool = schema.pool().clone();
    for name in
        ["google/protobuf/any.proto", "google/protobuf/duration.proto", "google/rpc/error_details.proto"]
    {
        let file = common.pool().get_file_by_name(name);
        let missing = pool.get_file_by_name(name).is_none();
        if let Some(file) = file.filter(|_| missing) {
            let file: FileDescriptorProto = file.file_descriptor_proto().clone();
            // A schema that has the same types in a file of another name keeps its own.
            let _ = pool.add_file_descriptor_proto(file);
        }
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn a_schema_without_them_gets_them() {
        let common = Schema::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let file = FileDescriptorProto { name: Some("a.proto".into()), ..FileDescriptorProto::default() };
        let set = prost_reflect::prost_types::FileDescriptorSet { file: vec![file] };
        let bare = Schema::decode(&prost::Message::encode_to_vec(&set)).unwrap();
        assert!(bare.pool().get_message_by_name("google.rpc.ErrorInfo").is_none());
        assert!(with_error_details(&bare, &common).get_message_by_name("google.rpc.ErrorInfo").is_some());
        assert!(with_error_details(&common, &common).get_message_by_name("google.rpc.ErrorInfo").is_some());
    }
}
