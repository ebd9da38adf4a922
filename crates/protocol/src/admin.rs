//! What goes over the admin API: the bodies that the server answers with and takes, which the admin site reads and
//! writes as they stand here.
//!
//! Times are RFC 3339, ids are UUIDs, and whatever has a `version` has it as its `ETag`. Rows are kept in the order in
//! which `docs/admin-api.md` tells of them.

mod audit;
mod dry_run;
mod explained;
mod heartbeat;
mod hold;
mod install;
mod installs;
mod judged;
mod lease;
mod license;
mod overview;
mod profile;
#[cfg(feature = "openapi")]
mod schemas;
mod session;
mod signing_key;
mod time;
mod users;
mod webhook;

use serde::{Deserialize, Serialize};

pub use audit::{ActorKind, AuditRow, ChainCheck};
pub use dry_run::{DryRun, DryRunRequest, ForetoldChange, ForetoldInstall, Verdict};
pub use explained::{Component, InstallFacts, JudgingVersion, SeatPlace, SecretState};
pub use heartbeat::Heartbeat;
pub use hold::{Hold, NewHold};
pub use install::{Agent, Fingerprints, HeldLease, Install, InstallStatus, Rebinding};
pub use installs::{ChangedInstalls, ChosenInstalls};
pub use judged::{Judged, Step, TracedRule};
pub use lease::{Lease, LeaseStatus, OfflineAnswer, OfflineRequestFile};
pub use license::{
    License, LicenseChange, LicenseStatus, LicenseWithKey, NewLicense, RevealedKey, parse_object,
};
pub use overview::{FallingInstall, HourCount, Overview, RuleCount, StateCount};
pub use profile::{NewProfile, NewVersion, Profile, ProfileVersion, Publication};
pub use session::{
    Credentials, Enrolment, PresentedPassword, RecoveryCodes, Session, TotpAction, TotpAnswer, TotpEnabled,
};
pub use signing_key::{Informed, KeyRotation, Keyset, Root, SigningKey, SigningKeys};
pub use time::{Time, parse_http_date, parse_time};
pub use users::{ApiKey, ApiKeyChange, CreatedApiKey, NewApiKey, NewUser, Role, User, UserChange};
pub use webhook::{CreatedWebhook, Delivery, DeliveryFault, DeliveryStatus, EventType, NewWebhook, Webhook};

/// What has a version: it moves with every change, and is the `ETag`.
pub trait Versioned {
    /// The version.
    fn version(&self) -> i64;
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// At most `limit` of them.
    pub items: Vec<T>,
    /// What to ask with for the next page; null: this is the last.
    pub next_cursor: Option<String>,
}

macro_rules! versioned {
    ($($name:ident),*) => {$(
        impl $crate::admin::Versioned for $name {
            fn version(&self) -> i64 {
                self.version
            }
        }
    )*};
}
use versioned;
