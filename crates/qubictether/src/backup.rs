//! `backup check|restored`: whether a backup is worth something, and the last step of a restore.

use std::path::PathBuf;

use clap::Subcommand;
use protocol::admin::Time;
use protocol::ambient::{Clock, OsRandom, SystemClock};
use protocol::proof::{BUCKET_SECONDS, bucket};
use serde_json::json;
use store::Recording;

use crate::config::Flags;
use crate::error::Error;
use crate::{account, backup_check, init, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Prove that a backup and the key-encryption key belong together: open everything that is sealed in it
    ///
    /// With FILE, the dump is restored into a private PostgreSQL on this machine, which goes when all is looked at; it is
    /// brought up to this program's schema there, as a restore would be. Without, the database of the settings is looked at,
    /// and nothing in it is changed.
    Check {
        /// What `pg_dump` wrote of the server's database: plain SQL, custom format, tar, or a directory
        file: Option<PathBuf>,
    },
    /// The last step of a restore, before the servers start: puts off proofs that may have been accepted before
    Restored,
}

pub(crate) async fn run(flags: &Flags, command: &Command) -> Result<(), Error> {
    match command {
        Command::Check { file } => backup_check::run(flags, file.as_deref()).await,
        Command::Restored => restored(flags).await,
    }
}

async fn restored(flags: &Flags) -> Result<(), Error> {
    let database = edge::open::database(&flags.settings()?, 1).await?;
    init::bring_up(&database).await?;
    let now = SystemClock.unix_seconds();
    database.note_restore(&Recording { actor: account::actor(), at: now, random: &OsRandom }).await?;
    let (restored_at, proofs_from) = (Time(now), Time((bucket(now) + 1) * BUCKET_SECONDS));
    if flags.json {
        return output::json(&json!({ "restored_at": restored_at, "proofs_from": proofs_from }));
    }
    output::line(&format!("restored by {restored_at}; proofs are taken from {proofs_from} on"))?;
    output::line(
        "agents that were activated after the backup activate again by themselves if they hold their license key",
    )
}
