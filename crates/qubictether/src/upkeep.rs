//! What a server sees to by itself: the audit log's partitions, what bounds or refuses nobody any more, and what rows of
//! an older server lack.

use std::sync::Arc;
use std::time::Duration;

use edge::Edge;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_hours(1);

/// How often installs are judged that time alone has changed: what lists say is a minute old at most.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Once at the start and then every hour. What fails is tried again the next time.
pub(crate) async fn run(edge: Arc<Edge>) {
    let mut hours = tokio::time::interval(EVERY);
    loop {
        hours.tick().await;
        if let Err(error) = once(&edge).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "upkeep failed");
        }
    }
}

/// Judges what time has changed, every half minute, and counts.
pub(crate) async fn sweep(edge: Arc<Edge>) {
    let mut times = tokio::time::interval(SWEEP_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        if let Err(error) = edge.store.sweep().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a sweep failed");
        }
    }
}

async fn once(edge: &Edge) -> Result<(), store::Error> {
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
    Ok(())
}
