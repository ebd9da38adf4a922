//! What stops a measurement.

use std::{io, path::PathBuf};

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The caller asked for what can't be measured.
    #[error("{0}")]
    Usage(String),
    /// A file can't be read or written.
    #[error("can't use the file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runtime, a signal handler or standard output failed.
    #[error("the operating system refused")]
    System(#[from] io::Error),
    /// The server refused an activation, or didn't take it for too long.
    #[error("the server took no activation: {0}")]
    Activation(String),
    /// The server's keys can't be had, or aren't under the root key.
    #[error("the server's keyset was not verified: {0}")]
    Keyset(String),
    /// PostgreSQL can't be had.
    #[error("no private PostgreSQL")]
    Cluster(#[from] cluster::Error),
    /// A database can't be filled or read.
    #[error("the database")]
    Store(#[from] store::Error),
    /// Keys can't be opened.
    #[error("the keys")]
    Keyring(#[from] keyring::Error),
    /// A page of the admin API didn't come.
    #[error("{path}: {what}")]
    Page {
        /// Which.
        path: String,
        /// What came.
        what: String,
    },
    /// A program that the measurement needs failed.
    #[error("{name}: {what}")]
    Program {
        /// Which.
        name: String,
        /// What it said.
        what: String,
    },
    /// The swarm, and not the server, was what bounded the load.
    #[error(
        "installs had to wait until the server admits their next heartbeat: measure with more --installs"
    )]
    TooFewInstalls,
    /// Answers that aren't the requests' own, or don't verify: the figures are worth nothing.
    #[error("{0} answers were not the answers to their requests")]
    WrongAnswers(u64),
}
