//! How often an address or a license key may activate: one rate over all processes.

use protocol::rate::Quota;

use crate::sql::{execute, rows, statements};
use crate::{Error, Store};

statements! {
    /// Takes a place for every subject that has one left and returns those. It is the generic cell rate algorithm in
    /// milliseconds: $2 is now, `every` what a place costs, `ahead` how far before now an arrival may lie.
    TAKE (BYTEA_ARRAY, INT8, INT8_ARRAY, INT8_ARRAY) "-- rates.take
INSERT INTO activation_rates AS r (subject, arrival)
SELECT g.subject, $2 + g.every FROM unnest($1, $3, $4) AS g(subject, every, ahead) ORDER BY g.subject
ON CONFLICT (subject) DO UPDATE SET arrival = greatest(r.arrival, $2) + (excluded.arrival - $2)
WHERE greatest(r.arrival, $2) + (excluded.arrival - $2)
      <= $2 + (SELECT g.ahead FROM unnest($1, $4) AS g(subject, ahead) WHERE g.subject = r.subject)
RETURNING subject"

    /// Forgets whoever could activate at once anyway.
    FORGET (INT8) "-- rates.forget
DELETE FROM activation_rates WHERE arrival < $1"
}

impl Store {
    /// Takes a place for each of `subjects` (hashes of an address, of a key) and returns whether every one had one
    /// left. One that had none keeps what it had.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn take_activation_places(&self, subjects: &[([u8; 32], Quota)]) -> Result<bool, Error> {
        let digests: Vec<&[u8]> = subjects.iter().map(|(digest, _)| digest.as_slice()).collect();
        let every: Vec<i64> = subjects.iter().map(|(_, quota)| quota.every_ms).collect();
        let ahead: Vec<i64> = subjects.iter().map(|(_, quota)| quota.every_ms * quota.burst).collect();
        let now = self.clock().unix_millis();
        let taken = rows(&**self.client().await?, &TAKE, &[&digests, &now, &every, &ahead]).await?;
        Ok(taken.len() == subjects.len())
    }

    /// Forgets rates that bound nobody any more. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_activation_rates(&self) -> Result<u64, Error> {
        execute(&**self.client().await?, &FORGET, &[&self.clock().unix_millis()]).await
    }
}
