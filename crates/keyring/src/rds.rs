use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, ConfigLoader};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use protocol::ambient::Clock;
use zeroize::Zeroizing;

use crate::Error;

/// For how long a token opens a connection; a connection that is open stays so.
const LIFE: Duration = Duration::from_mins(15);

/// What makes passwords for a PostgreSQL at RDS whose users are let in by IAM: a password is a token, which is a signed
/// URL that nobody calls, made anew for each connection.
///
/// It is no key at rest, but here because no other crate names AWS.
#[derive(Clone)]
pub struct RdsTokens {
    credentials: SharedCredentialsProvider,
    region: String,
    clock: Arc<dyn Clock>,
}

impl RdsTokens {
    /// By the region and the credentials that the AWS SDK finds where it always looks.
    ///
    /// # Errors
    /// [`Error::RdsToken`] when there is no region or nothing that has credentials.
    pub async fn new(clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let http = aws_smithy_http_client::Builder::new();
        let http = http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        Box::pin(Self::over(sdk, clock)).await
    }

    /// By an SDK for which the caller has settled who asks.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub async fn over(sdk: ConfigLoader, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let sdk = Box::pin(sdk.load()).await;
        let region = sdk.region().ok_or_else(|| missing("no region is set: set AWS_REGION"))?;
        let credentials = sdk.credentials_provider().ok_or_else(|| missing("there are no credentials"))?;
        Ok(Self { region: region.to_string(), credentials, clock })
    }

    /// A token for a user at a server.
    ///
    /// # Errors
    /// [`Error::RdsToken`] when no credentials can be had.
    pub async fn token(&self, host: &str, port: u16, user: &str) -> Result<Zeroizing<String>, Error> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| Error::RdsToken { cause };
        let credentials =
            self.credentials.provide_credentials().await.map_err(|cause| failed(cause.into()))?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(LIFE);
        settings.signature_location = SignatureLocation::QueryParams;
        let now = UNIX_EPOCH + Duration::from_secs(self.clock.unix_seconds().unsigned_abs());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("rds-db")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|cause| failed(cause.into()))?
            .into();
        let mut token = format!("{host}:{port}/?Action=connect&DBUser=");
        encode(&mut token, user);
        let url = format!("https://{token}");
        let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(b""));
        let signed =
            request.and_then(|request| sign(request, &params)).map_err(|cause| failed(cause.into()))?;
        for (name, value) in signed.output().params() {
            token.push('&');
            token.push_str(name);
            token.push('=');
            encode(&mut token, value);
        }
        Ok(Zeroizing::new(token))
    }
}

/// RFC 3986: everything but the unreserved characters is percent-encoded.
fn encode(text: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.extend([
                '%',
                char::from(HEX[usize::from(byte >> 4)]),
                char::from(HEX[usize::from(byte & 15)]),
            ]);
        }
    }
}

fn missing(what: &'static str) -> Error {
    Error::RdsToken { cause: what.into() }
}

impl fmt::Debug for RdsTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RdsTokens").field("region", &self.region).finish_non_exhaustive()
    }
}
