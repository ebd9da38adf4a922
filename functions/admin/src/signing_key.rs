//! Signing keys, the keyset that publishes them, and the roots that sign it.

use jose_jwt::base64url;
use keyring::signing::{KeyRecord, KeyUse, Stage, StepError};
use protocol::admin::{Informed, Keyset, Root, SigningKey, Time};
use serde::Serialize;
use store::{KeyTerms, PublishedKeyset, RootRow, Store};

use crate::error::Error;

/// Everything that signs and verifies.
#[derive(Debug, Serialize)]
pub struct Keys {
    /// The newest keyset.
    pub keyset: Keyset,
    /// The roots, the one that signs last.
    pub roots: Vec<Root>,
    /// The signing keys, the oldest first.
    pub signing_keys: Vec<SigningKey>,
    /// What has to be seen to, for people.
    pub warnings: Vec<String>,
}

/// How many successors of the root that it was shipped with an agent follows.
const FOLLOWED: usize = 16;

/// Everything that signs and verifies.
///
/// # Errors
/// When the database isn't available.
pub async fn list(store: &Store, terms: KeyTerms<'_>) -> Result<Keys, Error> {
    let now = store.clock().unix_seconds();
    let keyset = store.load_keyset().await?;
    let records = store.list_signing_keys().await?;
    let roots = store.list_roots().await?;
    let key = |record: &KeyRecord| key_shown(record, terms, now);
    Ok(Keys {
        warnings: warnings(&keyset, &records, &roots, terms, now),
        signing_keys: records.iter().map(key).collect(),
        roots: roots.iter().map(root_shown).collect(),
        keyset: Keyset {
            version: keyset.version,
            issuer: keyset.issuer,
            issued_at: Time(keyset.issued_at),
            expires_at: Time(keyset.expires_at),
        },
    })
}

/// How much of the fleet knows of the newest keyset: whoever was given a token since it was signed has its version.
///
/// # Errors
/// When the database isn't available.
pub async fn informed(store: &Store, keyset: &Keyset) -> Result<Informed, Error> {
    let (installs, informed) = store.count_informed(keyset.issued_at.0).await?;
    Ok(Informed { installs, informed })
}

/// Makes the prepared key of each use sign, and publishes the next one.
///
/// # Errors
/// When a prepared key wasn't published for long enough, or no root key is there to sign the keyset.
pub async fn rotate(store: &Store, uses: &[KeyUse], terms: KeyTerms<'_>) -> Result<Keys, Error> {
    store.rotate_signing_keys(uses, terms).await?;
    list(store, terms).await
}

/// Trusts a key no more, from now on. Done twice is done.
///
/// # Errors
/// When there is no such key, it has retired, or no root key is there to sign the keyset.
pub async fn taint(store: &Store, kid: &str, terms: KeyTerms<'_>) -> Result<Keys, Error> {
    // What isn't a thumbprint is no key's name; the database can't even be asked for all that a path may hold.
    if base64url::decode_array::<32>(kid).is_err() {
        return Err(Error::not_found("signing key", &kid));
    }
    store.taint_signing_key(kid, terms).await?;
    list(store, terms).await
}

/// Signs a new keyset.
///
/// # Errors
/// When no root key is there to sign it.
pub async fn sign_keyset(store: &Store, terms: KeyTerms<'_>) -> Result<Keys, Error> {
    store.sign_keyset(terms).await?;
    list(store, terms).await
}

/// Makes the next root key, which the one before vouches for.
///
/// # Errors
/// When the one before isn't there to do that.
pub async fn rotate_root(store: &Store, terms: KeyTerms<'_>) -> Result<Keys, Error> {
    store.rotate_root(terms).await?;
    list(store, terms).await
}

fn warnings(
    keyset: &PublishedKeyset,
    records: &[KeyRecord],
    roots: &[RootRow],
    terms: KeyTerms<'_>,
    now: i64,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if now >= keyset.expires_at {
        warnings.push("the keyset has expired: agents believe nothing new".to_owned());
    }
    if !keyset.has_root && keyset.is_due(&keyset.issuer, now) {
        let end = Time(keyset.expires_at);
        warnings.push(format!(
            "the keyset ends at {end}, and the root key isn't in the database to sign the next one: \
             qubictether keys sign-keyset --root-key FILE"
        ));
    } else if !keyset.has_root && terms.is_due(records, keyset, now) {
        warnings.push(
            "a signing key is old enough for the next one, and the root key isn't in the database to sign the \
             keyset that says so: qubictether keys rotate --root-key FILE"
                .to_owned(),
        );
    }
    if roots.len() > FOLLOWED + 1 {
        warnings.push(format!(
            "agents that were shipped with a root key before the last {} don't find the newest one",
            FOLLOWED + 1
        ));
    }
    warnings
}

fn key_shown(record: &KeyRecord, terms: KeyTerms<'_>, now: i64) -> SigningKey {
    let stage = record.stage(now);
    let ready_at = record.publish_at.saturating_add(terms.pace.lead);
    SigningKey {
        kid: record.kid().to_owned(),
        key_use: record.key_use.as_str().to_owned(),
        status: stage.as_str().to_owned(),
        publish_at: Time(record.publish_at),
        ready_at: (stage == Stage::Prepared).then_some(Time(ready_at)),
        sign_from: record.sign_from.map(Time),
        sign_until: record.sign_until.map(Time),
        verify_until: record.verify_until.map(Time),
        tainted_at: record.tainted_at.map(Time),
    }
}

fn root_shown(root: &RootRow) -> Root {
    Root {
        kid: root.public.kid().to_owned(),
        public_key: root.public.to_string(),
        status: if root.replaced_at.is_none() { "active" } else { "replaced" }.to_owned(),
        in_database: root.is_here,
        created_at: Time(root.created_at),
        replaced_at: root.replaced_at.map(Time),
    }
}

/// A step that isn't taken, in the operator's words.
pub(crate) fn refused(error: StepError) -> Error {
    match error {
        StepError::TooEarly { key_use, kid, from } => Error::Conflict(format!(
            "the prepared {} key {kid} isn't published for long enough: it may sign from {} on, by itself or when asked \
             again; if the active key is not to be trusted until then, taint that",
            key_use.as_str(),
            Time(from)
        )),
        StepError::Unknown(kid) => Error::NotFound { what: "signing key", id: kid },
        error @ (StepError::Retired(_) | StepError::Missing { .. }) => Error::Conflict(error.to_string()),
    }
}
