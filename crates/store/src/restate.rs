//! What the engine says of each install, kept for lists and counts: what time alone changes is found by a sweep.
//!
//! INVARIANT(states): `installs.shown` is what `install_states` says of an install, and a beat writes both when it is told
//! something else. Whatever else moves a judgement makes the install due: an operator's action on it at once, one on its
//! license, its profile or the incident hold by a row of `restatements`. A sweep judges what is due and says from when on it
//! is due again. Of whoever beats as agreed only its silence would change something soon: that is a round's (`round.rs`).

use std::collections::HashSet;

use policy::{Decision, Facts, Profile, Reason, Rung, State, evaluate, ladder};
use protocol::admin::InstallStatus;
use protocol::{InstallId, LicenseId, ProfileId};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::change::Change;
use crate::event::{self, Event};
use crate::round::{AHEAD, SILENT};
use crate::sql::{Timestamp, column, execute, row, rows, statements};
use crate::subject::Subject;
use crate::{Error, Store};

/// How many installs are judged in one transaction.
const STRIDE: i64 = 500;

/// However far off its next rung is, an install is judged anew after a day at least, and two at most: each by the random end
/// of its id at another time, however many were judged at once.
const DAY: i64 = 86_400;

/// Ten years, as far as an install's next judgement is concerned.
const FOR_EVER: i64 = 3_652 * DAY;

/// A sweep ends after so many strides, so that one that can't keep up doesn't hold its caller for ever.
const STRIDES: usize = 1_000;

/// One that somebody waits for ends after so many, a second or two. What is left is the next one's.
const STRIDES_AT_ONCE: usize = 20;

/// So often a long sweep says how far it is.
const COUNT_EVERY: usize = 100;

statements! {
    /// One process sweeps at a time, until its transaction's end.
    LOCK () "-- restate.lock
SELECT pg_try_advisory_xact_lock(7163127404524) AS is_ours"

    /// Installs that are due, the longest due first.
    DUE (TIMESTAMPTZ, INT8) "-- restate.due
SELECT install_id FROM install_states WHERE due_at <= $1 ORDER BY due_at LIMIT $2"

    /// The oldest thing that an operator has changed about many installs.
    JOB () "-- restate.job
SELECT id, license_id, profile_id, after_install FROM restatements ORDER BY id LIMIT 1"

    /// Installs of a license after one.
    OF_LICENSE (UUID, UUID, INT8) "-- restate.of_license
SELECT install_id FROM install_states WHERE license_id = $1 AND install_id > $2 ORDER BY install_id LIMIT $3"

    /// Installs of a profile's licenses after one.
    OF_PROFILE (UUID, UUID, INT8) "-- restate.of_profile
SELECT s.install_id FROM install_states s JOIN licenses l ON l.id = s.license_id
WHERE l.profile_id = $1 AND s.install_id > $2 ORDER BY s.install_id LIMIT $3"

    /// Installs after one whose judgement a hold moves: a breach of theirs has begun, and time still changes what they are.
    /// Of all others neither the state nor the next rung's time is another under a hold.
    BREACHED (UUID, INT8) "-- restate.breached
SELECT install_id FROM install_states
WHERE state IN ('grace', 'degraded', 'locked') AND due_at IS NOT NULL AND install_id > $1 ORDER BY install_id LIMIT $2"

    /// How far a job has come.
    ADVANCE (UUID, UUID) "-- restate.advance
UPDATE restatements SET after_install = $2 WHERE id = $1"

    /// A job is done.
    FINISH (UUID) "-- restate.finish
DELETE FROM restatements WHERE id = $1"

    /// A job.
    INSERT (UUID, UUID, UUID, TIMESTAMPTZ) "-- restate.insert
INSERT INTO restatements (id, license_id, profile_id, created_at) VALUES ($1, $2, $3, $4)"

    /// Writes what was judged. What has changed since it was read, or is about to, stays due. Contacts lock an install
    /// first and its state then; so does this, and it waits for none of them.
    /// Where nothing is another than it was, and it isn't due yet, nothing is written.
    WRITE (
        UUID_ARRAY, INT8_ARRAY, TEXT_ARRAY, TIMESTAMPTZ_ARRAY, TIMESTAMPTZ_ARRAY, TIMESTAMPTZ_ARRAY, INT8_ARRAY,
        TIMESTAMPTZ, TIMESTAMPTZ
    ) "-- restate.write
WITH judged AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) AS g(id, revision, shown, due_at, falls_at, seen_at, silent_after)
), held AS MATERIALIZED (
    SELECT i.id, i.shown <> g.shown AS is_new FROM judged g JOIN installs i ON i.id = g.id
    WHERE i.revision = g.revision FOR UPDATE OF i SKIP LOCKED
), moved AS (
    UPDATE installs i SET shown = g.shown, revision = i.revision + 1
    FROM judged g JOIN held h ON h.id = g.id
    WHERE i.id = g.id AND h.is_new
)
UPDATE install_states s
SET state = split_part(g.shown, ' ', 1), rule = split_part(g.shown, ' ', 2)::smallint,
    reason = split_part(g.shown, ' ', 3), status = split_part(g.shown, ' ', 4), due_at = g.due_at,
    falls_at = g.falls_at, seen_at = g.seen_at, silent_after = g.silent_after,
    silent_since = CASE WHEN g.seen_at <= $9 THEN g.seen_at END
