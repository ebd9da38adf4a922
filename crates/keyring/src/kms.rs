mod fault;
mod key_id;

use std::{collections::HashMap, fmt, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{Client, error::ProvideErrorMetadata as _, primitives::Blob};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use zeroize::Zeroizing;

pub(crate) use self::fault::Said;
pub use self::{fault::KmsFault, key_id::KmsKeyId};
use crate::{Context, Error, KeyEncryption, Pending, Wrapped};

/// How long a connection, one attempt and all attempts of a call may take. A Lambda function has 10 s to start in,
/// and other things to do.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(8);

/// How often a call is tried that is throttled or not answered, and within which bounds it waits before: for a random
/// part of 0.1 s at first, then twice that and so on, so that functions which start together don't come back together.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A symmetric key of AWS KMS, which never leaves it.
///
/// Wrapping is one call of `Encrypt`, unwrapping one of `Decrypt`, each with the encryption context `purpose` and
/// `version`; so a policy can allow them for these keys alone, and KMS's own log says which one was unwrapped.
pub struct KmsProvider {
    client: Client,
    key_id: KmsKeyId,
}

impl KmsProvider {
    /// The key of that id, by the region, the credentials and the endpoint (`AWS_ENDPOINT_URL`) that the AWS SDK finds
    /// where it always looks: in the environment, a profile, the role of the machine or the function. Of a key named by
    /// its ARN the region is the ARN's. KMS isn't called yet.
    ///
    /// # Errors
    /// [`KmsFault::NoRegion`] when no region is to be found.
    pub async fn new(key_id: KmsKeyId) -> Result<Self, Error> {
        Box::pin(Self::over(aws_config::defaults(BehaviorVersion::v2026_01_12()), key_id)).await
    }

    /// The key of that id, by an SDK for which the caller has settled where KMS is, or who asks.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub async fn over(sdk: ConfigLoader, key_id: KmsKeyId) -> Result<Self, Error> {
        let http = aws_smithy_http_client::Builder::new();
        let mut sdk = sdk
            .http_client(http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(CALL)
                    .build(),
            )
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(FIRST_WAIT)
                    .with_max_backoff(LONGEST_WAIT),
            );
        if let Some(region) = key_id.region() {
            sdk = sdk.region(Region::new(region.to_owned()));
        }
        let sdk = Box::pin(sdk.load()).await;
        if sdk.region().is_none() {
            return Err(KmsFault::NoRegion.of(&key_id, None));
        }
        Ok(Self { client: Client::new(&sdk), key_id })
    }

    fn unusable(&self, context: Context) -> Error {
        Error::Unwrap { provider: self.key_id.to_string(), context }
    }
}

/// What KMS binds a wrapped key to. It is no secret: KMS writes it into its log.
fn encryption_context(context: Context) -> HashMap<String, String> {
    HashMap::from([
        ("purpose".to_owned(), context.purpose.as_str().to_owned()),
        ("version".to_owned(), context.version.to_string()),
    ])
}

impl KeyEncryption for KmsProvider {
    fn id(&self) -> &str {
        self.key_id.as_str()
    }

    fn wrap<'a>(&'a self, context: &'a Context, key: &'a [u8; 32]) -> Pending<'a, Wrapped> {
        let call = self
            .client
            .encrypt()
            .key_id(self.key_id.as_str())
            .set_encryption_context(Some(encryption_context(*context)))
            .plaintext(Blob::new(*key));
        Box::pin(async move {
            let answer = call.send().await.map_err(|error| fault::read(&self.key_id, &error))?;
            let bytes = answer.ciphertext_blob.ok_or_else(|| KmsFault::Answer.of(&self.key_id, None))?;
            // An alias may name another key tomorrow; the answer says which one it was.
            let by = answer.key_id.unwrap_or_else(|| self.key_id.to_string());
            Ok(Wrapped { bytes: bytes.into_inner(), by })
        })
    }

    fn unwrap<'a>(&'a self, context: &'a Context, wrapped: &'a [u8]) -> Pending<'a, Zeroizing<[u8; 32]>> {
        let call = self
            .client
            .decrypt()
            // Without it KMS would take whatever key the wrapped bytes name: a thief's, whose bytes they may be.
            .key_id(self.key_id.as_str())
            .set_encryption_context(Some(encryption_context(*context)))
            .ciphertext_blob(Blob::new(wrapped));
        Box::pin(async move {
            let answer = call.send().await.map_err(|error| match error.code() {
                Some("InvalidCiphertextException") => self.unusable(*context),
                _ => fault::read(&self.key_id, &error),
            })?;
            let key = answer.plaintext.ok_or_else(|| KmsFault::Answer.of(&self.key_id, None))?;
            let key = Zeroizing::new(key.into_inner());
            key.as_slice().try_into().map(Zeroizing::new).map_err(|_| self.unusable(*context))
        })
    }
}

impl fmt::Debug for KmsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsProvider").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
