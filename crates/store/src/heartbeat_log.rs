//! The audit log of contacts as operators read it: a page at a time, the newest first.

use protocol::{InstallId, LicenseId, ProfileId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::contact::corrupt;
use crate::sql::{Timestamp, column, instant, rows, statements};
use crate::{Error, Store};

statements! {
    /// Rows before one, the newest first. Planned for the parameters that it comes with: an install's, a license's, those
    /// of a state that few are in, those of a rule and of an outcome that few have are found by an index of their own,
    /// the others by their time.
    LIST (TIMESTAMPTZ, UUID, INT8, UUID, UUID, TEXT, INT2, TEXT, TIMESTAMPTZ, TIMESTAMPTZ) "-- heartbeat_log.list
SELECT id, at, install_id, license_id, operation, outcome, counter, state, rule, reason, profile_id, profile_number,
       clock_skew, agent_version
FROM heartbeats
WHERE ($1::timestamptz IS NULL OR (at, id) < ($1, $2)) AND ($4::uuid IS NULL OR install_id = $4)
  AND ($5::uuid IS NULL OR license_id = $5) AND ($6::text IS NULL OR state = $6)
  AND ($7::int2 IS NULL OR rule = $7) AND ($8::text IS NULL OR outcome = $8)
  AND ($9::timestamptz IS NULL OR at >= $9) AND ($10::timestamptz IS NULL OR at < $10)
ORDER BY at DESC, id DESC LIMIT $3"
}

/// A contact that was judged.
#[derive(Debug, Clone)]
pub struct HeartbeatRow {
    /// Its id.
    pub id: Uuid,
    /// When it was judged.
    pub at: i64,
    /// Of which install.
    pub install_id: InstallId,
    /// Of which license.
    pub license_id: LicenseId,
    /// `heartbeat`, `activate`, …
    pub operation: String,
    /// `accepted`, `clone` or `refused`.
    pub outcome: String,
    /// The request's counter.
    pub counter: i64,
    /// The state that was given.
    pub state: policy::State,
    /// The rule that gave it.
    pub rule: policy::Rule,
    /// Why.
    pub reason: policy::Reason,
    /// The profile that judged.
    pub profile_id: ProfileId,
    /// Its version.
    pub profile_number: i32,
    /// The agent's clock minus the server's, seconds.
    pub clock_skew: Option<i64>,
    /// The agent's version.
    pub agent_version: String,
}

/// Which rows are listed: those with all that is named here.
#[derive(Debug, Clone, Default)]
pub struct HeartbeatFilter {
    /// Of which install.
    pub install_id: Option<InstallId>,
    /// Of which license.
    pub license_id: Option<LicenseId>,
    /// The state that was given.
    pub state: Option<policy::State>,
    /// The rule that gave it.
    pub rule: Option<policy::Rule>,
    /// `accepted`, `clone` or `refused`.
    pub outcome: Option<&'static str>,
    /// From this instant on.
    pub from: Option<i64>,
    /// Before this one.
    pub to: Option<i64>,
}

/// The state that a rule gives (`docs/policy.md`).
fn state_of(rule: policy::Rule) -> policy::State {
    use policy::State;
    match rule.number() {
        1 | 2 => State::Revoked,
        3 | 4 => State::Suspended,
        5 => State::Quarantined,
        6 | 7 => State::Pending,
        8 | 9 => State::Locked,
        10 => State::Degraded,
        11 => State::Grace,
        12 => State::Leased,
        13 => State::Warned,
        _ => State::Authorized,
    }
}

impl Store {
    /// At most `limit` rows before the one at `before`, the newest first.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn list_heartbeats(
        &self,
        filter: &HeartbeatFilter,
        before: Option<(i64, Uuid)>,
        limit: i64,
    ) -> Result<Vec<HeartbeatRow>, Error> {
        // A rule gives one state, so one of both says it all, and one index finds it.
        let state = match (filter.state, filter.rule) {
            (Some(state), Some(rule)) if state != state_of(rule) => return Ok(Vec::new()),
            (_, Some(_)) => None,
            (state, None) => state,
        };
        let rule = filter.rule.map(|rule| i16::from(rule.number()));
        let client = self.client().await?;
        let found = rows(
            &**client,
            &LIST,
            &[
                &before.map(|(at, _)| Timestamp(at)),
                &before.map_or(Uuid::nil(), |(_, id)| id),
                &limit,
                &filter.install_id.map(|id| *id.as_uuid()),
                &filter.license_id.map(|id| *id.as_uuid()),
                &state.map(policy::State::as_str),
                &rule,
                &filter.outcome,
                &filter.from.map(Timestamp),
                &filter.to.map(Timestamp),
            ],
        )
        .await?;
        found.iter().map(heartbeat).collect()
    }
}

fn heartbeat(row: &Row) -> Result<HeartbeatRow, Error> {
    Ok(HeartbeatRow {
        id: column(row, "id")?,
        at: instant(row, "at")?,
        install_id: InstallId::from_uuid(column(row, "install_id")?),
        license_id: LicenseId::from_uuid(column(row, "license_id")?),
        operation: column(row, "operation")?,
        outcome: column(row, "outcome")?,
        counter: column(row, "counter")?,
        state: column::<&str>(row, "state")?.parse().map_err(corrupt("state"))?,
        rule: rule(row)?,
        reason: column::<&str>(row, "reason")?.parse().map_err(corrupt("reason"))?,
        profile_id: ProfileId::from_uuid(column(row, "profile_id")?),
        profile_number: column(row, "profile_number")?,
        clock_skew: column(row, "clock_skew")?,
        agent_version: column(row, "agent_version")?,
    })
}

/// A column with the number of a rule.
pub(crate) fn rule(row: &Row) -> Result<policy::Rule, Error> {
    let number: i16 = column(row, "rule")?;
    let rule = u8::try_from(number).ok().and_then(policy::Rule::new);
    rule.ok_or_else(|| corrupt("rule")("a rule is 1 to 14"))
}

#[cfg(test)]
mod tests {
    use policy::{Facts, Knobs, Rule, State, evaluate};

    use super::state_of;

    #[test]
    fn a_rule_gives_the_state_that_its_rows_have() {
        let profile = Knobs::default().judging;
        let judged = |facts: Facts| {
            let decision = evaluate(&facts, &profile, 1_000);
            assert_eq!(state_of(decision.rule), decision.state);
        };
        judged(Facts { license_revoked: true, ..Facts::default() });
        judged(Facts { license_suspended: true, ..Facts::default() });
        judged(Facts { awaiting_approval: true, ..Facts::default() });
        judged(Facts { license_start: 2_000, ..Facts::default() });
        judged(Facts { license_end: Some(0), last_contact: 1_000, ..Facts::default() });
        judged(Facts { clock_skew: Some(9_999), last_contact: 1_000, ..Facts::default() });
        judged(Facts { last_contact: 1_000, ..Facts::default() });
        assert_eq!(Rule::new(9).map(state_of), Some(State::Locked));
    }
}
