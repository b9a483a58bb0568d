//! Favourites in SQL.

use tonic::async_trait;

use super::{Database, args};
use crate::store::{FavoriteKind, Favorites, Micros, StoreError};

#[async_trait]
impl Favorites for Database {
    async fn list(&self, owner: &str, kind: FavoriteKind) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM favorites WHERE owner = $1 AND kind = $2 ORDER BY added_at, name";
        self.run(async {
            self.rows(sql, args![owner, kind.name()]).await?.iter().map(|row| row.text("name")).collect()
        })
        .await
    }

    async fn add(
        &self,
        owner: &str,
        kind: FavoriteKind,
        name: &str,
        most: i64,
        now: Micros,
    ) -> Result<bool, StoreError> {
        // Two at once may both find room for one: a few more than the most are no harm.
        let add = "INSERT INTO favorites (owner, kind, name, added_at) SELECT $1, $2, $3, $4
                   WHERE (SELECT COUNT(*) FROM favorites WHERE owner = $1 AND kind = $2) < $5
                   ON CONFLICT (owner, kind, name) DO NOTHING";
        let there = "SELECT name FROM favorites WHERE owner = $1 AND kind = $2 AND name = $3";
        self.run(async {
            let mut work = self.begin().await?;
            work.rows(add, args![owner, kind.name(), name, now, most]).await?;
            let there = work.row(there, args![owner, kind.name(), name]).await?.is_some();
            work.commit().await?;
            Ok(there)
        })
        .await
    }

    async fn remove(&self, owner: &str, kind: FavoriteKind, name: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM favorites WHERE owner = $1 AND kind = $2 AND name = $3";
        self.run(self.write(sql, args![owner, kind.name(), name])).await.map(drop)
    }
}
