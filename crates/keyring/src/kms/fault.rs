use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use super::KmsKeyId;
use crate::Error;

/// What KMS has against a key or a request, or what is wrong with the way to it; and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmsFault {
    /// `DisabledException`.
    #[error("is disabled: enable it in KMS")]
    Disabled,
    /// `KMSInvalidStateException` of a key that is to be deleted.
    #[error(
        "is about to be deleted, and what it wraps is lost with it: cancel the deletion in KMS, then enable the key"
    )]
    PendingDeletion,
    /// `KMSInvalidStateException`.
    #[error("is in a state in which KMS doesn't use it: see the key's page in KMS")]
    State,
    /// `NotFoundException`.
    #[error(
        "isn't there: it was deleted, or QT_KMS_KEY_ID or the region is wrong. What a deleted key has wrapped can't be \
         had back"
    )]
    NotFound,
    /// `IncorrectKeyException`.
    #[error(
        "isn't the one that wrapped the keys: QT_KMS_KEY_ID has to name that one, which stands in the column \
         wrapped_by of the table wrapped_keys; `qubictether keys rewrap` moves to another"
    )]
    OtherKey,
    /// `AccessDeniedException`.
    #[error(
        "may not be used by these credentials: the key's policy, or a policy of the role or user, has to allow \
         kms:Decrypt, and kms:Encrypt where keys are made or wrapped anew, for this encryption context"
    )]
    Denied,
    /// `InvalidKeyUsageException`.
    #[error("can't encrypt: it has to be a symmetric key, SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT")]
    Usage,
    /// The credentials are there, but not taken.
    #[error(
        "can't be used with these credentials, which AWS doesn't take: renew them, or see to the machine's clock"
    )]
    BadCredentials,
    /// No credentials anywhere.
    #[error(
        "can't be used without AWS credentials: give this process a role, or set AWS_ACCESS_KEY_ID and the like"
    )]
    NoCredentials,
    /// No region anywhere.
    #[error("is in no known region: set AWS_REGION, or name the key by its ARN")]
    NoRegion,
    /// `ThrottlingException`, after every attempt.
    #[error("is asked for too often, KMS throttles: try again later, or have the quota raised")]
    Throttled,
    /// No answer, or one that KMS itself failed; after every attempt.
    #[error(
        "can't be reached, KMS doesn't answer: is there a way to it from here (the region, a VPC endpoint, \
         AWS_ENDPOINT_URL)?"
    )]
    Unreachable,
    /// What came back isn't what KMS sends.
    #[error("isn't reached: what answers isn't KMS. Is AWS_ENDPOINT_URL right?")]
    Answer,
    /// Anything else that KMS says.
    #[error("is refused by KMS")]
    Refused,
}

impl KmsFault {
    /// Whether the same call may succeed later, without anybody's doing.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable)
    }

    pub(super) fn of(self, key: &KmsKeyId, said: Option<String>) -> Error {
        Error::Kms { key: key.to_string(), fault: self, source: said.map(Said) }
    }

    fn of_code(code: &str, message: &str) -> Self {
        match code {
            "DisabledException" => Self::Disabled,
            "KMSInvalidStateException" if message.contains("pending deletion") => Self::PendingDeletion,
            "KMSInvalidStateException" => Self::State,
            "NotFoundException" => Self::NotFound,
            "IncorrectKeyException" => Self::OtherKey,
            "AccessDeniedException" => Self::Denied,
            "InvalidKeyUsageException" => Self::Usage,
            "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Self::BadCredentials,
            "ThrottlingException" | "LimitExceededException" => Self::Throttled,
            "DependencyTimeoutException" | "KMSInternalException" | "KeyUnavailableException" => {
                Self::Unreachable
            }
            _ => Self::Refused,
        }
    }
}

/// What KMS said, or what the way to it did. Never what was to be wrapped, or what came unwrapped: the SDK's own errors
/// may print whole answers, so that only these words are kept of them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

/// Reads an error of the SDK's.
pub(super) fn read<E: ProvideErrorMetadata, R>(key: &KmsKeyId, error: &SdkError<E, R>) -> Error {
    match error {
        SdkError::ServiceError(answer) => {
            let (code, message) = (answer.err().code(), answer.err().message().unwrap_or_default());
            let Some(code) = code else { return KmsFault::Answer.of(key, None) };
            KmsFault::of_code(code, message).of(key, Some(format!("{code}: {message}")))
        }
        SdkError::DispatchFailure(failure) => {
            let Some(error) = failure.as_connector_error() else {
                return KmsFault::Unreachable.of(key, None);
            };
            let fault = if causes(error).any(<dyn StdError>::is::<CredentialsError>) {
                KmsFault::NoCredentials
            } else {
                KmsFault::Unreachable
            };
            let words: Vec<_> = causes(error).map(ToString::to_string).collect();
            fault.of(key, Some(words.join(": ")))
        }
        SdkError::TimeoutError(_) => KmsFault::Unreachable.of(key, Some("no answer in time".to_owned())),
        SdkError::ResponseError(_) => KmsFault::Answer.of(key, None),
        _ => KmsFault::Refused.of(key, None),
    }
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
