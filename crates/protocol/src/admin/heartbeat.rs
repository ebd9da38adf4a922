//! The audit log of contacts.

use policy::{Reason, Rule, State};
use serde::{Deserialize, Serialize};

use super::Time;
use crate::{HeartbeatId, InstallId, LicenseId, ProfileId};

/// A contact that was judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Heartbeat {
    /// Its id.
    pub id: HeartbeatId,
    /// When it was judged.
    pub at: Time,
    /// Of which install.
    pub install_id: InstallId,
    /// Of which license.
    pub license_id: LicenseId,
    /// `heartbeat`, `activate`, `rekey`, `deactivate`, `lease` or `lease-return`.
    pub operation: String,
    /// `accepted`, `refused` (judged and forbidden), or `clone`: it came from a second holder of the secret.
    pub outcome: String,
    /// The request's counter; 0 for an activation.
    pub counter: i64,
    /// The state that was given.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// The rule that gave it.
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 14))]
    pub rule: Rule,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::reason))]
    pub reason: Reason,
    /// The profile that judged.
    pub profile_id: ProfileId,
    /// Its version.
    pub profile_number: i32,
    /// The agent's clock minus the server's, seconds; null: the request didn't say.
    pub clock_skew: Option<i64>,
    /// The agent's version.
    pub agent_version: String,
}
