/// Why something that came from outside was refused.
///
/// It says which check failed and quotes nothing of what was checked, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Padding, a character outside the alphabet, stray bits, or a length that it can't have.
    #[error("not canonical base64url")]
    Base64Url,
    /// Not as many parts as the compact serialization has, or one of another length than it must have.
    #[error("not in compact serialization")]
    Serialization,
    /// Not a JSON object, a member that stands twice, or one that is missing or isn't what it must be.
    #[error("protected header is not as it must be")]
    Header,
    /// An algorithm or an encryption other than the one that is taken here, or a compression.
    #[error("algorithm is not accepted")]
    Algorithm,
    /// The header has `crit`; no extension is understood here (RFC 7515 section 4.1.11).
    #[error("critical header extensions are not understood")]
    Critical,
    /// `typ` is not the expected one.
    #[error("type is not the expected one")]
    Type,
    /// Of Ed25519 not the canonical encoding of a point on the curve; or a point of low order.
    #[error("not an acceptable public key")]
    PublicKey,
    /// A JWK with another `kty`, `crv` or `use`, or whose `kid`, where it needs one, is not its thumbprint.
    #[error("not an acceptable JWK")]
    Jwk,
    /// The signature isn't this key's over this text.
    #[error("signature does not verify")]
    Signature,
    /// Another key, or something in the text was changed.
    #[error("ciphertext does not open")]
    Decryption,
}
