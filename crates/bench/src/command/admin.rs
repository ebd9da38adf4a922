//! `qubictether-bench admin`

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use clap::Args;
use cluster::Cluster;
use protocol::admin::Time;
use serde::Serialize;
use store::fleet::Fleet;

use crate::{
    admin::{
        dry_runs::{self, DryRuns},
        growth::{self, Growth},
        pages::{self, Caller, GOAL_MS, Page},
        paths::paths,
        plans::{EXPLAIN, Log},
        site::Site,
        sweeps::{Round, Sweep, besides, round, sweep},
    },
    command::{heartbeat::durable, print, progress},
    error::Error,
    folder::Folder,
    process::Process,
    tally::Percentiles,
};

#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// How many installs the large database has.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(i64).range(10_000..=10_000_000))]
    installs: i64,
    /// How many contacts are in its audit log.
    #[arg(long, default_value = "10000000", value_parser = clap::value_parser!(i64).range(0..=100_000_000))]
    heartbeats: i64,
    /// Over how many weeks.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(i64).range(1..=50))]
    weeks: i64,
    /// How many installs beat; the small database has no others.
    #[arg(long, default_value = "2000")]
    swarm: NonZeroUsize,
    /// How often each page is called.
    #[arg(long, default_value = "20")]
    calls: NonZeroUsize,
    /// How many contacts are streamed as a table.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(i64).range(0..))]
    table_rows: i64,
    /// Say nothing but the figures.
    #[arg(long)]
    json_only: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    installs: i64,
    heartbeats: i64,
    fill_seconds: f64,
    database_bytes: i64,
    sweep: Sweep,
    round: Round,
    growth: Growth,
    dry_runs: Vec<DryRuns>,
    /// The pages whose statements took longer than 50 ms, in the median.
    over_50_ms: Vec<String>,
    /// Those that read a large table from end to end.
    scanning: Vec<String>,
    slowest_page_ms: f64,
    verify: Walk,
    table: Table,
    retention: Retention,
    pages: Vec<Page>,
}

/// The chain of the admin audit log, walked from end to end.
#[derive(Debug, Serialize)]
struct Walk {
    rows: i64,
    seconds: f64,
}

/// Contacts as a table.
#[derive(Debug, Serialize)]
struct Table {
    rows: u64,
    bytes: u64,
    rows_per_second: f64,
    /// The most that was resident.
    server_bytes_before: u64,
    server_bytes_after: u64,
}

/// The oldest partition was dropped.
#[derive(Debug, Serialize)]
struct Retention {
    partitions: Vec<String>,
    rows: i64,
    milliseconds: f64,
    /// Heartbeats meanwhile.
    heartbeats_during: Option<Percentiles>,
}

