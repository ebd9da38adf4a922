//! What an install's own page says besides, so that nobody has to guess why it is judged as it is.

use policy::Comparison;
use serde::{Deserialize, Serialize};

use super::Time;
use crate::ProfileId;

/// What the engine knows of an install and its license, besides its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct InstallFacts {
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
    pub license_start: Time,
    /// End of the term; null: it has no end.
    pub license_end: Option<Time>,
    /// When the breach of seats began, if it has.
    pub seats_exceeded_at: Option<Time>,
    /// When it was last heard of.
    pub last_contact: Time,
    /// End of the lease in force at the last contact.
    pub lease_end: Option<Time>,
    /// The agent's clock minus the server's, seconds.
    pub clock_skew: Option<i64>,
    /// What the agent says its version is.
    pub agent_version: Option<String>,
    /// Until when no breach takes it below grace.
    pub held_until: Option<Time>,
}

impl From<policy::Facts> for InstallFacts {
    fn from(facts: policy::Facts) -> Self {
        Self {
            license_revoked: facts.license_revoked,
            install_revoked: facts.install_revoked,
            license_suspended: facts.license_suspended,
            install_suspended: facts.install_suspended,
            clone_suspected: facts.clone_suspected,
            awaiting_approval: facts.awaiting_approval,
            license_start: Time(facts.license_start),
            license_end: facts.license_end.map(Time),
            seats_exceeded_at: facts.seats_exceeded_at.map(Time),
            last_contact: Time(facts.last_contact),
            lease_end: facts.lease_end.map(Time),
            clock_skew: facts.clock_skew,
            agent_version: facts.agent_version,
            held_until: facts.held_until.map(Time),
        }
    }
}

/// The version of a profile that judges an install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JudgingVersion {
    /// The profile.
    pub id: ProfileId,
    /// Its name.
    pub name: String,
    /// The version that judges this install.
    pub number: i32,
    /// The version that judges `percent` installs in a hundred; where it isn't `number`, this install is of the rest.
    pub active_number: i32,
    /// Of how many in a hundred that is.
    pub percent: i32,
}

/// A component of the fingerprint, bound and observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Component {
    /// Its name.
    pub name: String,
    /// How the two compare.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::comparison))]
    pub comparison: Comparison,
    /// What it weighs where it is bound.
    pub weight: u64,
    /// How the digest begins that is bound; null: none is.
    pub bound: Option<String>,
    /// How the digest begins that was last observed; null: none was.
    pub observed: Option<String>,
}

/// An install among those of its license that hold a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeatPlace {
    /// Its place by first activation, from 1; null: it holds none. Who stands beyond `max_installs` is over.
    pub rank: Option<i64>,
    /// How many hold a seat, it among them.
    pub taken: i64,
    /// How many seats there are.
    pub max_installs: i32,
}

/// What an install's proofs are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    /// Nothing: it was reset, or has left. The agent has to activate again.
    None,
    /// A secret that was handed out, and not used yet.
    Unused,
    /// A secret that is in use.
    InUse,
    /// A new one was handed out, and not used yet: until then the one before serves, too.
    Changing,
}

impl SecretState {
    /// As people read it.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::None => "no secret: the agent has to activate again",
            Self::Unused => "its secret was handed out, and not used yet",
            Self::InUse => "its secret is in use",
            Self::Changing => "a new secret was handed out; until that is used, the one before serves",
        }
    }
}
