//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf};

/// Why a cluster can't be made, started, stopped or killed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No PostgreSQL server programs on this machine.
    #[error(
        "PostgreSQL isn't installed: `apt-get install postgresql`, or name the folder of its `initdb` and `pg_ctl` in QT_PG_BIN"
    )]
    NotInstalled,
    /// `QT_PG_BIN` names a folder without the programs.
    #[error("QT_PG_BIN is {}, where there is no `{program}`: name PostgreSQL's bin folder", folder.display())]
    NoSuchProgram {
        /// What the variable says.
        folder: PathBuf,
        /// What is missing there.
        program: &'static str,
    },
    /// The caller is root, as whom PostgreSQL refuses to run, and there is nobody else to run it.
    #[error(
        "PostgreSQL doesn't run as root, and there is no account `postgres` to run it as: `apt-get install postgresql`, or be another user"
    )]
    NoAccount,
    /// The account `postgres` can't reach the cluster's folder.
    #[error(
        "the account `postgres` can't pass through {}: choose another folder, below /var/lib or /var/tmp for example, or `chmod o+x {}`",
        folder.display(),
        folder.display()
    )]
    NotTraversable {
        /// The parent that is closed to it.
        folder: PathBuf,
    },
    /// The folder holds something else.
    #[error("{} is neither empty nor a cluster's folder: choose another", folder.display())]
    NotACluster {
        /// The folder asked for.
        folder: PathBuf,
    },
    /// Another process has this cluster open.
    #[error("{} is in use by another process: end that one first, or choose another folder", folder.display())]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
    },
    /// Every port tried is taken.
    #[error("no free port on 127.0.0.1: name one")]
    NoPort,
    /// The cluster's processes outlived a SIGKILL.
    #[error("PostgreSQL's processes are still there, long after they were killed")]
    StillRunning,
    /// One of PostgreSQL's programs failed.
    #[error("{action} failed: {output}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// What the program said, and the end of the server's log.
        output: String,
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
}

/// Says what was tried on which file, for `Result::map_err`.
pub(crate) fn io_error(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.into(), source }
}
