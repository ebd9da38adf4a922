//! Licenses: the commercial terms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use super::{Time, Versioned, versioned};
use crate::json::{self, Reader};
use crate::{Expected, LicenseId, MAX_INTEGER, ProductCode, ProfileId};

/// How many bytes entitlements and metadata have at most: the former stand in every token.
const LONGEST_OBJECT: usize = 4096;

/// The most installs that a license may have seats for.
const MOST_SEATS: i64 = 1_000_000;

/// What an operator has made of a license.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LicenseStatus {
    /// Neither of the others.
    Active,
    /// Suspended, and not revoked.
    Suspended,
    /// Revoked, for good.
    Revoked,
}

impl LicenseStatus {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Revoked];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for LicenseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LicenseStatus {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(Expected("active, suspended or revoked"))
    }
}

/// A license.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct License {
    /// Its id.
    pub id: LicenseId,
    /// What it is for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product: ProductCode,
    /// Whose it is.
    pub customer: String,
    /// The profile that judges its installs.
    pub profile_id: ProfileId,
    /// What an operator has made of it.
    pub status: LicenseStatus,
    /// How many installs may hold a seat.
    pub max_installs: i32,
    /// First instant of its term.
    pub starts_at: Time,
    /// End of its term; null: it has no end.
    pub expires_at: Option<Time>,
    /// What tokens carry.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub entitlements: Box<RawValue>,
    /// Its own cap on leases, seconds; null: none of its own.
    pub lease_max_seconds: Option<i64>,
    /// The operator's own notes.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Box<RawValue>,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
    /// Moves with every change.
    pub version: i64,
}

versioned!(License);

/// A license that was just made or given a new key, with that key: the only time that it is told unasked.
#[derive(Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LicenseWithKey {
    /// The license.
    #[serde(flatten)]
    pub license: License,
    /// The key as it is printed, `QT1-…`.
    pub license_key: String,
}

/// A value that keeps its letters can't be read from a flattened member, so the text is read twice.
impl<'de> Deserialize<'de> for LicenseWithKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Key {
            license_key: String,
        }
        let whole = Box::<RawValue>::deserialize(deserializer)?;
        let license = serde_json::from_str(whole.get()).map_err(de::Error::custom)?;
        let Key { license_key } = serde_json::from_str(whole.get()).map_err(de::Error::custom)?;
        Ok(Self { license, license_key })
    }
}

impl Versioned for LicenseWithKey {
    fn version(&self) -> i64 {
        self.license.version
    }
}

/// A license's key, which was asked for.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevealedKey {
    /// The key as it is printed, `QT1-…`.
    pub license_key: String,
}

/// What a license is to be: `POST /v1/admin/licenses`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewLicense {
    /// What it is for.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub product: ProductCode,
    /// Whose it is.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub customer: String,
    /// The profile that judges its installs.
    pub profile_id: ProfileId,
    /// How many installs may hold a seat.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1_000_000))]
    pub max_installs: i32,
    /// First instant of its term; null, or left out: now.
    pub starts_at: Option<Time>,
    /// End of its term, later than that; null, or left out: it has no end.
    pub expires_at: Option<Time>,
    /// What tokens carry, 4096 bytes at most; left out: nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = Object, required = false))]
    pub entitlements: Box<RawValue>,
    /// Its own cap on leases, seconds; null, or left out: none of its own.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 9_007_199_254_740_991_i64))]
    pub lease_max_seconds: Option<i64>,
    /// The operator's own notes, 4096 bytes at most; left out: none.
    #[cfg_attr(feature = "openapi", schema(value_type = Object, required = false))]
    pub metadata: Box<RawValue>,
}

