//! Every sealed column, and the walk over them that brings what is there under the active key while everything runs.
//!
//! A walk reads a window of rows after another, in the order of their ids, and writes the values of older versions anew. It
//! keeps no account of where it was: what it has done it finds done when it begins again, and two may walk at once.
//!
//! INVARIANT(walk): a value is replaced only where it still is the one that was read, so that nothing that was changed
//! meanwhile is lost; and a row that somebody works on is left for the next walk: a walk waits for nobody, and who waits
//! for it waits for one statement.

use keyring::{Context, Keyring, Place, Purpose};
use tokio_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::contact::corrupt;
use crate::sql::{Sql, column, execute, rows, statements};
use crate::{Error, Rotation, Store};

/// How many rows are read at once, and at most written.
const WINDOW: i64 = 500;

statements! {
    /// License keys sealed under a version below $2.
    LICENSE_KEYS (UUID, BYTEA, INT8) "-- keys_sealed.license_keys
SELECT id, CASE WHEN substring(key_sealed FROM 1 FOR 4) < $2 THEN key_sealed END AS sealed
FROM licenses WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew.
    SET_LICENSE_KEYS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_license_keys
UPDATE licenses SET key_sealed = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM licenses x WHERE x.id = g.id AND x.key_sealed = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// Installs' secrets sealed under a version below $2.
    SECRETS (UUID, BYTEA, INT8) "-- keys_sealed.secrets
SELECT id, CASE WHEN substring(secrets FROM 1 FOR 4) < $2 THEN secrets END AS sealed
FROM installs WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew. A beat that was judged meanwhile writes the value that is here then, or one of its own:
    /// the revision stays.
    SET_SECRETS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_secrets
UPDATE installs SET secrets = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM installs x WHERE x.id = g.id AND x.secrets = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// Signing keys sealed under a version below $2.
    SIGNING_KEYS (UUID, BYTEA, INT8) "-- keys_sealed.signing_keys
SELECT id, CASE WHEN substring(private_key FROM 1 FOR 4) < $2 THEN private_key END AS sealed
FROM signing_keys WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew.
    SET_SIGNING_KEYS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_signing_keys
UPDATE signing_keys SET private_key = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM signing_keys x WHERE x.id = g.id AND x.private_key = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// Root keys sealed under a version below $2.
    ROOT_KEYS (UUID, BYTEA, INT8) "-- keys_sealed.root_keys
SELECT id, CASE WHEN substring(private_key FROM 1 FOR 4) < $2 THEN private_key END AS sealed
FROM root_keys WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew.
    SET_ROOT_KEYS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_root_keys
UPDATE root_keys SET private_key = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM root_keys x WHERE x.id = g.id AND x.private_key = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// Second factors' seeds sealed under a version below $2.
    TOTP_SECRETS (UUID, BYTEA, INT8) "-- keys_sealed.totp_secrets
SELECT id, CASE WHEN substring(totp_secret FROM 1 FOR 4) < $2 THEN totp_secret END AS sealed
FROM users WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew.
    SET_TOTP_SECRETS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_totp_secrets
UPDATE users SET totp_secret = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM users x WHERE x.id = g.id AND x.totp_secret = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// Kept answers sealed under a version below $2.
    ANSWERS (UUID, BYTEA, INT8) "-- keys_sealed.answers
SELECT id, CASE WHEN substring(answer FROM 1 FOR 4) < $2 THEN answer END AS sealed
FROM idempotency_keys WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew.
    SET_ANSWERS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_answers
UPDATE idempotency_keys SET answer = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM idempotency_keys x WHERE x.id = g.id AND x.answer = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// Webhooks' secrets sealed under a version below $2.
    WEBHOOK_SECRETS (UUID, BYTEA, INT8) "-- keys_sealed.webhook_secrets
SELECT id, CASE WHEN substring(secret FROM 1 FOR 4) < $2 THEN secret END AS sealed
FROM webhooks WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same values, sealed anew.
    SET_WEBHOOK_SECRETS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) "-- keys_sealed.set_webhook_secrets
