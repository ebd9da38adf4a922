//! The steps by which keys are moved on.

use super::{KeyRecord, KeyUse, LONGEST_TOKEN, OVERLAP, READ_WITHIN, Stage};

/// When keys are moved on, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For how long a key is published before it signs, at least; an emergency aside.
    pub lead: i64,
    /// How old a key that signs gets before its successor does.
    pub rotate_after: i64,
}

/// What changes. All of it does, in this order, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The records that have other instants from now on. A key leaves its place before the next one takes it.
    pub changed: Vec<KeyRecord>,
    /// The uses for which a new key is made and published: prepared.
    pub prepare: Vec<KeyUse>,
}

/// Why a step isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The prepared key wasn't published for long enough.
    #[error("the prepared {} key {kid} has to be published for longer before it signs", key_use.as_str())]
    TooEarly {
        /// Of which use.
        key_use: KeyUse,
        /// The prepared key.
        kid: String,
        /// From when on it may sign, Unix seconds.
        from: i64,
    },
    /// Of a use, there is no key at this stage, which there always should be.
    #[error("there is no {} {} key", stage.as_str(), key_use.as_str())]
    Missing {
        /// Of which use.
        key_use: KeyUse,
        /// At which stage.
        stage: Stage,
    },
    /// There is no such key.
    #[error("there is no signing key {0}")]
    Unknown(String),
    /// The key does nothing any more that tainting it could end.
    #[error("signing key {0} has retired: nothing that it signed is valid any more")]
    Retired(String),
}

/// The key of a use at a stage of which there is one at most.
fn at(records: &[KeyRecord], key_use: KeyUse, stage: Stage, now: i64) -> Result<&KeyRecord, StepError> {
    let found = records.iter().find(|record| record.key_use == key_use && record.stage(now) == stage);
    found.ok_or(StepError::Missing { key_use, stage })
}

/// From when on the prepared key of a use may sign.
fn ready_at(prepared: &KeyRecord, pace: Pace) -> i64 {
    prepared.publish_at.saturating_add(pace.lead)
}

/// Makes the prepared key of a use active at `now`, the active one retiring, and prepares the next.
///
/// `longest_lease` is the longest life of a lease that may be granted, seconds. Nothing that the old key signs is valid
/// after its `verify_until`: what it signs last, and some more for clocks that differ.
pub fn rotate(
    records: &[KeyRecord],
    key_use: KeyUse,
    pace: Pace,
    longest_lease: i64,
    now: i64,
) -> Result<Step, StepError> {
    let active = at(records, key_use, Stage::Active, now)?;
    let prepared = at(records, key_use, Stage::Prepared, now)?;
    let from = ready_at(prepared, pace);
    if now < from {
        return Err(StepError::TooEarly { key_use, kid: prepared.kid().to_owned(), from });
    }
    let longest = match key_use {
        KeyUse::Token => LONGEST_TOKEN,
        KeyUse::Lease => longest_lease,
    };
    let sign_until = now.saturating_add(OVERLAP);
    let verify_until = sign_until.saturating_add(longest).saturating_add(READ_WITHIN);
    let retiring =
        KeyRecord { sign_until: Some(sign_until), verify_until: Some(verify_until), ..active.clone() };
    Ok(Step { changed: vec![retiring, begin(prepared, now)], prepare: vec![key_use] })
}

/// Whether the active key of a use is old enough, and its successor ready.
#[must_use]
pub fn is_rotation_due(records: &[KeyRecord], key_use: KeyUse, pace: Pace, now: i64) -> bool {
    let of = |stage| at(records, key_use, stage, now);
    let (Ok(active), Ok(prepared)) = (of(Stage::Active), of(Stage::Prepared)) else { return false };
    let is_old = active.sign_from.is_some_and(|from| now >= from.saturating_add(pace.rotate_after));
    is_old && now >= ready_at(prepared, pace)
}

/// Trusts a key no more, from `now` on. Where it signed, the prepared one does, published long enough or not. Nothing
/// changes where it was tainted before.
pub fn taint(records: &[KeyRecord], kid: &str, now: i64) -> Result<Step, StepError> {
    let key = records.iter().find(|record| record.kid() == kid);
    let key = key.ok_or_else(|| StepError::Unknown(kid.to_owned()))?;
    let tainted = KeyRecord { tainted_at: Some(now), ..key.clone() };
    match key.stage(now) {
        Stage::Active => {
            let prepared = at(records, key.key_use, Stage::Prepared, now)?;
            Ok(Step { changed: vec![tainted, begin(prepared, now)], prepare: vec![key.key_use] })
        }
        Stage::Prepared => Ok(Step { changed: vec![tainted], prepare: vec![key.key_use] }),
        Stage::Retiring => Ok(Step { changed: vec![tainted], prepare: Vec::new() }),
        Stage::Retired => Err(StepError::Retired(kid.to_owned())),
        Stage::Tainted => Ok(Step::default()),
    }
}

