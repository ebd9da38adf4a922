//! All knobs of a profile, as an operator publishes them.
//!
//! Here, and only here, ranges are checked: a nonsense knob is refused when the profile is made, with the place where
//! it stands, and never when a beat is judged.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::members::{Members, boolean, clone_action, integer, min_match, nullable, string};
use crate::version::is_semver;
use crate::{Fault, Pace, Profile, State};

const YEAR: i64 = 31_622_400;
const DECADE: i64 = 316_224_000;

/// Which activations wait for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequireApproval {
    /// None.
    No,
    /// All.
    Yes,
    /// The license's installs after the first so many that were ever activated.
    AfterFirst(u32),
}

/// Every knob of a published profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// The knobs that the engine reads.
    pub judging: Profile,
    /// Which activations wait for an operator.
    pub require_approval: RequireApproval,
    /// Whether one changed component is bound anew after a beat that was warned of drift.
    pub learn_drift: bool,
    /// How often the same machine may activate again in 30 days; none: without bound.
    pub reactivations_per_month: Option<u32>,
    /// The longest offline lease, seconds; 0: no leases.
    pub lease_max_seconds: i64,
    /// How many installs of a license may be on a lease at once; none: without bound.
    pub lease_max_outstanding: Option<u32>,
    /// After how much silence an install loses its seat, seconds; none: never.
    pub release_silent_after: Option<i64>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            judging: Profile::default(),
            require_approval: RequireApproval::No,
            learn_drift: false,
            reactivations_per_month: Some(10),
            lease_max_seconds: 604_800,
            lease_max_outstanding: None,
            release_silent_after: None,
        }
    }
}

impl Knobs {
    /// Reads knobs from a JSON object. One that is left out has its default.
    ///
    /// # Errors
    /// Everything that is wrong: unknown and repeated members, wrong types, values out of range, and, where each value
    /// is right by itself, those that don't go together.
    pub fn parse(json: &str) -> Result<Self, Vec<Fault>> {
        let mut knobs = Self::default();
        each(json, |name, value| knobs.read(name, value))?;
        let faults = knobs.discords();
        if faults.is_empty() { Ok(knobs) } else { Err(faults) }
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), Vec<Fault>> {
        let judging = &mut self.judging;
        let window = integer(0..=DECADE);
        match name {
            "require_approval" => self.require_approval = approval(value)?,
            "min_match" => judging.min_match = min_match(value)?,
            "weights" => each(value, |component, weight| {
                judging.weights.insert(component_name(component)?, integer(0..=1_000_000)(weight)?);
                Ok(())
            })?,
            "learn_drift" => self.learn_drift = boolean(value)?,
            "clone_action" => judging.clone_action = clone_action(value)?,
            "reactivations_per_month" => self.reactivations_per_month = nullable(integer(0..=1000))(value)?,
            "silence_tolerance" => judging.silence_tolerance = integer(6..=YEAR)(value)?,
            "silence_grace" => judging.silence_grace = window(value)?,
            "silence_degraded" => judging.silence_degraded = window(value)?,
            "expiry_grace" => judging.expiry_grace = window(value)?,
            "expiry_degraded" => judging.expiry_degraded = window(value)?,
            "overage_grace" => judging.overage_grace = window(value)?,
            "overage_degraded" => judging.overage_degraded = window(value)?,
            "max_clock_skew" => judging.max_clock_skew = integer(0..=YEAR)(value)?,
            "min_agent_version" => judging.min_agent_version = nullable(version)(value)?,
            "lease_max_seconds" => self.lease_max_seconds = integer(0..=YEAR)(value)?,
            "lease_max_outstanding" => self.lease_max_outstanding = nullable(integer(0..=1_000_000))(value)?,
            "release_silent_after" => self.release_silent_after = nullable(window)(value)?,
            "cadence" => each(value, |name, value| {
                let state = name.parse::<State>().map_err(|_| Fault::new("is no state"))?;
                if let Some(pace) = pace(value)? {
                    judging.cadence.set(state, pace);
                }
                Ok(())
            })?,
            _ => return Err(Fault::new("is no knob of a profile").into()),
        }
        Ok(())
    }

    /// What no knob can say for itself.
    fn discords(&self) -> Vec<Fault> {
        let tolerance = self.judging.silence_tolerance;
        // An agent beats up to a tenth later than told; that must not count as silence.
        let late = [State::Authorized, State::Warned, State::Grace, State::Degraded].into_iter().filter_map(
            |state| {
                let interval = self.judging.cadence.pace(state).interval;
                let detail = format!("has to be more than 1.1 times the interval of {state} ({interval})");
                (tolerance * 10 <= interval * 11).then(|| Fault::new(detail).within("silence_tolerance"))
            },
        );
        let released = self.release_silent_after.filter(|after| *after <= tolerance).map(|_| {
            let detail = format!("has to be longer than silence_tolerance ({tolerance})");
            Fault::new(detail).within("release_silent_after")
        });
        late.chain(released).collect()
    }

