//! Offline leases: for how long one is granted, why none is, and the artifact that the agent takes along.

use policy::{Decision, State};
use protocol::ambient::array;
use protocol::claims::{LeaseClaims, ProfileClaim};
use protocol::response::CompactJose;
use protocol::{LeaseId, Secret};
use store::Subject;

use crate::Edge;
use crate::judge::{Judgement, judge};
use crate::keys::Current;

/// Why an install gets no lease: the decision's reason, or one of a lease's own.
pub type Reason = &'static str;

/// An operator has revoked the install's lease, whose own end is still to come.
const REVOKED: Reason = "lease_revoked";

/// The profile or the license allows none.
const NOT_ALLOWED: Reason = "lease_not_allowed";

/// As many installs of the license are on a lease as the profile allows.
const LIMIT: Reason = "lease_limit";

/// For how many seconds an install gets the lease that it asks for: the least of what it asked for, the profile's
/// bound, the license's own, and what is left of the license's term.
///
/// `besides` is how many other installs of the license are on a lease, counted under the license's lock.
///
/// # Errors
/// Why it gets none: the first reason in the protocol's order.
pub fn seconds(
    subject: &Subject,
    decision: &Decision,
    asked: i64,
    besides: i64,
    now: i64,
) -> Result<i64, Reason> {
    if !matches!(decision.state, State::Authorized | State::Warned) {
        return Err(decision.reason.as_str());
    }
    if subject.lease_barred_until.is_some_and(|until| now < until) {
        return Err(REVOKED);
    }
    let knobs = &subject.profile.knobs;
    let allowed = subject.terms.lease_max_seconds.unwrap_or(i64::MAX).min(knobs.lease_max_seconds);
    if allowed < 1 {
        return Err(NOT_ALLOWED);
    }
    if knobs.lease_max_outstanding.is_some_and(|most| besides >= i64::from(most)) {
        return Err(LIMIT);
    }
    let left = subject.terms.expires_at.map_or(i64::MAX, |end| end.saturating_sub(now));
    Ok(asked.min(allowed).min(left))
}

/// A lease as it was granted.
#[derive(Debug)]
pub struct Granted {
    /// The lease.
    pub id: LeaseId,
    /// Its end.
    pub ends_at: i64,
    /// The judgement with this lease in force.
    pub judgement: Judgement,
    /// What the agent takes along: signed claims, sealed under the secret that proved the request.
    pub artifact: CompactJose,
}

/// Grants an install a lease of so many seconds, in the place of the one that it has; the install's next commit writes it.
/// `counter` is the request's, `secret` what proved it.
pub fn grant(
    edge: &Edge,
    keys: &Current,
    subject: &mut Subject,
    seconds: i64,
    counter: u64,
    secret: &Secret,
    now: i64,
) -> Granted {
    let id = LeaseId::from_uuid(edge.store.new_id());
    let ends_at = now.saturating_add(seconds);
    subject.grant_lease(id, now, ends_at);
    let judgement = judge(subject, now);
    let profile = &subject.profile.knobs.judging;
    let weight = |name: &str| (name.to_owned(), profile.weights.get(name).copied().unwrap_or(1));
    let claims = LeaseClaims {
        iss: edge.settings.public_url.clone(),
        sub: subject.id,
        aud: subject.terms.product.clone(),
        lic: subject.license_id,
        pro: ProfileClaim { id: subject.profile.id, version: subject.profile.number.unsigned_abs() },
        ent: subject.terms.entitlements.clone(),
        jti: id,
        iat: now,
        nbf: now,
        exp: ends_at,
        ctr: counter,
        high: subject.replay.high(),
        state: judgement.decision.state,
        rule: judgement.decision.rule,
        reason: judgement.decision.reason,
        ladder: judgement.ladder.clone(),
        fp: subject.bound.clone(),
        min_match: profile.min_match,
        weights: subject.bound.as_policy().iter().map(|(name, _)| weight(name)).collect(),
    };
    let signed = protocol::token::sign(&claims, &keys.lease);
    let artifact = protocol::lease::seal(&signed, secret, id, array(edge.store.random()));
    Granted { id, ends_at, judgement, artifact }
}
