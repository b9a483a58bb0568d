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
    /// All tokens of an account that was deleted, by its id.
    Account,
    /// An API key, by its id.
    Key,
    /// What was found out about an account's API keys, by the account's id: they are looked up again.
    Keys,
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
            Self::Keys => "keys",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Token, Self::Session, Self::Account, Self::Key, Self::Keys]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub kind: Revoked,
    pub id: String,
    pub at: Micros,
    /// It is forgotten then: nothing it revokes lives longer.
    pub expires_at: Micros,
}

/// Keeps revocations, which are made together with what they belong to: the end of a session, the change of an account.
/// Every operation is bounded by the store's timeout.
#[async_trait]
pub trait Revocations: Send + Sync {
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
    expires_at: Micros,
    version: u64,
}

impl RevocationList {
    /// True where it is revoked. No id is used again, so that no clock has a say in it.
    #[must_use]
    pub fn is_revoked(&self, kind: Revoked, id: &str) -> bool {
        self.known_at(kind, id).is_some()
    }

    /// True where it was revoked after the list had a version.
    #[must_use]
    pub fn is_revoked_since(&self, kind: Revoked, id: &str, version: u64) -> bool {
        self.known_at(kind, id).is_some_and(|at| version < at)
    }

    /// The version that came of a revocation.
    fn known_at(&self, kind: Revoked, id: &str) -> Option<u64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&kind).and_then(|ids| ids.get(id)).map(|entry| entry.version)
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
        // Under the lock: whoever knows the version knows the entry.
        let version = self.version.fetch_add(1, Ordering::AcqRel) + 1;
        let expires_at = revocation.expires_at;
        known
            .entry(revocation.kind)
            .or_default()
            .entry(revocation.id.as_str().into())
            .and_modify(|old| {
                *old = Entry { expires_at: old.expires_at.max(expires_at), version };
            })
            .or_insert(Entry { expires_at, version });
    }

    /// The same of several.
    pub fn insert_all(&self, revocations: &[Revocation]) {
        for revocation in revocations {
            self.insert(revocation);
        }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The store's own; the list stays as it was.
    pub async fn read(&self, store: &dyn Revocations, now: Micros) -> Result<(), StoreError> {
        let (new, cursor) = store.since(self.cursor.load(Ordering::Acquire), now).await?;
        self.insert_all(&new);
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
    fn what_is_revoked_stays_so_until_it_is_forgotten() {
        let list = RevocationList::default();
        assert!(!list.is_revoked(Revoked::Session, "a"));
        let revocation = |expires_at| Revocation {
            kind: Revoked::Session,
            id: "a".into(),
            at: Micros(7),
            expires_at: Micros(expires_at),
        };
        list.insert(&revocation(1000));
        // One that is over sooner takes nothing back.
        list.insert(&revocation(500));
        for (kind, id, want) in
            [(Revoked::Session, "a", true), (Revoked::Session, "b", false), (Revoked::Account, "a", false)]
        {
            assert_eq!(list.is_revoked(kind, id), want, "{kind:?} {id}");
        }
        let since = |version| list.is_revoked_since(Revoked::Session, "a", version);
        assert_eq!((list.version(), since(0), since(1), since(2)), (2, true, true, false));
        list.forget(Micros(1000));
        assert!(list.is_revoked(Revoked::Session, "a"));
        list.forget(Micros(1001));
        assert!(!list.is_revoked(Revoked::Session, "a"));
    }
}
