//! `propylon config`: about the config file itself.

use clap::Subcommand;

use super::say;
use crate::config::json_schema;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Prints the JSON Schema (2020-12) of the config file, for editors and other tools
    Schema,
}

pub(super) fn run(command: &Config) {
    match command {
        Config::Schema => say(&format!("{:#}", json_schema())),
    }
}
