//! Enforcement profiles: knobs in versions.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Time, versioned};
use crate::ProfileId;
use crate::json::Reader;

/// A profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// Its name.
    pub name: String,
    /// The number of the version that judges.
    pub active_number: i32,
    /// That version's knobs, every one of them.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub knobs: Box<RawValue>,
    /// Of how many installs in a hundred that version judges; the rest is judged by `previous_number`.
    pub percent: i32,
    /// The version that judges the rest; null: there is none.
    pub previous_number: Option<i32>,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
    /// Moves with every change.
    pub version: i64,
}

versioned!(Profile);

/// A version of a profile. Once published it never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileVersion {
    /// From 1.
    pub number: i32,
    /// Its knobs, every one of them.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub knobs: Box<RawValue>,
    /// When it was published first; null: it is a draft.
    pub published_at: Option<Time>,
}

/// What a profile is to be: `POST /v1/admin/profiles`. Its knobs are published as version 1.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewProfile {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    /// Its knobs; one that is left out has its default.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub knobs: Box<RawValue>,
}

impl NewProfile {
    /// Reads a body. What is wrong with the knobs themselves is found when they are published.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let name = root.member("name").text(1..=100);
        let knobs = knobs(root.member("knobs"));
        Some(Self { name: name?.to_owned(), knobs: knobs? })
    }
}

/// A draft of a profile's next version: `POST /v1/admin/profiles/{id}/versions`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewVersion {
    /// Its knobs; one that is left out has its default.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub knobs: Box<RawValue>,
}

impl NewVersion {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        Some(Self { knobs: knobs(root.member("knobs"))? })
    }
}

/// To whom a version is published: `POST /v1/admin/profiles/{id}/versions/{n}/publish`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Publication {
    /// To how many installs in a hundred, always the same ones; left out: to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100, nullable = false))]
    pub percent: Option<i32>,
}

impl Publication {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let percent = root.member("percent").or_missing(|percent| percent.integer(1..=100))?;
        Some(Self { percent: percent.and_then(|percent| i32::try_from(percent).ok()) })
    }
}

fn knobs(value: Reader<'_>) -> Option<Box<RawValue>> {
    RawValue::from_string(value.object()?.text.to_owned()).ok()
}
