//! The installs of a profile as a dry run judges them: read by one statement, which locks nothing and seals nothing
//! open.

use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::StreamExt;
use policy::{Facts, Knobs};
use protocol::{InstallId, LicenseId, ProfileId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::contact::fingerprint;
use crate::sql::{column, execute, instant, instant_or_null, row, statements, stream};
use crate::{Error, Store, lease};

/// After so many installs others that wait for this thread have their turn.
const TURN: usize = 256;

statements! {
    /// Has the database break off what takes longer, until the transaction's end.
    BOUND (TEXT) "-- dry_run.bound
SELECT set_config('statement_timeout', $1, true)"

    /// The facts of the installs of a profile's licenses after one, by id. Nobody hears any more of those that have left.
    INSTALLS (UUID, UUID, INT8) "-- dry_run.installs
SELECT i.id, i.license_id, i.name, i.awaiting_approval, i.suspended_at, i.revoked_at, i.bound, i.observed,
       i.clone_suspected_at, i.holds_seat, i.seats_exceeded_at, i.agent_version, i.clock_skew, i.last_contact, i.lease_id,
       i.lease_ends_at, i.lease_revoked_at, l.starts_at, l.expires_at, l.suspended_at AS license_suspended_at,
       l.revoked_at AS license_revoked_at, (SELECT until FROM hold WHERE only_row) AS held_until
FROM licenses l JOIN installs i ON i.license_id = l.id
WHERE l.profile_id = $1 AND i.id > $2 AND i.deactivated_at IS NULL
ORDER BY i.id LIMIT $3"

    /// A version's knobs.
    KNOBS (UUID, INT4) "-- dry_run.knobs
SELECT knobs::text AS knobs FROM profile_versions WHERE profile_id = $1 AND number = $2"
}

/// An install as it stands.
#[derive(Debug)]
pub struct Standing {
    /// Its id.
    pub id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// What its agent calls the machine.
    pub name: Option<String>,
    /// What the engine knows of it.
    pub facts: Facts,
    /// Whether it holds a seat, unless silence has released it.
    pub holds_seat: bool,
}

impl Standing {
    /// Whether it would hold a seat at an instant, were `release_silent_after` this.
    pub fn is_seated(&self, release_silent_after: Option<i64>, at: i64) -> bool {
        let is_released =
            release_silent_after.is_some_and(|after| self.facts.last_contact.saturating_add(after) <= at);
        self.facts.lease_end.is_some_and(|end| at < end) || self.holds_seat && !is_released
    }
}

impl Store {
    /// A version's knobs, if there is such a version.
    ///
    /// # Errors
    /// When the database isn't available, or the knobs can't be read.
    pub async fn find_knobs(&self, profile: ProfileId, number: i32) -> Result<Option<Knobs>, Error> {
        let found = row(&**self.client().await?, &KNOBS, &[profile.as_uuid(), &number]).await?;
        let Some(found) = found else { return Ok(None) };
        let knobs = Knobs::parse(column(&found, "knobs")?);
        knobs
            .map(Some)
            .map_err(|errors| Error::Corrupt { what: "knobs", cause: format!("{errors:?}").into() })
    }

    /// Shows at most `limit` installs of a profile's licenses after `after`, by id, as they were at one instant, to `look`,
    /// until that doesn't want to see the next one. Returns the last that it has seen, where there may be more.
    ///
    /// # Errors
    /// [`Error::TookTooLong`] when the database isn't through `within` that time; when it isn't available, or a row can't
    /// be read.
    pub async fn look_at_installs(
        &self,
        profile: ProfileId,
        after: Option<InstallId>,
        limit: i64,
        within: Duration,
        mut look: impl FnMut(Standing) -> bool,
    ) -> Result<Option<InstallId>, Error> {
        // Its own connection, which ends with it, whatever is still on its way then: the next one to use it would wait for
        // that.
        let mut client = Object::take(self.client().await?);
        let tx = client.build_transaction().read_only(true).start().await.map_err(Error::from_connection)?;
        execute(&*tx, &BOUND, &[&format!("{}ms", within.as_millis())]).await?;
        let after = after.map_or(Uuid::nil(), |after| *after.as_uuid());
        let slow = |error: Error| {
            if error.is_canceled() { Error::TookTooLong(INSTALLS.name()) } else { error }
        };
        let mut rows =
            pin!(stream(&*tx, &INSTALLS, &[profile.as_uuid(), &after, &limit]).await.map_err(slow)?);
        let (mut last, mut seen, mut goes_on) = (None, 0_usize, true);
        while goes_on && let Some(row) = rows.next().await {
            let standing = standing(&row.map_err(|cause| slow(Error::statement(&INSTALLS, cause)))?)?;
            last = Some(standing.id);
            seen += 1;
            goes_on = look(standing);
            if seen.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        Ok(last.filter(|_| !goes_on || i64::try_from(seen).is_ok_and(|seen| seen >= limit)))
    }
}

/// What [`facts`](crate::Subject::facts) says of an install, without what a judgement doesn't read.
fn standing(row: &Row) -> Result<Standing, Error> {
    let is_set = |name| Ok::<_, Error>(instant_or_null(row, name)?.is_some());
    Ok(Standing {
        id: InstallId::from_uuid(column(row, "id")?),
        license_id: LicenseId::from_uuid(column(row, "license_id")?),
        name: column(row, "name")?,
        facts: Facts {
            license_revoked: is_set("license_revoked_at")?,
            install_revoked: is_set("revoked_at")?,
            license_suspended: is_set("license_suspended_at")?,
            install_suspended: is_set("suspended_at")?,
            clone_suspected: is_set("clone_suspected_at")?,
            awaiting_approval: column(row, "awaiting_approval")?,
            license_start: instant(row, "starts_at")?,
            license_end: instant_or_null(row, "expires_at")?,
            bound: fingerprint(row, "bound")?.as_policy().clone(),
            observed: fingerprint(row, "observed")?.as_policy().clone(),
            seats_exceeded_at: instant_or_null(row, "seats_exceeded_at")?,
            last_contact: instant(row, "last_contact")?,
            lease_end: lease::live(row)?.map(|lease| lease.ends_at),
            clock_skew: column(row, "clock_skew")?,
            agent_version: Some(column(row, "agent_version")?),
            held_until: instant_or_null(row, "held_until")?,
        },
        holds_seat: column(row, "holds_seat")?,
    })
}
