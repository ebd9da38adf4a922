//! Installs as operators see them: shown, approved, suspended, revoked, reset, rebound.
//!
//! INVARIANT(revision): every change moves the row's revision, so that a heartbeat that is judged meanwhile is judged
//! again.

use std::collections::HashMap;

use policy::State;
use protocol::admin::InstallStatus;
use protocol::{Fingerprint, InstallId, LicenseId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sql::{Sql, column, rows, statements};
use crate::{Error, Store, Subject, seats};

statements! {
    /// Installs, by id.
    FIND (UUID_ARRAY) "-- install.find
SELECT i.id, i.name, i.version, s.state FROM installs i JOIN install_states s ON s.install_id = i.id
WHERE i.id = ANY($1) ORDER BY i.id"

    /// One install, locked: contacts wait.
    LOCK (UUID) "-- install.lock
SELECT i.id, i.name, i.version, s.state FROM installs i JOIN install_states s ON s.install_id = i.id
WHERE i.id = $1 FOR UPDATE OF i"

    /// A license's installs, or some of them, locked in the order of their ids: contacts wait.
    LOCK_ALL (UUID, UUID_ARRAY) "-- install.lock_all
SELECT id, revoked_at IS NOT NULL AS is_revoked, deactivated_at IS NOT NULL AS is_deactivated FROM installs
WHERE license_id = $1 AND ($2::uuid[] IS NULL OR id = ANY($2)) ORDER BY id FOR UPDATE"

    /// It may work.
    APPROVE (UUID_ARRAY) "-- install.approve
UPDATE installs SET awaiting_approval = false, version = version + 1, revision = revision + 1
WHERE id = ANY($1) AND awaiting_approval AND revoked_at IS NULL AND deactivated_at IS NULL
RETURNING id"

    /// Done twice is done: the first instant stays.
    SUSPEND (UUID_ARRAY, TIMESTAMPTZ) "-- install.suspend
UPDATE installs SET suspended_at = $2, version = version + 1, revision = revision + 1
WHERE id = ANY($1) AND suspended_at IS NULL AND revoked_at IS NULL AND deactivated_at IS NULL
RETURNING id"

    /// Ends a suspension.
    RESUME (UUID_ARRAY) "-- install.resume
UPDATE installs SET suspended_at = NULL, version = version + 1, revision = revision + 1
WHERE id = ANY($1) AND suspended_at IS NOT NULL AND revoked_at IS NULL AND deactivated_at IS NULL
RETURNING id"

    /// For good: the seat is free.
    REVOKE (UUID_ARRAY, TIMESTAMPTZ) "-- install.revoke
UPDATE installs SET revoked_at = $2, holds_seat = false, seats_exceeded_at = NULL, version = version + 1,
       revision = revision + 1
WHERE id = ANY($1) AND revoked_at IS NULL
RETURNING id"

    /// Clears suspicion and the count of reactivations, and kills the secret: the agent activates again, at no count.
    RESET (UUID_ARRAY) "-- install.reset
UPDATE installs SET clone_suspected_at = NULL, reactivations = '{}', next_reactivation_free = true, secrets = NULL,
       version = version + 1, revision = revision + 1
WHERE id = ANY($1) AND revoked_at IS NULL AND deactivated_at IS NULL
  AND (clone_suspected_at IS NOT NULL OR reactivations <> '{}' OR NOT next_reactivation_free OR secrets IS NOT NULL)
RETURNING id"

    /// Binds the fingerprint that is given, else the one last observed, and clears suspicion.
    REBIND (UUID_ARRAY, TEXT) "-- install.rebind
UPDATE installs SET bound = coalesce($2, observed), observed = coalesce($2, observed), clone_suspected_at = NULL,
       drift_learned_at = NULL, version = version + 1, revision = revision + 1
WHERE id = ANY($1) AND revoked_at IS NULL AND deactivated_at IS NULL
  AND (bound <> coalesce($2, observed) OR observed <> coalesce($2, observed) OR clone_suspected_at IS NOT NULL
       OR drift_learned_at IS NOT NULL)
RETURNING id"
}

/// How often many installs are asked for at once before that is put off.
const LOCK_ATTEMPTS: u32 = 100;

/// An install as it stands.
#[derive(Debug)]
pub struct InstallRow {
    /// What its agent calls the machine.
    pub name: Option<String>,
    /// Moves with every change by an operator.
    pub version: i64,
    /// The state by which lists filter.
    pub state: State,
    /// Everything that a judgement reads.
    pub subject: Subject,
}

/// What an operator does to an install.
#[derive(Debug, Clone)]
pub enum InstallAction {
    /// Lets a pending one work.
    Approve,
    /// Stops it until it is resumed.
    Suspend,
    /// Ends a suspension.
    Resume,
    /// Ends it for good.
    Revoke,
    /// Clears suspicion and reactivations; the agent activates again.
    Reset,
    /// Binds this fingerprint, or the one last observed.
    Rebind(Option<Fingerprint>),
}

impl Store {
    /// An install.
    ///
    /// # Errors
    /// When the database isn't available, or the row can't be read.
    pub async fn find_install(&self, id: InstallId) -> Result<Option<InstallRow>, Error> {
        let client = self.client().await?;
        let found = rows(&**client, &FIND, &[&[id.as_uuid()].as_slice()]).await?;
        Ok(self.with_subjects(&**client, &found).await?.pop())
    }

    pub(crate) async fn with_subjects(
        &self,
        client: &impl GenericClient,
        found: &[Row],
    ) -> Result<Vec<InstallRow>, Error> {
        let id = |row: &Row| Ok::<_, Error>(InstallId::from_uuid(column(row, "id")?));
        let ids = found.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let subjects = self.load_subjects_in(client, &ids).await?;
        let mut subjects: HashMap<_, _> = subjects.into_iter().map(|subject| (subject.id, subject)).collect();
        let mut installs = Vec::with_capacity(found.len());
        for row in found {
            if let Some(subject) = subjects.remove(&id(row)?) {
                installs.push(InstallRow {
                    name: column(row, "name")?,
                    version: column(row, "version")?,
                    state: column::<&str>(row, "state")?.parse().map_err(corrupt("state"))?,
                    subject,
                });
            }
        }
        Ok(installs)
    }
}

impl Change<'_> {
    /// An install, locked until the change's end.
    ///
    /// # Errors
    /// When the database isn't available, or the row can't be read.
    pub async fn lock_install(&self, id: InstallId) -> Result<Option<InstallRow>, Error> {
        let found = rows(&*self.tx, &LOCK, &[id.as_uuid()]).await?;
        Ok(self.store.with_subjects(&*self.tx, &found).await?.pop())
    }

    /// Installs of a license, or those of them that are named, by id, each with its status where that is final. They and
    /// the license are locked until the change's end. None: there is no such license.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_installs(
        &self,
        license: LicenseId,
        named: Option<&[InstallId]>,
    ) -> Result<Option<Vec<(InstallId, Option<InstallStatus>)>>, Error> {
        if seats::lock_license(&*self.tx, license).await?.is_none() {
            return Ok(None);
        }
        let named = named.map(uuids);
        let found = self.lock_all(&LOCK_ALL, &[license.as_uuid(), &named]).await?;
        let install = |row: &Row| {
            let status = match (column(row, "is_revoked")?, column(row, "is_deactivated")?) {
                (true, _) => Some(InstallStatus::Revoked),
                (false, true) => Some(InstallStatus::Deactivated),
                (false, false) => None,
            };
            Ok((InstallId::from_uuid(column(row, "id")?), status))
        };
        found.iter().map(install).collect::<Result<_, _>>().map(Some)
    }

    /// INVARIANT(way): whoever locks many installs gives way to contacts. Those that are committed together lock in whatever
    /// order the database finds them, so one may have what this wants, and want what this has. Then all that this has is let
    /// go long before the database looks for deadlocks (`deadlock_timeout`, a second), and asked for again.
    pub(crate) async fn lock_all(
        &self,
        statement: &Sql,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let say = async |words| self.tx.batch_execute(words).await.map_err(Error::from_connection);
        let mut attempt = 1;
        loop {
            say("SAVEPOINT locking; SET LOCAL lock_timeout = '50ms'").await?;
            match rows(&*self.tx, statement, params).await {
                Err(error) if error.is_lock_timeout() && attempt < LOCK_ATTEMPTS => {
                    say("ROLLBACK TO SAVEPOINT locking; RELEASE SAVEPOINT locking; SELECT pg_sleep(0.02)")
                        .await?;
                    attempt += 1;
                }
                locked => {
                    let locked = locked?;
                    say("SET LOCAL lock_timeout TO DEFAULT; RELEASE SAVEPOINT locking").await?;
                    return Ok(locked);
                }
            }
        }
    }

    /// Installs, by id.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn find_installs(&self, ids: &[InstallId]) -> Result<Vec<InstallRow>, Error> {
        let found = rows(&*self.tx, &FIND, &[&uuids(ids)]).await?;
        self.store.with_subjects(&*self.tx, &found).await
    }

    /// Does what an operator wants done to installs that this has locked, and says in lists at once what the engine
    /// makes of them. Returns those that it changed.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn act_on_installs(
        &self,
        ids: &[InstallId],
        action: &InstallAction,
    ) -> Result<Vec<InstallId>, Error> {
        let (ids, now) = (uuids(ids), self.now());
        let by_id = async |statement: &Sql| rows(&*self.tx, statement, &[&ids]).await;
        let changed = match action {
            InstallAction::Approve => by_id(&APPROVE).await?,
            InstallAction::Resume => by_id(&RESUME).await?,
            InstallAction::Reset => by_id(&RESET).await?,
            InstallAction::Suspend => rows(&*self.tx, &SUSPEND, &[&ids, &now]).await?,
            InstallAction::Revoke => rows(&*self.tx, &REVOKE, &[&ids, &now]).await?,
            InstallAction::Rebind(fingerprint) => {
                let lines = fingerprint.as_ref().map(Fingerprint::lines);
                rows(&*self.tx, &REBIND, &[&ids, &lines]).await?
            }
        };
        let id = |row: &Row| Ok::<_, Error>(InstallId::from_uuid(column(row, "id")?));
        let changed = changed.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        if !changed.is_empty() {
            self.restate_installs(&changed).await?;
        }
        Ok(changed)
    }
}

fn uuids(ids: &[InstallId]) -> Vec<Uuid> {
    ids.iter().map(|id| *id.as_uuid()).collect()
}
