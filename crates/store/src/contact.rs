//! Contacts: the two statements by which a beat is judged, for one install or for many at once.
//!
//! [`Store::load_subjects`] reads everything that a judgement needs; [`Store::commit_contacts`] writes what came of it,
//! with its rows of the audit log, in one statement, which is one transaction.
//!
//! INVARIANT(revision): a contact is written only over the revision that it was judged by. Whatever changes an install
//! moves its revision, so of two that judge the same install at once, in whatever processes, one judges again.

use std::sync::Arc;

use keyring::{Keyring, Place};
use policy::Knobs;
use protocol::rate::Rate;
use protocol::replay::ReplayState;
use protocol::secrets::Secrets;
use protocol::{Fingerprint, InstallId, LicenseId, ProfileId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::event::{Event, Messages};
use crate::sql::{Timestamp, column, instant, instant_or_null, rows, statements};
use crate::subject::{Audit, Contact, LicenseTerms, PublishedProfile, Subject};
use crate::{Error, Store, lease, restate};

/// The text of a commit by this name: moves installs from the revision they were judged by, logs for those that moved, and
/// does something more for them.
macro_rules! commit {
    ($name:literal, $more:literal) => {
        concat!("-- ", $name, "
WITH moved AS (
    UPDATE installs i
    SET deactivated_at = g.deactivated_at, bound = coalesce(g.bound, i.bound),
        secrets = CASE WHEN g.secrets_changed THEN g.secrets ELSE i.secrets END,
        drift_learned_at = g.drift_learned_at, clone_suspected_at = g.clone_suspected_at,
        holds_seat = g.holds_seat, seats_exceeded_at = g.seats_exceeded_at,
        observed = g.observed, instance_id = g.instance_id, agent_version = g.agent_version,
        agent_platform = g.agent_platform, clock_skew = g.clock_skew,
        high = g.high, accepted_window = g.accepted_window, recent_nonces = g.recent_nonces,
        rate_arrival = g.rate_arrival, last_contact = g.last_contact,
        lease_id = g.lease_id, lease_ends_at = g.lease_ends_at, lease_barred_until = g.lease_barred_until,
        lease_revoked_at = CASE WHEN g.lease_id = i.lease_id THEN i.lease_revoked_at END,
        shown = coalesce(g.shown, i.shown),
        revision = i.revision + 1
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                $23, $24)
        AS g(id, revision, deactivated_at, bound, secrets_changed, secrets, drift_learned_at, clone_suspected_at,
             holds_seat, seats_exceeded_at, observed, instance_id, agent_version, agent_platform, clock_skew,
             high, accepted_window, recent_nonces, rate_arrival, last_contact, lease_id, lease_ends_at,
             lease_barred_until, shown)
    WHERE i.id = g.id AND i.revision = g.revision
    RETURNING i.id, i.license_id, i.instance_id, i.agent_version, i.last_contact, g.shown
), restated AS (
    UPDATE install_states s
    SET state = split_part(m.shown, ' ', 1), rule = split_part(m.shown, ' ', 2)::smallint,
        reason = split_part(m.shown, ' ', 3), status = split_part(m.shown, ' ', 4), due_at = m.last_contact,
        seen_at = m.last_contact, silent_since = NULL
    FROM moved m WHERE m.shown IS NOT NULL AND s.install_id = m.id
), logged AS (
    INSERT INTO heartbeats (id, at, install_id, license_id, operation, outcome, counter, state, rule, reason,
                            profile_id, profile_number, clock_skew, agent_version, instance_id)
    SELECT h.id, h.at, h.install_id, m.license_id, h.operation, h.outcome, h.counter, h.state, h.rule, h.reason,
           h.profile_id, h.profile_number, h.clock_skew, m.agent_version, m.instance_id
    FROM unnest($25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)
        AS h(id, at, install_id, operation, outcome, counter, state, rule, reason, profile_id, profile_number,
             clock_skew)
    JOIN moved m ON m.id = h.install_id
)", $more, "
SELECT id FROM moved")
    };
}

statements! {
    /// Everything a judgement reads. Of a profile's version that is published to some installs in a hundred, it is the
    /// random end of an install's id that says whether it is among them: always the same ones.
    LOAD (UUID_ARRAY) "-- contact.load
SELECT i.id, i.license_id, i.activated_at, i.awaiting_approval, i.suspended_at, i.revoked_at, i.deactivated_at,
       i.bound, i.secrets,
       i.drift_learned_at, i.clone_suspected_at, i.holds_seat, i.seats_exceeded_at, i.observed, i.instance_id,
       i.agent_version, i.agent_platform, i.clock_skew, i.high, i.accepted_window, i.recent_nonces, i.rate_arrival,
       i.last_contact, i.lease_id, i.lease_ends_at, i.lease_revoked_at, i.lease_barred_until, i.shown, i.revision,
       (SELECT max(restored_at) FROM restores) AS restored_at, (SELECT until FROM hold WHERE only_row) AS held_until,
       l.product, l.max_installs, l.starts_at, l.expires_at, l.lease_max_seconds, l.entitlements::text AS entitlements,
       l.suspended_at AS license_suspended_at, l.revoked_at AS license_revoked_at,
       v.profile_id, v.number AS profile_number, v.knobs::text AS knobs
FROM installs i
JOIN licenses l ON l.id = i.license_id
JOIN profiles p ON p.id = l.profile_id
JOIN profile_versions v ON v.profile_id = p.id
     AND v.number = CASE WHEN p.percent = 100 OR (get_byte(uuid_send(i.id), 14) * 256 + get_byte(uuid_send(i.id), 15)) % 100
                              < p.percent
                         THEN p.active_number ELSE p.previous_number END
WHERE i.id = ANY($1)"

    /// Moves installs from the revision they were judged by, and logs for those that moved.
    COMMIT (
        UUID_ARRAY, INT8_ARRAY, TIMESTAMPTZ_ARRAY, TEXT_ARRAY, BOOL_ARRAY, BYTEA_ARRAY, TIMESTAMPTZ_ARRAY,
        TIMESTAMPTZ_ARRAY, BOOL_ARRAY, TIMESTAMPTZ_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        INT8_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, INT8_ARRAY, TIMESTAMPTZ_ARRAY, UUID_ARRAY, TIMESTAMPTZ_ARRAY,
        TIMESTAMPTZ_ARRAY, TEXT_ARRAY,
        UUID_ARRAY, TIMESTAMPTZ_ARRAY, UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY, TEXT_ARRAY, INT2_ARRAY,
        TEXT_ARRAY, UUID_ARRAY, INT4_ARRAY, INT8_ARRAY
    ) (commit!("contact.commit", ""))

    /// The same, and queues what webhooks are to be told of those that moved.
    COMMIT_AND_TELL (
        UUID_ARRAY, INT8_ARRAY, TIMESTAMPTZ_ARRAY, TEXT_ARRAY, BOOL_ARRAY, BYTEA_ARRAY, TIMESTAMPTZ_ARRAY,
        TIMESTAMPTZ_ARRAY, BOOL_ARRAY, TIMESTAMPTZ_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        INT8_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, INT8_ARRAY, TIMESTAMPTZ_ARRAY, UUID_ARRAY, TIMESTAMPTZ_ARRAY,
        TIMESTAMPTZ_ARRAY, TEXT_ARRAY,
        UUID_ARRAY, TIMESTAMPTZ_ARRAY, UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY, TEXT_ARRAY, INT2_ARRAY,
        TEXT_ARRAY, UUID_ARRAY, INT4_ARRAY, INT8_ARRAY,
        UUID_ARRAY, UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TIMESTAMPTZ_ARRAY
    ) (commit!("contact.commit_and_tell", ", told AS (
    INSERT INTO webhook_deliveries (webhook_id, id, event, body, created_at, due_at)
    SELECT w.id, e.id, e.event, e.body::json, e.at, e.at
    FROM unnest($37, $38, $39, $40, $41) AS e(install_id, id, event, body, at)
    JOIN moved m ON m.id = e.install_id
    JOIN webhooks w ON w.disabled_at IS NULL AND w.events && ARRAY[e.event, '*']
)"))
}

/// The sealed secrets' place, which their seal is bound to.
pub(crate) fn secrets_place(id: InstallId) -> Place<'static> {
    Place { table: "installs", column: "secrets", row: *id.as_uuid().as_bytes() }
}

pub(crate) fn corrupt<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl FnOnce(E) -> Error {
    move |cause| Error::Corrupt { what, cause: cause.into() }
}

pub(crate) fn fingerprint(row: &Row, name: &'static str) -> Result<Fingerprint, Error> {
    Fingerprint::parse_lines(column(row, name)?).map_err(corrupt(name))
}

impl Store {
    /// Reads installs with their licenses and profiles. Ids that don't exist are left out; the order is the database's.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn load_subjects(&self, ids: &[InstallId]) -> Result<Vec<Subject>, Error> {
        match self.load_subjects_in(&**self.database.unasked_client().await?, ids).await {
            // Nothing is asked twice on the way of a beat: a connection that has died shows here, where reading again
            // does no harm.
            Err(Error::Unavailable(_)) => self.load_subjects_in(&**self.client().await?, ids).await,
            loaded => loaded,
        }
    }

    pub(crate) async fn load_subjects_in(
        &self,
        client: &impl GenericClient,
        ids: &[InstallId],
    ) -> Result<Vec<Subject>, Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| *id.as_uuid()).collect();
        let found = rows(client, &LOAD, &[&ids]).await?;
        self.opening(client, |keyring| found.iter().map(|row| self.subject(keyring, row)).collect()).await
    }

    fn subject(&self, keyring: &Keyring, row: &Row) -> Result<Subject, Error> {
        let id = InstallId::from_uuid(column(row, "id")?);
        let sealed: Option<&[u8]> = column(row, "secrets")?;
        let secrets = match sealed {
            None => None,
            Some(sealed) => {
                let opened = keyring.open(secrets_place(id), sealed)?;
                Some(Secrets::from_bytes(&opened).map_err(corrupt("secrets"))?)
            }
        };
        Ok(Subject {
            id,
            license_id: LicenseId::from_uuid(column(row, "license_id")?),
            terms: terms(row)?,
            profile: self.profile(row)?,
            activated_at: instant(row, "activated_at")?,
            awaiting_approval: column(row, "awaiting_approval")?,
            suspended_at: instant_or_null(row, "suspended_at")?,
            revoked_at: instant_or_null(row, "revoked_at")?,
            deactivated_at: instant_or_null(row, "deactivated_at")?,
            bound: fingerprint(row, "bound")?,
            secrets,
            drift_learned_at: instant_or_null(row, "drift_learned_at")?,
            clone_suspected_at: instant_or_null(row, "clone_suspected_at")?,
            was_suspected: instant_or_null(row, "clone_suspected_at")?.is_some(),
            holds_seat: column(row, "holds_seat")?,
            seats_exceeded_at: instant_or_null(row, "seats_exceeded_at")?,
            observed: fingerprint(row, "observed")?,
            instance_id: column(row, "instance_id")?,
            agent_version: column(row, "agent_version")?,
            agent_platform: column(row, "agent_platform")?,
            clock_skew: column(row, "clock_skew")?,
            replay: replay(row)?,
            rate: Rate { tat: column(row, "rate_arrival")? },
            last_contact: instant(row, "last_contact")?,
            restored_at: instant_or_null(row, "restored_at")?,
            held_until: instant_or_null(row, "held_until")?,
            lease: lease::live(row)?,
            lease_before: lease::live(row)?.map(|lease| lease.id),
            shown: column(row, "shown")?,
            lease_barred_until: instant_or_null(row, "lease_barred_until")?,
            revision: column(row, "revision")?,
            secrets_changed: false,
            bound_changed: false,
            lease_change: None,
        })
    }

    /// The published profile of a row with `profile_id`, `profile_number` and `knobs`; parsed once in a process.
    pub(crate) fn profile(&self, row: &Row) -> Result<Arc<PublishedProfile>, Error> {
        let id = ProfileId::from_uuid(column(row, "profile_id")?);
        let number: i32 = column(row, "profile_number")?;
        let known = self
            .profiles
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(&(id, number))
            .cloned();
        if let Some(profile) = known {
            return Ok(profile);
        }
        let knobs = Knobs::parse(column(row, "knobs")?)
            .map_err(|errors| Error::Corrupt { what: "knobs", cause: format!("{errors:?}").into() })?;
        let profile = Arc::new(PublishedProfile { id, number, knobs });
        let mut profiles = self.profiles.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(profiles.entry((id, number)).or_insert(profile).clone())
    }

    /// Writes judged installs and their rows of the audit log, all in one transaction. Returns the ids of those that
    /// were written; the others have changed since they were read, and nothing of them was.
    ///
    /// # Errors
    /// When the database isn't available (then it isn't known whether it was written), or refuses.
    pub async fn commit_contacts(&self, contacts: &[Contact]) -> Result<Vec<InstallId>, Error> {
        // The one that loaded was used last, so this is it.
        let mut client = self.database.unasked_client().await?;
        let keyring = match contacts.iter().filter(|contact| contact.subject.secrets_changed).count() {
            0 => self.keyring(),
            seals => self.sealing(&**client, seals).await?,
        };
        if contacts.iter().all(|contact| contact.subject.lease_change.is_none()) {
            return self.commit_contacts_in(&**client, &keyring, contacts).await;
        }
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        let written = self.commit_contacts_in(&*tx, &keyring, contacts).await?;
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(written)
    }

    /// Where a lease is granted or returned these are several statements: the caller has a transaction then. What there is
    /// to tell webhooks goes out with the one that moves the installs. Changed secrets are sealed with `keyring`, which comes from
    /// [`sealing`](Self::sealing).
    pub(crate) async fn commit_contacts_in(
        &self,
        client: &impl GenericClient,
        keyring: &Keyring,
        contacts: &[Contact],
    ) -> Result<Vec<InstallId>, Error> {
        /// A column: that part of every contact's subject.
        fn of<'a, T>(contacts: &'a [Contact], part: impl Fn(&'a Subject) -> T) -> Vec<T> {
            contacts.iter().map(|contact| part(&contact.subject)).collect()
        }
        let at = |time: Option<i64>| time.map(Timestamp);
        let sealed = contacts
            .iter()
            .map(|contact| self.sealed_secrets(keyring, &contact.subject))
            .collect::<Result<Vec<_>, _>>()?;
        let logged: Vec<(&Subject, &Audit)> = contacts
            .iter()
            .flat_map(|contact| contact.audit.iter().map(|audit| (&contact.subject, audit)))
            .collect();
        let columns: [&(dyn ToSql + Sync); 36] = [
            &of(contacts, |s| s.id.as_uuid()),
            &of(contacts, |s| s.revision),
            &of(contacts, |s| at(s.deactivated_at)),
            &of(contacts, |s| s.bound_changed.then(|| s.bound.lines())),
            &of(contacts, |s| s.secrets_changed),
            &sealed,
            &of(contacts, |s| at(s.drift_learned_at)),
            &of(contacts, |s| at(s.clone_suspected_at)),
            &of(contacts, |s| s.holds_seat),
            &of(contacts, |s| at(s.seats_exceeded_at)),
            &of(contacts, |s| s.observed.lines()),
            &of(contacts, |s| s.instance_id.as_slice()),
            &of(contacts, |s| s.agent_version.as_str()),
            &of(contacts, |s| s.agent_platform.as_str()),
            &of(contacts, |s| s.clock_skew),
            &of(contacts, |s| s.replay.high().cast_signed()),
            &of(contacts, |s| s.replay.window_bytes().to_vec()),
            &of(contacts, |s| s.replay.nonce_bytes().to_vec()),
            &of(contacts, |s| s.rate.tat),
            &of(contacts, |s| Timestamp(s.last_contact)),
            &of(contacts, |s| s.lease.as_ref().map(|lease| *lease.id.as_uuid())),
            &of(contacts, |s| at(s.lease.as_ref().map(|lease| lease.ends_at))),
            &of(contacts, |s| at(s.lease_barred_until)),
            &contacts.iter().map(restated).collect::<Vec<_>>(),
            &logged.iter().map(|_| self.new_id()).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| Timestamp(a.at)).collect::<Vec<_>>(),
            &logged.iter().map(|(s, _)| s.id.as_uuid()).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| a.operation).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| a.outcome.as_str()).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| a.counter.cast_signed()).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| a.decision.state.as_str()).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| i16::from(a.decision.rule.number())).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| a.decision.reason.as_str()).collect::<Vec<_>>(),
            &logged.iter().map(|(s, _)| s.profile.id.as_uuid()).collect::<Vec<_>>(),
            &logged.iter().map(|(s, _)| s.profile.number).collect::<Vec<_>>(),
            &logged.iter().map(|(_, a)| a.clock_skew).collect::<Vec<_>>(),
        ];
        let (told_of, events): (Vec<Uuid>, Vec<Event>) = contacts
            .iter()
            .flat_map(|contact| {
                Event::of_contact(contact).into_iter().map(|event| (*contact.subject.id.as_uuid(), event))
            })
            .unzip();
        let written = if events.is_empty() {
            rows(client, &COMMIT, &columns).await?
        } else {
            let Messages { ids, names, bodies, times } = Messages::of(self, &events);
            let told: [&(dyn ToSql + Sync); 5] = [&told_of, &ids, &names, &bodies, &times];
            rows(client, &COMMIT_AND_TELL, &[&columns[..], &told].concat()).await?
        };
        let id = |row: &Row| Ok::<_, Error>(InstallId::from_uuid(column(row, "id")?));
        let written = written.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        for contact in contacts.iter().filter(|contact| written.contains(&contact.subject.id)) {
            if let Some(change) = &contact.subject.lease_change {
                lease::write(client, &contact.subject, change).await?;
            }
        }
        Ok(written)
    }

    fn sealed_secrets(&self, keyring: &Keyring, subject: &Subject) -> Result<Option<Vec<u8>>, Error> {
        match &subject.secrets {
            Some(secrets) if subject.secrets_changed => {
                Ok(Some(keyring.seal(secrets_place(subject.id), &secrets.to_bytes(), self.random())?))
            }
            _ => Ok(None),
        }
    }
}

