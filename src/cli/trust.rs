//! How a command trusts the server that it asks over TLS.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::{
    config::{Address, Tls, certificates, read_file},
    dispatch::Roots,
};

/// Whose word is taken for who a server is: by default, that of the authorities which the machine trusts.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// Ask over TLS, as https:// in the address does
    #[arg(long)]
    tls: bool,
    /// A PEM file of the certificate authorities to trust, in place of the machine's own; asks over TLS
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Ask over TLS, and take the server for what it says it is: anybody may answer
    #[arg(long)]
    insecure: bool,
}

impl Trust {
    /// The address with what was asked for, and the authorities to trust.
    ///
    /// # Errors
    /// The file cannot be used, or the address is one of plain text.
    pub(super) fn apply(&self, address: Address, written: &str) -> Result<(Address, Roots), Failure> {
        let asked = self.tls || self.ca.is_some() || self.insecure;
        if asked && !address.tls && written.contains("://") {
            return Err(Failure::config(format!(
                "{address} is asked in plain text: say https:// in its place"
            )));
        }
        let roots = match &self.ca {
            Some(file) => {
                certificates(file).map_err(Failure::config)?;
                Roots::Pem(read_file(file).map_err(Failure::config)?)
            }
            None if self.insecure => Roots::Anybody,
            None => Roots::Native,
        };
        Ok((Address { tls: address.tls || asked, ..address }, roots))
    }

    /// The authorities for a gateway of this machine whose config is known: nobody else has the key of its certificate.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn of_config(&self, tls: &Tls) -> Result<Roots, Failure> {
        if self.ca.is_some() || self.insecure {
            let nowhere = Address { tls: true, host: String::new(), port: 0 };
            return self.apply(nowhere, "").map(|(_, roots)| roots);
        }
        let chain = certificates(&tls.pair.certificate).map_err(Failure::config)?;
        Ok(Roots::Exactly(chain.first().map(|first| first.to_vec()).unwrap_or_default()))
    }
}
