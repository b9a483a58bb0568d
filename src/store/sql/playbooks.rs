//! Playbooks in SQL. Their contents are base64, since a text is what both databases keep alike.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tonic::async_trait;

use super::{Database, Row, Work, args};
use crate::store::{Changing, Expected, Micros, Playbook, PlaybookChange, Playbooks, StoreError};

macro_rules! columns {
    () => {
        "id, owner, name, content, version, created_at, updated_at"
    };
}

#[async_trait]
impl Playbooks for Database {
    async fn create(&self, playbook: &Playbook, most: i64) -> Result<bool, StoreError> {
        // Two at once may both find room for one: a few more than the most are no harm.
        let sql = concat!(
            "INSERT INTO playbooks (",
            columns!(),
            ") SELECT $1, $2, $3, $4, $5, $6, $6
               WHERE (SELECT COUNT(*) FROM playbooks WHERE owner = $2) < $7 RETURNING id"
        );
        let args = args![
            &playbook.id,
            &playbook.owner,
            &playbook.name,
            STANDARD.encode(&playbook.content),
            playbook.version,
            playbook.created_at,
            most,
        ];
        self.run(async { Ok(!self.write(sql, args).await?.is_empty()) }).await
    }

    async fn get(&self, owner: &str, id: &str) -> Result<Option<Playbook>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM playbooks WHERE id = $1 AND owner = $2");
        self.run(async { self.row(sql, args![id, owner]).await?.as_ref().map(playbook).transpose() }).await
    }

    async fn list(
        &self,
        owner: &str,
        skip: i64,
        limit: i64,
        bytes: i64,
    ) -> Result<Option<Vec<Playbook>>, StoreError> {
        let length = "SELECT CAST(COALESCE(SUM(LENGTH(content)), 0) AS BIGINT) AS bytes FROM (
                        SELECT content FROM playbooks WHERE owner = $1 ORDER BY id LIMIT $2 OFFSET $3) AS listed";
        let sql =
            concat!("SELECT ", columns!(), " FROM playbooks WHERE owner = $1 ORDER BY id LIMIT $2 OFFSET $3");
        self.run(async {
            let found = self.row(length, args![owner, limit, skip]).await?;
            let long = found.map_or(Ok(0), |row| row.int("bytes"))?;
            if long / 4 * 3 > bytes {
                return Ok(None);
            }
            let rows = self.rows(sql, args![owner, limit, skip]).await?;
            rows.iter().map(playbook).collect::<Result<Vec<_>, _>>().map(Some)
        })
        .await
    }

    async fn update(
        &self,
        owner: &str,
        id: &str,
        change: &PlaybookChange,
        expected: &Expected,
        now: Micros,
    ) -> Result<Changing<Playbook>, StoreError> {
        let sql = concat!(
            "UPDATE playbooks SET name = COALESCE($2, name), content = COALESCE($3, content), version = version + 1,
              updated_at = $4 WHERE id = $1 RETURNING ",
            columns!()
        );
        self.run(async {
            let mut work = self.begin().await?;
            let Some(found) = held(&mut work, owner, id).await? else { return Ok(Changing::Missing) };
            if !expected.fits(found.version) {
                return Ok(Changing::Stale(found.version));
            }
            if *change == PlaybookChange::default() {
                return Ok(Changing::Done(found));
            }
            // Clocks of replicas differ; a change is never before the one before it.
            let at = now.max(found.updated_at);
            let content = change.content.as_ref().map(|content| STANDARD.encode(content));
            let changed = work.row(sql, args![id, change.name.clone(), content, at]).await?;
            let changed = changed.as_ref().map(playbook).transpose()?;
            work.commit().await?;
            Ok(changed.map_or(Changing::Missing, Changing::Done))
        })
        .await
    }

    async fn delete(&self, owner: &str, id: &str, expected: &Expected) -> Result<Changing<()>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            let Some(found) = held(&mut work, owner, id).await? else { return Ok(Changing::Missing) };
            if !expected.fits(found.version) {
                return Ok(Changing::Stale(found.version));
            }
            work.rows("DELETE FROM playbooks WHERE id = $1", args![id]).await?;
            work.commit().await?;
            Ok(Changing::Done(()))
        })
        .await
    }
}

/// The owner's playbook, which nobody else changes until the transaction ends.
async fn held(work: &mut Work, owner: &str, id: &str) -> Result<Option<Playbook>, StoreError> {
    let sql = match work {
        // It has one writer.
        Work::Sqlite(_) => concat!("SELECT ", columns!(), " FROM playbooks WHERE id = $1 AND owner = $2"),
        Work::Postgres(_) => {
            concat!("SELECT ", columns!(), " FROM playbooks WHERE id = $1 AND owner = $2 FOR UPDATE")
        }
    };
    work.row(sql, args![id, owner]).await?.as_ref().map(playbook).transpose()
}

fn playbook(row: &Row) -> Result<Playbook, StoreError> {
    let content = STANDARD.decode(row.text("content")?);
    let broken = |error| StoreError::Broken(format!("a playbook's content is not base64: {error}"));
    Ok(Playbook {
        id: row.text("id")?,
        owner: row.text("owner")?,
        name: row.text("name")?,
        content: Bytes::from(content.map_err(broken)?),
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
