//! `qubictether-bench heartbeat`

use std::{collections::BTreeMap, future::pending, num::NonZeroUsize, process, rc::Rc, time::Duration};

use clap::Args;
use cluster::{Cluster, Options};
use protocol::{LicenseKey, ProductCode, ambient::OsRandom};

use crate::{
    activation::{Activated, Activation},
    clock::ServerClock,
    command::{
        print, progress,
        swarm::{Activations, Heartbeats},
    },
    error::Error,
    folder::Folder,
    heartbeat::{
        pgbench::Database,
        report::{Cpu, Memory, Report, Round, Spent, mean},
        server::{Operator, Server},
    },
    process::Process,
    swarm::{Pace, Swarm},
    target::Target,
};

/// pgbench's clients, and the swarm's connections, of which the best is measured.
const CLIENTS: [usize; 5] = [4, 8, 16, 32, 64];
const CONNECTIONS: [usize; 4] = [64, 128, 256, 512];

/// How long each of them is tried, in seconds.
const PROBE_SECONDS: u32 = 3;

/// Both are measured so often, in turns, so that what the machine does beside them comes to both.
const ROUNDS: u32 = 2;

/// How many installs a license of the measurement holds, at most. Activations of one license wait for each other.
pub(super) const INSTALLS_PER_LICENSE: usize = 250;

/// PostgreSQL's settings that aren't its defaults. All that makes commits durable is left as it is.
const TUNED: [(&str, &str); 3] =
    [("shared_buffers", "512MB"), ("max_wal_size", "4GB"), ("checkpoint_timeout", "15min")];

/// What else is told of its settings.
const TOLD: [&str; 6] = [
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "wal_sync_method",
    "max_connections",
    "server_version",
];

#[derive(Debug, Args)]
pub(crate) struct HeartbeatArgs {
    /// For how long the server and pgbench are measured, each.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(2..=3600))]
    seconds: u32,
    /// How many agents. The server judges each once in 5 s on average, 10 times in a burst.
    #[arg(long, default_value = "60000")]
    installs: NonZeroUsize,
    /// Say nothing but the figures.
    #[arg(long)]
    json_only: bool,
}

impl HeartbeatArgs {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let bench = Bench::start(self).await?;
        let report = bench.measure().await;
        bench.server.stop().await?;
        let report = report?;
        print(&report)?;
        let measured =
            || report.rounds.iter().map(|round| &round.server).chain([&report.half_load_open_loop]);
        let wrong: u64 = measured().map(|beats| beats.wrong_answers).sum();
        if wrong > 0 {
            return Err(Error::WrongAnswers(wrong));
        }
        if measured().any(|beats| beats.waits_for_quota > 0) {
            return Err(Error::TooFewInstalls);
        }
        Ok(())
    }
}

/// Everything that runs.
struct Bench {
    args: HeartbeatArgs,
    server: Server,
    swarm: Rc<Swarm>,
    database: Database,
    activations: Activations,
    // Stops last.
    cluster: Cluster,
    _folder: Folder,
}

impl Bench {
    async fn start(args: HeartbeatArgs) -> Result<Self, Error> {
        let folder = Folder::new()?;
        let cluster = durable_cluster(&folder).await?;
        let database = Database::of(&cluster, "bench", folder.path())?;

        let operator = Operator::find(cluster.url("bench"), folder.path())?;
        let installs = args.installs.get();
        let keys = operator.set_up(installs.div_ceil(INSTALLS_PER_LICENSE), INSTALLS_PER_LICENSE).await?;
        let server = operator.serve().await?;
        args.say(&format!("the server is up; {installs} machines are activated"));
        let (swarm, activations) = activate(&server.url, &keys, installs).await?;
        args.say(&format!("that took {:.1} s; they are copied for pgbench", activations.seconds));
        database.copy_installs().await?;
        Ok(Self { args, server, swarm, database, activations, cluster, _folder: folder })
    }

    async fn measure(&self) -> Result<Report, Error> {
        let (clients, pgbench_probes) = self.best_clients().await?;
        let (connections, server_probes) = self.best_connections().await;
        let mut rounds = Vec::new();
        for round in 1..=ROUNDS {
            let seconds = (self.args.seconds / ROUNDS).max(1);
            self.args.say(&format!("round {round} of {ROUNDS}"));
            let before = self.spent()?;
            let pgbench = self.database.run(clients, self.args.installs.get(), seconds).await?;
            let between = self.spent()?;
            let server = self.beat(Pace::Closed, connections, seconds).await;
            let after = self.spent()?;
            let cpu = Cpu { pgbench: between.since(&before), server: after.since(&between) };
            rounds.push(Round { pgbench, server, cpu });
        }
        let (server, pgbench) = (
            mean(rounds.iter().map(|round| round.server.accepted_per_second)),
            mean(rounds.iter().map(|round| round.pgbench.per_second)),
        );
        self.args.say("half the load, in an open loop");
        let half = self.beat(Pace::Open(server / 2.0), connections, (self.args.seconds / 2).max(1)).await;
        let lone = self.beat(Pace::Closed, 1, PROBE_SECONDS).await;
        Ok(Report {
            heartbeats_per_second: server,
            pgbench_per_second: pgbench,
            ratio: server / pgbench,
            server_cpu_us_per_heartbeat: mean(rounds.iter().map(Round::server_cpu_us)),
            rounds,
            half_load_open_loop: half,
            one_at_a_time: lone,
            connections,
            server_probes,
            clients,
            pgbench_probes,
            server_start_up_ms: self.server.start_up.as_secs_f64() * 1000.0,
            memory_bytes: self.memory()?,
            activations: self.activations,
            settings: self.settings().await?,
        })
    }

