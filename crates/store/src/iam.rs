//! Connections to a database that lets its users in by IAM: each has a password of its own, made when it is opened.

use std::future::Future;
use std::pin::Pin;

use deadpool_postgres::Connect;
use keyring::RdsTokens;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, Error as PgError};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// Opens connections with a token each.
pub(crate) struct ByToken {
    tls: MakeRustlsConnect,
    tokens: RdsTokens,
    host: String,
    port: u16,
    user: String,
}

impl ByToken {
    /// For the one server and user that a token is made for.
    ///
    /// # Errors
    /// [`Error::Settings`] when the URL names another number of servers, no user, or a password.
    pub(crate) fn new(config: &Config, tls: MakeRustlsConnect, tokens: RdsTokens) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Settings(format!("{problem} (QT_DATABASE_AUTH is iam)"));
        let [Host::Tcp(host)] = config.get_hosts() else {
            return Err(wrong("has to name one host, for which tokens are made"));
        };
        if config.get_password().is_some() {
            return Err(wrong("has a password, of which there is no use: take it out"));
        }
        let user = config
            .get_user()
            .filter(|user| !user.is_empty())
            .ok_or_else(|| wrong("has to name the user whom tokens let in"))?;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        Ok(Self { tls, tokens, host: host.clone(), port, user: user.to_owned() })
    }
}

type Connected = Result<(Client, JoinHandle<()>), PgError>;

impl Connect for ByToken {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let mut config = config.clone();
        Box::pin(async move {
            match self.tokens.token(&self.host, self.port, &self.user).await {
                Ok(token) => drop(config.password(token.as_bytes())),
                // The driver has no error of ours; without a password it says that there is none.
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    tracing::error!(error = &error as &dyn std::error::Error, ?cause, "no token");
                }
            }
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection ended");
                }
            });
            Ok((client, task))
        })
    }
}
