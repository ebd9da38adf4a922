//! Offline leases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Time, versioned};
use crate::{Expected, InstallId, LeaseId, LicenseId};

/// What has become of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LeaseStatus {
    /// None of the others.
    Live,
    /// The install's next one took its place.
    Renewed,
    /// The install gave it back.
    Returned,
    /// An operator revoked it.
    Revoked,
    /// Its end is past.
    Ended,
}

impl LeaseStatus {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Live, Self::Renewed, Self::Returned, Self::Revoked, Self::Ended];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Renewed => "renewed",
            Self::Returned => "returned",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for LeaseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LeaseStatus {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(Expected("live, renewed, returned, revoked or ended"))
    }
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Whose it is.
    pub install_id: InstallId,
    /// The install's license.
    pub license_id: LicenseId,
    /// What has become of it.
    pub status: LeaseStatus,
    /// When it was granted.
    pub granted_at: Time,
    /// Its end.
    pub ends_at: Time,
    /// When the install's next one took its place.
    pub renewed_at: Option<Time>,
    /// When the install gave it back.
    pub returned_at: Option<Time>,
    /// When an operator revoked it.
    pub revoked_at: Option<Time>,
    /// Whether the machine may still work by it: it is live; or it is revoked, the machine has not called since, and keeps
    /// it with its seat and its quota until it calls or until its end.
    pub in_force: bool,
    /// Moves with every change.
    pub version: i64,
}

versioned!(Lease);

/// What the request of a machine that is never online is answered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflineAnswer {
    /// For the machine that asked, which alone can read it: a compact JWE.
    pub reply: String,
    /// The machine's install.
    pub install_id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// The lease that it takes along.
    pub lease_id: LeaseId,
    /// The lease's end.
    pub expires_at: Time,
}

/// The request file of a machine that is never online, as its agent wrote it (`docs/protocol.md`).
#[derive(Clone, Debug)]
pub struct OfflineRequestFile;

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
    use utoipa::{PartialSchema, ToSchema};

    impl PartialSchema for super::OfflineRequestFile {
        fn schema() -> RefOr<Schema> {
            let file = ObjectBuilder::new().schema_type(Type::Object);
            file.description(Some("The request file as the agent wrote it: docs/protocol.md.")).into()
        }
    }

    impl ToSchema for super::OfflineRequestFile {}
}
