//! `[galaxy]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Time;

/// `[galaxy]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Galaxy {
    /// Where Galaxy's API is. Default: https://galaxy.ansible.com/api/v3.
    pub(in crate::config) url: Option<String>,
    /// How long what was read of it is new. Default: 30m.
    pub(in crate::config) cache_ttl: Option<Time>,
    /// The longest that one of its answers may take. Default: 10s.
    pub(in crate::config) timeout: Option<Time>,
    /// Namespaces that are read when the gateway starts. Default: none.
    pub(in crate::config) popular: Vec<String>,
    /// Read all other namespaces in the background, once a day. Default: false.
    pub(in crate::config) background: Option<bool>,
    /// How many namespaces are read in the background a second. Default: 10.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) rate: Option<u32>,
}
