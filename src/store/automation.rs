//! What the automation services keep: playbooks, custom variable types, favourites, what is known of Galaxy. Whose they are is told by ids that need
//! not be of accounts in this database: the services may stand elsewhere than the accounts.

use bytes::Bytes;
use tonic::async_trait;

use super::{Micros, StoreError};

/// One playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// A UUID (version 7).
    pub id: String,
    pub owner: String,
    pub name: String,
    /// A `google.protobuf.Struct` as it is on the wire: kept so, because its numbers come back as they were.
    pub content: Bytes,
    /// 1 at first, one more with each change.
    pub version: i64,
    pub created_at: Micros,
    pub updated_at: Micros,
}

/// What changes of a playbook; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaybookChange {
    pub name: Option<String>,
    pub content: Option<Bytes>,
}

/// One custom type of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableType {
    /// A UUID.
    pub id: String,
    pub name: String,
    pub label: String,
    pub description: Option<String>,
    pub pattern: String,
    pub active: bool,
    /// Empty for what came with the schema.
    pub created_by: String,
    /// 1 at first, one more with each change.
    pub version: i64,
    pub created_at: Micros,
    pub updated_at: Micros,
}

/// What changes of a custom type; `None` stays as it is, an empty description is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariableTypeChange {
    pub name: Option<String>,
    pub label: Option<String>,
    pub description: Option<String>,
    pub pattern: Option<String>,
    pub active: Option<bool>,
}

/// What somebody has favourites of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FavoriteKind {
    Namespace,
    Collection,
    Module,
}

impl FavoriteKind {
    /// As it is kept.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Collection => "collection",
            Self::Module => "module",
        }
    }
}

/// Which version of something is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<i64>),
}

impl Expected {
    #[must_use]
    pub fn fits(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changing<T> {
    Done(T),
    /// It has another version than was expected: this one.
    Stale(i64),
    /// There is none, or it is somebody else's.
    Missing,
    /// Another has the name.
    NameTaken,
}

/// Keeps playbooks. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait Playbooks: Send + Sync {
    /// Keeps a new one, unless its owner has `most` already: false then.
    ///
    /// # Errors
    /// The store's own.
    async fn create(&self, playbook: &Playbook, most: i64) -> Result<bool, StoreError>;

    /// The owner's playbook with this id.
    ///
    /// # Errors
    /// The store's own.
    async fn get(&self, owner: &str, id: &str) -> Result<Option<Playbook>, StoreError>;

    /// The owner's playbooks in the order they were made; `None` where their contents have more than `bytes` together.
    ///
    /// # Errors
    /// The store's own.
    async fn list(
        &self,
        owner: &str,
        skip: i64,
        limit: i64,
        bytes: i64,
    ) -> Result<Option<Vec<Playbook>>, StoreError>;

    /// Changes one if it has the version that is expected, in one step with looking. A change of nothing makes no version.
    ///
    /// # Errors
    /// The store's own.
    async fn update(
        &self,
        owner: &str,
        id: &str,
        change: &PlaybookChange,
        expected: &Expected,
        now: Micros,
    ) -> Result<Changing<Playbook>, StoreError>;

    /// Deletes one if it has the version that is expected.
    ///
    /// # Errors
    /// The store's own.
    async fn delete(&self, owner: &str, id: &str, expected: &Expected) -> Result<Changing<()>, StoreError>;
}

/// Keeps custom types of variables.
#[async_trait]
pub trait VariableTypes: Send + Sync {
    /// Keeps a new one; false where its name is taken.
    ///
    /// # Errors
    /// The store's own.
    async fn create(&self, new: &VariableType) -> Result<bool, StoreError>;

    /// All of them by name, or those that are active.
    ///
    /// # Errors
    /// The store's own.
    async fn list(&self, active: bool) -> Result<Vec<VariableType>, StoreError>;

    /// The active one with this name.
    ///
    /// # Errors
    /// The store's own.
    async fn by_name(&self, name: &str) -> Result<Option<VariableType>, StoreError>;

    /// Changes one if it has the version that is expected, in one step with looking. A change of nothing makes no version.
    ///
    /// # Errors
    /// The store's own.
    async fn update(
        &self,
        id: &str,
        change: &VariableTypeChange,
        expected: &Expected,
        now: Micros,
    ) -> Result<Changing<VariableType>, StoreError>;

    /// Deletes one if it has the version that is expected.
    ///
    /// # Errors
    /// The store's own.
    async fn delete(&self, id: &str, expected: &Expected) -> Result<Changing<()>, StoreError>;
}

/// Keeps favourites.
#[async_trait]
pub trait Favorites: Send + Sync {
    /// The names in the order they were added.
    ///
    /// # Errors
    /// The store's own.
    async fn list(&self, owner: &str, kind: FavoriteKind) -> Result<Vec<String>, StoreError>;

    /// Adds one that may be there already; false where there are `most` others.
    ///
    /// # Errors
    /// The store's own.
    async fn add(
        &self,
        owner: &str,
        kind: FavoriteKind,
        name: &str,
        most: i64,
        now: Micros,
    ) -> Result<bool, StoreError>;

    /// Removes one that may not be there.
    ///
    /// # Errors
    /// The store's own.
    async fn remove(&self, owner: &str, kind: FavoriteKind, name: &str) -> Result<(), StoreError>;
}

/// Something that is known of Galaxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    /// As who keeps it has written it.
    pub data: String,
    pub read_at: Micros,
}

/// Keeps what is known of Galaxy until something newer is: each by its kind and name.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// With when it was read.
    ///
    /// # Errors
    /// The store's own.
    async fn get(&self, kind: &str, name: &str) -> Result<Option<(String, Micros)>, StoreError>;

    /// # Errors
    /// The store's own.
    async fn put(&self, kind: &str, name: &str, data: &str, now: Micros) -> Result<(), StoreError>;

    /// # Errors
    /// The store's own.
    async fn delete(&self, kind: &str, name: &str) -> Result<(), StoreError>;

    /// Those of a kind, by name.
    ///
    /// # Errors
    /// The store's own.
    async fn list(&self, kind: &str, skip: i64, limit: i64) -> Result<Vec<Known>, StoreError>;

    /// The names of those of a kind that were read since then.
    ///
    /// # Errors
    /// The store's own.
    async fn names(&self, kind: &str, since: Micros) -> Result<Vec<String>, StoreError>;
}