impl AdminArgs {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let folder = Folder::new()?;
        let options = durable().set("maintenance_work_mem", "1GB").set("work_mem", "64MB");
        let mut cluster = Cluster::temporary(options)?;
        cluster.start()?;
        let swarm = self.swarm.get();
        let few =
            Fleet { installs: i64::try_from(swarm * 5 / 4).unwrap_or(i64::MAX), heartbeats: 0, weeks: 1 };
        let small = Site::make(&cluster, "small", &folder.inner("small")?, few, swarm).await?;
        let many = Fleet { installs: self.installs, heartbeats: self.heartbeats, weeks: self.weeks };
        self.say(&format!("{} installs and {} contacts are made", many.installs, many.heartbeats));
        let large = Site::make(&cluster, "large", &folder.inner("large")?, many, swarm).await?;
        self.say(&format!("that took {:.0} s", large.fill_seconds));
        let report = self.measure(&cluster, &small, &large).await;
        small.server.stop().await?;
        large.server.stop().await?;
        print(&report?)?;
        Ok(())
    }

    async fn measure(&self, cluster: &Cluster, small: &Site, large: &Site) -> Result<Report, Error> {
        let database_bytes = large.number("SELECT pg_database_size(current_database())").await?;
        self.say("the server judges everybody");
        let sweep = sweep(large).await?;
        self.say(&format!("that took {:.0} s; it looks at everybody again", sweep.seconds));
        let round = round(large).await?;
        self.say(&format!("that took {:.1} s; heartbeats on a small and a large database", round.seconds));
        // What the first sweep has left to it is another measurement's.
        large.database.sql("VACUUM ANALYZE installs, install_states").await?;
        let growth = growth::measure(cluster, small, large).await?;
        self.say("dry runs of every profile");
        let mut caller = Caller::new(large, Log::new(cluster.log()))?;
        let dry_runs = dry_runs::measure(&mut caller).await?;
        self.say("every page");
        caller = Caller::new(large, explain(large, cluster).await?)?;
        let now = large.store.clock().unix_seconds();
        let mut measured = Vec::new();
        for path in paths(&mut caller, now).await? {
            let page = caller.measure(path, self.calls.get()).await?;
            if page.query_ms.median > GOAL_MS {
                self.say(&format!("{} took {:.0} ms", page.path, page.query_ms.median));
            }
            measured.push(page);
        }
        let slow = measured.iter().filter(|page| page.query_ms.median > GOAL_MS);
        let report = Report {
            installs: self.installs,
            heartbeats: self.heartbeats,
            fill_seconds: large.fill_seconds,
            database_bytes,
            sweep,
            round,
            growth,
            dry_runs,
            over_50_ms: slow.map(|page| page.path.clone()).collect(),
            scanning: pages::scanning(&measured).into_iter().map(str::to_owned).collect(),
            slowest_page_ms: measured.iter().map(|page| page.query_ms.median).fold(0.0, f64::max),
            verify: verify(&mut caller).await?,
            table: self.table(&mut caller, large, now).await?,
            retention: retention(large, now).await?,
            pages: measured,
        };
        Ok(report)
    }

    async fn table(&self, caller: &mut Caller<'_>, large: &Site, now: i64) -> Result<Table, Error> {
        self.say("contacts as a table");
        let memory = || Process::One(large.server.id()?).memory_bytes();
        let before = memory()?;
        let seconds = self.weeks * 604_800 * self.table_rows / self.heartbeats.max(1);
        let to = now - 600;
        let path = format!("/heartbeats?from={}&to={}", Time(to - seconds), Time(to));
        let (rows, bytes, seconds) = caller.table(&path).await?;
        #[expect(clippy::cast_precision_loss, reason = "nobody streams 2^52 rows")]
        let rows_per_second = rows as f64 / seconds;
        Ok(Table { rows, bytes, rows_per_second, server_bytes_before: before, server_bytes_after: memory()? })
    }

    fn say(&self, line: &str) {
        if !self.json_only {
            progress(line);
        }
    }
}

/// Has statements explained from now on; gives the log that says so.
async fn explain(large: &Site, cluster: &Cluster) -> Result<Log, Error> {
    for (name, value) in EXPLAIN {
        large.database.sql(&format!("ALTER DATABASE large SET {name} = {value}")).await?;
    }
    // Sessions that are open already would go on without.
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE datname = 'large' AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    large.database.sql(others).await?;
    Ok(Log::new(cluster.log()))
}

async fn verify(caller: &mut Caller<'_>) -> Result<Walk, Error> {
    let (body, elapsed) = caller.call("/audit/verify").await?;
    if body["intact"] != true {
        return Err(Error::Page { path: "/audit/verify".to_owned(), what: body.to_string() });
    }
    Ok(Walk { rows: body["rows"].as_i64().unwrap_or_default(), seconds: elapsed.as_secs_f64() })
}

/// Drops the oldest partition as upkeep does, while some beat.
async fn retention(large: &Site, now: i64) -> Result<Retention, Error> {
    let before = large.number("SELECT count(*) FROM heartbeats").await?;
    let days = u32::try_from((large.fleet.weeks * 7 - 31).max(1)).unwrap_or(u32::MAX);
    let mut dropped = Err(Error::Usage("nothing was dropped".to_owned()));
    let mut milliseconds = 0.0;
    let drop = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begin = Instant::now();
        dropped = large.store.database().drop_partitions(now, days).await.map_err(Error::from);
        milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    let beats = besides(large, Duration::from_mins(1), drop).await;
    let rows = before - large.number("SELECT count(*) FROM heartbeats").await?;
    Ok(Retention { partitions: dropped?, rows, milliseconds, heartbeats_during: beats.latency_us })
}