FROM judged g JOIN held h ON h.id = g.id
WHERE s.install_id = g.id
  AND (h.is_new OR s.falls_at IS DISTINCT FROM g.falls_at OR s.silent_after IS DISTINCT FROM g.silent_after
       OR (s.due_at IS NULL) <> (g.due_at IS NULL) OR s.due_at <= $8 OR s.due_at > g.due_at)
RETURNING s.install_id"

    /// How many installs there are of each state, and how many of them may call.
    COUNT () "-- restate.count
SELECT state, count(*) AS installs, count(*) FILTER (WHERE status IN ('active', 'pending', 'suspended')) AS calling
FROM install_states GROUP BY state"

    /// Notes a sweep.
    SWEPT (TIMESTAMPTZ, TEXT, INT8) "-- restate.swept
UPDATE sweeps SET swept_at = $1, installs = $2::json, calling = $3 WHERE only_row"

    /// Whether there was a sweep since.
    SWEPT_SINCE (TIMESTAMPTZ) "-- restate.swept_since
SELECT swept_at > $1 AS swept FROM sweeps WHERE only_row"
}

/// What is said of an install, as one word of `installs.shown`.
pub(crate) fn shown(decision: &Decision, status: InstallStatus) -> String {
    format!("{} {} {} {status}", decision.state, decision.rule, decision.reason)
}

/// A judgement as it is kept.
struct Kept {
    shown: String,
    due_at: Option<i64>,
    falls_at: Option<i64>,
    silent_after: Option<i64>,
}

impl Kept {
    fn of(subject: &Subject, now: i64) -> Self {
        let (facts, profile) = (subject.facts(), &subject.profile.knobs.judging);
        let decision = evaluate(&facts, profile, now);
        let status = subject.status();
        let shown = shown(&decision, status);
        // Of one that nobody hears of any more nothing changes but what an operator changes.
        if status.is_over() || decision.state == State::Revoked {
            let falls_at = first(&facts, profile, now).map(|rung| rung.at).filter(|_| !status.is_over());
            return Self { shown, due_at: None, falls_at, silent_after: None };
        }
        let mut next = first(&facts, profile, now);
        // A healthy one's silence is put off by its next beat. What changes whatever it does is what would if it were heard
        // of for ever.
        let silence = next.filter(|rung| decision.state <= State::Warned && is_silence(rung.reason));
        if silence.is_some() {
            let heard_of = Facts { last_contact: now.saturating_add(FOR_EVER), ..facts.clone() };
            next = first(&heard_of, profile, now).filter(|rung| !is_silence(rung.reason));
        }
        let falls_at = next.map(|rung| rung.at);
        // INVARIANT(round)
        let soon = silence.map(|rung| rung.at).filter(|at| *at <= now.saturating_add(AHEAD));
        let due_at = falls_at.into_iter().chain(soon).fold(judged_anew(subject.id, now), i64::min);
        let silent_after = silence.map(|rung| rung.at.saturating_sub(facts.last_contact));
        Self { shown, due_at: Some(due_at), falls_at, silent_after }
    }
}

