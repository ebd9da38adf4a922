//! The incident hold: the operator's one switch for the whole server. Every judgement reads it with its install, in the
//! same statement (`contact.load`), so that it holds in every process from its commit on, and nobody has to notice its end.

use tokio_postgres::Row;

use crate::change::Change;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, statements};
use crate::{Error, Store};

statements! {
    /// What was set last.
    FIND () "-- hold.find
SELECT until, reason, since, set_by FROM hold WHERE only_row"

    /// The same, locked: whoever changes it waits.
    LOCK () "-- hold.lock
SELECT until, reason, since, set_by FROM hold WHERE only_row FOR UPDATE"

    /// Sets it, or with nothing ends it.
    WRITE (TIMESTAMPTZ, TEXT, TIMESTAMPTZ, TEXT) "-- hold.write
UPDATE hold SET until = $1, reason = $2, since = $3, set_by = $4 WHERE only_row"
}

/// An incident hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// From when on it holds nobody any more.
    pub until: i64,
    /// Why it was set.
    pub reason: String,
    /// When it was set.
    pub since: i64,
    /// Who has set it.
    pub set_by: String,
}

impl HoldRow {
    /// The hold of a row, unless it is over at `now`.
    fn of(row: &Row, now: i64) -> Result<Option<Self>, Error> {
        let Some(until) = instant_or_null(row, "until")?.filter(|until| now < *until) else {
            return Ok(None);
        };
        let (reason, set_by) = (column(row, "reason")?, column(row, "set_by")?);
        Ok(Some(Self { until, reason, since: instant(row, "since")?, set_by }))
    }
}

impl Store {
    /// The hold that is on.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_hold(&self) -> Result<Option<HoldRow>, Error> {
        let now = self.clock().unix_seconds();
        let found = row(&**self.client().await?, &FIND, &[]).await?;
        found.map_or(Ok(None), |row| HoldRow::of(&row, now))
    }
}

impl Change<'_> {
    /// The hold that is on; nobody else changes it until the change's end.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_hold(&self) -> Result<Option<HoldRow>, Error> {
        let now = self.store.clock().unix_seconds();
        row(&*self.tx, &LOCK, &[]).await?.map_or(Ok(None), |row| HoldRow::of(&row, now))
    }

    /// Sets a hold in the place of the one that is on, or with `None` ends that. Installs that it moves are judged again by
    /// the next sweep.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn write_hold(&self, hold: Option<&HoldRow>) -> Result<(), Error> {
        let time = |part: fn(&HoldRow) -> i64| hold.map(|hold| Timestamp(part(hold)));
        let (until, since) = (time(|hold| hold.until), time(|hold| hold.since));
        let (reason, set_by) = (hold.map(|hold| &hold.reason), hold.map(|hold| &hold.set_by));
        execute(&*self.tx, &WRITE, &[&until, &reason, &since, &set_by]).await?;
        self.restate_breached().await
    }
}