UPDATE webhooks SET secret = $3[array_position($1, id)]
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM webhooks x WHERE x.id = g.id AND x.secret = g.old FOR NO KEY UPDATE SKIP LOCKED) locked))"

    /// The keys of licenses that are indexed under a version below $2.
    LOOKUPS (UUID, INT4, INT8) "-- keys_sealed.lookups
SELECT id, CASE WHEN lookup_version < $2 THEN key_sealed END AS sealed
FROM licenses WHERE id > $1 ORDER BY id LIMIT $3"

    /// The same licenses, indexed anew.
    SET_LOOKUPS (UUID_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, INT4) "-- keys_sealed.set_lookups
UPDATE licenses SET key_lookup = $3[array_position($1, id)], lookup_version = $4
WHERE id = ANY (ARRAY(
    SELECT locked.id FROM unnest($1, $2) AS g(id, old) CROSS JOIN LATERAL (
        SELECT x.id FROM licenses x WHERE x.id = g.id AND x.key_sealed = g.old AND x.lookup_version < $4
        FOR UPDATE SKIP LOCKED) locked))"
}

/// A column of sealed values, of a table whose rows are told apart by a UUID `id`.
pub(crate) struct SealedColumn {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    /// A window of rows: values of older versions.
    window: &'static Sql,
    /// Puts new values in the place of old ones.
    replace: &'static Sql,
}

/// Every sealed column. A test holds this against the schema.
pub(crate) static SEALED: [SealedColumn; 7] = [
    SealedColumn { table: "root_keys", column: "private_key", window: &ROOT_KEYS, replace: &SET_ROOT_KEYS },
    SealedColumn {
        table: "signing_keys",
        column: "private_key",
        window: &SIGNING_KEYS,
        replace: &SET_SIGNING_KEYS,
    },
    SealedColumn { table: "users", column: "totp_secret", window: &TOTP_SECRETS, replace: &SET_TOTP_SECRETS },
    SealedColumn { table: "idempotency_keys", column: "answer", window: &ANSWERS, replace: &SET_ANSWERS },
    SealedColumn {
        table: "webhooks",
        column: "secret",
        window: &WEBHOOK_SECRETS,
        replace: &SET_WEBHOOK_SECRETS,
    },
    SealedColumn {
        table: "licenses",
        column: "key_sealed",
        window: &LICENSE_KEYS,
        replace: &SET_LICENSE_KEYS,
    },
    SealedColumn { table: "installs", column: "secrets", window: &SECRETS, replace: &SET_SECRETS },
];

/// A walk's statements are quick only while the planner knows how large the tables are. Of a table that was counted while it
/// was restored it believes that it is empty, and reads all of it for every row.
const COUNT_ROWS: &str =
    "ANALYZE root_keys, signing_keys, users, idempotency_keys, webhooks, licenses, installs";

/// License keys are indexed anew from their sealed column.
static INDEXED: [SealedColumn; 1] =
    [SealedColumn { table: "licenses", column: "key_sealed", window: &LOOKUPS, replace: &SET_LOOKUPS }];

/// How far a walk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many walks were begun.
    pub walks: u32,
    /// How many rows were looked at, in all walks together.
    pub seen: u64,
    /// How many values were brought under the active key.
    pub renewed: u64,
    /// How many values of this walk can't be opened, and so stay as they are.
    pub closed: u64,
}

/// What became of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Nothing is left: what was replaced has retired.
    All,
    /// Something is left, because somebody was working on it, or may still come under the keys before: from this instant
    /// on it is worth beginning again.
    Later(i64),
}

