//! Signing in, and the second factor.

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Role, Time};
use crate::json::Reader;
use crate::{ApiKeyId, UserId};

/// What somebody says is a password. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct PresentedPassword(Zeroizing<String>);

impl PresentedPassword {
    /// Keeps a text as it was given.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Reads a body's member.
    pub(super) fn read(value: Reader<'_>) -> Option<Self> {
        value.text(1..=1024).map(Self::new)
    }
}

impl Serialize for PresentedPassword {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
    use utoipa::{PartialSchema, ToSchema};

    impl PartialSchema for super::PresentedPassword {
        fn schema() -> RefOr<Schema> {
            let password =
                ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(1024));
            password.format(Some(SchemaFormat::KnownFormat(KnownFormat::Password))).into()
        }
    }

    impl ToSchema for super::PresentedPassword {}
}

/// What somebody signs in with: `POST /v1/admin/session`.
#[derive(Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Credentials {
    /// An e-mail address.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 254))]
    pub email: String,
    /// Its password.
    pub password: PresentedPassword,
    /// A code of the authenticator app's, or one that stands in for it, where the account has a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub totp: Option<String>,
}

impl Credentials {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let email = root.member("email").text(1..=254);
        let password = PresentedPassword::read(root.member("password"));
        let totp = root.member("totp").or_missing(|totp| totp.or_null(|totp| totp.text(1..=64)));
        Some(Self { email: email?.to_owned(), password: password?, totp: totp?.flatten().map(str::to_owned) })
    }
}

/// What is to be done about the second factor: `POST /v1/admin/session/totp`.
#[derive(Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum TotpAction {
    /// Begin one: answered with an enrolment, which a code of it has to confirm.
    Enrol {
        /// The password of whoever is signed in.
        password: PresentedPassword,
    },
    /// Put it into force: answered with recovery codes.
    Confirm {
        /// A code of the enrolled seed.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
        totp: String,
    },
    /// End it.
    Remove {
        /// The password of whoever is signed in.
        password: PresentedPassword,
        /// A code, or one that stands in for it; not wanted of one that was never confirmed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
        totp: Option<String>,
    },
}

impl TotpAction {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let action = root.member("action");
        match action.string()? {
            "enrol" => Some(Self::Enrol { password: PresentedPassword::read(root.member("password"))? }),
            "confirm" => Some(Self::Confirm { totp: root.member("totp").text(1..=64)?.to_owned() }),
            "remove" => {
                let password = PresentedPassword::read(root.member("password"));
                let totp = root.member("totp").or_missing(|totp| totp.or_null(|totp| totp.text(1..=64)));
                Some(Self::Remove { password: password?, totp: totp?.flatten().map(str::to_owned) })
            }
            _ => action.fail("enrol, confirm or remove"),
        }
    }
}

/// What the second factor's route answers, by what was asked.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum TotpAnswer {
    /// To `enrol`.
    Enrolled(Enrolment),
    /// To `confirm`.
    Confirmed(RecoveryCodes),
    /// To `remove`.
    Removed(TotpEnabled),
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The person who is signed in; null: a script calls.
    pub user_id: Option<UserId>,
    /// The key that a script calls with; null: a person is signed in.
    pub api_key_id: Option<ApiKeyId>,
    /// The person's address or the key's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether the person's signing in takes a code, too.
    pub totp: bool,
    /// When this ends, used or not; null: a key without an end.
    pub expires_at: Option<Time>,
}

/// A second factor that is not in force yet: a code confirms it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolment {
    /// The seed in base32, to be typed.
    pub secret: String,
    /// The seed for an authenticator app, `otpauth://totp/…`: the QR code's payload.
    pub otpauth_uri: String,
    /// The QR code of that: its rows from the top, `1` a dark module, `0` a light one; without the quiet zone.
    pub qr: Vec<String>,
}

/// Codes that stand in for the second factor, each once. This is the only time that they are told.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryCodes {
    /// Ten of them.
    pub recovery_codes: Vec<String>,
}

/// Whether signing in takes a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TotpEnabled {
    /// Whether it does.
    pub totp: bool,
}
