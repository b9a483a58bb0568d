//! What can be known from the files that a config names: descriptors that can be read and are some, certificates that are
//! there, and rules that select a method.

use std::{fs, path::Path};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::Check;
use crate::{
    config::{mistake::Mistake, nearby::unreadable},
    proto,
    schema::{HttpRule, Schema, Verb},
};

/// Reads a file with an encoded `google.protobuf.FileDescriptorSet`.
pub(super) fn schema(file: &Path) -> Result<Schema, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("cannot use the descriptors {}: {why}", file.display());
    let bytes = fs::read(file).map_err(|error| wrong(&unreadable(file, &error)))?;
    if bytes.is_empty() {
        return Err(wrong(&"the file is empty"));
    }
    Schema::decode(&bytes).map_err(|error| wrong(&error))
}

/// Looks for at least one certificate in a PEM file.
pub(super) fn certificates(file: &Path) -> Result<(), String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("cannot use the certificates {}: {why}", file.display());
    let pem = fs::read(file).map_err(|error| wrong(&unreadable(file, &error)))?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|error| wrong(&format!("{error:?}")))?;
        count += 1;
    }
    if count == 0 { Err(wrong(&"it holds no certificate")) } else { Ok(()) }
}

impl Check<'_> {
    /// A rule that selects nothing is a mistake, if every schema is known.
    pub(super) fn selectors(&mut self, selectors: &[String]) {
        if selectors.is_empty() || self.schemas.iter().any(Option::is_none) {
            return;
        }
        let built_in = Schema::decode(proto::FILE_DESCRIPTOR_SET).ok();
        let known: Vec<String> = self
            .schemas
            .iter()
            .flatten()
            .chain(&built_in)
            .flat_map(Schema::methods)
            .map(|method| method.full_name.to_string())
            .collect();
        for (index, selector) in selectors.iter().enumerate().filter(|(_, selector)| !selector.is_empty()) {
            let rule = HttpRule::new(selector, Verb::Get, "");
            if !known.iter().any(|method| rule.selects(method)) {
                let message = format!("{selector:?} selects no method that is known");
                let mistake = Mistake::new(format!("http_rules[{index}].selector"), message);
                self.found.push(mistake.near(selector, known.iter().map(String::as_str)));
            }
        }
    }
}
