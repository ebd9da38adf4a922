//! The incident hold: while it is on, no breach takes an install below grace.

use serde::{Deserialize, Serialize};

use super::Time;
use crate::json::Reader;

/// The hold that is on; all four are null while none is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hold {
    /// When it ends by itself: from this instant on it holds nobody.
    pub until: Option<Time>,
    /// Why it was set.
    pub reason: Option<String>,
    /// When it was set.
    pub since: Option<Time>,
    /// Who has set it: the user's address, the key's name.
    pub set_by: Option<String>,
}

/// A hold that is to be on: `PUT /v1/admin/hold`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewHold {
    /// When it is to end by itself: later than now, at most 90 days from now.
    pub until: Time,
    /// Why it is set.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

impl NewHold {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let until = Time::read(root.member("until"));
        let reason = root.member("reason").text(1..=500);
        Some(Self { until: until?, reason: reason?.to_owned() })
    }
}
