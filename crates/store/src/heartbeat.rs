//! The audit log's partitions: a month of UTC each, made ahead, dropped whole when their last row is old enough.

use crate::sql::{Timestamp, column, rows, statements};
use crate::{Database, Error};

/// Whoever makes or drops partitions holds this advisory lock until the transaction's end.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7163127404522)";

statements! {
    /// The statements that make what is missing, from the month of $1 on, and the half year after it: a server whose
    /// upkeep stopped goes on that long.
    MISSING (TIMESTAMPTZ) "-- heartbeat.missing_partitions
SELECT format('CREATE TABLE %I PARTITION OF heartbeats FOR VALUES FROM (%L) TO (%L)', m.name,
              m.start::text || '+00', (m.start + interval '1 month')::text || '+00') AS statement, m.name
FROM (SELECT start, to_char(start, '\"heartbeats_\"YYYY_MM') AS name
      FROM generate_series(date_trunc('month', $1 AT TIME ZONE 'UTC'),
                           date_trunc('month', $1 AT TIME ZONE 'UTC') + interval '6 months',
                           interval '1 month') AS g(start)) m
WHERE to_regclass(m.name) IS NULL ORDER BY m.start"

    /// The statements that drop what ended at $1 or before. Only of partitions a month is read in the name: the planner
    /// would else read it in all tables' names first, where it finds that sooner.
    OUTDATED (TIMESTAMPTZ) "-- heartbeat.outdated_partitions
WITH partitions AS MATERIALIZED (
    SELECT c.relname::text AS name FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
    WHERE h.inhparent = 'heartbeats'::regclass
)
SELECT format('DROP TABLE %I', name) AS statement, name FROM partitions
WHERE to_date(name, '\"heartbeats_\"YYYY_MM') + interval '1 month' <= $1 AT TIME ZONE 'UTC'
ORDER BY name"
}

impl Database {
    /// Makes the partitions of the month of `now` and of the months after it. Returns the names of the new ones.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn make_partitions(&self, now: i64) -> Result<Vec<String>, Error> {
        self.change_partitions(&MISSING, now).await
    }

    /// Drops the partitions whose last row is older than `retention_days`. Returns their names.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn drop_partitions(&self, now: i64, retention_days: u32) -> Result<Vec<String>, Error> {
        self.change_partitions(&OUTDATED, now.saturating_sub(i64::from(retention_days) * 86_400)).await
    }

    async fn change_partitions(&self, statements: &crate::sql::Sql, at: i64) -> Result<Vec<String>, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        tx.batch_execute(LOCK).await.map_err(Error::from_connection)?;
        let mut changed = Vec::new();
        for row in rows(&*tx, statements, &[&Timestamp(at)]).await? {
            tx.batch_execute(column(&row, "statement")?).await.map_err(Error::from_connection)?;
            changed.push(column(&row, "name")?);
        }
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(changed)
    }
}
