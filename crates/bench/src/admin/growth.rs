//! What a heartbeat costs on a large database, beside one that is small: the same swarm, in turns.

use std::{future::pending, time::Duration};

use cluster::Cluster;
use serde::Serialize;

use super::site::Site;
use crate::{
    command::swarm::Heartbeats, error::Error, heartbeat::report::mean, process::Process, swarm::Pace,
};

/// Both are measured so often, in turns.
const ROUNDS: usize = 8;

/// How many heartbeats are under way at once.
const CONNECTIONS: usize = 64;

/// What a machine may send a second at most, for the swarm not to run out of what the server admits.
const MOST_PER_SECOND: f64 = 16_000.0;

/// What an install sends in a round, at most.
const EACH: f64 = 8.0;

/// How a heartbeat's cost grows.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    /// Installs and contacts of each.
    pub(crate) small: [i64; 2],
    pub(crate) large: [i64; 2],
    /// How many installs beat, on either.
    pub(crate) swarm: usize,
    /// Processor time of server and PostgreSQL for a heartbeat, by that on the small one: the median of the rounds.
    pub(crate) cpu_ratio: f64,
    /// Heartbeats a second on the small one by those on the large one: the median of the rounds.
    pub(crate) time_ratio: f64,
    /// Of a hundred updates of installs on the large one so many touched no index.
    pub(crate) hot_updates_percent: f64,
    pub(crate) rounds: Vec<[Round; 2]>,
}

/// A round on one of them.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) latency_p50_us: u64,
    pub(crate) latency_p99_us: u64,
}

pub(crate) async fn measure(cluster: &Cluster, small: &Site, large: &Site) -> Result<Growth, Error> {
    // What isn't in memory yet is another measurement's.
    for site in [small, large] {
        round(cluster, site).await?;
    }
    let before = updates(large).await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([round(cluster, small).await?, round(cluster, large).await?]);
    }
    let after = updates(large).await?;
    let each = |ratio: fn(&[Round; 2]) -> f64| median(rounds.iter().map(ratio).collect());
    Ok(Growth {
        small: [small.fleet.installs, small.fleet.heartbeats],
        large: [large.fleet.installs, large.fleet.heartbeats],
        swarm: large.members.len(),
        cpu_ratio: each(|[small, large]| large.cpu_us / small.cpu_us),
        time_ratio: each(|[small, large]| small.per_second / large.per_second),
        hot_updates_percent: 100.0 * (after[1] - before[1]) / (after[0] - before[0]),
        rounds,
    })
}

async fn round(cluster: &Cluster, site: &Site) -> Result<Round, Error> {
    site.store.rest(&site.members).await?;
    site.swarm.rest();
    let spent = || {
        let server = Process::One(site.server.id()?).cpu_seconds()?;
        Ok::<_, Error>(server + Process::postgresql(cluster)?.cpu_seconds()?)
    };
    #[expect(clippy::cast_precision_loss, reason = "nobody simulates 2^52 installs")]
    let seconds = site.members.len() as f64 * EACH / MOST_PER_SECOND;
    let before = spent()?;
    let connections = CONNECTIONS.min(site.members.len());
    let run = site.swarm.run(Pace::Closed, connections, Duration::from_secs_f64(seconds), pending()).await;
    let cpu = spent()? - before;
    let beats = Heartbeats::new(&run);
    if beats.wrong_answers > 0 {
        return Err(Error::WrongAnswers(beats.wrong_answers));
    }
    if beats.waits_for_quota > 0 || beats.accepted < beats.attempts {
        return Err(Error::Usage(format!("not every heartbeat was judged: {beats:?}")));
    }
    let latency = beats.latency_us.ok_or_else(|| Error::Usage("nobody beat".to_owned()))?;
    Ok(Round {
        per_second: beats.accepted_per_second,
        cpu_us: cpu * 1e6 / (beats.accepted_per_second * beats.seconds),
        latency_p50_us: latency.p50,
        latency_p99_us: latency.p99,
    })
}

/// How often installs were updated, and how often of that on their page, without touching any index.
async fn updates(site: &Site) -> Result<[f64; 2], Error> {
    // Sessions tell what they have done a second later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let counts =
        "SELECT n_tup_upd || ' ' || n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'installs'";
    let text = site.database.sql(counts).await?;
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(f64::NAN));
    Ok([numbers.next().unwrap_or(f64::NAN), numbers.next().unwrap_or(f64::NAN)])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { mean(values[middle - 1..=middle].iter().copied()) }
}
