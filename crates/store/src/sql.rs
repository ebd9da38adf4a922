//! How a statement is written and run.
//!
//! A statement is static text with the types of its parameters. It goes out with them in one message, so it takes one
//! round trip and leaves nothing behind in the session: what PgBouncer in transaction mode and RDS Proxy need.

use std::time::{Duration, UNIX_EPOCH};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row, RowStream};

use crate::Error;

/// A statement: its name stands in the first line of its text, `-- aggregate.action`.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) text: &'static str,
    pub(crate) types: &'static [Type],
}

impl Sql {
    /// The name in the text's first line, for errors and measurements.
    pub(crate) fn name(&self) -> &'static str {
        self.text.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or("unnamed")
    }
}

/// Declares a file's statements, each with its text (or in brackets a macro that makes it), and `STATEMENTS`, the list of them whose plans a test looks at.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident ($($type:ident),*) $text:tt)*) => {
        $($(#[$doc])* static $name: $crate::sql::Sql = $crate::sql::Sql {
            text: $text,
            types: &[$(::tokio_postgres::types::Type::$type),*],
        };)*
        /// Every statement of this file.
        #[cfg(test)]
        pub(crate) static STATEMENTS: &[&$crate::sql::Sql] = &[$(&$name),*];
    };
}
pub(crate) use statements;

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

fn typed<'a>(sql: &Sql, params: Params<'a>) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    debug_assert_eq!(sql.types.len(), params.len(), "{}: parameters and types", sql.name());
    params.iter().copied().zip(sql.types.iter().cloned()).collect()
}

/// All rows of a statement.
pub(crate) async fn rows(
    client: &impl GenericClient,
    sql: &Sql,
    params: Params<'_>,
) -> Result<Vec<Row>, Error> {
    client.query_typed(sql.text, &typed(sql, params)).await.map_err(|cause| Error::statement(sql, cause))
}

/// A statement's rows as they come: while nobody takes them, none are read.
pub(crate) async fn stream(
    client: &impl GenericClient,
    sql: &Sql,
    params: Params<'_>,
) -> Result<RowStream, Error> {
    client.query_typed_raw(sql.text, typed(sql, params)).await.map_err(|cause| Error::statement(sql, cause))
}

/// The only row of a statement that may find none.
pub(crate) async fn row(
    client: &impl GenericClient,
    sql: &Sql,
    params: Params<'_>,
) -> Result<Option<Row>, Error> {
    Ok(rows(client, sql, params).await?.into_iter().next())
}

/// How many rows a statement changed.
pub(crate) async fn execute(
    client: &impl GenericClient,
    sql: &Sql,
    params: Params<'_>,
) -> Result<u64, Error> {
    client.execute_typed(sql.text, &typed(sql, params)).await.map_err(|cause| Error::statement(sql, cause))
}

/// A column of a row. A column that isn't there or has another type is a fault of the statement.
pub(crate) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    name: &'static str,
) -> Result<T, Error> {
    row.try_get(name).map_err(|cause| Error::Corrupt { what: name, cause: cause.into() })
}

/// Unix seconds as PostgreSQL's `timestamptz`, bound by whoever has the clock: no statement asks the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(pub(crate) i64);

impl ToSql for Timestamp {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let since = Duration::from_secs(self.0.unsigned_abs());
        let time = if self.0 < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
        time.ok_or("instant out of range")?.to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> tokio_postgres::types::FromSql<'a> for Timestamp {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let time = std::time::SystemTime::from_sql(kind, raw)?;
        Ok(Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs())?,
            Err(before) => -i64::try_from(before.duration().as_secs())?,
        }))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

/// A `timestamptz` column as Unix seconds.
pub(crate) fn instant(row: &Row, name: &'static str) -> Result<i64, Error> {
    Ok(column::<Timestamp>(row, name)?.0)
}

/// A nullable `timestamptz` column as Unix seconds.
pub(crate) fn instant_or_null(row: &Row, name: &'static str) -> Result<Option<i64>, Error> {
    Ok(column::<Option<Timestamp>>(row, name)?.map(|at| at.0))
}