    /// Every knob as a JSON object that [`Knobs::parse`] reads back.
    pub fn to_json(&self) -> String {
        let judging = &self.judging;
        let approval = match self.require_approval {
            RequireApproval::No => json!("no"),
            RequireApproval::Yes => json!("yes"),
            RequireApproval::AfterFirst(first) => json!({ "after_first": first }),
        };
        let cadence: Map<String, Value> = State::ALL
            .iter()
            .map(|state| {
                let Pace { interval, token_ttl } = judging.cadence.pace(*state);
                (state.to_string(), json!({ "interval": interval, "token_ttl": token_ttl }))
            })
            .collect();
        let min_match: Value = serde_json::from_str(&judging.min_match.to_json()).unwrap_or_default();
        json!({
            "require_approval": approval,
            "min_match": min_match,
            "weights": judging.weights,
            "learn_drift": self.learn_drift,
            "clone_action": judging.clone_action,
            "reactivations_per_month": self.reactivations_per_month,
            "silence_tolerance": judging.silence_tolerance,
            "silence_grace": judging.silence_grace,
            "silence_degraded": judging.silence_degraded,
            "expiry_grace": judging.expiry_grace,
            "expiry_degraded": judging.expiry_degraded,
            "overage_grace": judging.overage_grace,
            "overage_degraded": judging.overage_degraded,
            "max_clock_skew": judging.max_clock_skew,
            "min_agent_version": judging.min_agent_version,
            "lease_max_seconds": self.lease_max_seconds,
            "lease_max_outstanding": self.lease_max_outstanding,
            "release_silent_after": self.release_silent_after,
            "cadence": cadence,
        })
        .to_string()
    }
}

/// Reads every member of an object, and collects what is wrong with any of them.
fn each(object: &str, mut read: impl FnMut(&str, &str) -> Result<(), Vec<Fault>>) -> Result<(), Vec<Fault>> {
    let mut names = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, value) in Members::parse(object)? {
        if let Err(inner) = read(&name, value) {
            faults.extend(inner.into_iter().map(|fault| fault.within(&name)));
        }
        if let Some(name) = names.replace(name) {
            faults.push(Fault::new("stands there twice").within(&name));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// `"no"`, `"yes"` or `{"after_first": n}`.
fn approval(value: &str) -> Result<RequireApproval, Vec<Fault>> {
    match string(value).as_deref() {
        Ok("no") => return Ok(RequireApproval::No),
        Ok("yes") => return Ok(RequireApproval::Yes),
        _ if value.starts_with('{') => {}
        _ => return Err(Fault::new("has to be \"no\", \"yes\" or {\"after_first\": n}").into()),
    }
    let mut first = None;
    each(value, |name, value| match name {
        "after_first" => {
            first = Some(integer(1..=1_000_000)(value)?);
            Ok(())
        }
        _ => Err(Fault::new("is no part of an approval: it has after_first").into()),
    })?;
    first
        .map(RequireApproval::AfterFirst)
        .ok_or_else(|| Fault::new("is missing").within("after_first").into())
}

/// `{"interval": s, "token_ttl": s}`; none where neither is there.
fn pace(value: &str) -> Result<Option<Pace>, Vec<Fault>> {
    let (mut interval, mut token_ttl) = (None, None);
    each(value, |name, value| {
        match name {
            "interval" => interval = Some(integer(5..=604_800)(value)?),
            "token_ttl" => token_ttl = Some(integer(5..=1_209_600)(value)?),
            _ => return Err(Fault::new("is no part of a pace: it has interval and token_ttl").into()),
        }
        Ok(())
    })?;
    match (interval, token_ttl) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Fault::new("is missing").within("token_ttl").into()),
        (None, Some(_)) => Err(Fault::new("is missing").within("interval").into()),
        (Some(interval), Some(token_ttl)) if token_ttl < interval => {
            Err(Fault::new(format!("has to be at least the interval ({interval})"))
                .within("token_ttl")
                .into())
        }
        (Some(interval), Some(token_ttl)) => Ok(Some(Pace { interval, token_ttl })),
    }
}

/// What can be the name of a fingerprint's component.
fn component_name(name: &str) -> Result<String, Fault> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=32).contains(&name.len()) && name.bytes().all(is_part) {
        Ok(name.to_owned())
    } else {
        Err(Fault::new("is no component's name: 1 to 32 characters of a to z, 0 to 9 and _"))
    }
}

fn version(value: &str) -> Result<String, Fault> {
    let version = string(value).ok().filter(|version| is_semver(version));
    version.map(String::from).ok_or_else(|| Fault::new("has to be a version like \"1.4.0\" (SemVer 2.0)"))
}
