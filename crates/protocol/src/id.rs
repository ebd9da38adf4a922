//! Identifiers: UUIDs in their canonical spelling, lower-case with hyphens (RFC 9562 section 4).

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::Expected;

/// Reads a UUID in its canonical spelling and no other.
pub fn parse_uuid(text: &str) -> Result<Uuid, Expected> {
    // Of the spellings that `Uuid` reads, only the one with hyphens and without an envelope is 36 long.
    let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    canonical.then(|| Uuid::try_parse(text).ok()).flatten().ok_or(Expected("a UUID, lower-case with hyphens"))
}

/// A UUID of version 7 (RFC 9562 section 5.7), from the time in Unix milliseconds and ten random bytes.
///
/// A time before 1970 counts as 1970.
#[must_use]
pub fn v7(unix_millis: i64, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(unix_millis).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The identifier that this UUID is.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A new identifier of version 7; see [`v7`].
            #[must_use]
            pub fn new(unix_millis: i64, random: [u8; 10]) -> Self {
                Self(v7(unix_millis, random))
            }

            /// The UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Expected;

            fn from_str(text: &str) -> Result<Self, Expected> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use utoipa::openapi::{ObjectBuilder, SchemaFormat, Type};
                let uuid = ObjectBuilder::new().schema_type(Type::String);
                uuid.format(Some(SchemaFormat::Custom("uuid".to_owned()))).into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )+};
}

ids! {
    /// One activated machine.
    InstallId;
    /// A license.
    LicenseId;
    /// An offline lease.
    LeaseId;
    /// An enforcement profile.
    ProfileId;
    /// A decision's token: its `jti`.
    TokenId;
    /// A person who may sign in.
    UserId;
    /// A script's key.
    ApiKeyId;
    /// Who made a change: a user or a key.
    ActorId;
    /// A row of the admin audit log.
    AuditId;
    /// What an operator did to several things at once.
    BatchId;
    /// A row of the audit log of contacts.
    HeartbeatId;
    /// Somebody who is told of changes.
    WebhookId;
    /// What is told to webhooks: a message.
    DeliveryId;
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANONICAL: &str = "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50";

    #[test]
    fn only_the_canonical_spelling_is_read() {
        let id: InstallId = CANONICAL.parse().unwrap();
        assert_eq!(id.to_string(), CANONICAL);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{CANONICAL}\""));
        assert_eq!(serde_json::from_str::<InstallId>(&format!("\"{CANONICAL}\"")).unwrap(), id);
        for other in [
            "",
            "0192F0A1-7C3B-7D52-9E0A-5B1C2D3E4F50",
            "0192f0a17c3b7d529e0a5b1c2d3e4f50",
            "{0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50}",
            "urn:uuid:0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50",
            " 0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50",
            "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f5",
            "0192f0a17-c3b-7d52-9e0a-5b1c2d3e4f50",
            "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4fg0",
            "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4\u{e9}",
        ] {
            assert!(other.parse::<InstallId>().is_err(), "{other}");
        }
    }

    #[test]
    fn version_7_carries_the_time_and_sorts_by_it() {
        let early = InstallId::new(1_790_000_123_000, [0xff; 10]);
        let late = InstallId::new(1_790_000_123_001, [0; 10]);
        assert!(early < late);
        // RFC 9562 appendix A.6.
        let random = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        assert_eq!(v7(0x017f_22e2_79b0, random).to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(InstallId::new(-1, [0; 10]), InstallId::new(0, [0; 10]));
    }
}
