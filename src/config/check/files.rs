//! What can be known from the files that a config names: descriptors that can be read and are some, and certificates that
//! are there.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

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

/// Looks for at least one certificate in a PEM file.
pub(super) fn certificates(file: &Path) -> Result<(), String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("cannot use the certificates {}: {why}", file.display());
    let pem = read_file(file).map_err(|why| wrong(&why))?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|error| wrong(&format!("{error:?}")))?;
        count += 1;
    }
    if count == 0 { Err(wrong(&"it holds no certificate")) } else { Ok(()) }
}
