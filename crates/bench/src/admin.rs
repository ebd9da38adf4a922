//! The admin API and heartbeats over a large database: everything that the measurement makes and asks.

pub(crate) mod dry_runs;
pub(crate) mod growth;
pub(crate) mod pages;
pub(crate) mod paths;
pub(crate) mod plans;
pub(crate) mod site;
pub(crate) mod sweeps;
