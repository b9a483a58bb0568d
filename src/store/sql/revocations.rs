//! Revocations in SQL, numbered in the order in which they become visible: the number is taken under a lock that is held
//! until the commit, so that who has read up to a number has missed none below it.

use tonic::async_trait;

use super::{Database, Row, Work, args};
use crate::store::{Micros, Revocation, Revocations, Revoked, StoreError};

#[async_trait]
impl Revocations for Database {
    async fn since(&self, cursor: i64, now: Micros) -> Result<(Vec<Revocation>, i64), StoreError> {
        let sql = "SELECT seq, kind, id, up_to, expires_at FROM revocations
                   WHERE seq > $1 AND expires_at >= $2 ORDER BY seq";
        self.run(async {
            let rows = self.rows(sql, args![cursor, now]).await?;
            let cursor = rows.last().map_or(Ok(cursor), |row| row.int("seq"))?;
            let revocations = rows.iter().map(revocation).collect::<Result<_, _>>()?;
            Ok((revocations, cursor))
        })
        .await
    }

    async fn forget(&self, before: Micros) -> Result<u64, StoreError> {
        let sql = "DELETE FROM revocations WHERE expires_at < $1 RETURNING seq";
        self.run(async { Ok(self.write(sql, args![before]).await?.len() as u64) }).await
    }
}

/// Revokes within a transaction, as its last act: others that revoke wait for it from here on.
pub(super) async fn insert(work: &mut Work, revocations: &[Revocation]) -> Result<(), StoreError> {
    let sql = "INSERT INTO revocations (seq, kind, id, up_to, expires_at) VALUES ($1, $2, $3, $4, $5)";
    for Revocation { kind, id, at, expires_at } in revocations {
        let seq = work.lock("revocations").await?;
        work.rows(sql, args![seq, kind.name(), id, *at, *expires_at]).await?;
    }
    Ok(())
}

fn revocation(row: &Row) -> Result<Revocation, StoreError> {
    let kind = row.text("kind")?;
    Ok(Revocation {
        kind: Revoked::of(&kind)
            .ok_or_else(|| StoreError::Broken(format!("{kind:?} is no kind of revocation")))?,
        id: row.text("id")?,
        at: row.time("up_to")?,
        expires_at: row.time("expires_at")?,
    })
}
