//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf};

/// Why a command didn't do what it is for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program said no.
    #[error("`{command}` failed ({status})")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// Something isn't there and can't be had by itself.
    #[error("{what}: {remedy}")]
    Missing {
        /// What isn't there.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A program said something else than was agreed.
    #[error("{what} is not as expected: {found}")]
    Unexpected {
        /// What was read.
        what: &'static str,
        /// What it said.
        found: String,
    },
    /// The operating system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or program.
        path: PathBuf,
        /// How it was refused.
        source: io::Error,
    },
    /// The private PostgreSQL.
    #[error("the private PostgreSQL")]
    Cluster(#[from] cluster::Error),
}

impl Error {
    /// Something isn't there and can't be had by itself.
    pub(crate) fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), remedy: remedy.into() }
    }

    /// Says what was tried on which file, for `Result::map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
