//! What can be known from the descriptors that a config names: that they can be read, and are some.

use std::path::Path;

use crate::{config::read_file, schema::Schema};

/// Reads a file with an encoded `google.protobuf.FileDescriptorSet`.
pub(super) fn schema(file: &Path) -> Result<Schema, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("cannot use the descriptors {}: {why}", file.display());
    let bytes = read_file(file).map_err(|why| wrong(&why))?;
    if bytes.is_empty() {
        return Err(wrong(&"the file is empty"));
    }
    Schema::decode(&bytes).map_err(|error| wrong(&error))
}
