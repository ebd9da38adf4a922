//! Who may call the admin API: people, and scripts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{PresentedPassword, Time, versioned};
use crate::json::Reader;
use crate::{ApiKeyId, Expected, UserId};

/// What somebody may do. Each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads all but users, API keys and webhooks.
    Viewer,
    /// Works on licenses, installs, leases and profiles.
    Operator,
    /// Works on users, API keys, signing keys and webhooks.
    Owner,
}

impl Role {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Owner];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(Expected("a role: viewer, operator or owner"))
    }
}

/// A person who may sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What it signs in with, in lower case.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Whether signing in takes a code, too.
    pub totp: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
    /// Moves with every change.
    pub version: i64,
}

/// A script's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it ends; null: it has no end.
    pub expires_at: Option<Time>,
    /// When it was last called with, to the minute.
    pub last_used_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
    /// Moves with every change.
    pub version: i64,
}

/// An API key that was just made, with the key itself: the only time that it is told.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedApiKey {
    /// The key's row.
    #[serde(flatten)]
    pub row: ApiKey,
    /// The key, `qt_api_…`.
    pub api_key: String,
}

/// What a user is to be: `POST /v1/admin/users`.
#[derive(Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewUser {
    /// What it signs in with.
    #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 254))]
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// What it signs in with, too: 12 characters at least, and none of the commonest.
    pub password: PresentedPassword,
}

impl NewUser {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let email = root.member("email").text(1..=254);
        let role = root.member("role").parse();
        let password = PresentedPassword::read(root.member("password"));
        Some(Self { email: email?.to_owned(), role: role?, password: password? })
    }
}

/// What is to change of a user: `PATCH /v1/admin/users/{id}`. What is left out stays.
#[derive(Clone, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserChange {
    /// What it signs in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 254, nullable = false))]
    pub email: Option<String>,
    /// What it may do. Its sessions end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub role: Option<Role>,
    /// What it signs in with, too. Its sessions end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub password: Option<PresentedPassword>,
}

impl UserChange {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let email = root.member("email").or_missing(|email| email.text(1..=254));
        let role = root.member("role").or_missing(|role| role.parse());
        let password = root.member("password").or_missing(PresentedPassword::read);
        Some(Self { email: email?.map(str::to_owned), role: role?, password: password? })
    }
}

/// What an API key is to be: `POST /v1/admin/api-keys`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewApiKey {
    /// What it is called.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it ends; null, or left out: it has no end.
    pub expires_at: Option<Time>,
}

impl NewApiKey {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let name = root.member("name").text(1..=100);
        let role = root.member("role").parse();
        let expires_at = root.member("expires_at").or_missing(|end| end.or_null(Time::read));
        Some(Self { name: name?.to_owned(), role: role?, expires_at: expires_at?.flatten() })
    }
}

/// What is to change of an API key: `PATCH /v1/admin/api-keys/{id}`. What is left out stays.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKeyChange {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100, nullable = false))]
    pub name: Option<String>,
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub role: Option<Role>,
    /// When it ends; null: it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Time>))]
    pub expires_at: Option<Option<Time>>,
}

impl ApiKeyChange {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let name = root.member("name").or_missing(|name| name.text(1..=100));
        let role = root.member("role").or_missing(|role| role.parse());
        let expires_at = root.member("expires_at").or_missing(|end| end.or_null(Time::read));
        Some(Self { name: name?.map(str::to_owned), role: role?, expires_at: expires_at? })
    }
}

versioned!(User, ApiKey);

impl super::Versioned for CreatedApiKey {
    fn version(&self) -> i64 {
        self.row.version
    }
}
