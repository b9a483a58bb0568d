//! API keys in SQL.

use tonic::async_trait;

use super::{Database, Row, args, audit::add, revocations::insert, row::words};
use crate::store::{ApiKey, ApiKeys, AuditLine, Digest, Micros, Page, Revocation, Revoked, StoreError};

macro_rules! columns {
    () => {
        "id, name, prefix, owner, roles, permissions, scopes, tier, created_at, expires_at, revoked_at, last_used_at"
    };
}

#[async_trait]
impl ApiKeys for Database {
    async fn create(
        &self,
        key: &ApiKey,
        digest: &Digest,
        audit: Option<&AuditLine>,
    ) -> Result<(), StoreError> {
        let sql = concat!(
            "INSERT INTO api_keys (",
            columns!(),
            ", digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        );
        let args = args![
            &key.id,
            &key.name,
            &key.prefix,
            key.owner.clone(),
            words(&key.roles),
            words(&key.permissions),
            words(&key.scopes),
            &key.tier,
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
            digest.hex(),
        ];
        self.run(async {
            let mut work = self.begin().await?;
            work.rows(sql, args).await?;
            if let Some(line) = audit {
                add(&mut work, line).await?;
            }
            work.commit().await?;
            audit.inspect(|line| line.log());
            Ok(())
        })
        .await
    }

    async fn by_digest(&self, digest: &Digest) -> Result<Option<ApiKey>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM api_keys WHERE digest = $1");
        self.run(async { self.row(sql, args![digest.hex()]).await?.as_ref().map(key).transpose() }).await
    }

    async fn get(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM api_keys WHERE id = $1");
        self.run(async { self.row(sql, args![id]).await?.as_ref().map(key).transpose() }).await
    }

    async fn list(&self, owner: Option<&str>, page: &Page) -> Result<Vec<ApiKey>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM api_keys WHERE id > $1 AND ($2 OR owner = $3) ORDER BY id LIMIT $4"
        );
        let args = args![&page.after, owner.is_none(), owner.unwrap_or_default(), i64::from(page.limit)];
        self.run(async { self.rows(sql, args).await?.iter().map(key).collect() }).await
    }

    async fn revoke(
        &self,
        id: &str,
        until: Micros,
        audit: Option<&AuditLine>,
        now: Micros,
    ) -> Result<Option<(ApiKey, Revocation)>, StoreError> {
        let sql = concat!(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1 RETURNING ",
            columns!()
        );
        self.run(async {
            let mut work = self.begin().await?;
            let Some(row) = work.row(sql, args![id, now]).await? else { return Ok(None) };
            let key = key(&row)?;
            // One that had ended before is not ended again.
            let audit = audit.filter(|_| key.revoked_at == Some(now));
            if let Some(line) = audit {
                add(&mut work, line).await?;
            }
            let revoked = Revocation { kind: Revoked::Key, id: id.to_owned(), at: now, expires_at: until };
            insert(&mut work, std::slice::from_ref(&revoked)).await?;
            work.commit().await?;
            audit.inspect(|line| line.log());
            Ok(Some((key, revoked)))
        })
        .await
    }

    async fn used(&self, keys: &[(String, Micros)]) -> Result<(), StoreError> {
        let sql = "UPDATE api_keys SET last_used_at = $2
                   WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        self.run(async {
            let mut work = self.begin().await?;
            for (id, at) in keys {
                work.rows(sql, args![id, *at]).await?;
            }
            work.commit().await
        })
        .await
    }

    async fn count_usable(&self, now: Micros) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM api_keys
                   WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)";
        self.run(async { self.row(sql, args![now]).await?.map_or(Ok(0), |row| row.int("n")) }).await
    }
}

fn key(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.text("id")?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        owner: row.maybe_text("owner")?,
        roles: row.json("roles")?,
        permissions: row.json("permissions")?,
        scopes: row.json("scopes")?,
        tier: row.text("tier")?,
        created_at: row.time("created_at")?,
        expires_at: row.maybe_time("expires_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
    })
}
