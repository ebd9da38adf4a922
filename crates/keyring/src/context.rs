use std::{fmt, str::FromStr};

use crate::{Error, cipher::associated_data};

/// What a wrapped key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Seals and opens column values.
    DataKey,
    /// Makes the blind index over license keys.
    LookupKey,
}

impl Purpose {
    /// Its name, as it is stored and authenticated.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DataKey => "data-key",
            Self::LookupKey => "lookup-key",
        }
    }
}

impl FromStr for Purpose {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::DataKey, Self::LookupKey]
            .into_iter()
            .find(|purpose| purpose.as_str() == name)
            .ok_or(Error::Purpose)
    }
}

/// The encryption context that a wrapped key is bound to: it unwraps under no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Context {
    /// What the key is for.
    pub purpose: Purpose,
    /// Which of the keys of this purpose it is, from 1 on.
    pub version: u32,
}

impl Context {
    pub(crate) fn associated_data(self) -> Vec<u8> {
        associated_data([self.purpose.as_str().as_bytes(), &self.version.to_be_bytes()])
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.purpose.as_str(), self.version)
    }
}