impl Store {
    /// Brings everything under the active key of a rotation, and retires the keys before it when nothing is left under
    /// them. It may break off at any moment, and be begun again, by several at once.
    ///
    /// # Errors
    /// [`Error::Closed`] where values can't be opened; when the database isn't available.
    pub async fn bring_under(
        &self,
        rotation: Rotation,
        mut watch: impl FnMut(Progress),
    ) -> Result<Brought, Error> {
        let mut progress = Progress::default();
        self.client().await?.batch_execute(COUNT_ROWS).await.map_err(Error::from_connection)?;
        loop {
            let began = self.clock().unix_seconds();
            progress = Progress { walks: progress.walks + 1, closed: 0, ..progress };
            let (before, mut met, mut first_closed) = (progress.renewed, 0, None);
            for column in columns(rotation.to.purpose) {
                met += self.walk(column, rotation.to, &mut progress, &mut first_closed, &mut watch).await?;
            }
            if let Some(first) = first_closed.filter(|_| met == progress.closed) {
                return Err(Error::Closed { count: progress.closed, first });
            }
            if met == 0 && began >= rotation.settled_at {
                self.retire_before(&**self.client().await?, rotation.to).await?;
                return Ok(Brought::All);
            }
            if progress.renewed == before {
                let busy = began + 1;
                return Ok(Brought::Later(if met == 0 { rotation.settled_at } else { busy }));
            }
        }
    }

    /// How many values are under a key or one before it.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn count_left(&self, key: Context) -> Result<u64, Error> {
        let above = Context { version: key.version + 1, ..key };
        let client = self.client().await?;
        let mut left = 0;
        for column in columns(key.purpose) {
            let mut after = Uuid::nil();
            while let Some(window) = window(&**client, column, above, after).await? {
                after = window.last;
                left += window.values.len() as u64;
            }
        }
        Ok(left)
    }

    /// Walks over a column once. Returns how many values of older versions it met.
    async fn walk(
        &self,
        column: &SealedColumn,
        to: Context,
        progress: &mut Progress,
        first_closed: &mut Option<String>,
        watch: &mut impl FnMut(Progress),
    ) -> Result<u64, Error> {
        let (mut met, mut after) = (0, Uuid::nil());
        let client = self.client().await?;
        while let Some(window) = window(&**client, column, to, after).await? {
            after = window.last;
            progress.seen += window.seen;
            met += window.values.len() as u64;
            let (mut ids, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
            let keyring = self.sealing(&**client, window.values.len()).await?;
            for (id, value) in window.values {
                let place = Place { table: column.table, column: column.column, row: *id.as_bytes() };
                match self.renewed(&**client, &keyring, to.purpose, place, &value).await {
                    Ok(renewed) => {
                        ids.push(id);
                        old.push(value);
                        new.push(renewed);
                    }
                    Err(Error::Keyring(
                        cause @ (keyring::Error::AllowanceSpent | keyring::Error::Kms { .. }),
                    )) => {
                        return Err(cause.into());
                    }
                    Err(Error::Keyring(cause)) => {
                        progress.closed += 1;
                        let (table, column) = (column.table, column.column);
                        first_closed.get_or_insert_with(|| format!("{table}.{column} of {id}: {cause}"));
                    }
                    Err(error) => return Err(error),
                }
            }
            if !ids.is_empty() {
                let version = to.version.cast_signed();
                let mut params: Vec<&(dyn ToSql + Sync)> = vec![&ids, &old, &new];
                if to.purpose == Purpose::LookupKey {
                    params.push(&version);
                }
                progress.renewed += execute(&**client, column.replace, &params).await?;
            }
            watch(*progress);
        }
        Ok(met)
    }

    /// What takes a value's place: the value sealed under the active data key, or its index under the active lookup key.
    async fn renewed(
        &self,
        client: &impl GenericClient,
        keyring: &Keyring,
        purpose: Purpose,
        place: Place<'_>,
        value: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let opened = self.opening(client, |keyring| Ok(keyring.open(place, value)?)).await?;
        match purpose {
            Purpose::DataKey => Ok(keyring.seal(place, &opened, self.random())?),
            Purpose::LookupKey => {
                Ok(keyring.lookup(str::from_utf8(&opened).map_err(corrupt("key_sealed"))?).to_vec())
            }
        }
    }
}

fn columns(purpose: Purpose) -> &'static [SealedColumn] {
    match purpose {
        Purpose::DataKey => &SEALED,
        Purpose::LookupKey => &INDEXED,
    }
}

/// Some rows of a table, and their values of older versions.
pub(crate) struct Window {
    pub(crate) seen: u64,
    pub(crate) last: Uuid,
    pub(crate) values: Vec<(Uuid, Vec<u8>)>,
}

