//! What a server sees to by itself: the audit log's partitions, what bounds or refuses nobody any more, what rows of an
//! older server lack, what time changes about installs and licenses, and what webhooks are to be told.
//!
//! `serve` does it in the background. A Lambda function has none: there a schedule's event has it done.

use std::sync::Arc;
use std::time::Duration;

use edge::{Edge, Refusal};
use store::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, timeout};

use crate::webhook::{self, Sender};

const EVERY: Duration = Duration::from_hours(1);

/// How often installs are judged that time alone has changed: what lists say is a minute old at most.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How long a schedule's event may sweep, and how long it begins to deliver. What is left is the next one's.
const SCHEDULED: Duration = Duration::from_secs(15);

/// Once at the start and then every hour. What fails is tried again the next time.
pub async fn run(edge: Arc<Edge>) {
    let mut hours = tokio::time::interval(EVERY);
    loop {
        hours.tick().await;
        if let Err(error) = once(&edge).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "upkeep failed");
        }
    }
}

/// Judges what time has changed, every half minute, counts, and looks whether a hold is on.
pub async fn sweep(edge: Arc<Edge>) {
    let mut times = tokio::time::interval(SWEEP_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        if let Err(error) = edge.store.sweep().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a sweep failed");
        }
        if let Err(error) = edge::hold::notice(&edge).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "it can't be seen whether a hold is on");
        }
    }
}

/// All of it once, within a minute: for who is called by a schedule.
///
/// # Errors
/// What failed first. The rest was done nevertheless, as far as it could be.
pub async fn scheduled(edge: Arc<Edge>) -> Result<(), Refusal> {
    // Reads the keys, and so moves on what is due of them.
    let keys = edge.keys.current(&edge).await.map(drop);
    let swept = within(edge.store.sweep()).await;
    let noticed = within(edge::hold::notice(&edge)).await;
    let delivered = deliver(&edge).await;
    let kept = within(once(&edge)).await;
    keys?;
    swept.and(noticed).and(delivered).and(kept).map_err(Refusal::from)
}

async fn deliver(edge: &Arc<Edge>) -> Result<(), Error> {
    let sender = Arc::new(Sender::new(edge.settings.webhook_private_targets));
    let (stop, stopped) = watch::channel(false);
    let delivering = webhook::deliver_due(edge.clone(), sender, stopped);
    let ending = async {
        tokio::time::sleep(SCHEDULED).await;
        stop.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        delivered = delivering => delivered,
        () = ending => Ok(()),
    }
}

/// What takes longer is broken off: it goes on from there the next time.
async fn within(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    timeout(SCHEDULED, work).await.unwrap_or(Ok(()))
}

async fn once(edge: &Edge) -> Result<(), Error> {
    let database = edge.store.database();
    for partition in database.make_partitions(edge.now()).await? {
        tracing::info!(partition, "made");
    }
    for partition in database.drop_partitions(edge.now(), edge.settings.retention_days).await? {
        tracing::info!(partition, "dropped: older than the retention");
    }
    edge.store.forget_activation_rates().await?;
    edge.store.forget_offline_requests().await?;
    let (filled, closed) = edge.store.fill_key_digests().await?;
    if filled + closed > 0 {
        tracing::info!(filled, closed, "gave licenses the digests of their keys");
    }
    edge.store.forget_sessions().await?;
    edge.store.forget_sign_in_failures().await?;
    edge.store.forget_answers().await?;
    edge.store.forget_heartbeat_counts(edge.settings.retention_days).await?;
    edge.store.forget_deliveries().await?;
    Ok(())
}
