//! Signing keys, the keyset that publishes them, and the roots that sign it.

use serde::{Deserialize, Serialize};

use super::Time;
use crate::json::Reader;

/// A signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SigningKey {
    /// Its name, which tokens and leases carry.
    pub kid: String,
    /// `token` or `lease`.
    #[serde(rename = "use")]
    pub key_use: String,
    /// `prepared`, `active`, `retiring`, `retired` or `tainted`.
    pub status: String,
    /// When it was published.
    pub publish_at: Time,
    /// Of a prepared key: from when on it may sign.
    pub ready_at: Option<Time>,
    /// Since when it signs.
    pub sign_from: Option<Time>,
    /// Until when it may sign: some time after its successor began, for processes that hadn't heard of that.
    pub sign_until: Option<Time>,
    /// Until when it verifies.
    pub verify_until: Option<Time>,
    /// When it was found not to be trusted any more.
    pub tainted_at: Option<Time>,
}

/// The newest keyset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Keyset {
    /// Larger with every change.
    pub version: i64,
    /// The public URL that it was signed for.
    pub issuer: String,
    /// When it was signed.
    pub issued_at: Time,
    /// From when on it verifies nothing new.
    pub expires_at: Time,
}

/// A root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Root {
    /// Its name, which keysets carry.
    pub kid: String,
    /// What agents are shipped with.
    pub public_key: String,
    /// `active`: it signs keysets; `replaced`: it vouches for the one that follows.
    pub status: String,
    /// Whether its private half is in the database.
    pub in_database: bool,
    /// When it was made.
    pub created_at: Time,
    /// When the next one took over.
    pub replaced_at: Option<Time>,
}

/// How much of the fleet knows of the newest keyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Informed {
    /// How many installs there are that may call.
    pub installs: i64,
    /// How many of them were told of the keyset, by a token that was signed since: at least.
    pub informed: i64,
}

/// A page of signing keys, and what belongs to all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SigningKeys {
    /// The keys, the oldest first.
    pub items: Vec<SigningKey>,
    /// What to ask with for the next page; null: this is the last.
    pub next_cursor: Option<String>,
    /// The newest keyset.
    pub keyset: Keyset,
    /// How much of the fleet knows of it.
    pub fleet: Informed,
    /// The roots, the one that signs last.
    pub roots: Vec<Root>,
    /// What has to be seen to, for people.
    pub warnings: Vec<String>,
}

/// Which keys are moved on: `POST /v1/admin/signing-keys/rotate`.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRotation {
    /// `token` or `lease`; left out: both.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^(token|lease)$", nullable = false))]
    pub key_use: Option<String>,
}

impl KeyRotation {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let key_use = root.member("use").or_missing(|word| match word.string()? {
            known @ ("token" | "lease") => Some(known.to_owned()),
            _ => word.fail("token or lease"),
        });
        Some(Self { key_use: key_use? })
    }
}
