//! What is known of an install and its license at the instant of judgement.

use crate::Fingerprint;

/// The engine's facts. Instants are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Rule 1.
    pub license_revoked: bool,
    /// Rule 2.
    pub install_revoked: bool,
    /// Rule 3.
    pub license_suspended: bool,
    /// Rule 4.
    pub install_suspended: bool,
    /// Rules 5 and 13.
    pub clone_suspected: bool,
    /// Rule 6.
    pub awaiting_approval: bool,
    /// First instant of the license's term.
    pub license_start: i64,
    /// End of the term; none: it has no end.
    pub license_end: Option<i64>,
    /// The fingerprint that the install is bound to.
    pub bound: Fingerprint,
    /// The newest one observed.
    pub observed: Fingerprint,
    /// When the breach of seats began, if it has.
    pub seats_exceeded_at: Option<i64>,
    /// When it was last heard of.
    pub last_contact: i64,
    /// End of the lease in force at the last contact, whether or not that is past.
    pub lease_end: Option<i64>,
    /// The agent's clock minus the server's, seconds.
    pub clock_skew: Option<i64>,
    /// What the agent says its version is.
    pub agent_version: Option<String>,
    /// The operator's incident switch: until then no breach takes anybody below grace.
    pub held_until: Option<i64>,
}
