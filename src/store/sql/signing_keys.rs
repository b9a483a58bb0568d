//! Signing keys in SQL. Whoever adds one holds a lock, so that there is never a second first one.

use tonic::async_trait;

use super::{Database, Row, Work, args};
use crate::{
    status::BASE64,
    store::{Micros, Private, SigningKey, SigningKeys, StoreError},
};
use base64::Engine as _;

const ALL: &str = "SELECT kid, algorithm, private, created_at, signs_from, verifies_until FROM signing_keys
                   WHERE verifies_until IS NULL OR verifies_until > $1 ORDER BY signs_from DESC, kid";

#[async_trait]
impl SigningKeys for Database {
    async fn all(&self, now: Micros) -> Result<Vec<SigningKey>, StoreError> {
        self.run(async { self.rows(ALL, args![now]).await?.iter().map(key).collect() }).await
    }

    async fn first(&self, candidate: &SigningKey, now: Micros) -> Result<Vec<SigningKey>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            work.lock("signing_keys").await?;
            let newest = "SELECT kid FROM signing_keys WHERE verifies_until IS NULL";
            if work.row(newest, args![]).await?.is_none() {
                insert(&mut work, candidate).await?;
            }
            let keys = work.rows(ALL, args![now]).await?;
            work.commit().await?;
            keys.iter().map(key).collect()
        })
        .await
    }

    async fn rotate(
        &self,
        current: &str,
        next: &SigningKey,
        until: Micros,
        now: Micros,
    ) -> Result<Vec<SigningKey>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            work.lock("signing_keys").await?;
            let succeed = "UPDATE signing_keys SET verifies_until = $2
                           WHERE kid = $1 AND verifies_until IS NULL RETURNING kid";
            if work.row(succeed, args![current, until]).await?.is_some() {
                insert(&mut work, next).await?;
            }
            let keys = work.rows(ALL, args![now]).await?;
            work.commit().await?;
            keys.iter().map(key).collect()
        })
        .await
    }
}

async fn insert(work: &mut Work, key: &SigningKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO signing_keys (kid, algorithm, private, created_at, signs_from, verifies_until)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let private = BASE64.encode(&key.private.0);
    let args = args![&key.kid, &key.algorithm, private, key.created_at, key.signs_from, key.verifies_until];
    work.rows(sql, args).await.map(drop)
}

fn key(row: &Row) -> Result<SigningKey, StoreError> {
    let private = BASE64
        .decode(row.text("private")?)
        .map_err(|_| StoreError::Broken("a signing key is no base64".to_owned()))?;
    Ok(SigningKey {
        kid: row.text("kid")?,
        algorithm: row.text("algorithm")?,
        private: Private(private),
        created_at: row.time("created_at")?,
        signs_from: row.time("signs_from")?,
        verifies_until: row.maybe_time("verifies_until")?,
    })
}
