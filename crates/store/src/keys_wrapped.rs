//! The life of data keys and lookup keys: active → replaced (still needed) → retired (nothing is left under it) →
//! destroyed.
//!
//! INVARIANT(replaced): nothing is sealed or indexed under a key that was replaced more than [`OVERLAP`] seconds ago: who
//! does that has read within half of that time which key is active (`keys_open.rs`). So what is left can be counted.

use keyring::signing::OVERLAP;
use keyring::{Context, Purpose};
use serde_json::json;
use tokio_postgres::{GenericClient, Row};

use crate::audit::Actor;
use crate::keys::{insert_wrapped, seed};
use crate::keys_open::context;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, rows, statements};
use crate::{Error, Store, keys_change};

statements! {
    /// Every data key and lookup key that there ever was, but for the keys themselves.
    ALL () "-- keys_wrapped.all
SELECT purpose, version, wrapped_by, seals_reserved, created_at, replaced_at, retired_at, destroyed_at
FROM wrapped_keys ORDER BY purpose, version"

    /// The active key makes place for the next.
    REPLACE (TEXT, TIMESTAMPTZ) "-- keys_wrapped.replace
UPDATE wrapped_keys SET replaced_at = $2 WHERE purpose = $1 AND replaced_at IS NULL"

    /// Nothing is left under what was replaced before a version.
    RETIRE (TEXT, INT4, TIMESTAMPTZ) "-- keys_wrapped.retire
UPDATE wrapped_keys SET retired_at = $3
WHERE purpose = $1 AND version < $2 AND replaced_at IS NOT NULL AND retired_at IS NULL"

    /// The wrapped key is gone for good.
    DESTROY (TEXT, INT4, TIMESTAMPTZ) "-- keys_wrapped.destroy
UPDATE wrapped_keys SET wrapped = '', destroyed_at = $3
WHERE purpose = $1 AND version = $2 AND retired_at IS NOT NULL AND destroyed_at IS NULL"
}

/// What a data key or a lookup key is about.
#[derive(Debug, Clone)]
pub struct WrappedKeyRow {
    /// What it is for, and its version.
    pub context: Context,
    /// Names the key-encryption key.
    pub wrapped_by: String,
    /// How many values processes have reserved to seal under it, of 2^31.
    pub seals_reserved: i64,
    /// When it was made.
    pub created_at: i64,
    /// Since when another is active.
    pub replaced_at: Option<i64>,
    /// Since when nothing is left under it.
    pub retired_at: Option<i64>,
    /// Since when it is no more.
    pub destroyed_at: Option<i64>,
}

/// A rotation under way: everything is brought under the active key.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// The key that is active.
    pub to: Context,
    /// From when on nothing comes under the keys before it any more.
    pub settled_at: i64,
    /// Whether it began just now; else it goes on.
    pub is_new: bool,
}

impl WrappedKeyRow {
    /// Whether another is active, and something may be left under this one.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.replaced_at.is_some() && self.retired_at.is_none()
    }
}

impl Store {
    /// Every data key and lookup key that there ever was.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_wrapped_keys(&self) -> Result<Vec<WrappedKeyRow>, Error> {
        list(&**self.client().await?).await
    }

    /// Makes the next key of a purpose, active at once; or goes on with a rotation that has begun and isn't over.
    /// [`bring_under`](Self::bring_under) does the rest.
    ///
    /// # Errors
    /// When the database or the key-encryption key isn't available.
    pub async fn begin_rotation(&self, purpose: Purpose, actor: &Actor) -> Result<Rotation, Error> {
        let mut client = self.client().await?;
        let tx = keys_change::begin(&mut client).await?;
        let now = self.clock().unix_seconds();
        let keys = list(&*tx).await?;
        let of = || keys.iter().filter(|key| key.context.purpose == purpose);
        let newest = of().next_back().ok_or(Error::NoKeys)?;
        if let Some(since) = of().filter(|key| key.is_leaving()).filter_map(|key| key.replaced_at).max() {
            return Ok(Rotation { to: newest.context, settled_at: since + OVERLAP, is_new: false });
        }
        let to = Context { purpose, version: newest.context.version + 1 };
        let wrapped = self.provider.wrap(&to, &seed(self.random())).await?;
        execute(&*tx, &REPLACE, &[&purpose.as_str(), &Timestamp(now)]).await?;
        insert_wrapped(&*tx, to, &wrapped, now).await?;
        let active = |key: Context| Some(json!({ "active": key.version }).to_string());
        let states = (active(newest.context), active(to));
        self.record(&*tx, actor, ("wrapped_key.rotate", &to.to_string()), states).await?;
        tx.commit().await.map_err(Error::from_connection)?;
        self.refresh_keys(&**client, None).await?;
        Ok(Rotation { to, settled_at: now + OVERLAP, is_new: true })
    }

    /// Retires what was replaced before a key. The caller has seen that nothing is left under it.
    pub(crate) async fn retire_before(&self, client: &impl GenericClient, to: Context) -> Result<(), Error> {
        let now = Timestamp(self.clock().unix_seconds());
        execute(client, &RETIRE, &[&to.purpose.as_str(), &to.version.cast_signed(), &now]).await?;
        Ok(())
    }

    /// Destroys a retired key: what was sealed under it, and turns up again, opens no more.
    ///
    /// # Errors
    /// [`Error::KeyUnknown`], [`Error::KeyNeeded`] where it hasn't retired or something is left under it; when the
    /// database isn't available. Then it is as it was.
    pub async fn destroy_wrapped_key(&self, key: Context, actor: &Actor) -> Result<(), Error> {
        let keys = self.list_wrapped_keys().await?;
        let found = keys.iter().find(|row| row.context == key).ok_or(Error::KeyUnknown(key))?;
        if found.destroyed_at.is_some() {
            return Ok(());
        }
        let left = match found.retired_at {
            None => None,
            Some(_) => Some(self.count_left(key).await?),
        };
        if left != Some(0) {
            return Err(Error::KeyNeeded { key, left });
        }
        let now = Timestamp(self.clock().unix_seconds());
        let mut client = self.client().await?;
        let tx = keys_change::begin(&mut client).await?;
        execute(&*tx, &DESTROY, &[&key.purpose.as_str(), &key.version.cast_signed(), &now]).await?;
        let is = |status: &str| Some(json!({ "status": status }).to_string());
        let states = (is("retired"), is("destroyed"));
        self.record(&*tx, actor, ("wrapped_key.destroy", &key.to_string()), states).await?;
        tx.commit().await.map_err(Error::from_connection)?;
        self.refresh_keys(&**client, None).await
    }
}

async fn list(client: &impl GenericClient) -> Result<Vec<WrappedKeyRow>, Error> {
    let key = |row: &Row| {
        Ok(WrappedKeyRow {
            context: context(row)?,
            wrapped_by: column(row, "wrapped_by")?,
            seals_reserved: column(row, "seals_reserved")?,
            created_at: instant(row, "created_at")?,
            replaced_at: instant_or_null(row, "replaced_at")?,
            retired_at: instant_or_null(row, "retired_at")?,
            destroyed_at: instant_or_null(row, "destroyed_at")?,
        })
    };
    rows(client, &ALL, &[]).await?.iter().map(key).collect()
}
