//! What a function answers with: its router, once database and keys are open.

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use keyring::KeyEncryption;
use protocol::ambient::{Clock, OsRandom, SystemClock, array};
use store::Database;
use tokio::sync::OnceCell;

use crate::{Edge, Refusal, Settings, envelope, health, open};

/// Why a function can't be opened, now or ever.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A function over a database and its keys, which may not be there yet.
pub(super) struct Function<R> {
    settings: Settings,
    database: Database,
    provider: Arc<dyn KeyEncryption>,
    routes: R,
    opened: OnceCell<(Arc<Edge>, Router)>,
}

impl<R: Fn(&Arc<Edge>) -> Router<Arc<Edge>>> Function<R> {
    /// Opens it, as far as the database is there.
    ///
    /// # Errors
    /// When it will never open: a setting or the keys are wrong.
    pub(super) async fn open(settings: Settings, routes: R) -> Result<Self, Error> {
        let database = open::database(&settings, settings.database_connections).await?;
        let provider = open::provider(&settings.key_provider).await?;
        let function = Self { settings, database, provider, routes, opened: OnceCell::new() };
        match function.opened().await {
            Err(error) if !error.is_transient() => Err(error.into()),
            // The first request tries again.
            Ok(_) | Err(_) => Ok(function),
        }
    }

    /// What answers a request now.
    pub(super) async fn router(&self) -> Router {
        match self.opened().await {
            Ok((_, router)) => router.clone(),
            Err(error) => refusing(error.into()),
        }
    }

    /// What it works with.
    ///
    /// # Errors
    /// When it can't be opened now.
    pub(super) async fn edge(&self) -> Result<Arc<Edge>, Refusal> {
        Ok(self.opened().await?.0.clone())
    }

    async fn opened(&self) -> Result<&(Arc<Edge>, Router), store::Error> {
        let open = || async {
            let store = open::store(self.database.clone(), self.provider.clone()).await?;
            let edge = Edge::new(store, self.settings.clone());
            let router = (self.routes)(&edge).merge(health::probes());
            // In the init phase, so that the first request needn't. What fails is told where the keys are needed.
            let _ = edge.keys.current(&edge).await;
            Ok((edge.clone(), envelope::wrap(router, edge)))
        };
        self.opened.get_or_try_init(open).await
    }
}

/// A function that can't be opened now.
fn refusing(refusal: Refusal) -> Router {
    Router::new().route("/healthz", get(health::healthz)).fallback(|| async { refusal }).layer(map_response(
        |response: Response| async {
            let id = protocol::id::v7(SystemClock.unix_millis(), array(&OsRandom)).to_string();
            envelope::seal(response, &id, SystemClock.unix_seconds(), &OsRandom)
        },
    ))
}
