//! What goes into a statement and what comes out of it, the same for both databases.

use sqlx::{
    Database, Encode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, query::Query, sqlite::SqliteRow,
};

use crate::store::{Micros, StoreError};

/// One argument.
#[derive(Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(Option<bool>),
}

/// The arguments of a statement, in the order of `$1`, `$2` ….
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$(crate::store::sql::row::Value::from($value)),*] };
}
pub(super) use args;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Micros> for Value {
    fn from(time: Micros) -> Self {
        Self::Int(Some(time.0))
    }
}

impl From<Option<Micros>> for Value {
    fn from(time: Option<Micros>) -> Self {
        Self::Int(time.map(|time| time.0))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<Option<bool>> for Value {
    fn from(value: Option<bool>) -> Self {
        Self::Bool(value)
    }
}

/// A statement with its arguments.
pub(super) fn bind<DB: Database>(
    sql: &'static str,
    args: Vec<Value>,
) -> Query<'static, DB, <DB as Database>::Arguments>
where
    Option<String>: Encode<'static, DB> + Type<DB>,
    Option<i64>: Encode<'static, DB> + Type<DB>,
    Option<bool>: Encode<'static, DB> + Type<DB>,
{
    let mut query = sqlx::query::<DB>(sql);
    for arg in args {
        query = match arg {
            Value::Text(text) => query.bind(text),
            Value::Int(number) => query.bind(number),
            Value::Bool(value) => query.bind(value),
        };
    }
    query
}

/// One row of an answer; its columns are read by their names.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(super) fn maybe_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub(super) fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(super) fn bool(&self, column: &str) -> Result<bool, StoreError> {
        self.get(column)
    }

    pub(super) fn time(&self, column: &str) -> Result<Micros, StoreError> {
        self.get(column).map(Micros)
    }

    pub(super) fn maybe_time(&self, column: &str) -> Result<Option<Micros>, StoreError> {
        self.get::<Option<i64>>(column).map(|time| time.map(Micros))
    }

    /// A column that holds JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| {
            StoreError::Broken(format!("column {column} holds no JSON as it should: {error}"))
        })
    }

    fn get<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: for<'r> sqlx::Decode<'r, Sqlite>
            + Type<Sqlite>
            + for<'r> sqlx::Decode<'r, Postgres>
            + Type<Postgres>,
    {
        let value = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        value.map_err(|error| StoreError::Broken(format!("column {column}: {error}")))
    }
}

/// A list of words as it is kept: a JSON array, sorted, each word once.
pub(super) fn words(list: &[String]) -> String {
    let sorted: std::collections::BTreeSet<&String> = list.iter().collect();
    text(&sorted)
}

/// A value as JSON.
pub(super) fn text(value: &impl serde::Serialize) -> String {
    // Lists and maps of strings always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}
