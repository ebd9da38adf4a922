//! Moving the wrapped keys from one key-encryption key to another.

use std::collections::BTreeSet;

use keyring::{Context, KeyEncryption, KmsFault, Purpose, Wrapped};
use serde_json::json;

use crate::audit::{Changed, Recording};
use crate::contact::corrupt;
use crate::keys::LOCK;
use crate::sql::{column, execute, rows, statements};
use crate::{Database, Error};

statements! {
    /// Every wrapped key that there still is, and what wrapped it.
    WRAPPED_BY () "-- keys.wrapped_by
SELECT purpose, version, wrapped, wrapped_by FROM wrapped_keys WHERE destroyed_at IS NULL ORDER BY purpose, version"

    /// The same key, wrapped by another.
    REWRAP (TEXT, INT4, BYTEA, TEXT) "-- keys.rewrap
UPDATE wrapped_keys SET wrapped = $3, wrapped_by = $4 WHERE purpose = $1 AND version = $2"
}

/// What moving the wrapped keys came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many keys were wrapped anew.
    pub moved: usize,
    /// How many were wrapped by that key already.
    pub already: usize,
    /// Names what wraps them now.
    pub by: String,
}

impl Database {
    /// Wraps every key anew: by `to`, what `from` unwraps. In one transaction, and only after each has been unwrapped
    /// by `to` again. What `to` unwraps already stays as it is, so that this can be done any number of times. Processes
    /// that run have their keys unwrapped, and go on.
    ///
    /// # Errors
    /// [`Error::NoKeys`]; when a key is unwrapped by neither, or one of them or the database isn't available. Nothing
    /// has changed then.
    pub async fn rewrap_keys(
        &self,
        from: &dyn KeyEncryption,
        to: &dyn KeyEncryption,
        recorded: &Recording<'_>,
    ) -> Result<Rewrapped, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        tx.batch_execute(LOCK).await.map_err(Error::from_connection)?;
        let (mut moved, mut already, mut by, mut were) = (Vec::new(), 0, None, BTreeSet::new());
        for row in rows(&*tx, &WRAPPED_BY, &[]).await? {
            let purpose: Purpose = column::<&str>(&row, "purpose")?.parse().map_err(corrupt("purpose"))?;
            let version: i32 = column(&row, "version")?;
            let context = Context { purpose, version: version.unsigned_abs() };
            let wrapped_by: String = column(&row, "wrapped_by")?;
            if let Some(wrapped) = rewrap(&context, column(&row, "wrapped")?, from, to).await? {
                by = Some(wrapped.by.clone());
                were.insert(wrapped_by);
                moved.push((purpose, version, wrapped));
            } else {
                already += 1;
                by = Some(wrapped_by);
            }
        }
        let by = by.ok_or(Error::NoKeys)?;
        // Written at the end: whoever reserves seals has to wait for the rows from here on, and not for KMS.
        for (purpose, version, wrapped) in &moved {
            execute(&*tx, &REWRAP, &[&purpose.as_str(), version, &wrapped.bytes, &wrapped.by]).await?;
        }
        if !moved.is_empty() {
            let wrapped = |by: serde_json::Value| Some(json!({ "wrapped_by": by }).to_string());
            let (before, after) = (wrapped(json!(were)), wrapped(json!([by])));
            let (action, resource, id) = ("wrapped_key.rewrap", "wrapped_key", "all".to_owned());
            recorded.write(&*tx, &Changed { action, resource, id, before, after }).await?;
        }
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(Rewrapped { moved: moved.len(), already, by })
    }
}

/// A key wrapped by `to`; nothing if it is already.
async fn rewrap(
    context: &Context,
    wrapped: &[u8],
    from: &dyn KeyEncryption,
    to: &dyn KeyEncryption,
) -> Result<Option<Wrapped>, Error> {
    match to.unwrap(context, wrapped).await {
        Ok(_) => return Ok(None),
        Err(keyring::Error::Unwrap { .. } | keyring::Error::Kms { fault: KmsFault::OtherKey, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let key = from.unwrap(context, wrapped).await?;
    let rewrapped = to.wrap(context, &key).await?;
    if *to.unwrap(context, &rewrapped.bytes).await? != *key {
        return Err(keyring::Error::Unwrap { provider: to.id().to_owned(), context: *context }.into());
    }
    Ok(Some(rewrapped))
}
