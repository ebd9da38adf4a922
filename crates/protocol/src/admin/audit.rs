//! The admin audit log: who changed what.

use std::str::FromStr;

use super::Time;
use crate::{ActorId, AuditId, Expected};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A change, and who made it. No row ever changes or goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRow {
    /// Its place in the chain, from 1 without a gap.
    pub seq: i64,
    /// Its id.
    pub id: AuditId,
    /// When it was made.
    pub at: Time,
    /// What kind of actor made it.
    pub actor: ActorKind,
    /// The user's or the key's id.
    pub actor_id: Option<ActorId>,
    /// The user's address or the key's name.
    pub actor_name: String,
    /// Where the request came from.
    pub address: Option<String>,
    /// What was done, like `license.suspend`.
    pub action: String,
    /// To what kind of thing, like `license`.
    pub resource: String,
    /// To which.
    pub resource_id: String,
    /// How it was; null where there was nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub before: Option<Box<RawValue>>,
    /// How it is since; null where nothing is left.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub after: Option<Box<RawValue>>,
    /// The hash of this row and, through the hash before it, of all before it: lower-case hex.
    pub hash: String,
}

/// Who changes things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person who is signed in.
    User,
    /// A script with its key.
    ApiKey,
    /// Whoever may run `qubictether` over the database.
    CommandLine,
}

impl ActorKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::User, Self::ApiKey, Self::CommandLine];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::CommandLine => "command_line",
        }
    }
}

impl FromStr for ActorKind {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(Expected("a kind of actor"))
    }
}

/// What walking the chain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainCheck {
    /// Whether every row is what it was when it was written, and none is missing.
    pub intact: bool,
    /// How many rows hold, from the first on.
    pub rows: i64,
    /// The hash of the last of them. Kept elsewhere, it shows later whether the log was rewritten as a whole.
    pub hash: String,
    /// The place of the first row that doesn't hold.
    pub broken_at: Option<i64>,
    /// What is wrong there.
    pub detail: Option<String>,
}
