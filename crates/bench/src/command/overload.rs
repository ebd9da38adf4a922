//! `qubictether-bench overload`

use std::{future::pending, rc::Rc, time::Duration};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::{
    command::{
        heartbeat::{INSTALLS_PER_LICENSE, activate, durable_cluster},
        print, progress,
        swarm::Heartbeats,
    },
    error::Error,
    far::Far,
    folder::Folder,
    heartbeat::server::{Operator, Server},
    process::Process,
    swarm::{Pace, Swarm},
};

/// How much more comes than the server can hold.
const TIMES: f64 = 10.0;

/// How many heartbeats may wait in the server: its default.
const QUEUE: usize = 2048;

/// So many more connections are there for what is refused meanwhile.
const REFUSED: usize = 2048;

#[derive(Debug, Args)]
pub(crate) struct OverloadArgs {
    /// For how long it is measured before, during and after.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// How long the way to PostgreSQL and back takes, in milliseconds: it, and no processor, bounds what the server can
    /// hold, so that there is something left to make ten times of that.
    #[arg(long, default_value = "250", value_parser = clap::value_parser!(u64).range(2..=2000))]
    round_trip_ms: u64,
    /// How many agents. The server judges each once in 5 s on average, 10 times in a burst.
    #[arg(long, default_value = "40000", value_parser = clap::value_parser!(u32).range(8192..))]
    installs: u32,
    /// Say nothing but the figures.
    #[arg(long)]
    json_only: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    round_trip_ms: u64,
    /// As many heartbeats under way as the server lets wait, none refused.
    before: Phase,
    /// Ten times what it did then, in an open loop.
    overload: Phase,
    /// As before, at once after it.
    after: Phase,
    offered_per_second: f64,
    /// What was accepted under the overload by what was accepted before it.
    goodput: f64,
    refused_without_retry_after: u64,
}

/// A part of the measurement.
#[derive(Debug, Serialize)]
struct Phase {
    heartbeats: Heartbeats,
    /// The most that was resident in the server until its end.
    server_bytes: u64,
    /// Processor seconds of the server.
    server_cpu_seconds: f64,
}

impl OverloadArgs {
    pub(crate) async fn run(self) -> Result<(), Error> {
        raise_open_files();
        let folder = Folder::new()?;
        let cluster = durable_cluster(&folder).await?;
        let far = Far::to(cluster.address()).await?;
        let url = cluster.url("bench").replace(&cluster.address().to_string(), &far.address.to_string());
        let operator = Operator::find(url, folder.path())?;
        let installs = self.installs as usize;
        let keys = operator.set_up(installs.div_ceil(INSTALLS_PER_LICENSE), INSTALLS_PER_LICENSE).await?;
        let server = operator.serve().await?;
        self.say(&format!("the server is up; {installs} machines are activated"));
        let (swarm, _) = activate(&server.url, &keys, installs).await?;
        far.takes(Duration::from_millis(self.round_trip_ms) / 2);
        let report = self.measure(&server, &swarm).await;
        far.takes(Duration::ZERO);
        server.stop().await?;
        let report = report?;
        print(&report)?;
        let phases = [&report.before, &report.overload, &report.after].map(|phase| &phase.heartbeats);
        let wrong: u64 = phases.iter().map(|beats| beats.wrong_answers).sum();
        if wrong > 0 {
            return Err(Error::WrongAnswers(wrong));
        }
        if phases.iter().any(|beats| beats.waits_for_quota > 0) {
            return Err(Error::TooFewInstalls);
        }
        Ok(())
    }

    async fn measure(&self, server: &Server, swarm: &Rc<Swarm>) -> Result<Report, Error> {
        self.say(&format!("{QUEUE} heartbeats under way, none refused"));
        let before = self.phase(server, swarm, Pace::Closed, QUEUE).await?;
        let offered_per_second = TIMES * before.heartbeats.accepted_per_second;
        self.say(&format!("{offered_per_second:.0} heartbeats a second"));
        let overload = self.phase(server, swarm, Pace::Open(offered_per_second), QUEUE + REFUSED).await?;
        self.say("as before");
        let after = self.phase(server, swarm, Pace::Closed, QUEUE).await?;
        let refused = overload.heartbeats.by_code.values().sum::<u64>();
        let with_retry_after = overload.heartbeats.retry_after.values().sum::<u64>();
        Ok(Report {
            round_trip_ms: self.round_trip_ms,
            offered_per_second,
            goodput: overload.heartbeats.accepted_per_second / before.heartbeats.accepted_per_second,
            refused_without_retry_after: refused - with_retry_after,
            before,
            overload,
            after,
        })
    }

    async fn phase(
        &self,
        server: &Server,
        swarm: &Rc<Swarm>,
        pace: Pace,
        connections: usize,
    ) -> Result<Phase, Error> {
        let process = Process::One(server.id()?);
        let before = process.cpu_seconds()?;
        let run = swarm.run(pace, connections, Duration::from_secs(self.seconds.into()), pending()).await;
        Ok(Phase {
            heartbeats: Heartbeats::new(&run),
            server_bytes: process.memory_bytes()?,
            server_cpu_seconds: process.cpu_seconds()? - before,
        })
    }

    fn say(&self, line: &str) {
        if !self.json_only {
            progress(line);
        }
    }
}

/// Each connection is a file, and a process begins with 1,024 of them as a rule.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, connections that don't come are counted as failures.
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
