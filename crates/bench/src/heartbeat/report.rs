//! What the measurement of heartbeats prints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::pgbench::Bare;
use crate::command::swarm::{Activations, Heartbeats};

/// What the measurement came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Closed loop, the mean of the rounds.
    pub(crate) heartbeats_per_second: f64,
    /// The mean of the rounds.
    pub(crate) pgbench_per_second: f64,
    /// The one by the other.
    pub(crate) ratio: f64,
    pub(crate) server_cpu_us_per_heartbeat: f64,
    pub(crate) rounds: Vec<Round>,
    pub(crate) half_load_open_loop: Heartbeats,
    pub(crate) one_at_a_time: Heartbeats,
    pub(crate) connections: usize,
    pub(crate) server_probes: BTreeMap<usize, f64>,
    pub(crate) clients: usize,
    pub(crate) pgbench_probes: BTreeMap<usize, f64>,
    /// From spawn to listening.
    pub(crate) server_start_up_ms: f64,
    pub(crate) memory_bytes: Memory,
    pub(crate) activations: Activations,
    /// PostgreSQL's.
    pub(crate) settings: BTreeMap<&'static str, String>,
}

/// pgbench, then the server.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) pgbench: Bare,
    pub(crate) server: Heartbeats,
    pub(crate) cpu: Cpu,
}

impl Round {
    pub(crate) fn server_cpu_us(&self) -> f64 {
        self.cpu.server.server * 1e6 / self.server.accepted_per_second / self.server.seconds
    }
}

/// Processor time while pgbench, and while the server was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    pub(crate) pgbench: Spent,
    pub(crate) server: Spent,
}

/// Seconds of processor time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spent {
    pub(crate) server: f64,
    pub(crate) postgresql: f64,
    pub(crate) swarm: f64,
}

impl Spent {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server - before.server,
            postgresql: self.postgresql - before.postgresql,
            swarm: self.swarm - before.swarm,
        }
    }
}

/// Memory at the end: of the server and the swarm the most that was resident.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) server_peak: u64,
    pub(crate) postgresql: u64,
    pub(crate) swarm_peak: u64,
}

/// The mean.
pub(crate) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = u32::try_from(values.len()).map_or(f64::NAN, f64::from);
    values.sum::<f64>() / count
}
