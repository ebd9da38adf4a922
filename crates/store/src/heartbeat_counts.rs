//! Heartbeats counted by hour, for whoever wants to see them over time without reading the audit log.

use tokio_postgres::{IsolationLevel, Row};

use crate::contact::corrupt;
use crate::heartbeat_log::rule;
use crate::sql::{Timestamp, column, execute, instant, row, rows, statements};
use crate::{Error, Store};

/// What commits later than so long after it was judged isn't counted, seconds.
const LATE: i64 = 60;

/// Where nothing was counted yet, counting begins so long ago, seconds.
const BEGINNING: i64 = 2 * 86_400;

/// At most so much of the log is counted in one transaction, seconds.
const STRIDE: i64 = 3_600;

statements! {
    /// Where counting begins.
    BEGIN (TIMESTAMPTZ) "-- heartbeat_counts.begin
INSERT INTO heartbeats_counted (counted_until) VALUES ($1) ON CONFLICT DO NOTHING"

    /// Up to where was counted. Whoever has it counts on.
    LOCK () "-- heartbeat_counts.lock
SELECT counted_until FROM heartbeats_counted WHERE only_row FOR UPDATE SKIP LOCKED"

    /// Counts what came from $1 on and before $2.
    COUNT (TIMESTAMPTZ, TIMESTAMPTZ) "-- heartbeat_counts.count
INSERT INTO heartbeat_counts AS c (hour, operation, outcome, state, rule, heartbeats)
SELECT date_trunc('hour', at, 'UTC'), operation, outcome, state, rule, count(*)
FROM heartbeats WHERE at >= $1 AND at < $2 GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (hour, operation, outcome, state, rule) DO UPDATE SET heartbeats = c.heartbeats + excluded.heartbeats"

    /// So far was counted.
    ADVANCE (TIMESTAMPTZ) "-- heartbeat_counts.advance
UPDATE heartbeats_counted SET counted_until = $1 WHERE only_row"

    /// Up to where was counted, for whoever reads on from there.
    COUNTED () "-- heartbeat_counts.counted
SELECT counted_until FROM heartbeats_counted WHERE only_row"

    /// By hour, from $1 on; and from $2 on, where that is given, what the log has. It is given as a value, not read here: by
    /// it the planner finds the log's part and its index.
    BY_HOUR (TIMESTAMPTZ, TIMESTAMPTZ) "-- heartbeat_counts.by_hour
SELECT hour, sum(heartbeats)::int8 AS heartbeats,
       coalesce(sum(heartbeats) FILTER (WHERE outcome = 'refused'), 0)::int8 AS refused,
       coalesce(sum(heartbeats) FILTER (WHERE outcome = 'clone'), 0)::int8 AS clones
FROM (SELECT hour, outcome, heartbeats FROM heartbeat_counts WHERE hour >= $1
      UNION ALL
      SELECT date_trunc('hour', at, 'UTC'), outcome, 1 FROM heartbeats WHERE at >= $2) c
GROUP BY hour ORDER BY hour"

    /// By rule, likewise.
    BY_RULE (TIMESTAMPTZ, TIMESTAMPTZ) "-- heartbeat_counts.by_rule
SELECT rule, state, sum(heartbeats)::int8 AS heartbeats
FROM (SELECT rule, state, heartbeats FROM heartbeat_counts WHERE hour >= $1
      UNION ALL
      SELECT rule, state, 1 FROM heartbeats WHERE at >= $2) c
GROUP BY rule, state ORDER BY rule"

    /// Forgets hours before $1.
    FORGET (TIMESTAMPTZ) "-- heartbeat_counts.forget
DELETE FROM heartbeat_counts WHERE hour < $1"
}

/// An hour's heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourRow {
    /// Its first instant.
    pub hour: i64,
    /// How many were judged.
    pub heartbeats: i64,
    /// How many of them were forbidden.
    pub refused: i64,
    /// How many of them came from a second holder of a secret.
    pub clones: i64,
}

/// How often a rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    /// Which.
    pub rule: policy::Rule,
    /// The state that it gave.
    pub state: policy::State,
    /// How often.
    pub heartbeats: i64,
}

impl Store {
    /// Counts what came until a minute ago and isn't counted yet.
    pub(crate) async fn count_heartbeats(&self, now: i64) -> Result<(), Error> {
        let until = (now - LATE).div_euclid(60) * 60;
        let mut client = self.client().await?;
        let beginning = (now - BEGINNING).div_euclid(STRIDE) * STRIDE;
        execute(&**client, &BEGIN, &[&Timestamp(beginning)]).await?;
        loop {
            let tx = client.transaction().await.map_err(Error::from_connection)?;
            let Some(locked) = row(&*tx, &LOCK, &[]).await? else { return Ok(()) };
            let from = instant(&locked, "counted_until")?;
            let to = until.min(from.saturating_add(STRIDE));
            if to <= from {
                return Ok(());
            }
            execute(&*tx, &COUNT, &[&Timestamp(from), &Timestamp(to)]).await?;
            execute(&*tx, &ADVANCE, &[&Timestamp(to)]).await?;
            tx.commit().await.map_err(Error::from_connection)?;
        }
    }

    /// Heartbeats by hour and by the rule that decided, from the hour of `from` on: all of them, or those only that were
    /// counted a minute or two ago. Hours without any are left out.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn heartbeats_over_time(
        &self,
        from: i64,
        all: bool,
    ) -> Result<(Vec<HourRow>, Vec<RuleRow>), Error> {
        let from = Timestamp(from.div_euclid(STRIDE) * STRIDE);
        let mut client = self.client().await?;
        // Whatever is counted meanwhile, is not counted twice here.
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let tx = snapshot.read_only(true).start().await.map_err(Error::from_connection)?;
        let until = match row(&*tx, &COUNTED, &[]).await? {
            Some(row) if all => Some(Timestamp(instant(&row, "counted_until")?)),
            _ => None,
        };
        let hours = rows(&*tx, &BY_HOUR, &[&from, &until]).await?;
        let rules = rows(&*tx, &BY_RULE, &[&from, &until]).await?;
        Ok((
            hours.iter().map(hour).collect::<Result<_, _>>()?,
            rules.iter().map(decided).collect::<Result<_, _>>()?,
        ))
    }

    /// Forgets the counts of what is older than the audit log is kept. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_heartbeat_counts(&self, retention_days: u32) -> Result<u64, Error> {
        let before = self.clock().unix_seconds() - i64::from(retention_days) * 86_400;
        execute(&**self.client().await?, &FORGET, &[&Timestamp(before)]).await
    }
}

fn hour(row: &Row) -> Result<HourRow, Error> {
    Ok(HourRow {
        hour: instant(row, "hour")?,
        heartbeats: column(row, "heartbeats")?,
        refused: column(row, "refused")?,
        clones: column(row, "clones")?,
    })
}

fn decided(row: &Row) -> Result<RuleRow, Error> {
    Ok(RuleRow {
        rule: rule(row)?,
        state: column::<&str>(row, "state")?.parse().map_err(corrupt("state"))?,
        heartbeats: column(row, "heartbeats")?,
    })
}
