//! `audit list|verify`: what was changed, and that the log of it is whole.

use admin::audit;
use clap::{Args, Subcommand};
use protocol::admin::{ActorKind, AuditRow, ChainCheck};
use store::{AuditFilter, Store};

use crate::error::Error;
use crate::{license, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What was changed, by whom, the newest first; --json tells how it was before and after
    List(List),
    /// Walk the chain of hashes of the admin audit log; fails where a row was changed or removed
    Verify,
}

#[derive(Args)]
pub(crate) struct List {
    /// Only what a user, `api_key` or `command_line` did
    #[arg(long)]
    actor: Option<ActorKind>,
    /// Only this action, like license.suspend
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this kind of thing, like license
    #[arg(long)]
    resource: Option<String>,
    /// Only what was done to this thing
    #[arg(long, value_name = "ID")]
    resource_id: Option<String>,
    /// Only from this time on, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = license::instant)]
    from: Option<i64>,
    /// Only before this time, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = license::instant)]
    to: Option<i64>,
    /// Only rows before this one: the SEQ at which another list ended
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    match command {
        Command::List(wanted) => list(store, wanted, json).await,
        Command::Verify => verify(store, json).await,
    }
}

async fn list(store: &Store, wanted: List, json: bool) -> Result<(), Error> {
    let List { actor, action, resource, resource_id, from, to, before, limit } = wanted;
    let filter = AuditFilter { actor, actor_id: None, action, resource, resource_id, from, to };
    let rows = audit::list(store, &filter, before, limit).await?;
    if json {
        return output::json(&rows);
    }
    let row = |row: &AuditRow| {
        let by = format!("{} ({})", row.actor_name, row.actor.as_str());
        [row.seq.to_string(), row.at.to_string(), row.action.clone(), row.resource_id.clone(), by]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    output::table(["SEQ", "TIME", "ACTION", "WHAT", "BY"], &rows, "nothing was changed yet")
}

async fn verify(store: &Store, json: bool) -> Result<(), Error> {
    let ChainCheck { intact, rows, hash, broken_at, detail } = audit::verify(store).await?;
    if json {
        output::json(&ChainCheck { intact, rows, hash, broken_at, detail: detail.clone() })?;
    } else if intact {
        output::line(&format!("{rows} rows hold; the last one's hash is {hash}"))?;
    }
    if intact {
        return Ok(());
    }
    Err(Error::Tampered { at: broken_at.unwrap_or(rows + 1), detail: detail.unwrap_or_default() })
}
