//! A database that was restored from a backup has forgotten which proofs it accepted since.

use crate::sql::{Timestamp, execute, statements};
use crate::{Database, Error};

statements! {
    /// The restore is over. Two in one second are one.
    INSERT (TIMESTAMPTZ) "-- restore.insert
INSERT INTO restores (restored_at) VALUES ($1) ON CONFLICT DO NOTHING"
}

impl Database {
    /// Notes that the database was restored from a backup by `now`: contacts are judged only by proofs of later buckets.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn note_restore(&self, now: i64) -> Result<(), Error> {
        execute(&**self.client().await?, &INSERT, &[&Timestamp(now)]).await?;
        Ok(())
    }
}
