//! Seats: who holds one, and who is over.

use protocol::LicenseId;
use protocol::admin::SeatPlace;
use tokio_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::change::Change;
use crate::sql::{Timestamp, column, execute, row, statements};
use crate::subject::Subject;
use crate::{Error, Store};

statements! {
    /// Seats of a license are given under its lock.
    LOCK_LICENSE (UUID) "-- seats.lock_license
SELECT max_installs FROM licenses WHERE id = $1 FOR UPDATE"

    /// How many other installs hold a seat at $4, and how many of them come before this one. A seat is released when
    /// its holder was not heard of since $3; while a lease runs it stays taken, whatever has become of the install.
    RANK (UUID, UUID, TIMESTAMPTZ, TIMESTAMPTZ) "-- seats.rank
SELECT count(*) AS others,
       count(*) FILTER (WHERE (o.activated_at, o.id) < (i.activated_at, i.id)) AS before
FROM installs i
JOIN installs o ON o.license_id = i.license_id AND o.id <> i.id
WHERE i.id = $1 AND o.license_id = $2
  AND (o.holds_seat AND ($3::timestamptz IS NULL OR o.last_contact > $3) OR o.lease_ends_at > $4)"

    /// How many installs of a license hold a seat at $3, by the same rule.
    TAKEN (UUID, TIMESTAMPTZ, TIMESTAMPTZ) "-- seats.taken
SELECT count(*) AS taken FROM installs
WHERE license_id = $1
  AND (holds_seat AND ($2::timestamptz IS NULL OR last_contact > $2) OR lease_ends_at > $3)"

    /// Of the installs of a license that hold a seat at $4, those beyond the first $2 that aren't over yet, and those over
    /// that have room, locked in the order of their ids: contacts wait.
    LOCK_MISPLACED (UUID, INT8, TIMESTAMPTZ, TIMESTAMPTZ) "-- seats.lock_misplaced
SELECT i.id
FROM installs i JOIN (
    SELECT id, row_number() OVER (ORDER BY activated_at, id) AS place FROM installs
    WHERE license_id = $1
      AND (holds_seat AND ($3::timestamptz IS NULL OR last_contact > $3) OR lease_ends_at > $4)
) r ON r.id = i.id
WHERE i.holds_seat AND (r.place > $2) = (i.seats_exceeded_at IS NULL)
ORDER BY i.id FOR UPDATE OF i"

    /// Those that aren't over are from $2 on, the others are not any more.
    REPLACE (UUID_ARRAY, TIMESTAMPTZ) "-- seats.replace
UPDATE installs SET seats_exceeded_at = CASE WHEN seats_exceeded_at IS NULL THEN $2 END, revision = revision + 1
WHERE id = ANY($1)"

    /// Writes what an install has come to hold. It was heard of just now, or its seat would be released at once.
    SETTLE (UUID, BOOL, TIMESTAMPTZ, TIMESTAMPTZ) "-- seats.settle
WITH due AS (UPDATE install_states SET due_at = $4 WHERE install_id = $1)
UPDATE installs SET holds_seat = $2, seats_exceeded_at = $3, last_contact = greatest(last_contact, $4),
       revision = revision + 1
WHERE id = $1"
}

/// What an install holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// It holds a seat.
    pub holds: bool,
    /// Since when it is over its license's seats.
    pub exceeded_at: Option<i64>,
}

impl Seat {
    /// What an install that calls at `now` holds from then on, when `others` hold a seat, `before` of them by an
    /// earlier rank, of `max` in all. `self` is what it held; `released` says that silence has ended that.
    #[must_use]
    pub fn settle(self, released: bool, others: i64, before: i64, max: i64, now: i64) -> Self {
        if self.holds && !released {
            let over = before >= max;
            return Self { holds: true, exceeded_at: over.then(|| self.exceeded_at.unwrap_or(now)) };
        }
        if others < max {
            return Self { holds: true, exceeded_at: None };
        }
        let since = if self.holds { now } else { self.exceeded_at.unwrap_or(now) };
        Self { holds: false, exceeded_at: Some(since) }
    }
}

impl Subject {
    /// Whether it holds a seat at `now`: its own, that silence hasn't released, or that of a lease that still runs.
    pub fn is_seated(&self, now: i64) -> bool {
        let on_lease = self.lease.as_ref().is_some_and(|lease| lease.runs(now));
        on_lease || self.holds_seat && !self.is_released(now)
    }

    /// Whether its seat has to be looked at under the license's lock before it is judged: it is over, has none, or
    /// silence has released it. A revoked one never gets a seat again.
    pub fn has_open_seat(&self, now: i64) -> bool {
        let is_open = self.seats_exceeded_at.is_some() || !self.holds_seat || self.is_released(now);
        is_open && self.revoked_at.is_none()
    }
}

impl Store {
    /// Gives an install that calls the seat that it should hold, and writes that. The subject has to be loaded again.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn settle_seat(&self, subject: &Subject, now: i64) -> Result<(), Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        let Some(max) = lock_license(&*tx, subject.license_id).await? else { return Ok(()) };
        // What it holds is read under the lock: another process may have settled it since.
        let Some(current) = self.load_subjects_in(&*tx, &[subject.id]).await?.pop() else { return Ok(()) };
        let seat = due(&*tx, &current, i64::from(max), now).await?;
        let exceeded_at = seat.exceeded_at.map(Timestamp);
        execute(&*tx, &SETTLE, &[current.id.as_uuid(), &seat.holds, &exceeded_at, &Timestamp(now)]).await?;
        tx.commit().await.map_err(Error::from_connection)
    }
}

