//! Custom types of variables in SQL.

use tonic::async_trait;

use super::{Database, Row, Work, args};
use crate::store::{Changing, Expected, Micros, StoreError, VariableType, VariableTypeChange, VariableTypes};

/// Held by whoever gives a type its name, or changes one.
const LOCK: &str = "variable_types";

macro_rules! columns {
    () => {
        "id, name, label, description, pattern, active, created_by, version, created_at, updated_at"
    };
}

#[async_trait]
impl VariableTypes for Database {
    async fn create(&self, new: &VariableType) -> Result<bool, StoreError> {
        let sql = concat!(
            "INSERT INTO variable_types (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (name) DO NOTHING RETURNING id"
        );
        let args = args![
            &new.id,
            &new.name,
            &new.label,
            new.description.clone(),
            &new.pattern,
            new.active,
            &new.created_by,
            new.version,
            new.created_at,
        ];
        self.run(async {
            let mut work = self.begin().await?;
            work.lock(LOCK).await?;
            let made = !work.rows(sql, args).await?.is_empty();
            work.commit().await?;
            Ok(made)
        })
        .await
    }

    async fn list(&self, active: bool) -> Result<Vec<VariableType>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM variable_types WHERE active OR NOT $1 ORDER BY name");
        self.run(async { self.rows(sql, args![active]).await?.iter().map(variable_type).collect() }).await
    }

    async fn by_name(&self, name: &str) -> Result<Option<VariableType>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM variable_types WHERE name = $1 AND active");
        self.run(async { self.row(sql, args![name]).await?.as_ref().map(variable_type).transpose() }).await
    }

    async fn update(
        &self,
        id: &str,
        change: &VariableTypeChange,
        expected: &Expected,
        now: Micros,
    ) -> Result<Changing<VariableType>, StoreError> {
        let sql = concat!(
            "UPDATE variable_types SET name = COALESCE($2, name), label = COALESCE($3, label),
              description = NULLIF(COALESCE($4, description), ''), pattern = COALESCE($5, pattern),
              active = COALESCE($6, active), version = version + 1, updated_at = $7 WHERE id = $1 RETURNING ",
            columns!()
        );
        self.run(async {
            let mut work = self.begin().await?;
            work.lock(LOCK).await?;
            let Some(found) = found(&mut work, id).await? else { return Ok(Changing::Missing) };
            if !expected.fits(found.version) {
                return Ok(Changing::Stale(found.version));
            }
            if *change == VariableTypeChange::default() {
                return Ok(Changing::Done(found));
            }
            if let Some(name) = &change.name {
                let other = "SELECT id FROM variable_types WHERE name = $1 AND id <> $2";
                if work.row(other, args![name, id]).await?.is_some() {
                    return Ok(Changing::NameTaken);
                }
            }
            let args = args![
                id,
                change.name.clone(),
                change.label.clone(),
                change.description.clone(),
                change.pattern.clone(),
                change.active,
                now.max(found.updated_at),
            ];
            let changed = work.row(sql, args).await?.as_ref().map(variable_type).transpose()?;
            work.commit().await?;
            Ok(changed.map_or(Changing::Missing, Changing::Done))
        })
        .await
    }

    async fn delete(&self, id: &str, expected: &Expected) -> Result<Changing<()>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            work.lock(LOCK).await?;
            let Some(found) = found(&mut work, id).await? else { return Ok(Changing::Missing) };
            if !expected.fits(found.version) {
                return Ok(Changing::Stale(found.version));
            }
            work.rows("DELETE FROM variable_types WHERE id = $1", args![id]).await?;
            work.commit().await?;
            Ok(Changing::Done(()))
        })
        .await
    }
}

async fn found(work: &mut Work, id: &str) -> Result<Option<VariableType>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM variable_types WHERE id = $1");
    work.row(sql, args![id]).await?.as_ref().map(variable_type).transpose()
}

fn variable_type(row: &Row) -> Result<VariableType, StoreError> {
    Ok(VariableType {
        id: row.text("id")?,
        name: row.text("name")?,
        label: row.text("label")?,
        description: row.maybe_text("description")?,
        pattern: row.text("pattern")?,
        active: row.bool("active")?,
        created_by: row.text("created_by")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
