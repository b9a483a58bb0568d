//! Audit lines in SQL.

use tonic::async_trait;

use super::{Database, Row, Work, args};
use crate::store::{Audit, AuditLine, Page, StoreError};

#[async_trait]
impl Audit for Database {
    async fn add(&self, line: &AuditLine) -> Result<(), StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            add(&mut work, line).await?;
            work.commit().await?;
            line.log();
            Ok(())
        })
        .await
    }

    async fn list(&self, target: Option<&str>, page: &Page) -> Result<Vec<AuditLine>, StoreError> {
        // The newest id there can be begins the first page: a UUID is written in digits below `g`.
        let after = if page.after.is_empty() { "g" } else { &page.after };
        let sql = "SELECT id, at, actor, action, target, request_id, address, details FROM audit_lines
                   WHERE id < $1 AND ($2 OR target = $3) ORDER BY id DESC LIMIT $4";
        let args = args![after, target.is_none(), target.unwrap_or_default(), i64::from(page.limit)];
        self.run(async { self.rows(sql, args).await?.iter().map(line).collect() }).await
    }
}

/// Adds a line within a transaction; whoever commits that logs it.
pub(super) async fn add(work: &mut Work, line: &AuditLine) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit_lines (id, at, actor, action, target, request_id, address, details)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let args = args![
        &line.id,
        line.at,
        &line.actor,
        &line.action,
        &line.target,
        &line.request_id,
        &line.address,
        &line.details,
    ];
    work.rows(sql, args).await.map(drop)
}

fn line(row: &Row) -> Result<AuditLine, StoreError> {
    Ok(AuditLine {
        id: row.text("id")?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        target: row.text("target")?,
        request_id: row.text("request_id")?,
        address: row.text("address")?,
        details: row.text("details")?,
    })
}