impl NewLicense {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let product = root.member("product").parse();
        let customer = root.member("customer").text(1..=200);
        let profile_id = root.member("profile_id").parse();
        let max_installs = seats(root.member("max_installs"));
        let starts_at = root.member("starts_at").or_missing(|time| time.or_null(Time::read));
        let expires_at = root.member("expires_at").or_missing(|time| time.or_null(Time::read));
        let entitlements = root.member("entitlements").or_missing(object);
        let lease_max_seconds = root.member("lease_max_seconds").or_missing(|cap| cap.or_null(seconds));
        let metadata = root.member("metadata").or_missing(object);
        Some(Self {
            product: product?,
            customer: customer?.to_owned(),
            profile_id: profile_id?,
            max_installs: max_installs?,
            starts_at: starts_at?.flatten(),
            expires_at: expires_at?.flatten(),
            entitlements: entitlements?.unwrap_or_else(empty),
            lease_max_seconds: lease_max_seconds?.flatten(),
            metadata: metadata?.unwrap_or_else(empty),
        })
    }
}

/// What is to change of a license: `PATCH /v1/admin/licenses/{id}`. What is left out stays. What it is for stays, too:
/// fingerprints are hashed under the product's code.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LicenseChange {
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200, nullable = false))]
    pub customer: Option<String>,
    /// The profile that judges its installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub profile_id: Option<ProfileId>,
    /// How many installs may hold a seat. Where it is lowered, the newest beyond it are over it from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1_000_000, nullable = false))]
    pub max_installs: Option<i32>,
    /// First instant of its term.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub starts_at: Option<Time>,
    /// End of its term, later than that; null: it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Time>))]
    pub expires_at: Option<Option<Time>>,
    /// What tokens carry, 4096 bytes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object, nullable = false, required = false))]
    pub entitlements: Option<Box<RawValue>>,
    /// Its own cap on leases, seconds; null: none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<i64>, minimum = 0, maximum = 9_007_199_254_740_991_i64)
    )]
    pub lease_max_seconds: Option<Option<i64>>,
    /// The operator's own notes, 4096 bytes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object, nullable = false, required = false))]
    pub metadata: Option<Box<RawValue>>,
}

impl LicenseChange {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let product = root.member("product");
        let product: Option<()> = if product.is_missing() {
            Some(())
        } else {
            product.fail("nothing: what a license is for stays")
        };
        let customer = root.member("customer").or_missing(|customer| customer.text(1..=200));
        let profile_id = root.member("profile_id").or_missing(|profile| profile.parse());
        let max_installs = root.member("max_installs").or_missing(seats);
        let starts_at = root.member("starts_at").or_missing(Time::read);
        let expires_at = root.member("expires_at").or_missing(|time| time.or_null(Time::read));
        let entitlements = root.member("entitlements").or_missing(object);
        let lease_max_seconds = root.member("lease_max_seconds").or_missing(|cap| cap.or_null(seconds));
        let metadata = root.member("metadata").or_missing(object);
        product?;
        Some(Self {
            customer: customer?.map(str::to_owned),
            profile_id: profile_id?,
            max_installs: max_installs?,
            starts_at: starts_at?,
            expires_at: expires_at?,
            entitlements: entitlements?,
            lease_max_seconds: lease_max_seconds?,
            metadata: metadata?,
        })
    }
}

fn seats(value: Reader<'_>) -> Option<i32> {
    i32::try_from(value.integer(0..=MOST_SEATS)?).ok()
}

fn seconds(value: Reader<'_>) -> Option<i64> {
    value.integer(0..=MAX_INTEGER)
}

/// An object as it was spelled.
fn object(value: Reader<'_>) -> Option<Box<RawValue>> {
    let json = value.object()?;
    // U+0000 can't stand in the database's texts, which is where notes are searched in.
    let fits = json.text.len() <= LONGEST_OBJECT && !json.text.contains("\\u0000");
    let kept = fits.then(|| RawValue::from_string(json.text.to_owned()).ok()).flatten();
    kept.or_else(|| value.fail(format_args!("an object of at most {LONGEST_OBJECT} bytes, without U+0000")))
}

fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("an empty object is JSON")
}

/// An object for an argument of the command line.
///
/// # Errors
/// What it has to be.
pub fn parse_object(text: &str) -> Result<Box<RawValue>, Expected> {
    let expected = || Expected("a JSON object of at most 4096 bytes, no member twice");
    let parsed = json::parse(text.as_bytes()).map_err(|_| expected())?;
    json::read(&parsed, object).map_err(|_| expected())
}
