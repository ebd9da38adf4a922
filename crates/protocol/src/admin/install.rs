//! Installs: one machine each.

use policy::State;
use serde::{Deserialize, Serialize};

use super::{
    Component, InstallFacts, Judged, JudgingVersion, SeatPlace, SecretState, Step, Time, TracedRule,
    versioned,
};
use crate::json::Reader;
use crate::{Expected, Fingerprint, InstallId, LeaseId, LicenseId};

/// What has become of an install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum InstallStatus {
    /// None of the others.
    Active,
    /// Waits for an operator.
    Pending,
    /// Suspended by an operator.
    Suspended,
    /// Left by its own agent.
    Deactivated,
    /// Revoked by an operator, for good.
    Revoked,
}

impl InstallStatus {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Pending, Self::Suspended, Self::Deactivated, Self::Revoked];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
        }
    }

    /// Whether nothing but a revocation can be done to it any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Deactivated | Self::Revoked)
    }
}

impl std::fmt::Display for InstallStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for InstallStatus {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(Expected("active, pending, suspended, deactivated or revoked"))
    }
}

/// An install.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Install {
    /// Its id.
    pub id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// What its agent calls the machine.
    pub name: Option<String>,
    /// What has become of it.
    pub status: InstallStatus,
    /// The state by which lists filter: that of a minute ago at most. On its own page: of now.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// What the engine says of it now.
    pub decision: Judged,
    /// What it will say, from when on, if nothing more is heard.
    pub ladder: Vec<Step>,
    /// Until when the incident hold keeps its breaches from taking it below grace; null where none is on.
    pub held_until: Option<Time>,
    /// All fourteen rules, on its own page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TracedRule>,
    /// What would mend it, on its own page: null where nothing has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What the engine knows of it, on its own page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<InstallFacts>,
    /// What judges it, on its own page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<JudgingVersion>,
    /// What it is bound to beside what was last observed, on its own page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// Its place among those that hold a seat, on its own page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<SeatPlace>,
    /// What its proofs are checked against, on its own page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretState>,
    /// First activation.
    pub activated_at: Time,
    /// When it was last heard of.
    pub last_contact: Time,
    /// The newest agent.
    pub agent: Agent,
    /// The agent's clock minus the server's, seconds.
    pub clock_skew: Option<i64>,
    /// What it is bound to, and what was last observed.
    pub fingerprint: Fingerprints,
    /// Whether it holds a seat.
    pub holds_seat: bool,
    /// Since when it is over its license's seats.
    pub seats_exceeded_at: Option<Time>,
    /// Since when a second holder of its secret is suspected.
    pub clone_suspected_at: Option<Time>,
    /// The lease that it was granted and has not given back.
    pub lease: Option<HeldLease>,
    /// Moves with every change by an operator.
    pub version: i64,
}

versioned!(Install);

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// What it was built for.
    pub platform: String,
}

/// An offline lease that an install holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldLease {
    /// Its id.
    pub id: LeaseId,
    /// Its end.
    pub ends_at: Time,
    /// When an operator revoked it; it ends at the install's next contact.
    pub revoked_at: Option<Time>,
}

/// Digests of components by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fingerprints {
    /// What the install is bound to.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::fingerprint))]
    pub bound: Fingerprint,
    /// What was last observed.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::fingerprint))]
    pub observed: Fingerprint,
}

/// What an install is bound to from now on: `POST /v1/admin/installs/{id}/rebind`.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rebinding {
    /// The fingerprint; left out: the one last observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::fingerprint, required = false))]
    pub fingerprint: Option<Fingerprint>,
}

impl Rebinding {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let fingerprint = root.member("fingerprint").or_missing(Fingerprint::read)?;
        Some(Self { fingerprint })
    }
}