fn first(facts: &Facts, profile: &Profile, now: i64) -> Option<Rung> {
    ladder(facts, profile, now).into_iter().next()
}

fn is_silence(reason: Reason) -> bool {
    matches!(reason, Reason::OutOfContact | Reason::OfflineLease)
}

fn judged_anew(id: InstallId, now: i64) -> i64 {
    let [.., high, low] = *id.as_uuid().as_bytes();
    now.saturating_add(DAY + DAY * i64::from(u16::from_be_bytes([high, low])) / (1 << 16))
}

impl Change<'_> {
    /// Judges installs that this changes, and says so in lists at once.
    ///
    /// # Errors
    /// When the database isn't available.
    pub(crate) async fn restate_installs(&self, ids: &[InstallId]) -> Result<(), Error> {
        restate(self.store, &*self.tx, ids).await
    }

    /// Has a license's installs judged by the next sweep.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn restate_license(&self, id: LicenseId) -> Result<(), Error> {
        self.insert_restatement(Some(id.as_uuid()), None).await
    }

    /// Has a profile's installs judged by the next sweep.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn restate_profile(&self, id: ProfileId) -> Result<(), Error> {
        self.insert_restatement(None, Some(id.as_uuid())).await
    }

    /// Has every install whose judgement a hold moves judged by the next sweep.
    ///
    /// # Errors
    /// When the database isn't available.
    pub(crate) async fn restate_breached(&self) -> Result<(), Error> {
        self.insert_restatement(None, None).await
    }

    async fn insert_restatement(&self, license: Option<&Uuid>, profile: Option<&Uuid>) -> Result<(), Error> {
        let (id, now) = (self.store.new_id(), Timestamp(self.store.clock().unix_seconds()));
        execute(&*self.tx, &INSERT, &[&id, &license, &profile, &now]).await.map(drop)
    }
}

impl Store {
    /// Sweeps unless somebody has in the last `within` seconds.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn sweep_if_due(&self, within: i64) -> Result<(), Error> {
        let since = Timestamp(self.clock().unix_seconds().saturating_sub(within));
        let found = row(&**self.client().await?, &SWEPT_SINCE, &[&since]).await?;
        match found.map(|row| column(&row, "swept")).transpose()? {
            Some(true) => Ok(()),
            _ => self.sweep_strides(STRIDES_AT_ONCE).await,
        }
    }

    /// Judges every install that is due, tells of licenses that have ended, counts installs by state, and counts new
    /// heartbeats.
    ///
    /// # Errors
    /// When the database isn't available; what was judged until then stays.
    pub async fn sweep(&self) -> Result<(), Error> {
        self.sweep_strides(STRIDES).await
    }

    async fn sweep_strides(&self, most: usize) -> Result<(), Error> {
        let now = self.clock().unix_seconds();
        for _ in 0..most {
            if !self.round_stride(now).await? {
                break;
            }
        }
        for stride in 1..=most {
            if !self.sweep_stride(now).await? {
                break;
            }
            if stride % COUNT_EVERY == 0 {
                self.count_installs_swept(self.clock().unix_seconds()).await?;
            }
        }
        self.tell_ends(now).await?;
        self.count_heartbeats(now).await?;
        self.count_installs_swept(now).await
    }

    /// Counts, once for all who ask until the next sweep.
    async fn count_installs_swept(&self, now: i64) -> Result<(), Error> {
        let client = self.client().await?;
        let (mut counts, mut calling) = (serde_json::Map::new(), 0);
        for row in rows(&**client, &COUNT, &[]).await? {
            counts.insert(column(&row, "state")?, column::<i64>(&row, "installs")?.into());
            calling += column::<i64>(&row, "calling")?;
        }
        let counts = serde_json::Value::Object(counts).to_string();
        execute(&**client, &SWEPT, &[&Timestamp(now), &counts, &calling]).await.map(drop)
    }

    /// Judges some of what is due. Returns whether there may be more.
    async fn sweep_stride(&self, now: i64) -> Result<bool, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        if !is_ours(&*tx).await? {
            return Ok(false);
        }
        let job = row(&*tx, &JOB, &[]).await?;
        let found = match &job {
            None => rows(&*tx, &DUE, &[&Timestamp(now), &STRIDE]).await?,
            Some(job) => installs_of(&*tx, job).await?,
        };
        let id = |row: &Row| Ok::<_, Error>(InstallId::from_uuid(column(row, "install_id")?));
        let ids = found.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        restate(self, &*tx, &ids).await?;
        if let Some(job) = job {
            let job: Uuid = column(&job, "id")?;
            match ids.last() {
                Some(last) => execute(&*tx, &ADVANCE, &[&job, last.as_uuid()]).await?,
                None => execute(&*tx, &FINISH, &[&job]).await?,
            };
            tx.commit().await.map_err(Error::from_connection)?;
            return Ok(true);
        }
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(ids.len() >= usize::try_from(STRIDE).unwrap_or(usize::MAX))
    }
}

