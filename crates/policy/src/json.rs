//! Facts, profiles and answers as JSON lines: what `qubictether policy evaluate` and `policy ladder` read and write.
//!
//! `{"facts": {…}, "profile": {…}, "at": 1790000000}` in, a decision or a ladder out; the members stand in
//! `docs/policy.md`. Here, unlike at publication, every knob that has its type is taken. Unknown members are ignored;
//! one that is missing or repeated, or isn't of its type and range, makes the line unreadable.

use serde::Serialize;

use crate::members::{Members, boolean, clone_action, entries, integer, min_match, nullable, string};
use crate::{Cadence, Facts, Fault, Fingerprint, Pace, Profile, State, evaluate, ladder};

/// The greatest integer of the format: 2^53 − 1.
const MOST: i64 = (1 << 53) - 1;

/// Judges a line: the decision as JSON, without a line end.
///
/// # Errors
/// When the line can't be read: the first member that stops it, and why.
pub fn evaluate_line(line: &[u8]) -> Result<String, Fault> {
    let (facts, profile, at) = read(line)?;
    Ok(written(&evaluate(&facts, &profile, at)))
}

/// Draws a line's ladder, as JSON, without a line end.
///
/// # Errors
/// When the line can't be read: the first member that stops it, and why.
pub fn ladder_line(line: &[u8]) -> Result<String, Fault> {
    let (facts, profile, from) = read(line)?;
    Ok(written(&ladder(&facts, &profile, from)))
}

/// What stands in the place of an answer to a line that can't be read: `{"error": "…"}`.
pub fn error_line(fault: &Fault) -> String {
    #[derive(Serialize)]
    struct Unread {
        error: String,
    }
    written(&Unread { error: fault.to_string() })
}

fn written(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("names and numbers are JSON")
}

fn read(line: &[u8]) -> Result<(Facts, Profile, i64), Fault> {
    let line = str::from_utf8(line).map_err(|error| Fault::new(format!("has to be UTF-8: {error}")))?;
    let line = Members::parse(line)?;
    Ok((line.required("facts", facts)?, line.required("profile", profile)?, line.required("at", whole)?))
}

fn facts(text: &str) -> Result<Facts, Fault> {
    let facts = Members::parse(text)?;
    let (bound, observed) = facts.required("fingerprint", fingerprints)?;
    Ok(Facts {
        license_revoked: facts.required("license_revoked", boolean)?,
        install_revoked: facts.required("install_revoked", boolean)?,
        license_suspended: facts.required("license_suspended", boolean)?,
        install_suspended: facts.required("install_suspended", boolean)?,
        clone_suspected: facts.required("clone_suspected", boolean)?,
        awaiting_approval: facts.required("awaiting_approval", boolean)?,
        license_start: facts.required("license_start", whole)?,
        license_end: facts.required("license_end", nullable(whole))?,
        bound,
        observed,
        seats_exceeded_at: facts.required("seats_exceeded_at", nullable(whole))?,
        last_contact: facts.required("last_contact", whole)?,
        lease_end: facts.required("lease_end", nullable(whole))?,
        clock_skew: facts.required("clock_skew", nullable(integer(-MOST..=MOST)))?,
        agent_version: facts.required("agent_version", nullable(text_of))?,
        held_until: facts.optional("held_until", nullable(whole))?.flatten(),
    })
}

fn profile(text: &str) -> Result<Profile, Fault> {
    let knobs = Members::parse(text)?;
    Ok(Profile {
        min_match: knobs.required("min_match", min_match)?,
        weights: knobs.required("weights", |text| entries(text, integer(0..=MOST)))?,
        clone_action: knobs.required("clone_action", clone_action)?,
        silence_tolerance: knobs.required("silence_tolerance", whole)?,
        silence_grace: knobs.required("silence_grace", whole)?,
        silence_degraded: knobs.required("silence_degraded", whole)?,
        expiry_grace: knobs.required("expiry_grace", whole)?,
        expiry_degraded: knobs.required("expiry_degraded", whole)?,
        overage_grace: knobs.required("overage_grace", whole)?,
        overage_degraded: knobs.required("overage_degraded", whole)?,
        max_clock_skew: knobs.required("max_clock_skew", whole)?,
        min_agent_version: knobs.required("min_agent_version", nullable(text_of))?,
        cadence: knobs.optional("cadence", cadence)?.unwrap_or_default(),
    })
}

fn cadence(text: &str) -> Result<Cadence, Fault> {
    let states = Members::parse(text)?;
    let mut cadence = Cadence::default();
    for state in State::ALL {
        if let Some(pace) = states.optional(state.as_str(), pace)? {
            cadence.set(*state, pace);
        }
    }
    Ok(cadence)
}

fn pace(text: &str) -> Result<Pace, Fault> {
    let pace = Members::parse(text)?;
    Ok(Pace { interval: pace.required("interval", whole)?, token_ttl: pace.required("token_ttl", whole)? })
}

/// The bound one and the observed one.
fn fingerprints(text: &str) -> Result<(Fingerprint, Fingerprint), Fault> {
    let both = Members::parse(text)?;
    let fingerprint = |text| entries(text, digest).map(Fingerprint::from);
    Ok((both.required("bound", fingerprint)?, both.required("observed", fingerprint)?))
}

/// 32 bytes as canonical base64url: 43 characters, of whose last the two lowest bits are 0.
fn digest(text: &str) -> Result<String, Fault> {
    let digest = string(text).ok().filter(|digest| {
        digest.len() == 43
            && digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && digest.ends_with(|last| "AEIMQUYcgkosw048".contains(last))
    });
    digest.map(String::from).ok_or_else(|| Fault::new("has to be base64url of 32 bytes, without padding"))
}

/// An instant or a duration.
fn whole(text: &str) -> Result<i64, Fault> {
    integer(0..=MOST)(text)
}

fn text_of(text: &str) -> Result<String, Fault> {
    string(text).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn a_digest_is_the_one_way_to_write_32_bytes() {
        let written = |text: &str| digest(&format!("\"{text}\"")).is_ok();
        for last in "AEIMQUYcgkosw048".chars() {
            assert!(written(&format!("-_{}{last}", "z9".repeat(20))));
        }
        let body = "Ab".repeat(21);
        for text in [
            body.clone(),
            format!("{body}AA"),
            format!("{body}B"),
            format!("{body}="),
            format!("+{}A", &body[1..]),
            format!("/{}A", &body[1..]),
            format!(" {}A", &body[1..]),
        ] {
            assert!(!written(&text), "{text}");
        }
    }
}
