//! What the policy engine says of an install, and why.

use policy::{Decision, Reason, Rule, Rung, State};
use serde::{Deserialize, Serialize};

use super::Time;

/// A decision with its instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Judged {
    /// The state.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// The rule that gave it.
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 14))]
    pub rule: Rule,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::reason))]
    pub reason: Reason,
    /// Seconds until the next heartbeat.
    pub next_heartbeat: i64,
    /// Seconds that a token may say this.
    pub token_ttl: i64,
    /// The instant judged.
    pub at: Time,
}

impl Judged {
    /// A decision of `at`.
    #[must_use]
    pub fn new(decision: &Decision, at: i64) -> Self {
        let Decision { state, rule, reason, next_heartbeat, token_ttl } = *decision;
        Self { state, rule, reason, next_heartbeat, token_ttl, at: Time(at) }
    }
}

/// A rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Step {
    /// From when on.
    pub at: Time,
    /// The state.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// Its rule.
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 14))]
    pub rule: Rule,
    /// Its reason.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::reason))]
    pub reason: Reason,
}

impl From<Rung> for Step {
    fn from(rung: Rung) -> Self {
        Self { at: Time(rung.at), state: rung.state, rule: rung.rule, reason: rung.reason }
    }
}

/// One of the fourteen rules, and whether its own condition holds. The first that does has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TracedRule {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 14))]
    pub rule: Rule,
    /// Whether its own condition holds.
    pub matched: bool,
    /// The values that were compared.
    pub because: String,
}