/// The rows after one; none: that was the last.
pub(crate) async fn window(
    client: &impl GenericClient,
    sealed: &SealedColumn,
    below: Context,
    after: Uuid,
) -> Result<Option<Window>, Error> {
    let (bytes, number) = (below.version.to_be_bytes(), below.version.cast_signed());
    let bytes = bytes.as_slice();
    let below: &(dyn ToSql + Sync) = match below.purpose {
        Purpose::DataKey => &bytes,
        Purpose::LookupKey => &number,
    };
    let found = rows(client, sealed.window, &[&after, below, &WINDOW]).await?;
    let Some(last) = found.last() else { return Ok(None) };
    let mut values = Vec::new();
    for row in &found {
        if let Some(sealed) = column::<Option<Vec<u8>>>(row, "sealed")? {
            values.push((column(row, "id")?, sealed));
        }
    }
    Ok(Some(Window { seen: found.len() as u64, last: column(last, "id")?, values }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDatabase;

    /// Columns of bytes that hold nothing that data keys seal, and what they hold.
    const NOT_SEALED: &[&str] = &[
        "wrapped_keys.wrapped",       // wrapped by the key-encryption key
        "signing_keys.public_key",    // public
        "root_keys.public_key",       // public
        "licenses.key_lookup",        // keyed hash
        "licenses.key_digest",        // hash of 140 random bits
        "installs.activation_nonce",  // hash
        "installs.instance_id",       // said by agents
        "installs.accepted_window",   // counters
        "installs.recent_nonces",     // nonces
        "heartbeats.instance_id",     // said by agents
        "activation_rates.subject",   // hash
        "offline_requests.nonce",     // nonces
        "sessions.token_hash",        // hash of 256 random bits
        "sign_in_failures.subject",   // hash
        "api_keys.key_hash",          // hash of 256 random bits
        "admin_audit.previous_hash",  // hash
        "admin_audit.hash",           // hash
        "admin_audit_head.hash",      // hash
        "idempotency_keys.key_hash",  // hash
        "idempotency_keys.body_hash", // keyed hash
    ];

    #[tokio::test]
    async fn every_column_of_bytes_is_sealed_and_walked_over_or_known_not_to_be() {
        let database = TestDatabase::new().await;
        let found = database
            .lines(
                "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                   AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped ORDER BY 1",
            )
            .await;
        let sealed = SEALED.iter().map(|column| format!("{}.{}", column.table, column.column));
        let mut known: Vec<_> = sealed.chain(NOT_SEALED.iter().map(|&name| name.to_owned())).collect();
        known.sort();
        assert_eq!(found, known);
        assert!(SEALED.iter().all(|column| COUNT_ROWS.contains(column.table)));
    }

    #[tokio::test]
    async fn a_value_that_was_changed_meanwhile_stays() {
        let database = TestDatabase::new().await;
        let license = database.license(1, "{}", 1).await;
        let store = database.store(1).await;
        let client = store.client().await.unwrap();
        for (column, purpose) in [(&SEALED[5], Purpose::DataKey), (&INDEXED[0], Purpose::LookupKey)] {
            let below = Context { purpose, version: 2 };
            let read = window(&**client, column, below, Uuid::nil()).await.unwrap().unwrap().values;
            assert_eq!(read.len(), 1);
            database.run("UPDATE licenses SET key_sealed = key_sealed || '\\x00'").await;
            let (ids, old, new) = ([read[0].0], [read[0].1.clone()], [vec![0_u8; 32]]);
            let (ids, old, new) = (&ids[..], &old[..], &new[..]);
            let mut params: Vec<&(dyn ToSql + Sync)> = vec![&ids, &old, &new];
            if purpose == Purpose::LookupKey {
                params.push(&2_i32);
            }
            assert_eq!(execute(&**client, column.replace, &params).await.unwrap(), 0);
        }
        let after = database
            .value(&format!("SELECT encode(key_sealed, 'hex') FROM licenses WHERE id = '{}'", license.id))
            .await;
        assert!(after.ends_with("0000"), "{after}");
    }
}
