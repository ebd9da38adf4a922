//! Root keys: they sign keysets, and their own successors.

use jose_jwt::{PublicKey, SigningKey, jws};
use keyring::Keyring;
use protocol::claims::RootClaims;
use protocol::keyset::sign_successor;
use serde_json::json;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::audit::Actor;
use crate::contact::corrupt;
use crate::keys::seed;
use crate::keys_signing::{open_private, private_place, public_key};
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, rows, statements};
use crate::{Database, Error, KeyTerms, Store, keys_change, keys_keyset};

statements! {
    /// A new root key.
    INSERT (TEXT, UUID, BYTEA, BYTEA, TIMESTAMPTZ) "-- keys_root.insert
INSERT INTO root_keys (kid, id, public_key, private_key, created_at) VALUES ($1, $2, $3, $4, $5)"

    /// Every root that there ever was, the one that signs last.
    ALL () "-- keys_root.all
SELECT id, public_key, private_key, created_at, successor, replaced_at FROM root_keys
ORDER BY replaced_at NULLS LAST"

    /// A root's successor, signed by it.
    SUCCESSOR (TEXT) "-- keys_root.successor
SELECT successor FROM root_keys WHERE kid = $1 AND successor IS NOT NULL"

    /// What follows a root, from when on; or the same said anew.
    REPLACE (TEXT, TEXT, TIMESTAMPTZ) "-- keys_root.replace
UPDATE root_keys SET successor = $2, replaced_at = coalesce(replaced_at, $3) WHERE kid = $1"

    /// The private halves leave.
    FORGET (TEXT_ARRAY) "-- keys_root.forget
UPDATE root_keys SET private_key = NULL WHERE kid = ANY($1) AND private_key IS NOT NULL RETURNING kid"
}

/// A root key, as far as it may be told.
#[derive(Debug, Clone)]
pub struct RootRow {
    /// What agents verify keysets with.
    pub public: PublicKey,
    /// When it was made.
    pub created_at: i64,
    /// Since when another signs.
    pub replaced_at: Option<i64>,
    /// Whether its private half is in the database.
    pub is_here: bool,
}

impl Database {
    /// The public half of the root key that signs now, if there are keys.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_root(&self) -> Result<Option<PublicKey>, Error> {
        let roots = rows(&**self.client().await?, &ALL, &[]).await?;
        roots.last().map(public_key).transpose()
    }
}

