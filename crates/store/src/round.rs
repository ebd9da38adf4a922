//! Rounds: every install is looked at in turn, whether it is silent. Nobody is judged for it, and of whoever beats as agreed
//! nothing is written.
//!
//! INVARIANT(round): whom silence would change within [`AHEAD`] is due by the time that it does, whoever has looked at it last:
//! a judgement (`restate.rs`), or a round. Whoever was silent for [`SILENT`] when a round that has ended came by is noted as
//! silent, until somebody sees or judges that it isn't.

use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, statements};
use crate::{Error, Store, restate};

/// A round takes so long, seconds.
const EVERY: i64 = 1_200;

/// Whom silence changes within so many seconds is judged by the clock. It is two rounds, for those that are late, and less than
/// what agents leave of an hour's tolerance.
pub(crate) const AHEAD: i64 = 2 * EVERY;

/// Who wasn't heard of for so long is noted as silent, seconds.
pub(crate) const SILENT: i64 = 1_800;

/// How many installs are looked at in one transaction.
const STRIDE: i64 = 2_000;

statements! {
    /// How far the round is, and whether it is time to go on at $1, were a round to take $2 seconds.
    ROUND (TIMESTAMPTZ, INT8) "-- round.round
SELECT round_at, round_after, round_looked, round_informed, informed, informed_since,
       round_looked <= extract(epoch FROM $1 - round_at) / $2
                       * (SELECT coalesce(sum(c.value::int8), 0) FROM json_each_text(installs) c) AS goes_on
FROM sweeps WHERE only_row AND round_at <= $1"

    /// When the newest keyset was signed.
    KEYSET () "-- round.keyset
SELECT issued_at FROM keysets ORDER BY version DESC LIMIT 1"

    /// Looks at the next $2 installs: notes those that were not heard of since $3, and has those judged in time whom silence
    /// changes before $4. Counts those that may call and have since $5. It waits for nobody: whoever is written by another
    /// one is heard of, or judged, right now.
    LOOK (UUID, INT8, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ) "-- round.look
WITH looked AS MATERIALIZED (
    SELECT s.install_id, s.status, s.silent_since AS noted, s.due_at, i.last_contact,
           CASE WHEN i.last_contact <= $3 THEN i.last_contact END AS silent_since,
           i.last_contact + s.silent_after * interval '1 second' AS changes_at
    FROM install_states s JOIN installs i ON i.id = s.install_id
    WHERE s.install_id > $1 AND i.id > $1 ORDER BY s.install_id LIMIT $2
), held AS MATERIALIZED (
    SELECT s.install_id, l.silent_since, CASE WHEN l.changes_at <= $4 THEN l.changes_at END AS changes_at
    FROM looked l JOIN install_states s ON s.install_id = l.install_id
    WHERE l.silent_since IS DISTINCT FROM l.noted OR l.changes_at <= $4 AND (l.due_at IS NULL OR l.due_at > l.changes_at)
    FOR UPDATE OF s SKIP LOCKED
), noted AS (
    UPDATE install_states s SET silent_since = h.silent_since, due_at = least(s.due_at, h.changes_at)
    FROM held h WHERE s.install_id = h.install_id
)
SELECT count(*) AS looked, (array_agg(install_id ORDER BY install_id DESC))[1] AS last,
       count(*) FILTER (WHERE status IN ('active', 'pending', 'suspended') AND last_contact >= $5) AS informed
FROM looked"

    /// Notes how far the round is.
    ADVANCE (TIMESTAMPTZ, UUID, INT8, INT8, INT8, TIMESTAMPTZ) "-- round.advance
UPDATE sweeps SET round_at = $1, round_after = $2, round_looked = $3, round_informed = $4, informed = $5, informed_since = $6
WHERE only_row"

    /// Notes that it has come to its end, and when the next one begins.
    END (TIMESTAMPTZ, TIMESTAMPTZ, INT8, TIMESTAMPTZ) "-- round.end
UPDATE sweeps SET rounded_at = $1, round_at = $2, round_after = '00000000-0000-0000-0000-000000000000', round_looked = 0,
       round_informed = 0, informed = $3, informed_since = $4
WHERE only_row"

    /// When the last round began that has ended.
    ENDED () "-- round.ended
SELECT rounded_at FROM sweeps WHERE only_row"
}

impl Store {
    /// Looks at some of those whose turn it is. Returns whether there may be more.
    pub(crate) async fn round_stride(&self, now: i64) -> Result<bool, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        if !restate::is_ours(&*tx).await? {
            return Ok(false);
        }
        let goes_on = stride(&*tx, now).await?;
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(goes_on)
    }

    /// Whether all that were last heard of at an instant, or before, are noted as silent.
    pub(crate) async fn notes_silence(&self, client: &impl GenericClient, since: i64) -> Result<bool, Error> {
        let ended = row(client, &ENDED, &[]).await?.map(|row| instant(&row, "rounded_at")).transpose()?;
        Ok(ended.is_some_and(|ended| since <= ended.saturating_sub(SILENT)))
    }
}

async fn stride(client: &impl GenericClient, now: i64) -> Result<bool, Error> {
    let at = Timestamp;
    let Some(round) = row(client, &ROUND, &[&at(now), &EVERY]).await? else { return Ok(false) };
    let keyset = row(client, &KEYSET, &[]).await?.map(|row| instant(&row, "issued_at")).transpose()?;
    let mut begun = instant(&round, "round_at")?;
    let (after, mut looked): (Uuid, i64) = (column(&round, "round_after")?, column(&round, "round_looked")?);
    if looked == 0 {
        // One that is late is over at once.
        begun = begun.max(now.saturating_sub(EVERY));
    } else if !column::<bool>(&round, "goes_on")? {
        return Ok(false);
    }
    let (mut informed, mut most): (i64, i64) =
        (column(&round, "round_informed")?, column(&round, "informed")?);
    if instant_or_null(&round, "informed_since")? != keyset {
        // Nobody was counted yet who knows this one.
        (informed, most) = (0, 0);
    }
    let (silent, ahead) = (at(now.saturating_sub(SILENT)), at(now.saturating_add(AHEAD)));
    let keyset = keyset.map(at);
    let Some(seen) = row(client, &LOOK, &[&after, &STRIDE, &silent, &ahead, &keyset]).await? else {
        return Ok(false);
    };
    let count: i64 = column(&seen, "looked")?;
    looked += count;
    informed += column::<i64>(&seen, "informed")?;
    most = most.max(informed);
    let Some(last) = column::<Option<Uuid>>(&seen, "last")?.filter(|_| count >= STRIDE) else {
        let next = begun.saturating_add(EVERY).max(now);
        execute(client, &END, &[&at(begun), &at(next), &most, &keyset]).await?;
        return Ok(false);
    };
    execute(client, &ADVANCE, &[&at(begun), &last, &looked, &informed, &most, &keyset]).await?;
    Ok(true)
}
