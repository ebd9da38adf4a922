//! What an operator sees first.

use policy::{Rule, State};
use serde::{Deserialize, Serialize};

use super::{Hold, License, Time};
use crate::{InstallId, LicenseId};

/// What there is, and what is about to happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overview {
    /// How many installs are in each of the ten states, as it was a minute ago at most; from best to worst.
    pub installs: Vec<StateCount>,
    /// What was judged, by hour, of the last day: the oldest first. What is younger than a minute or two isn't counted yet.
    pub heartbeats: Vec<HourCount>,
    /// Which rules decided in the last day, how often.
    pub decisions: Vec<RuleCount>,
    /// Licenses that end within thirty days, ten at most: the first to end first.
    pub expiring_licenses: Vec<License>,
    /// Installs that fall a rung within a week, ten at most, the first to fall first: those that another beat wouldn't hold
    /// back, or that are silent already.
    pub falling_installs: Vec<FallingInstall>,
    /// The incident hold that is on.
    pub hold: Hold,
    /// The instant of all this.
    pub at: Time,
}

/// How many installs are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateCount {
    /// The state.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// How many.
    pub installs: i64,
}

/// What was judged in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HourCount {
    /// Its first instant.
    pub hour: Time,
    /// How many contacts were judged.
    pub heartbeats: i64,
    /// How many of them were forbidden.
    pub refused: i64,
    /// How many of them came from a second holder of a secret.
    pub clones: i64,
}

/// How often a rule decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleCount {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 14))]
    pub rule: Rule,
    /// The state that it gives.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// How often.
    pub heartbeats: i64,
}

/// An install that is about to fall a rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FallingInstall {
    /// Which.
    pub install_id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// What its agent calls the machine.
    pub name: Option<String>,
    /// What it is.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// When it falls.
    pub falls_at: Time,
}
