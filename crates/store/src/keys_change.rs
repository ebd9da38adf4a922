//! Changes of keys: each one transaction under a lock, together with the keyset that tells of it. One that doesn't reach
//! its end leaves everything as it was, and the old key signing.

use deadpool_postgres::{Object, Transaction};
use jose_jwt::SigningKey;
use keyring::Keyring;
use keyring::signing::{self, KeyRecord, KeyUse, Pace, Step, StepError};
use policy::Knobs;
use tokio_postgres::GenericClient;

use crate::audit::{Actor, Changed};
use crate::event::{self, Event};
use crate::keys::{LOCK, seed};
use crate::keys_signing::private_place;
use crate::sql::{column, row, rows, statements};
use crate::{Error, KeysetTerms, PublishedKeyset, Store, audit, keys_keyset, keys_signing};

/// The most that a change seals: a key of each use; or a root.
pub(crate) const SEALS: usize = 2;

statements! {
    /// Takes the lock of whoever changes keys, if it is free, until the transaction's end.
    TRY_LOCK () "-- keys_change.try_lock
SELECT pg_try_advisory_xact_lock(7163127404523) AS is_free"

    /// Every version of a profile that judges or has judged; there are few.
    PUBLISHED_KNOBS () "-- keys_change.published_knobs
SELECT knobs::text AS knobs FROM profile_versions WHERE published_at IS NOT NULL"
}

/// By what keys are changed.
#[derive(Debug, Clone, Copy)]
pub struct KeyTerms<'a> {
    /// How keysets are signed.
    pub keysets: KeysetTerms<'a>,
    /// When keys are moved on.
    pub pace: Pace,
    /// Root keys that whoever asks has at hand, for where the database's has been exported.
    pub roots: &'a [SigningKey],
    /// Who changes them, for the audit log; nobody where it is due with the time.
    pub actor: Option<&'a Actor>,
}

impl KeyTerms<'_> {
    /// Whether [`Store::tend_keys`] would do something.
    #[must_use]
    pub fn is_due(&self, records: &[KeyRecord], newest: &PublishedKeyset, now: i64) -> bool {
        newest.is_due(self.keysets.issuer, now) || !self.due_rotations(records, now).is_empty()
    }

    fn due_rotations(&self, records: &[KeyRecord], now: i64) -> Vec<KeyUse> {
        let is_due = |key_use: &KeyUse| signing::is_rotation_due(records, *key_use, self.pace, now);
        KeyUse::ALL.into_iter().filter(is_due).collect()
    }
}

/// What stands before a change, under the lock.
struct Situation {
    /// The keys that verify.
    records: Vec<KeyRecord>,
    newest: PublishedKeyset,
    longest_lease: i64,
    now: i64,
}

impl Situation {
    fn rotate(&self, key_use: KeyUse, terms: KeyTerms<'_>) -> Result<Step, StepError> {
        signing::rotate(&self.records, key_use, terms.pace, self.longest_lease, self.now)
    }
}

impl Store {
    /// Makes the prepared key of each use active and publishes the next one; signs the keyset that says so.
    ///
    /// # Errors
    /// [`Error::SigningKeys`] where a prepared key wasn't published for long enough; [`Error::RootAbsent`]; when the
    /// database isn't available. Then nothing has changed.
    pub async fn rotate_signing_keys(&self, uses: &[KeyUse], terms: KeyTerms<'_>) -> Result<(), Error> {
        let named: Vec<_> = uses.iter().map(|key_use| key_use.as_str()).collect();
        self.change(terms, ("signing_key.rotate", &named.join(" ")), |seen| {
            let steps = uses.iter().map(|key_use| seen.rotate(*key_use, terms));
            Ok(Some(steps.collect::<Result<_, _>>()?))
        })
        .await?;
        Ok(())
    }

    /// Trusts a key no more: it leaves the keyset at once, and where it signed the prepared one does. Done twice is done.
    ///
    /// # Errors
    /// [`Error::SigningKeys`] where there is no such key or it has retired; [`Error::RootAbsent`]; when the database
    /// isn't available. Then nothing has changed.
    pub async fn taint_signing_key(&self, kid: &str, terms: KeyTerms<'_>) -> Result<(), Error> {
        let mut client = self.client().await?;
        let tx = begin(&mut client).await?;
        let named = keys_signing::find_record(&*tx, kid).await?;
        self.change_in(tx, terms, ("signing_key.taint", kid), |seen| {
            let others = seen.records.iter().filter(|record| record.kid() != kid).cloned();
            let records: Vec<_> = others.chain(named).collect();
            let step = signing::taint(&records, kid, seen.now)?;
            Ok((step != Step::default()).then(|| vec![step]))
        })
        .await?;
        Ok(())
    }

    /// Signs a new keyset, whatever there is to tell.
    ///
    /// # Errors
    /// [`Error::RootAbsent`]; when the database isn't available.
    pub async fn sign_keyset(&self, terms: KeyTerms<'_>) -> Result<(), Error> {
        self.change(terms, ("keyset.sign", terms.keysets.issuer), |_| Ok(Some(Vec::new()))).await?;
        Ok(())
    }

