//! What an operator sees first: how many installs are what, what is about to end, what is about to fall.

use policy::State;
use protocol::{InstallId, LicenseId};
use tokio_postgres::{GenericClient, Row};

use crate::contact::corrupt;
use crate::license::{LicenseRow, license};
use crate::sql::{Sql, Timestamp, column, instant, row, rows, statements};
use crate::{Error, Store};

/// Up to so many installs, and their latest heartbeats, are counted when they are asked for; of more, the last sweep's
/// count is given.
const COUNTED_AT_ONCE: i64 = 20_000;

statements! {
    /// The last sweep's count.
    COUNTED () "-- overview.counted
SELECT c.key AS state, c.value::int8 AS installs FROM sweeps, json_each_text(sweeps.installs) AS c(key, value)
WHERE only_row"

    /// Counts now.
    COUNT () "-- overview.count
SELECT state, count(*) AS installs FROM install_states GROUP BY state"

    /// How many installs may call, and how many of them have since $1.
    INFORMED (TIMESTAMPTZ) "-- overview.informed
SELECT count(*) AS installs, count(*) FILTER (WHERE i.last_contact >= $1) AS informed
FROM install_states s JOIN installs i ON i.id = s.install_id
WHERE s.status IN ('active', 'pending', 'suspended')"

    /// The same as the last sweep has counted it, by what was noted of their last contact, which is an hour old at most;
    /// it counts since the newest keyset.
    INFORMED_THEN (TIMESTAMPTZ) "-- overview.informed_then
SELECT calling AS installs, CASE WHEN informed_since = $1 THEN informed ELSE 0 END AS informed FROM sweeps WHERE only_row"

    /// Licenses that end from $1 on and before $2, the first to end first.
    ENDING (TIMESTAMPTZ, TIMESTAMPTZ, INT8) "-- overview.ending
SELECT id, product, customer, profile_id, max_installs, starts_at, expires_at, entitlements::text AS entitlements,
       lease_max_seconds, metadata::text AS metadata, suspended_at, revoked_at, version, created_at, updated_at
FROM licenses
WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expires_at >= $1 AND expires_at < $2
ORDER BY expires_at, id LIMIT $3"

    /// Installs that fall a rung before $2 that no beat holds them back from, the first to fall first.
    FALLING (TIMESTAMPTZ, TIMESTAMPTZ, INT8) "-- overview.falling
SELECT s.install_id, s.license_id, i.name, s.state, s.falls_at
FROM install_states s JOIN installs i ON i.id = s.install_id
WHERE s.falls_at IS NOT NULL AND s.falls_at >= $1 AND s.falls_at < $2
ORDER BY s.falls_at, s.install_id LIMIT $3"
}

/// An install that is about to fall a rung.
#[derive(Debug, Clone)]
pub struct FallingRow {
    /// Which.
    pub install_id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// What its agent calls the machine.
    pub name: Option<String>,
    /// What it is.
    pub state: State,
    /// When it falls.
    pub falls_at: i64,
}

impl Store {
    /// How many installs there are of each state that any is in.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn count_installs(&self) -> Result<Vec<(State, i64)>, Error> {
        let client = self.client().await?;
        let counted = counts(&**client, &COUNTED).await?;
        if are_many(&counted) { Ok(counted) } else { counts(&**client, &COUNT).await }
    }

    /// How many installs may call, and how many of them have since the newest keyset was signed, at `since`: of very many at
    /// least so many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn count_informed(&self, since: i64) -> Result<(i64, i64), Error> {
        let client = self.client().await?;
        let many = are_many(&counts(&**client, &COUNTED).await?);
        let statement = if many { &INFORMED_THEN } else { &INFORMED };
        let counted = row(&**client, statement, &[&Timestamp(since)]).await?;
        let Some(counted) = counted else { return Ok((0, 0)) };
        Ok((column(&counted, "installs")?, column(&counted, "informed")?))
    }

    /// At most `limit` licenses that end from `from` on and before `to`, the first to end first.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn licenses_ending(&self, from: i64, to: i64, limit: i64) -> Result<Vec<LicenseRow>, Error> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&Timestamp(from), &Timestamp(to), &limit];
        rows(&**self.client().await?, &ENDING, &params).await?.iter().map(license).collect()
    }

    /// At most `limit` installs that fall a rung from `from` on and before `to`, the first to fall first: those that
    /// another beat wouldn't hold back, or that are silent already.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn installs_falling(&self, from: i64, to: i64, limit: i64) -> Result<Vec<FallingRow>, Error> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&Timestamp(from), &Timestamp(to), &limit];
        let falling = |row: &Row| {
            Ok(FallingRow {
                install_id: InstallId::from_uuid(column(row, "install_id")?),
                license_id: LicenseId::from_uuid(column(row, "license_id")?),
                name: column(row, "name")?,
                state: column::<&str>(row, "state")?.parse().map_err(corrupt("state"))?,
                falls_at: instant(row, "falls_at")?,
            })
        };
        rows(&**self.client().await?, &FALLING, &params).await?.iter().map(falling).collect()
    }
}

/// Whether they are too many to be counted whenever somebody asks, and their latest heartbeats with them.
#[must_use]
pub fn are_many(counted: &[(State, i64)]) -> bool {
    counted.iter().map(|(_, installs)| installs).sum::<i64>() > COUNTED_AT_ONCE
}

async fn counts(client: &impl GenericClient, statement: &Sql) -> Result<Vec<(State, i64)>, Error> {
    let count = |row: &Row| {
        let state = column::<&str>(row, "state")?.parse().map_err(corrupt("state"))?;
        Ok((state, column(row, "installs")?))
    };
    rows(client, statement, &[]).await?.iter().map(count).collect()
}
