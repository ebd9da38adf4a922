//! Connections: the URL, TLS, the pool.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::QueueMode;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Metrics, Pool, PoolError, RecyclingMethod,
};
use keyring::RdsTokens;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;
use crate::iam::ByToken;

/// How long a caller waits for a connection of the pool, or for a new one. Agents come back; a queue helps nobody.
const WAIT: Duration = Duration::from_secs(2);

/// How long a connection whose other end says nothing counts as one.
const SILENCE: Duration = Duration::from_secs(10);

/// After so long without use a connection is asked before it is used: what stands between may have forgotten it.
const IDLE: Duration = Duration::from_secs(30);

/// Whether a connection's other end is there.
pub(crate) async fn answers(client: &tokio_postgres::Client) -> bool {
    matches!(tokio::time::timeout(WAIT, client.batch_execute("")).await, Ok(Ok(())))
}

/// A pool over the database that `url` names.
///
/// `sslmode` is `disable`, or `require` (`verify-ca` and `verify-full` mean the same: certificate and host name are
/// always verified, against the system's roots or `sslrootcert=FILE`). Without it, TLS is required of every host but
/// this machine's own.
///
/// With `tokens`, each connection has one as its password, and TLS, whatever the host is.
///
/// # Errors
/// [`Error::Settings`], which names the part that is wrong and never the password.
pub(crate) fn pool(url: &str, connections: usize, tokens: Option<RdsTokens>) -> Result<Pool, Error> {
    let (url, tls) = split_tls(url)?;
    let mut config: tokio_postgres::Config = url.parse().map_err(|cause: tokio_postgres::Error| {
        Error::Settings(format!(
            "can't be read: {}; it has to be like postgres://user:password@host/database",
            root_cause(&cause)
        ))
    })?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(WAIT);
    }
    // A host that has vanished says nothing: without this, a request would wait for it for hours.
    config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
    if config.get_application_name().is_none() {
        config.application_name("qubictether");
    }
    let local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    let encrypt = tls.required.unwrap_or(!local || tokens.is_some());
    if tokens.is_some() && !encrypt {
        return Err(Error::Settings(
            "tokens of IAM are sent by TLS alone: take sslmode=disable out".to_owned(),
        ));
    }
    config.ssl_mode(if encrypt { SslMode::Require } else { SslMode::Disable });
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if encrypt {
        let tls = MakeRustlsConnect::new(client_config(tls.roots.as_deref())?);
        match tokens {
            Some(tokens) => {
                let by_token = ByToken::new(&config, tls, tokens)?;
                Manager::from_connect(config, by_token, recycling)
            }
            None => Manager::from_config(config, tls, recycling),
        }
    } else {
        Manager::from_config(config, tokio_postgres::NoTls, recycling)
    };
    Pool::builder(manager)
        .max_size(connections)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .runtime(deadpool_postgres::Runtime::Tokio1)
        // One that was used just now is alive; the more of those, the fewer are open to no purpose.
        .queue_mode(QueueMode::Lifo)
        .pre_recycle(Hook::async_fn(|client: &mut ClientWrapper, metrics: &Metrics| {
            let was_idle = metrics.last_used() > IDLE;
            Box::pin(async move {
                let is_usable = !was_idle || answers(client).await;
                if is_usable { Ok(()) } else { Err(HookError::message("it was idle and doesn't answer")) }
            })
        }))
        .build()
        .map_err(|cause| Error::Settings(cause.to_string()))
}

struct Tls {
    required: Option<bool>,
    roots: Option<String>,
}

/// Takes `sslmode` and `sslrootcert` out of the URL's query: the driver knows neither `verify-full` nor roots.
fn split_tls(url: &str) -> Result<(String, Tls), Error> {
    let mut tls = Tls { required: None, roots: None };
    let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), tls)) };
    let mut kept = Vec::new();
    for part in query.split('&') {
        match part.split_once('=') {
            Some(("sslmode", "disable")) => tls.required = Some(false),
            Some(("sslmode", "require" | "verify-ca" | "verify-full")) => tls.required = Some(true),
            Some(("sslmode", other)) => {
                return Err(Error::Settings(format!(
                    "sslmode={other} is not supported: use disable or require"
                )));
            }
            Some(("sslrootcert", file)) => tls.roots = Some(file.to_owned()),
            _ => kept.push(part),
        }
    }
    Ok((if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) }, tls))
}

fn client_config(roots_file: Option<&str>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = roots_file {
        let unreadable =
            |cause: &dyn std::fmt::Display| Error::Settings(format!("sslrootcert {file}: {cause}"));
        for certificate in CertificateDer::pem_file_iter(file).map_err(|cause| unreadable(&cause))? {
            let certificate = certificate.map_err(|cause| unreadable(&cause))?;
            roots.add(certificate).map_err(|cause| unreadable(&cause))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::Settings(cause.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Why there is no connection. A certificate that isn't believed is no outage: asking again changes nothing.
pub(crate) fn refusal(cause: PoolError) -> Error {
    let problem = match certificate_error(&cause) {
        None => return Error::Unavailable(cause.into()),
        Some(CertificateError::UnknownIssuer) => {
            "it is signed by no authority that is known; sslrootcert=FILE names those to believe".to_owned()
        }
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "it is for another name than the host's in the URL".to_owned()
        }
        Some(error) => error.to_string(),
    };
    Error::Settings(format!("the server's certificate is refused: {problem}"))
}

fn certificate_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error has the one that it was made from inside, and isn't caused by it.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(rustls::Error::InvalidCertificate(error)) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// The innermost cause, which says what is wrong; the outer ones only say where.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::pool;

    fn refusal(url: &str) -> String {
        pool(url, 1, None).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for url in [
            "postgres://user:hunter2@host/db?sslmode=prefer",
            "postgres://user:hunter2@host:port/db",
            "postgres://user:hunter2@host/db?unheard_of=1",
            "nonsense",
        ] {
            let refusal = refusal(url);
            assert!(!refusal.is_empty() && !refusal.contains("hunter2"), "{url}: {refusal}");
        }
    }

    #[test]
    fn every_documented_sslmode_is_taken() {
        for mode in ["", "?sslmode=disable", "?sslmode=require", "?sslmode=verify-full&application_name=x"] {
            assert_eq!(refusal(&format!("postgres://user@db.example.com/db{mode}")), "", "{mode}");
        }
        assert!(refusal("postgres://h/db?sslmode=require&sslrootcert=/nonexistent").contains("/nonexistent"));
    }
}
