//! A database that was restored from a backup has forgotten which proofs it accepted since.

use protocol::admin::Time;
use serde_json::json;

use crate::audit::{Changed, Recording};
use crate::sql::{Timestamp, column, execute, row, statements};
use crate::{Database, Error};

statements! {
    /// The restore is over. Two in one second are one.
    INSERT (TIMESTAMPTZ) "-- restore.insert
INSERT INTO restores (restored_at) VALUES ($1) ON CONFLICT DO NOTHING"

    /// Whether this is a database of this server's at all.
    HAS_KEYS_TABLE () "-- restore.has_keys_table
SELECT to_regclass('wrapped_keys') IS NOT NULL AS is_there"
}

impl Database {
    /// Notes that the database was restored from a backup by the instant of the recording: contacts are judged only by
    /// proofs of later buckets.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn note_restore(&self, by: &Recording<'_>) -> Result<(), Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        if execute(&*tx, &INSERT, &[&Timestamp(by.at)]).await? > 0 {
            let at = Time(by.at).to_string();
            let after = Some(json!({ "restored_at": at }).to_string());
            let (action, resource) = ("backup.restored", "backup");
            by.write(&*tx, &Changed { action, resource, id: at, before: None, after }).await?;
        }
        tx.commit().await.map_err(Error::from_connection)
    }

    /// Whether the tables of this server's are in it, of whatever schema's version.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn has_keys_table(&self) -> Result<bool, Error> {
        row(&**self.client().await?, &HAS_KEYS_TABLE, &[])
            .await?
            .map_or(Ok(false), |row| column(&row, "is_there"))
    }
}