    /// pgbench's best count of clients, and what each count came to, a second.
    async fn best_clients(&self) -> Result<(usize, BTreeMap<usize, f64>), Error> {
        let mut probes = BTreeMap::new();
        for clients in CLIENTS {
            self.args.say(&format!("pgbench with {clients} clients"));
            let bare = self.database.run(clients, self.args.installs.get(), PROBE_SECONDS).await?;
            probes.insert(clients, bare.per_second);
        }
        Ok((best(&probes), probes))
    }

    /// The swarm's best count of connections, and what each count came to, a second.
    async fn best_connections(&self) -> (usize, BTreeMap<usize, f64>) {
        let mut probes = BTreeMap::new();
        for connections in CONNECTIONS {
            self.args.say(&format!("the server with {connections} connections"));
            let beats = self.beat(Pace::Closed, connections, PROBE_SECONDS).await;
            probes.insert(connections, beats.accepted_per_second);
        }
        (best(&probes), probes)
    }

    async fn beat(&self, pace: Pace, connections: usize, seconds: u32) -> Heartbeats {
        let connections = connections.min(self.args.installs.get());
        let run = self.swarm.run(pace, connections, Duration::from_secs(seconds.into()), pending()).await;
        Heartbeats::new(&run)
    }

    /// What everybody has used of the processors so far.
    fn spent(&self) -> Result<Spent, Error> {
        Ok(Spent {
            server: Process::One(self.server.id()?).cpu_seconds()?,
            postgresql: Process::postgresql(&self.cluster)?.cpu_seconds()?,
            swarm: Process::One(process::id()).cpu_seconds()?,
        })
    }

    fn memory(&self) -> Result<Memory, Error> {
        Ok(Memory {
            server_peak: Process::One(self.server.id()?).memory_bytes()?,
            postgresql: Process::postgresql(&self.cluster)?.memory_bytes()?,
            swarm_peak: Process::One(process::id()).memory_bytes()?,
        })
    }

    async fn settings(&self) -> Result<BTreeMap<&'static str, String>, Error> {
        let mut settings = BTreeMap::new();
        for name in TUNED.map(|(name, _)| name).into_iter().chain(TOLD) {
            settings.insert(name, self.database.setting(name).await?);
        }
        Ok(settings)
    }
}

impl HeartbeatArgs {
    fn say(&self, line: &str) {
        if !self.json_only {
            progress(line);
        }
    }
}

/// A PostgreSQL with everything durable, and a database `bench` in it.
pub(super) async fn durable_cluster(folder: &Folder) -> Result<Cluster, Error> {
    let mut cluster = Cluster::temporary(durable())?;
    cluster.start()?;
    Database::of(&cluster, "postgres", folder.path())?.sql("CREATE DATABASE bench").await?;
    Ok(cluster)
}

/// Everything durable, and what is set besides.
pub(super) fn durable() -> Options {
    TUNED.iter().fold(Options::durable(), |options, (name, value)| options.set(name, value))
}

/// Activates a swarm of so many agents.
pub(super) async fn activate(
    url: &str,
    keys: &[String],
    installs: usize,
) -> Result<(Rc<Swarm>, Activations), Error> {
    let (target, clock, random) =
        (Rc::new(Target::parse(url)?), Rc::new(ServerClock::new()), Rc::new(OsRandom));
    let product: ProductCode = "bench".parse().expect("a product code");
    let keys: Result<Vec<_>, _> = keys.iter().map(|key| LicenseKey::parse(key)).collect();
    let keys = keys.map_err(|error| Error::Usage(format!("the server made something else than {error}")))?;
    let activation = Activation {
        target: target.clone(),
        clock: clock.clone(),
        random: random.clone(),
        product,
        keys,
        installs,
    };
    let Activated { installs, elapsed, latencies } = activation.run(CONNECTIONS[0].min(installs)).await?;
    let activations = Activations::new(installs.len(), elapsed, latencies.percentiles());
    Ok((Swarm::new(target, clock, random, None, installs), activations))
}

fn best(probes: &BTreeMap<usize, f64>) -> usize {
    let best = probes.iter().max_by(|one, other| one.1.total_cmp(other.1));
    best.map(|(count, _)| *count).expect("something was tried")
}
