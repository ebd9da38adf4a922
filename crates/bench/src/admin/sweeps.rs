//! What the server finds out by itself about a large fleet, while some of it beats.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::site::Site;
use crate::{command::swarm::Heartbeats, error::Error, swarm::Pace, tally::Percentiles};

/// How many agents a second call meanwhile.
const BESIDES: f64 = 150.0;

const SIZE: &str = "SELECT pg_total_relation_size('install_states')";

/// Everybody was due, as after a migration.
#[derive(Debug, Serialize)]
pub(crate) struct Sweep {
    pub(crate) seconds: f64,
    installs_per_second: f64,
    states_bytes_before: i64,
    states_bytes_after: i64,
    /// Heartbeats meanwhile, and the same without it.
    heartbeats_during: Option<Percentiles>,
    heartbeats_after: Option<Percentiles>,
}

/// Every install was looked at, all at once; else that is spread over twenty minutes.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) seconds: f64,
    /// So many rows were written for it.
    states_written: i64,
    installs_written: i64,
    states_bytes_after: i64,
    /// Heartbeats meanwhile.
    heartbeats_during: Option<Percentiles>,
}

/// Waits until nobody is due, while some beat.
pub(crate) async fn sweep(large: &Site) -> Result<Sweep, Error> {
    const DUE: &str =
        "SELECT count(*) FROM (SELECT FROM install_states WHERE due_at <= '2020-01-01' LIMIT 1) d";
    let before = large.number(SIZE).await?;
    let begin = Instant::now();
    let swept = async {
        while large.number(DUE).await.is_ok_and(|due| due > 0) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let during = besides(large, Duration::from_hours(1), swept).await;
    let seconds = begin.elapsed().as_secs_f64();
    let after = large.number(SIZE).await?;
    let quiet = besides(large, Duration::from_secs(10), pending()).await;
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 installs")]
    let installs = large.fleet.installs as f64;
    Ok(Sweep {
        seconds,
        installs_per_second: installs / seconds,
        states_bytes_before: before,
        states_bytes_after: after,
        heartbeats_during: during.latency_us,
        heartbeats_after: quiet.latency_us,
    })
}

/// Has a whole round be due, and waits until it has come to its end, while some beat.
pub(crate) async fn round(large: &Site) -> Result<Round, Error> {
    const BEGIN: &str =
        "UPDATE sweeps SET round_at = to_timestamp(1), round_after = '00000000-0000-0000-0000-000000000000',
                                round_looked = 0, rounded_at = to_timestamp(1)";
    const ENDED: &str = "SELECT count(*) FROM sweeps WHERE rounded_at > to_timestamp(1)";
    let before = [written(large, "install_states").await?, written(large, "installs").await?];
    large.database.sql(BEGIN).await?;
    let begin = Instant::now();
    let mut swept = Ok(());
    let rounded = async {
        while swept.is_ok() && large.number(ENDED).await.is_ok_and(|ended| ended == 0) {
            swept = large.store.sweep().await;
        }
    };
    let during = besides(large, Duration::from_mins(10), rounded).await;
    let seconds = begin.elapsed().as_secs_f64();
    swept?;
    // The beats' own writes are among those of installs.
    Ok(Round {
        seconds,
        states_written: written(large, "install_states").await? - before[0],
        installs_written: written(large, "installs").await? - before[1],
        states_bytes_after: large.number(SIZE).await?,
        heartbeats_during: during.latency_us,
    })
}

/// How often rows of a table were updated.
async fn written(site: &Site, table: &str) -> Result<i64, Error> {
    // Sessions tell what they have done a second later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    site.number(&format!("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = '{table}'")).await
}

/// Some heartbeats a second beside whatever is done until `stop`.
pub(crate) async fn besides(site: &Site, longest: Duration, stop: impl Future<Output = ()>) -> Heartbeats {
    Heartbeats::new(&site.swarm.run(Pace::Open(BESIDES), 32, longest, stop).await)
}