/// How many other installs of its license hold a seat at `now`, and how many of them come before this one.
async fn rank(client: &impl GenericClient, subject: &Subject, now: i64) -> Result<(i64, i64), Error> {
    let since = released_since(subject.profile.knobs.release_silent_after, now);
    let now = Timestamp(now);
    let params: [&(dyn ToSql + Sync); 4] = [subject.id.as_uuid(), subject.license_id.as_uuid(), &since, &now];
    match row(client, &RANK, &params).await? {
        Some(rank) => Ok((column(&rank, "others")?, column(&rank, "before")?)),
        None => Ok((0, 0)),
    }
}

/// An install's place among those of its license that hold a seat at `now`.
pub(crate) async fn place(
    client: &impl GenericClient,
    subject: &Subject,
    now: i64,
) -> Result<SeatPlace, Error> {
    let (others, before) = rank(client, subject, now).await?;
    let is_seated = subject.is_seated(now);
    let rank = is_seated.then_some(before + 1);
    Ok(SeatPlace { rank, taken: others + i64::from(is_seated), max_installs: subject.terms.max_installs })
}

/// The seat that an install is due which calls now, of `max` in all. Whoever gives it holds the license's lock.
pub(crate) async fn due(
    client: &impl GenericClient,
    subject: &Subject,
    max: i64,
    now: i64,
) -> Result<Seat, Error> {
    let (others, before) = rank(client, subject, now).await?;
    let seat = Seat { holds: subject.holds_seat, exceeded_at: subject.seats_exceeded_at };
    Ok(seat.settle(subject.is_released(now), others, before, max, now))
}

pub(crate) fn released_since(release_silent_after: Option<i64>, now: i64) -> Option<Timestamp> {
    release_silent_after.map(|after| Timestamp(now.saturating_sub(after)))
}

/// Locks a license until the transaction's end; returns how many seats it has, if there is such a license.
pub(crate) async fn lock_license(
    client: &impl GenericClient,
    license: LicenseId,
) -> Result<Option<i32>, Error> {
    let locked = row(client, &LOCK_LICENSE, &[license.as_uuid()]).await?;
    locked.map(|row| column(&row, "max_installs")).transpose()
}

/// How many installs of a license hold a seat at `now`. Whoever gives one by the answer holds the license's lock.
pub(crate) async fn taken(
    client: &impl GenericClient,
    license: LicenseId,
    release_silent_after: Option<i64>,
    now: i64,
) -> Result<i64, Error> {
    let since = released_since(release_silent_after, now);
    let counted = row(client, &TAKEN, &[license.as_uuid(), &since, &Timestamp(now)]).await?;
    counted.map_or(Ok(0), |row| column(&row, "taken"))
}

impl Change<'_> {
    /// Looks at who is over a license's seats when it has `max` of them from now on. The change holds the license's lock.
    ///
    /// # Errors
    /// When the database isn't available, or beats leave no moment to lock those that change.
    pub(crate) async fn rank_anew(
        &self,
        license: LicenseId,
        max: i32,
        release_silent_after: Option<i64>,
    ) -> Result<(), Error> {
        let now = self.store.clock().unix_seconds();
        let since = released_since(release_silent_after, now);
        let params: [&(dyn ToSql + Sync); 4] = [license.as_uuid(), &i64::from(max), &since, &Timestamp(now)];
        let misplaced = self.lock_all(&LOCK_MISPLACED, &params).await?;
        let ids = misplaced.iter().map(|row| column(row, "id")).collect::<Result<Vec<Uuid>, _>>()?;
        execute(&*self.tx, &REPLACE, &[&ids, &Timestamp(now)]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::Seat;

    const HELD: Seat = Seat { holds: true, exceeded_at: None };

    #[test]
    fn a_holder_within_the_seats_keeps_its_seat() {
        assert_eq!(HELD.settle(false, 4, 4, 5, 100), HELD);
    }

    #[test]
    fn a_holder_beyond_the_seats_is_over_from_its_first_call_until_there_is_room() {
        let over = HELD.settle(false, 7, 5, 5, 100);
        assert_eq!(over, Seat { holds: true, exceeded_at: Some(100) });
        assert_eq!(over.settle(false, 6, 5, 5, 200), over);
        assert_eq!(over.settle(false, 5, 4, 5, 300), HELD);
    }

    #[test]
    fn a_released_one_takes_a_free_seat_or_is_over_from_its_call() {
        assert_eq!(HELD.settle(true, 4, 0, 5, 100), HELD);
        let over = HELD.settle(true, 5, 0, 5, 100);
        assert_eq!(over, Seat { holds: false, exceeded_at: Some(100) });
        assert_eq!(over.settle(false, 5, 0, 5, 200), over);
        assert_eq!(over.settle(false, 4, 0, 5, 300), HELD);
    }
}
