//! What is signed: the claims of decisions, leases, keysets and successors of root keys.
//!
//! Members are written in the order of the structs, so that equal claims are equal texts.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jose_jwt::Jwk;
use policy::{MinMatch, Reason, Rule, Rung, State};
use serde::{Deserialize, Deserializer, Serialize, de, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    Fingerprint, InstallId, LeaseId, LicenseId, MAX_INTEGER, Nonce, ProductCode, ProfileId, TokenId,
};

/// Claims of one type of signed text.
pub trait Claims: Serialize + DeserializeOwned {
    /// The `typ` of what they are signed in.
    const TYP: &'static str;
}

/// A reason as something signed says it: a stable code. Verifiers are older than servers, so it may be one that isn't known
/// here: its name is all that is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ReasonCode(Box<str>);

impl ReasonCode {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Reason> for ReasonCode {
    fn from(reason: Reason) -> Self {
        Self(reason.as_str().into())
    }
}

impl PartialEq<Reason> for ReasonCode {
    fn eq(&self, reason: &Reason) -> bool {
        self.as_str() == reason.as_str()
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    /// Reads 1 to 64 of `a` to `z`, digits and `_`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let is_code = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(is_code) {
            Ok(Self(text.into()))
        } else {
            Err(de::Error::custom("not a reason code"))
        }
    }
}

/// A decision as its verifier has it.
pub type VerifiedDecision = DecisionClaims<ReasonCode>;

/// A lease as its verifier has it.
pub type VerifiedLease = LeaseClaims<ReasonCode>;

/// A decision, as every answer of a judgement carries it. `R` is how reasons are known: [`Reason`] to who signs,
/// [`ReasonCode`] to who verifies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionClaims<R = Reason> {
    /// The server's public URL, without a slash at its end.
    pub iss: String,
    /// Whom it is about.
    pub sub: InstallId,
    /// What is licensed.
    pub aud: ProductCode,
    /// The license.
    pub lic: LicenseId,
    /// The profile that judged.
    pub pro: ProfileClaim,
    /// The license's entitlements.
    #[serde(deserialize_with = "object")]
    pub ent: Box<RawValue>,
    /// When it was judged, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub iat: i64,
    /// `iat`.
    #[serde(deserialize_with = "instant")]
    pub nbf: i64,
    /// Until when it binds whoever is shown it, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub exp: i64,
    /// Its own name.
    pub jti: TokenId,
    /// The request's nonce: this answers that request.
    pub nonce: Nonce,
    /// The request's counter; 0 of an activation.
    #[serde(deserialize_with = "number")]
    pub ctr: u64,
    /// The highest counter that was accepted.
    #[serde(deserialize_with = "number")]
    pub high: u64,
    /// What was decided.
    pub state: State,
    /// By which rule.
    pub rule: Rule,
    /// Why.
    pub reason: R,
    /// Seconds until the next heartbeat.
    #[serde(deserialize_with = "instant")]
    pub nhb: i64,
    /// What will be decided, from when on, if nothing more is heard.
    pub ladder: Vec<Rung<R>>,
    /// The digest of the fingerprint that was bound when this was judged.
    pub fpd: String,
    /// The version of the newest keyset.
    #[serde(deserialize_with = "number")]
    pub ksv: u64,
}

impl<R: Serialize + DeserializeOwned> Claims for DecisionClaims<R> {
    const TYP: &'static str = "qt-decision+jwt";
}

/// An offline lease: what holds without the server, on the machine whose fingerprint it names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseClaims<R = Reason> {
    /// The server's public URL, without a slash at its end.
    pub iss: String,
    /// Whom it is for.
    pub sub: InstallId,
    /// What is licensed.
    pub aud: ProductCode,
    /// The license.
    pub lic: LicenseId,
    /// The profile that judged.
    pub pro: ProfileClaim,
    /// The license's entitlements.
    #[serde(deserialize_with = "object")]
    pub ent: Box<RawValue>,
    /// The lease.
    pub jti: LeaseId,
    /// When it was granted, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub iat: i64,
    /// `iat`.
    #[serde(deserialize_with = "instant")]
    pub nbf: i64,
    /// The lease's end, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub exp: i64,
    /// The request's counter; 0 of an offline request.
    #[serde(deserialize_with = "number")]
    pub ctr: u64,
    /// The highest counter that was accepted.
    #[serde(deserialize_with = "number")]
    pub high: u64,
    /// The decision at `iat`, with this lease in force.
    pub state: State,
    /// By which rule.
    pub rule: Rule,
    /// Why.
    pub reason: R,
    /// What will be decided, from when on, if nothing more is heard.
    pub ladder: Vec<Rung<R>>,
    /// The bound components.
    pub fp: Fingerprint,
    /// The score at which a machine is the one that this is for.
    pub min_match: MinMatch,
    /// The weights of the bound components.
    pub weights: BTreeMap<String, u64>,
}

impl<R: Serialize + DeserializeOwned> Claims for LeaseClaims<R> {
    const TYP: &'static str = "qt-lease+jwt";
}

/// The keys that verify, signed by the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysetClaims {
    /// The server's public URL, without a slash at its end.
    pub iss: String,
    /// Larger with every change; one below the newest seen is refused.
    #[serde(deserialize_with = "number")]
    pub version: u64,
    /// When it was signed, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub iat: i64,
    /// From when on it verifies nothing new, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub exp: i64,
    /// The keys.
    pub keys: Vec<KeysetKey>,
}

impl Claims for KeysetClaims {
    const TYP: &'static str = "qt-keyset+jwt";
}

/// A key of a keyset: a JWK that says what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysetKey {
    /// The public key.
    #[serde(flatten)]
    pub jwk: Jwk,
    /// What it signs.
    pub use_for: Use,
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Decisions.
    Token,
    /// Offline leases.
    Lease,
}

impl Use {
    /// The use as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Lease => "lease",
        }
    }
}

/// The root key that follows another, signed by that other one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootClaims {
    /// The server's public URL, without a slash at its end.
    pub iss: String,
    /// When it was signed, Unix seconds.
    #[serde(deserialize_with = "instant")]
    pub iat: i64,
    /// The successor.
    pub root: Jwk,
}

impl Claims for RootClaims {
    const TYP: &'static str = "qt-root+jwt";
}

/// A version of an enforcement profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileClaim {
    /// The profile.
    pub id: ProfileId,
    /// Its version's number.
    pub version: u32,
}

/// Reads 0 to 2^53 − 1.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= MAX_INTEGER.unsigned_abs() {
        Ok(number)
    } else {
        Err(de::Error::custom("beyond 2^53 − 1"))
    }
}

/// Reads 0 to 2^53 − 1 seconds.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    number(deserializer).map(u64::cast_signed)
}

fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    let value = <Box<RawValue>>::deserialize(deserializer)?;
    if value.get().starts_with('{') { Ok(value) } else { Err(de::Error::custom("not an object")) }
}
