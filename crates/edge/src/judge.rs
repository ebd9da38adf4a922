//! The judgement: an install's facts to the engine, its decision to a token.

use policy::{Decision, Reason, Rung, evaluate, ladder};
use protocol::claims::{DecisionClaims, ProfileClaim};
use protocol::request::HeartbeatRequest;
use protocol::response::CompactJose;
use protocol::{Fingerprint, Nonce, TokenId};
use store::Subject;

use crate::Edge;
use crate::keys::Current;

/// Drift is learned at most once in a day.
const LEARN_EVERY: i64 = 86_400;

/// A decision and what comes of it if nothing more is heard.
#[derive(Debug)]
pub struct Judgement {
    /// What holds now.
    pub decision: Decision,
    /// What will hold, from when on.
    pub ladder: Vec<Rung>,
}

/// Judges an install at its contact, now.
pub fn judge(subject: &Subject, now: i64) -> Judgement {
    let facts = subject.facts();
    let profile = &subject.profile.knobs.judging;
    Judgement { decision: evaluate(&facts, profile, now), ladder: ladder(&facts, profile, now) }
}

/// Takes what a heartbeat observed over into the install.
pub fn observe(subject: &mut Subject, beat: &HeartbeatRequest, now: i64) {
    subject.observed.clone_from(&beat.fingerprint);
    subject.instance_id = beat.instance_id.as_bytes().to_vec();
    subject.agent_version.clone_from(&beat.agent.version);
    subject.agent_platform.clone_from(&beat.agent.platform);
    subject.clock_skew = Some(beat.clock.unix.saturating_sub(now));
}

/// Binds one component that has changed, the first by name, where the profile learns from drift that it warned of.
pub fn learn_drift(subject: &mut Subject, decision: &Decision, now: i64) {
    let due = subject.drift_learned_at.is_none_or(|at| now >= at.saturating_add(LEARN_EVERY));
    if !subject.profile.knobs.learn_drift || decision.reason != Reason::FingerprintDrift || !due {
        return;
    }
    if let Some(bound) = with_one_change(&subject.bound, &subject.observed) {
        subject.bind(bound);
        subject.drift_learned_at = Some(now);
    }
}

/// `bound` with the first component that `observed` has another value of.
fn with_one_change(bound: &Fingerprint, observed: &Fingerprint) -> Option<Fingerprint> {
    let observed = observed.as_policy();
    let (name, value) = bound.as_policy().iter().find_map(|(name, value)| {
        observed.get(name).filter(|seen| *seen != value).map(|seen| (name, seen))
    })?;
    bound.with(name, value).ok()
}

/// The signed token of a judgement.
pub fn token(
    edge: &Edge,
    keys: &Current,
    subject: &Subject,
    judgement: &Judgement,
    nonce: &Nonce,
    counter: u64,
    now: i64,
) -> CompactJose {
    let decision = &judgement.decision;
    let claims = DecisionClaims {
        iss: edge.settings.public_url.clone(),
        sub: subject.id,
        aud: subject.terms.product.clone(),
        lic: subject.license_id,
        pro: ProfileClaim { id: subject.profile.id, version: subject.profile.number.unsigned_abs() },
        ent: subject.terms.entitlements.clone(),
        iat: now,
        nbf: now,
        exp: now.saturating_add(decision.token_ttl),
        jti: TokenId::from_uuid(edge.store.new_id()),
        nonce: *nonce,
        ctr: counter,
        high: subject.replay.high(),
        state: decision.state,
        rule: decision.rule,
        reason: decision.reason,
        nhb: decision.next_heartbeat,
        ladder: judgement.ladder.clone(),
        fpd: subject.bound.fpd(),
        ksv: keys.keyset.version.unsigned_abs(),
    };
    protocol::token::sign(&claims, &keys.token)
}
