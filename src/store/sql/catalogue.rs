//! What is known of Galaxy, in SQL.

use tonic::async_trait;

use super::{Database, args};
use crate::store::{Catalogue, Known, Micros, StoreError};

#[async_trait]
impl Catalogue for Database {
    async fn get(&self, kind: &str, name: &str) -> Result<Option<(String, Micros)>, StoreError> {
        let sql = "SELECT data, read_at FROM galaxy WHERE kind = $1 AND name = $2";
        self.run(async {
            let row = self.row(sql, args![kind, name]).await?;
            row.map(|row| Ok((row.text("data")?, row.time("read_at")?))).transpose()
        })
        .await
    }

    async fn put(&self, kind: &str, name: &str, data: &str, now: Micros) -> Result<(), StoreError> {
        let sql = "INSERT INTO galaxy (kind, name, data, read_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (kind, name) DO UPDATE SET data = excluded.data, read_at = excluded.read_at";
        self.run(self.write(sql, args![kind, name, data, now])).await.map(drop)
    }

    async fn delete(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM galaxy WHERE kind = $1 AND name = $2";
        self.run(self.write(sql, args![kind, name])).await.map(drop)
    }

    async fn list(&self, kind: &str, skip: i64, limit: i64) -> Result<Vec<Known>, StoreError> {
        let sql = "SELECT name, data, read_at FROM galaxy WHERE kind = $1 ORDER BY name LIMIT $2 OFFSET $3";
        self.run(async {
            let rows = self.rows(sql, args![kind, limit, skip]).await?;
            let known = rows.iter().map(|row| {
                Ok(Known { name: row.text("name")?, data: row.text("data")?, read_at: row.time("read_at")? })
            });
            known.collect()
        })
        .await
    }

    async fn names(&self, kind: &str, since: Micros) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM galaxy WHERE kind = $1 AND read_at >= $2";
        self.run(async {
            self.rows(sql, args![kind, since]).await?.iter().map(|row| row.text("name")).collect()
        })
        .await
    }
}