/// What `install_states` has to say of an install from now on, where that is something else, or has to be looked at
/// again because its lease is another.
fn restated(contact: &Contact) -> Option<String> {
    let (subject, decision) = (&contact.subject, contact.audit.last()?.decision);
    let shown = restate::shown(&decision, subject.status());
    let lease = subject.lease.map(|lease| lease.id);
    (shown != subject.shown || lease != subject.lease_before).then_some(shown)
}

/// The license's terms in a row that joins it.
pub(crate) fn terms(row: &Row) -> Result<LicenseTerms, Error> {
    let entitlements: String = column(row, "entitlements")?;
    Ok(LicenseTerms {
        product: column::<&str>(row, "product")?.parse().map_err(corrupt("product"))?,
        max_installs: column(row, "max_installs")?,
        starts_at: instant(row, "starts_at")?,
        expires_at: instant_or_null(row, "expires_at")?,
        lease_max_seconds: column(row, "lease_max_seconds")?,
        entitlements: serde_json::value::RawValue::from_string(entitlements)
            .map_err(corrupt("entitlements"))?,
        suspended_at: instant_or_null(row, "license_suspended_at")?,
        revoked_at: instant_or_null(row, "license_revoked_at")?,
    })
}

fn replay(row: &Row) -> Result<ReplayState, Error> {
    let window: &[u8] = column(row, "accepted_window")?;
    let high: i64 = column(row, "high")?;
    ReplayState::from_bytes(
        high.cast_unsigned(),
        window.try_into().map_err(corrupt("accepted_window"))?,
        column(row, "recent_nonces")?,
    )
    .map_err(corrupt("recent_nonces"))
}
