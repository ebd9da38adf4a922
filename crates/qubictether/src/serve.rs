//! `serve`: every function in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use admin::webhook::{self, Sender};
use admin::{upkeep, user};
use axum::Router;
use clap::Args;
use edge::{Edge, envelope, health, open};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Flags;
use crate::dev::Dev;
use crate::error::Error;
use crate::{account, init, listen, output, telemetry};

#[derive(Args)]
pub(crate) struct Serve {
    /// Start a private PostgreSQL in a folder of its own (--dev-dir), make its keys, and serve over it
    #[arg(long)]
    dev: bool,
}

/// What is said on standard output, in one line of JSON, when requests are taken.
#[derive(Serialize)]
struct Started {
    listening: String,
    root_public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev_dir: Option<PathBuf>,
    /// Of a development server that has just been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_password: Option<String>,
}

pub(crate) async fn run(flags: &Flags, serve: &Serve) -> Result<(), Error> {
    telemetry::start(flags.find("QT_LOG").as_deref())?;
    let address = address(flags)?;
    // Before anything that takes time: a signal that comes meanwhile ends the program in order.
    let stop = stop_signal()?;
    let dev = serve.dev.then(|| Dev::start(flags, address)).transpose()?;
    let settings = match &dev {
        Some(dev) => flags.settings_over(&dev.settings)?,
        None => flags.settings()?,
    };
    let database = open::database(&settings, settings.database_connections).await?;
    let root_public_key = if dev.is_some() {
        init::make_keys(&database, &settings).await?.1
    } else {
        init::bring_up(&database).await?;
        database.find_root().await?.ok_or(store::Error::NoKeys)?.to_string()
    };
    let store = open::store(database, open::provider(&settings.key_provider).await?).await?;
    let owner = match dev {
        Some(_) => {
            let operator = account::operator(&store);
            user::create_first_owner(&operator, init::FIRST_OWNER).await?
        }
        None => None,
    };
    let edge = Edge::new(store, settings);
    let listener = listen::at(address).map_err(Error::io(format!("listen on {address}")))?;
    let bound = listener.local_addr().map_err(Error::io("ask where it listens"))?;
    let upkeep = tokio::spawn(upkeep::run(edge.clone()));
    let sweep = tokio::spawn(upkeep::sweep(edge.clone()));
    let (end, ending) = watch::channel(false);
    let sender = Arc::new(Sender::new(edge.settings.webhook_private_targets));
    let courier = tokio::spawn(webhook::deliver(edge.clone(), sender, ending));
    output::json(&Started {
        listening: format!("http://{bound}"),
        root_public_key,
        dev_dir: dev.as_ref().map(|dev| dev.folder.clone()),
        owner_email: owner.as_ref().map(|(owner, _)| owner.email.clone()),
        owner_password: owner.as_ref().map(|(_, password)| password.told().to_owned()),
    })?;
    tracing::info!(address = %bound, "listening");
    let stop = async {
        stop.await;
        end.send_replace(true);
    };
    listen::until(listener, router(&edge), stop).await;
    upkeep.abort();
    sweep.abort();
    // It has finished what was under way meanwhile: that takes less time than requests may.
    let _ = courier.await;
    tracing::info!("drained");
    Ok(())
}

fn address(flags: &Flags) -> Result<SocketAddr, Error> {
    let text = flags.find("QT_LISTEN").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    text.parse().map_err(|_| {
        Error::Usage(format!(
            "QT_LISTEN: is {text:?}; it has to be an address with a port, like 127.0.0.1:8080"
        ))
    })
}

fn router(edge: &Arc<Edge>) -> Router {
    let functions = auth::router()
        .merge(heartbeat::router())
        .merge(::lease::router())
        .merge(admin::router())
        .merge(health::router());
    envelope::wrap(functions, edge.clone())
}

/// Ends with SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("wait for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("wait for SIGINT"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
