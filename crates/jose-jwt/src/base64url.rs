//! Base64url without padding (RFC 4648 section 5, RFC 7515 section 2), in its canonical spelling only.
//!
//! Of every byte string there is exactly one accepted spelling: no padding, no white space, and the bits that
//! the last character carries beyond the last byte are zero.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as ENGINE, Engine as _};
use zeroize::Zeroizing;

use crate::Error;

/// Spells bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}

/// Appends the spelling of `bytes` to `text`.
pub(crate) fn encode_onto(text: &mut String, bytes: &[u8]) {
    ENGINE.encode_string(bytes, text);
}

/// Reads bytes of any number; [`Error::Base64Url`] for what isn't canonical.
pub fn decode(text: &str) -> Result<Vec<u8>, Error> {
    ENGINE.decode(text).map_err(|_| Error::Base64Url)
}

/// Reads exactly `N` bytes; [`Error::Base64Url`] for another number of them too.
///
/// What is read may be a secret: no copy of it stays behind.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], Error> {
    let bytes = Zeroizing::new(decode(text)?);
    bytes.as_slice().try_into().map_err(|_| Error::Base64Url)
}