fn begin(prepared: &KeyRecord, now: i64) -> KeyRecord {
    KeyRecord { sign_from: Some(now), ..prepared.clone() }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use jose_jwt::SigningKey;

    use super::*;

    const PACE: Pace = Pace { lead: 1000, rotate_after: 5000 };
    const LEASE: i64 = 604_800;

    fn key(seed: u8, publish_at: i64, sign_from: Option<i64>) -> KeyRecord {
        KeyRecord {
            key_use: KeyUse::Token,
            public: SigningKey::from_seed(&[seed; 32]).public().clone(),
            publish_at,
            sign_from,
            sign_until: None,
            verify_until: None,
            tainted_at: None,
        }
    }

    /// An active key and a prepared one, both published at 0.
    fn pair() -> [KeyRecord; 2] {
        [key(1, 0, Some(0)), key(2, 0, None)]
    }

    #[test]
    fn a_rotation_waits_for_the_lead_and_says_until_when() {
        let [active, prepared] = pair();
        let records = [active.clone(), prepared.clone()];
        let kid = prepared.kid().to_owned();
        assert_eq!(
            rotate(&records, KeyUse::Token, PACE, LEASE, 999),
            Err(StepError::TooEarly { key_use: KeyUse::Token, kid, from: 1000 })
        );
        let step = rotate(&records, KeyUse::Token, PACE, LEASE, 1000).unwrap();
        let verify_until = 1000 + OVERLAP + LONGEST_TOKEN + READ_WITHIN;
        assert_eq!(
            step.changed,
            [
                KeyRecord { sign_until: Some(1000 + OVERLAP), verify_until: Some(verify_until), ..active },
                KeyRecord { sign_from: Some(1000), ..prepared },
            ]
        );
        assert_eq!(step.prepare, [KeyUse::Token]);
    }

    #[test]
    fn a_lease_key_verifies_as_long_as_a_lease_may_live() {
        let records = pair().map(|record| KeyRecord { key_use: KeyUse::Lease, ..record });
        let step = rotate(&records, KeyUse::Lease, PACE, 31_622_400, 1000).unwrap();
        assert_eq!(step.changed[0].verify_until, Some(1000 + OVERLAP + 31_622_400 + READ_WITHIN));
    }

    #[test]
    fn what_is_not_there_is_not_rotated() {
        let [active, prepared] = pair();
        let missing = |stage| Err(StepError::Missing { key_use: KeyUse::Token, stage });
        assert_eq!(rotate(&[prepared], KeyUse::Token, PACE, LEASE, 5000), missing(Stage::Active));
        assert_eq!(rotate(&[active], KeyUse::Token, PACE, LEASE, 5000), missing(Stage::Prepared));
        assert!(!is_rotation_due(&[], KeyUse::Token, PACE, 5000));
    }

    #[test]
    fn a_rotation_is_due_when_the_active_key_is_old_and_the_prepared_one_ready() {
        let due = |records: &[KeyRecord], now| is_rotation_due(records, KeyUse::Token, PACE, now);
        assert!(!due(&pair(), 4999));
        assert!(due(&pair(), 5000));
        let late = [key(1, 0, Some(0)), key(2, 4500, None)];
        assert!(!due(&late, 5499));
        assert!(due(&late, 5500));
        assert!(!is_rotation_due(&pair(), KeyUse::Lease, PACE, 5000));
    }

    #[test]
    fn tainting_the_active_key_makes_the_prepared_one_sign_at_once() {
        let [active, prepared] = pair();
        let step = taint(&[active.clone(), prepared.clone()], active.kid(), 1).unwrap();
        assert_eq!(
            step.changed,
            [KeyRecord { tainted_at: Some(1), ..active }, KeyRecord { sign_from: Some(1), ..prepared }]
        );
        assert_eq!(step.prepare, [KeyUse::Token]);
    }

    #[test]
    fn tainting_a_prepared_key_prepares_another_and_a_retiring_one_nothing() {
        let [active, prepared] = pair();
        let step = taint(&[active.clone(), prepared.clone()], prepared.kid(), 1).unwrap();
        assert_eq!((step.changed.len(), step.prepare), (1, vec![KeyUse::Token]));
        let retiring = KeyRecord { sign_until: Some(10), verify_until: Some(20), ..active };
        let step = taint(from_ref(&retiring), retiring.kid(), 19).unwrap();
        assert_eq!(step.changed, [KeyRecord { tainted_at: Some(19), ..retiring }]);
        assert_eq!(step.prepare, []);
    }

    #[test]
    fn what_is_unknown_or_retired_is_not_tainted_and_what_is_tainted_stays_so() {
        let retired = KeyRecord { sign_until: Some(10), verify_until: Some(20), ..key(1, 0, Some(0)) };
        let kid = retired.kid().to_owned();
        assert_eq!(taint(from_ref(&retired), &kid, 20), Err(StepError::Retired(kid.clone())));
        assert_eq!(taint(&pair(), "nobody's", 20), Err(StepError::Unknown("nobody's".into())));
        let tainted = KeyRecord { tainted_at: Some(15), ..retired };
        assert_eq!(taint(&[tainted], &kid, 30), Ok(Step::default()));
    }
}
