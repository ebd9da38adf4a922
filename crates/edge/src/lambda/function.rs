//! What a function answers with: its router, once database and keys are open.

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use keyring::KeyEncryption;
use protocol::ambient::{Clock, OsRandom, SystemClock, array};
use store::{Database, ReadKeys};
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

/// What makes a function's own routes.
pub type Routes = fn() -> Router<Arc<Edge>>;

/// A function over a database and its keys, which may not be there yet.
pub(super) struct Function {
    settings: Settings,
    database: Database,
    provider: Arc<dyn KeyEncryption>,
    routes: Routes,
    opened: OnceCell<(Arc<Edge>, Router)>,
}

impl Function {
    /// Opens it, as far as the database is there.
    ///
    /// # Errors
    /// When it will never open: a setting or the keys are wrong.
    pub(super) async fn open(settings: Settings, routes: Routes) -> Result<Self, Error> {
        let database = open::database(&settings, settings.database_connections).await?;
        // It takes longest to let somebody in. What else there is to do is done meanwhile, once that is under way.
        let beside = async {
            tokio::task::yield_now().await;
            let provider = open::provider(&settings.key_provider).await?;
            Ok::<_, Error>((provider, routes()))
        };
        let (read, beside) = tokio::join!(biased; open::read(&database), beside);
        let (provider, own) = beside?;
        let function = Self { settings, database, provider, routes, opened: OnceCell::new() };
        match function.opened.get_or_try_init(|| async { function.over(read?, own).await }).await {
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
        let open = || async { self.over(open::read(&self.database).await?, (self.routes)()).await };
        self.opened.get_or_try_init(open).await
    }

    /// Opens it over keys that were read.
    async fn over(
        &self,
        read: ReadKeys,
        own: Router<Arc<Edge>>,
    ) -> Result<(Arc<Edge>, Router), store::Error> {
        let (store, live) = open::over(self.database.clone(), read, self.provider.clone()).await?;
        let edge = Edge::new(store, self.settings.clone());
        // In the init phase, so that the first request needn't. What fails is told where the keys are needed.
        if let Ok(live) = live {
            edge.keys.begin(&edge, live).await;
        }
        Ok((edge.clone(), envelope::wrap(own.merge(health::probes()), edge)))
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
