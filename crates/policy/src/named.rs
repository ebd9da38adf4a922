//! Enumerations whose members have names in the protocol: written once, read and printed alike everywhere.

/// A name that isn't one of those known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} has that name")]
pub struct Unknown {
    pub(crate) what: &'static str,
}

/// An enumeration whose members have names in the protocol.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$member_doc:meta])* $member:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$member_doc])* $member),*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$member),*];

            /// Its name in the protocol.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $text),*
                }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Unknown;

            fn from_str(text: &str) -> Result<Self, $crate::Unknown> {
                match text {
                    $($text => Ok(Self::$member),)*
                    _ => Err($crate::Unknown { what: $what }),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as ::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use named;
