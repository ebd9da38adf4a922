//! Licenses whose term is over: each end is told of once.

use protocol::admin::License;

use crate::event::{self, Event};
use crate::license::license;
use crate::sql::{Timestamp, rows, statements};
use crate::{Error, Store};

/// How many are told of in one transaction.
const STRIDE: i64 = 500;

/// After so many of them the rest is left to the next sweep: somebody may wait for this one.
const STRIDES: usize = 20;

statements! {
    /// Licenses whose end was not told of, and that nobody works on. That changes nothing of theirs that anybody sees.
    END (TIMESTAMPTZ, INT8) "-- license_end.tell
WITH ended AS MATERIALIZED (
    SELECT id FROM licenses
    WHERE expires_at <= $1 AND expires_at IS NOT NULL AND revoked_at IS NULL AND end_told IS DISTINCT FROM expires_at
    ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE licenses l SET end_told = l.expires_at FROM ended WHERE l.id = ended.id
RETURNING l.id, l.product, l.customer, l.profile_id, l.max_installs, l.starts_at, l.expires_at,
          l.entitlements::text AS entitlements, l.lease_max_seconds, l.metadata::text AS metadata, l.suspended_at,
          l.revoked_at, l.version, l.created_at, l.updated_at"
}

impl Store {
    /// Tells of licenses whose term is over at `now`, the longest over first.
    ///
    /// # Errors
    /// When the database isn't available; what was told of until then stays so.
    pub(crate) async fn tell_ends(&self, now: i64) -> Result<(), Error> {
        let mut client = self.client().await?;
        for _ in 0..STRIDES {
            let tx = client.transaction().await.map_err(Error::from_connection)?;
            let found = rows(&*tx, &END, &[&Timestamp(now), &STRIDE]).await?;
            let ended = |row| Event::license_ended(&License::from(license(row)?), now);
            let events = found.iter().map(ended).collect::<Result<Vec<_>, _>>()?;
            event::tell(self, &*tx, &events).await?;
            tx.commit().await.map_err(Error::from_connection)?;
            if i64::try_from(events.len()).unwrap_or(STRIDE) < STRIDE {
                break;
            }
        }
        Ok(())
    }
}
