//! Revocations: tokens that end before their time. They are kept until they would have ended anyhow; every replica reads
//! what is new each second, so that a token is refused everywhere within seconds.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use tonic::async_trait;

use super::{Micros, StoreError};

/// What is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// One token, by its `jti`.
    Token,
    /// All tokens of one login, by their `sid`: the refresh tokens' family.
    Session,
    /// All tokens of an account, by its id.
    Account,
    /// An API key, by its id: what was cached of it is out of date.
    Key,
}

impl Revoked {
    /// As the database has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Account => "account",
            Self::Key => "key",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Token, Self::Session, Self::Account, Self::Key].into_iter().find(|kind| kind.name() == name)
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub kind: Revoked,
    pub id: String,
    /// What was issued up to here is revoked; an account may log in again and gets tokens that are good.
    pub up_to: Micros,
    /// It is forgotten then: nothing it revokes lives longer.
    pub expires_at: Micros,
}

/// Keeps revocations. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// All or none. Once this has answered, each replica knows within seconds.
    ///
    /// # Errors
    /// The store's own.
    async fn add(&self, revocations: &[Revocation]) -> Result<(), StoreError>;

    /// All that are newer than a cursor (0: all that have not expired), and the cursor to ask with next.
    ///
    /// # Errors
    /// The store's own.
    async fn since(&self, cursor: i64, now: Micros) -> Result<(Vec<Revocation>, i64), StoreError>;

    /// Forgets those that expired before `before`; how many.
    ///
    /// # Errors
    /// The store's own.
    async fn forget(&self, before: Micros) -> Result<u64, StoreError>;
}

/// What this process knows of revocations: asked for each call, without a round trip.
///
/// [`super::Stores`] keeps it up to date. While the database is away it says what was known then, and since when it
/// has heard nothing.
#[derive(Debug, Default)]
pub struct RevocationList {
    known: RwLock<HashMap<Revoked, HashMap<Box<str>, Entry>>>,
    /// Raised with each revocation, so that what was verified before can be looked at again.
    version: AtomicU64,
    cursor: AtomicI64,
    /// When it was complete last; 0 while it never was.
    complete_at: AtomicI64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    up_to: Micros,
    expires_at: Micros,
}

impl RevocationList {
    /// True where something issued at `issued_at` is revoked. JWTs have whole seconds: of a token issued in the very
    /// second of a revocation nobody knows whether it came before; it is revoked.
    #[must_use]
    pub fn is_revoked(&self, kind: Revoked, id: &str, issued_at: Micros) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&kind).and_then(|ids| ids.get(id)).is_some_and(|entry| issued_at <= entry.up_to)
    }

    /// Another number whenever something has been revoked since.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// When the database was last heard of; `None` before the first time.
    #[must_use]
    pub fn complete_at(&self) -> Option<Micros> {
        Some(self.complete_at.load(Ordering::Acquire)).filter(|at| *at != 0).map(Micros)
    }

    /// Puts in what this process has revoked itself, so that it holds here at once.
    pub fn insert(&self, revocation: &Revocation) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry { up_to: revocation.up_to, expires_at: revocation.expires_at };
        known
            .entry(revocation.kind)
            .or_default()
            .entry(revocation.id.as_str().into())
            .and_modify(|old| {
                old.up_to = old.up_to.max(entry.up_to);
                old.expires_at = old.expires_at.max(entry.expires_at);
            })
            .or_insert(entry);
        drop(known);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The store's own; the list stays as it was.
    pub async fn read(&self, store: &dyn Revocations, now: Micros) -> Result<(), StoreError> {
        let (new, cursor) = store.since(self.cursor.load(Ordering::Acquire), now).await?;
        for revocation in &new {
            self.insert(revocation);
        }
        self.cursor.store(cursor, Ordering::Release);
        self.complete_at.store(now.0, Ordering::Release);
        Ok(())
    }

    /// Lets go of what has expired.
    pub fn forget(&self, now: Micros) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for ids in known.values_mut() {
            ids.retain(|_, entry| now <= entry.expires_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_before_a_revocation_is_revoked() {
        let list = RevocationList::default();
        assert!(!list.is_revoked(Revoked::Account, "a", Micros(0)));
        let revocation = |up_to, expires_at| Revocation {
            kind: Revoked::Account,
            id: "a".into(),
            up_to: Micros(up_to),
            expires_at: Micros(expires_at),
        };
        list.insert(&revocation(100, 1000));
        assert_eq!(list.version(), 1);
        // An older one that comes later takes nothing back.
        list.insert(&revocation(50, 500));
        for (kind, id, at, want) in [
            (Revoked::Account, "a", 100, true),
            (Revoked::Account, "a", 101, false),
            (Revoked::Account, "b", 100, false),
            (Revoked::Session, "a", 100, false),
        ] {
            assert_eq!(list.is_revoked(kind, id, Micros(at)), want, "{kind:?} {id} {at}");
        }
        list.forget(Micros(1000));
        assert!(list.is_revoked(Revoked::Account, "a", Micros(1)));
        list.forget(Micros(1001));
        assert!(!list.is_revoked(Revoked::Account, "a", Micros(1)));
    }
}