/// Whether it is this process that sweeps, until the transaction's end.
pub(crate) async fn is_ours(client: &impl GenericClient) -> Result<bool, Error> {
    let lock = row(client, &LOCK, &[]).await?;
    lock.map_or(Ok(false), |row| column(&row, "is_ours"))
}

/// The next installs of what an operator has changed.
async fn installs_of(client: &impl GenericClient, job: &Row) -> Result<Vec<Row>, Error> {
    let after: Uuid = column(job, "after_install")?;
    if let Some(license) = column::<Option<Uuid>>(job, "license_id")? {
        return rows(client, &OF_LICENSE, &[&license, &after, &STRIDE]).await;
    }
    if let Some(profile) = column::<Option<Uuid>>(job, "profile_id")? {
        return rows(client, &OF_PROFILE, &[&profile, &after, &STRIDE]).await;
    }
    rows(client, &BREACHED, &[&after, &STRIDE]).await
}

/// Judges installs, in a transaction, and writes what is said of them from now on.
async fn restate(store: &Store, client: &impl GenericClient, ids: &[InstallId]) -> Result<(), Error> {
    let now = store.clock().unix_seconds();
    let subjects = store.load_subjects_in(client, ids).await?;
    let kept: Vec<Kept> = subjects.iter().map(|subject| Kept::of(subject, now)).collect();
    let time = |at: Option<i64>| at.map(Timestamp);
    let written = rows(
        client,
        &WRITE,
        &[
            &subjects.iter().map(|subject| subject.id.as_uuid()).collect::<Vec<_>>(),
            &subjects.iter().map(|subject| subject.revision).collect::<Vec<_>>(),
            &kept.iter().map(|kept| kept.shown.as_str()).collect::<Vec<_>>(),
            &kept.iter().map(|kept| time(kept.due_at)).collect::<Vec<_>>(),
            &kept.iter().map(|kept| time(kept.falls_at)).collect::<Vec<_>>(),
            &subjects.iter().map(|subject| Timestamp(subject.last_contact)).collect::<Vec<_>>(),
            &kept.iter().map(|kept| kept.silent_after).collect::<Vec<_>>(),
            &Timestamp(now),
            &Timestamp(now.saturating_sub(SILENT)),
        ],
    )
    .await?;
    let written =
        written.iter().map(|row| column(row, "install_id")).collect::<Result<HashSet<Uuid>, _>>()?;
    let judged = subjects.iter().zip(&kept).filter(|(subject, _)| written.contains(subject.id.as_uuid()));
    let events: Vec<_> =
        judged.filter_map(|(subject, kept)| Event::of_install(subject, &kept.shown, now)).collect();
    event::tell(store, client, &events).await
}