impl Store {
    /// What a root key was followed by: a compact JWS signed by it.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_root_successor(&self, kid: &str) -> Result<Option<String>, Error> {
        row(&**self.client().await?, &SUCCESSOR, &[&kid])
            .await?
            .map(|row| column(&row, "successor"))
            .transpose()
    }

    /// Every root that there ever was; the last one signs.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_roots(&self) -> Result<Vec<RootRow>, Error> {
        let root = |row: &Row| {
            Ok(RootRow {
                public: public_key(row)?,
                created_at: instant(row, "created_at")?,
                replaced_at: instant_or_null(row, "replaced_at")?,
                is_here: column::<Option<&[u8]>>(row, "private_key")?.is_some(),
            })
        };
        rows(&**self.client().await?, &ALL, &[]).await?.iter().map(root).collect()
    }

    /// Makes the next root, lets the one that signs now vouch for it, and signs a keyset under it.
    ///
    /// # Errors
    /// [`Error::RootAbsent`]; when the database isn't available. Then nothing has changed.
    pub async fn rotate_root(&self, terms: KeyTerms<'_>) -> Result<(), Error> {
        let mut client = self.client().await?;
        let tx = keys_change::begin(&mut client).await?;
        let now = self.clock().unix_seconds();
        let old = self.signing_root(&*tx, terms.roots).await?;
        let (id, new) = (self.new_id(), SigningKey::from_seed(&seed(self.random())));
        let successor =
            RootClaims { iss: terms.keysets.issuer.to_owned(), iat: now, root: new.public().clone().into() };
        replace(&*tx, &old, &successor, now).await?;
        let keyring = self.sealing(&*tx, keys_change::SEALS).await?;
        let sealed = keyring.seal(private_place("root_keys", id), &new.seed()[..], self.random())?;
        insert(&*tx, id, new.public(), &sealed, now).await?;
        keys_keyset::sign(&*tx, &new, terms.keysets, now).await?;
        if let Some(actor) = terms.actor {
            let signs = |key: &SigningKey| Some(json!({ "kid": key.kid() }).to_string());
            self.record(&*tx, actor, ("root_key.rotate", new.kid()), (signs(&old), signs(&new))).await?;
        }
        tx.commit().await.map_err(Error::from_connection)
    }

    /// The private halves of the roots that are in the database; the one that signs last.
    ///
    /// # Errors
    /// When the database isn't available, or one doesn't open.
    pub async fn load_roots(&self) -> Result<Vec<SigningKey>, Error> {
        let client = self.client().await?;
        let found = rows(&**client, &ALL, &[]).await?;
        let open = |keyring: &Keyring| {
            found.iter().filter_map(|row| private_half(keyring, row).transpose()).collect()
        };
        self.opening(&**client, open).await
    }

    /// Removes the private halves of these roots from the database. Returns how many were there.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_roots(&self, kids: &[&str], actor: &Actor) -> Result<u64, Error> {
        let mut client = self.client().await?;
        let tx = keys_change::begin(&mut client).await?;
        let forgotten = rows(&*tx, &FORGET, &[&kids]).await?;
        for kid in &forgotten {
            let kid = column(kid, "kid")?;
            let here = |is: bool| Some(json!({ "in_database": is }).to_string());
            self.record(&*tx, actor, ("root_key.export", kid), (here(true), here(false))).await?;
        }
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(forgotten.len() as u64)
    }

    /// The root that signs now: from the database, or from among `roots`. The caller holds the lock.
    pub(crate) async fn signing_root(
        &self,
        client: &impl GenericClient,
        roots: &[SigningKey],
    ) -> Result<SigningKey, Error> {
        let found = rows(client, &ALL, &[]).await?;
        let current = found.last().ok_or(Error::NoKeys)?;
        let kid = public_key(current)?.kid().to_owned();
        self.private_of(client, current, roots).await?.ok_or(Error::RootAbsent { kid })
    }

    /// Has every root that was replaced say so for this issuer, as far as its private half is to be had: agents take a
    /// successor from no other. The caller holds the lock.
    pub(crate) async fn renew_successors(
        &self,
        client: &impl GenericClient,
        terms: KeyTerms<'_>,
        now: i64,
    ) -> Result<(), Error> {
        for row in rows(client, &ALL, &[]).await? {
            let Some(said) = column::<Option<&str>>(&row, "successor")? else { continue };
            let claims = successor_claims(said, &public_key(&row)?)?;
            if claims.iss == terms.keysets.issuer {
                continue;
            }
            if let Some(root) = self.private_of(client, &row, terms.roots).await? {
                let claims = RootClaims { iss: terms.keysets.issuer.to_owned(), iat: now, ..claims };
                replace(client, &root, &claims, now).await?;
            }
        }
        Ok(())
    }

    /// A root's private half, from its row or from among `roots`.
    async fn private_of(
        &self,
        client: &impl GenericClient,
        row: &Row,
        roots: &[SigningKey],
    ) -> Result<Option<SigningKey>, Error> {
        let public = public_key(row)?;
        let given = || roots.iter().find(|root| *root.public() == public).cloned();
        Ok(self.opening(client, |keyring| private_half(keyring, row)).await?.or_else(given))
    }
}

fn private_half(keyring: &Keyring, row: &Row) -> Result<Option<SigningKey>, Error> {
    let Some(sealed) = column::<Option<&[u8]>>(row, "private_key")? else { return Ok(None) };
    open_private(keyring, private_place("root_keys", column(row, "id")?), sealed).map(Some)
}

fn successor_claims(text: &str, root: &PublicKey) -> Result<RootClaims, Error> {
    let compact = jws::Compact::parse(text).map_err(corrupt("successor"))?;
    let payload = compact.verify(root).map_err(corrupt("successor"))?;
    serde_json::from_slice(payload).map_err(corrupt("successor"))
}

async fn replace(
    client: &impl GenericClient,
    root: &SigningKey,
    successor: &RootClaims,
    now: i64,
) -> Result<(), Error> {
    let said = sign_successor(successor, root);
    execute(client, &REPLACE, &[&root.kid(), &said, &Timestamp(now)]).await?;
    Ok(())
}

/// Keeps a new root, the one that signs from now on.
pub(crate) async fn insert(
    client: &impl GenericClient,
    id: Uuid,
    public: &PublicKey,
    sealed: &[u8],
    created_at: i64,
) -> Result<(), Error> {
    let created_at = Timestamp(created_at);
    execute(client, &INSERT, &[&public.kid(), &id, &public.as_bytes().as_slice(), &sealed, &created_at])
        .await?;
    Ok(())
}