    /// Does what is due with the time: rotates keys that are old enough, and signs a new keyset where the newest is out
    /// of date. Returns the new keyset; nothing where nothing is due, or another process is at it.
    ///
    /// # Errors
    /// [`Error::RootAbsent`]; when the database isn't available. Then nothing has changed.
    pub async fn tend_keys(&self, terms: KeyTerms<'_>) -> Result<Option<PublishedKeyset>, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        let tried = row(&*tx, &TRY_LOCK, &[]).await?;
        if !tried.map_or(Ok(false), |row| column(&row, "is_free"))? {
            return Ok(None);
        }
        self.change_in(tx, terms, ("signing_key.tend", "due"), |seen| {
            let due = terms.due_rotations(&seen.records, seen.now);
            let is_due = !due.is_empty() || seen.newest.is_due(terms.keysets.issuer, seen.now);
            let steps = due.iter().map(|key_use| seen.rotate(*key_use, terms)).collect::<Result<_, _>>()?;
            Ok(is_due.then_some(steps))
        })
        .await
    }

    async fn change(
        &self,
        terms: KeyTerms<'_>,
        action: (&'static str, &str),
        decide: impl FnOnce(&Situation) -> Result<Option<Vec<Step>>, Error>,
    ) -> Result<Option<PublishedKeyset>, Error> {
        let mut client = self.client().await?;
        self.change_in(begin(&mut client).await?, terms, action, decide).await
    }

    /// Takes the steps that `decide` finds right for what stands when it is this process's turn, and signs the keyset
    /// that tells of them; nothing at all where it finds nothing to do.
    async fn change_in(
        &self,
        tx: Transaction<'_>,
        terms: KeyTerms<'_>,
        action: (&'static str, &str),
        decide: impl FnOnce(&Situation) -> Result<Option<Vec<Step>>, Error>,
    ) -> Result<Option<PublishedKeyset>, Error> {
        let now = self.clock().unix_seconds();
        let situation = Situation {
            records: keys_signing::live_records(&*tx, now).await?,
            newest: keys_keyset::find_newest(&*tx, now).await?.ok_or(Error::NoKeys)?,
            longest_lease: longest_lease(&*tx).await?,
            now,
        };
        let Some(steps) = decide(&situation)? else { return Ok(None) };
        let root = self.signing_root(&*tx, terms.roots).await?;
        let keyring = self.sealing(&*tx, SEALS).await?;
        for step in &steps {
            self.take(&tx, &keyring, step, now).await?;
        }
        self.renew_successors(&*tx, terms, now).await?;
        let signed = keys_keyset::sign(&*tx, &root, terms.keysets, now).await?;
        let events: Vec<_> =
            steps.iter().flat_map(|step| Event::of_step(step, signed.version, now)).collect();
        event::tell(self, &*tx, &events).await?;
        if let Some(actor) = terms.actor {
            let keyset = |version: i64| Some(format!(r#"{{"keyset":{version}}}"#));
            let (before, after) = (keyset(situation.newest.version), keyset(signed.version));
            self.record(&*tx, actor, action, (before, after)).await?;
        }
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(Some(signed))
    }

    /// Writes to the audit log who changed which key. It comes last in its transaction.
    pub(crate) async fn record(
        &self,
        client: &impl GenericClient,
        actor: &Actor,
        (action, id): (&'static str, &str),
        (before, after): (Option<String>, Option<String>),
    ) -> Result<(), Error> {
        let resource = action.split_once('.').map_or(action, |(resource, _)| resource);
        let changed = Changed { action, resource, id: id.to_owned(), before, after };
        audit::insert(client, self.new_id(), self.clock().unix_seconds(), actor, &changed).await
    }

    async fn take(
        &self,
        tx: &Transaction<'_>,
        keyring: &Keyring,
        step: &Step,
        now: i64,
    ) -> Result<(), Error> {
        for record in &step.changed {
            keys_signing::move_on(&**tx, record).await?;
        }
        for key_use in &step.prepare {
            let (id, key) = (self.new_id(), SigningKey::from_seed(&seed(self.random())));
            let place = private_place("signing_keys", id);
            let sealed = keyring.seal(place, &key.seed()[..], self.random())?;
            keys_signing::insert(&**tx, id, *key_use, key.public(), &sealed, now, None).await?;
        }
        Ok(())
    }
}

/// Begins a change: waits until it is this process's turn, but not for ever.
pub(crate) async fn begin(client: &mut Object) -> Result<Transaction<'_>, Error> {
    let tx = client.transaction().await.map_err(Error::from_connection)?;
    tx.batch_execute(LOCK).await.map_err(Error::from_connection)?;
    Ok(tx)
}

/// The longest life of a lease that was ever to be had, seconds.
async fn longest_lease(client: &impl GenericClient) -> Result<i64, Error> {
    let mut longest = Knobs::default().lease_max_seconds;
    for row in rows(client, &PUBLISHED_KNOBS, &[]).await? {
        let knobs = Knobs::parse(column(&row, "knobs")?)
            .map_err(|errors| Error::Corrupt { what: "knobs", cause: format!("{errors:?}").into() })?;
        longest = longest.max(knobs.lease_max_seconds);
    }
    Ok(longest)
}
