//! What is kept of Galaxy's answers, as JSON.

use serde::{Deserialize, Serialize};

/// A namespace with its collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::automation) struct Namespace {
    pub(in crate::automation) name: String,
    pub(in crate::automation) company: String,
    pub(in crate::automation) description: String,
    pub(in crate::automation) avatar_url: String,
    /// By name.
    pub(in crate::automation) collections: Vec<Collection>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::automation) struct Collection {
    pub(in crate::automation) name: String,
    /// The highest.
    pub(in crate::automation) version: String,
    pub(in crate::automation) deprecated: bool,
    pub(in crate::automation) created_at: String,
    pub(in crate::automation) updated_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::automation) struct Version {
    pub(in crate::automation) version: String,
    pub(in crate::automation) created_at: String,
    pub(in crate::automation) requires_ansible: String,
}

/// A module's documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::automation) struct Module {
    pub(in crate::automation) name: String,
    pub(in crate::automation) short_description: String,
    pub(in crate::automation) description: Vec<String>,
    pub(in crate::automation) options: Vec<ModuleOption>,
    pub(in crate::automation) examples: String,
    pub(in crate::automation) returns: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::automation) struct ModuleOption {
    pub(in crate::automation) name: String,
    pub(in crate::automation) kind: String,
    pub(in crate::automation) required: bool,
    pub(in crate::automation) description: Vec<String>,
    pub(in crate::automation) default: serde_json::Value,
    pub(in crate::automation) choices: Vec<String>,
}
