//! Signed texts: made by the server, verified by everyone else.

use jose_jwt::{PublicKey, SigningKey, jws};
use policy::Rung;
use serde::Serialize;

use crate::{
    InstallId, Nonce, ProductCode,
    claims::{Claims, ReasonCode, Use, VerifiedDecision, VerifiedLease},
    json,
    keyset::Keyset,
    response::CompactJose,
};

/// By how much an answer may be older than the newest that was verified, in seconds.
const MAX_AGE_BEHIND: i64 = 60;

/// Why a signed text is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWS that is taken, or its signature isn't this key's.
    #[error("not a signed text that is taken")]
    Jose(#[from] jose_jwt::Error),
    /// Of another type.
    #[error("type is not the expected one")]
    Type,
    /// Signed by a key that isn't known: the keyset may be old.
    #[error("signed by a key that is not known")]
    UnknownKey,
    /// The keyset has expired: it verifies nothing new.
    #[error("keyset has expired")]
    KeysetExpired,
    /// Signed well, but its claims aren't as described.
    #[error("claims are not as described")]
    Claims,
    /// Of another server.
    #[error("issuer is {0:?}, not the expected one")]
    Issuer(String),
    /// For another product.
    #[error("audience is not the expected one")]
    Audience,
    /// About another install.
    #[error("subject is not the expected one")]
    Subject,
    /// Past its `exp`.
    #[error("token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("token is not valid yet")]
    Early,
    /// The answer to another request.
    #[error("answers another request")]
    OtherRequest,
    /// Older than what was verified before.
    #[error("older than the newest that was verified")]
    Old,
}

/// What a signed text has to be about to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The server, compared as bytes.
    pub iss: &'a str,
    /// The product.
    pub aud: &'a ProductCode,
    /// The install.
    pub sub: InstallId,
    /// The time in Unix seconds, if `exp` and the keyset's are to be looked at; not for what was verified before
    /// and comes from the disk.
    pub now: Option<i64>,
    /// The nonce and the counter of the request that it answers, if it does. A lease answers by its counter alone.
    pub request: Option<(Nonce, u64)>,
    /// The newest `iat` that was verified.
    pub newest: Option<i64>,
}

/// Signs claims.
#[must_use]
pub fn sign<C: Claims>(claims: &C, key: &SigningKey) -> CompactJose {
    CompactJose(jws::sign(C::TYP, &to_json(claims), key))
}

/// Writes claims as the text that is signed.
fn to_json(claims: &impl Serialize) -> Vec<u8> {
    const USUAL: usize = 1024;
    let mut payload = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut payload, claims).expect("claims are structs of plain values");
    payload
}

/// Verifies a decision with the keyset's token keys.
pub fn verify_decision(
    text: &str,
    keyset: &Keyset,
    expect: &Expect<'_>,
) -> Result<VerifiedDecision, TokenError> {
    let claims: VerifiedDecision = open_with(text, keyset, Use::Token, expect)?;
    let VerifiedDecision { iss, aud, sub, iat, exp, ladder, .. } = &claims;
    check_order(ladder)?;
    expect.check(iss, aud, *sub, *iat, *exp)?;
    if expect.request.is_some_and(|request| request != (claims.nonce, claims.ctr)) {
        return Err(TokenError::OtherRequest);
    }
    Ok(claims)
}

/// Verifies an opened lease with the keyset's lease keys.
pub fn verify_lease(text: &str, keyset: &Keyset, expect: &Expect<'_>) -> Result<VerifiedLease, TokenError> {
    let claims: VerifiedLease = open_with(text, keyset, Use::Lease, expect)?;
    let VerifiedLease { iss, aud, sub, iat, exp, ladder, .. } = &claims;
    check_order(ladder)?;
    expect.check(iss, aud, *sub, *iat, *exp)?;
    if expect.request.is_some_and(|(_, counter)| counter != claims.ctr) {
        return Err(TokenError::OtherRequest);
    }
    Ok(claims)
}

impl Expect<'_> {
    fn check(
        &self,
        iss: &str,
        aud: &ProductCode,
        sub: InstallId,
        iat: i64,
        exp: i64,
    ) -> Result<(), TokenError> {
        if iss != self.iss {
            return Err(TokenError::Issuer(iss.to_owned()));
        }
        if aud != self.aud {
            return Err(TokenError::Audience);
        }
        if sub != self.sub {
            return Err(TokenError::Subject);
        }
        if self.now.is_some_and(|now| now >= exp) {
            return Err(TokenError::Expired);
        }
        if self.newest.is_some_and(|newest| iat < newest.saturating_sub(MAX_AGE_BEHIND)) {
            return Err(TokenError::Old);
        }
        Ok(())
    }
}

/// Each rung is later than the one before.
fn check_order(ladder: &[Rung<ReasonCode>]) -> Result<(), TokenError> {
    if ladder.is_sorted_by(|rung, next| rung.at < next.at) { Ok(()) } else { Err(TokenError::Claims) }
}

fn open_with<C: Claims>(text: &str, keyset: &Keyset, of: Use, expect: &Expect<'_>) -> Result<C, TokenError> {
    if expect.now.is_some_and(|now| keyset.is_expired(now)) {
        return Err(TokenError::KeysetExpired);
    }
    open(text, |kid| keyset.key(kid, of))
}

/// Verifies a text's type and signature, and reads its claims.
pub(crate) fn open<'k, C: Claims>(
    text: &str,
    key: impl FnOnce(&str) -> Option<&'k PublicKey>,
) -> Result<C, TokenError> {
    let compact = jws::Compact::parse(text)?;
    if compact.typ() != C::TYP {
        return Err(TokenError::Type);
    }
    let payload = compact.verify(key(compact.kid()).ok_or(TokenError::UnknownKey)?)?;
    json::decode(payload).ok_or(TokenError::Claims)
}
