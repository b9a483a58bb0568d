//! What the protos say: services, their methods, and the HTTP bindings that `google.api.http` or the config gives them.
//! Plain values built once from descriptors; nothing here knows of connections or requests.

mod binding;
mod editions;
mod error_details;
mod files;
mod http_rule;
mod load;
mod nearest;
mod template;
pub mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;

pub use binding::{Binding, BindingError, Body, BoundVariable, bindings};
pub use error_details::with_error_details;
pub use files::{File, Files};
pub use http_rule::{HttpRule, Verb};
#[cfg(test)]
pub(crate) use load::tests::compile;
pub use nearest::{did_you_mean, likeness, nearest};
pub use template::{
    BadEscape, Segment, Template, TemplateError, Variable, decode_segment, escapes_are_whole,
};

/// The services of one set of descriptors: the built-in ones', or one upstream's.
#[derive(Clone)]
pub struct Schema {
    pool: DescriptorPool,
    services: Vec<Arc<Service>>,
    methods: HashMap<String, Arc<Method>>,
    missing_imports: Vec<String>,
    /// The files as they came, by name.
    sources: HashMap<String, Bytes>,
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// `pkg.Service`.
    pub full_name: Arc<str>,
    /// In the order of the file.
    pub methods: Vec<Arc<Method>>,
    /// The file's name, such as `pkg/service.proto`.
    pub file: String,
    /// `option deprecated = true`.
    pub deprecated: bool,
}

/// One method.
pub struct Method {
    /// `pkg.Service.Method`.
    pub full_name: Arc<str>,
    /// `/pkg.Service/Method`: the path of a gRPC call.
    pub path: PathAndQuery,
    /// Its request and response types.
    pub descriptor: MethodDescriptor,
    /// The client sends a stream of messages.
    pub client_streaming: bool,
    /// The server sends a stream of messages.
    pub server_streaming: bool,
    /// `option idempotency_level`: whether a call may be repeated, or be a safe GET.
    pub idempotency: IdempotencyLevel,
    /// `option deprecated = true`.
    pub deprecated: bool,
    /// The annotation's rules, `additional_bindings` flattened behind the first; empty without annotation.
    pub rules: Vec<HttpRule>,
}

/// Descriptors that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// The file where it was found, if that is known.
    pub file: Option<String>,
    /// The method or type where it was found, if that is known.
    pub symbol: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl Schema {
    /// Reads an encoded `google.protobuf.FileDescriptorSet`, its files in any order. The files of `google.protobuf` and
    /// such that are imported for their options alone (as google/api/annotations.proto) may be missing.
    pub fn decode(set: &[u8]) -> Result<Self, SchemaError> {
        load::set(set)
    }

    /// Reads encoded `google.protobuf.FileDescriptorProto`s, as server reflection yields them: in any order, the same
    /// file several times.
    pub fn from_files<B: AsRef<[u8]>>(files: impl IntoIterator<Item = B>) -> Result<Self, SchemaError> {
        let files: Vec<B> = files.into_iter().collect();
        load::files(&files.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Takes the services of a pool. Options survive only if the pool was decoded from bytes: a
    /// `prost_types::FileDescriptorSet` has lost its extensions.
    pub fn from_pool(pool: DescriptorPool) -> Result<Self, SchemaError> {
        load::pool(pool, Vec::new())
    }

    /// Every service, in the order of files and of the services in them.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service `pkg.Service`.
    pub fn service(&self, full_name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| &*service.full_name == full_name)
    }

    /// The method of a gRPC path, `/pkg.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// Every method of every service.
    pub fn methods(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.services.iter().flat_map(|service| &service.methods)
    }

    /// The descriptors of all files, types and extensions.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// A file's encoded `google.protobuf.FileDescriptorProto` as it came, its options and edition kept; as the pool
    /// encodes it where it came from elsewhere. `None` for a file that is not known or was missing.
    pub fn file(&self, name: &str) -> Option<Bytes> {
        if self.missing_imports.iter().any(|missing| missing == name) {
            return None;
        }
        let encoded = || self.pool.get_file_by_name(name).map(|file| file.encode_to_vec().into());
        self.sources.get(name).cloned().or_else(encoded)
    }

    /// True if both schemas were read from the same files, byte for byte.
    pub fn same_files(&self, other: &Self) -> bool {
        self.sources == other.sources
    }

    /// Imported files that were not in the set. The pool holds an empty file in the place of each.
    pub fn missing_imports(&self) -> &[String] {
        &self.missing_imports
    }
}

impl Method {
    /// `pkg.Service`.
    pub fn service_name(&self) -> &str {
        self.full_name.rsplit_once('.').map_or("", |(service, _)| service)
    }

    /// `Method`.
    pub fn name(&self) -> &str {
        self.full_name.rsplit_once('.').map_or(&*self.full_name, |(_, name)| name)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("services", &self.services).finish_non_exhaustive()
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method").field("path", &self.path).field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        if let Some(symbol) = &self.symbol {
            write!(f, "{symbol}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SchemaError {}
