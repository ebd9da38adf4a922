//! `install list|show|approve|suspend|resume|revoke|reset|rebind`.

use admin::{Expected, bulk, install};
use clap::{Args, Subcommand};
use policy::State;
use protocol::admin::{ChangedInstalls, ChosenInstalls, Install, InstallStatus};
use protocol::{Fingerprint, InstallId, LicenseId};
use serde_json::json;
use store::{InstallAction, InstallFilter, Store};

use crate::error::Error;
use crate::{account, explain, license, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Installs as they are judged now, in the order in which they were made
    List {
        /// Only those of this license
        #[arg(long, value_name = "ID")]
        license_id: Option<LicenseId>,
        /// Only those that were in this state a minute ago
        #[arg(long)]
        state: Option<State>,
        /// Only those that are active, pending, suspended, deactivated or revoked
        #[arg(long)]
        status: Option<InstallStatus>,
        /// Only those after this one
        #[arg(long, value_name = "ID")]
        after: Option<InstallId>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// An install as it is judged now: its ladder, what would mend it, and why, by all fourteen rules
    Show {
        /// Its id
        install: InstallId,
    },
    /// Let a pending install work, or a license's
    Approve(Which),
    /// Suspend an install, or a license's, until it is resumed
    Suspend(Which),
    /// End an install's suspension, or those of a license's
    Resume(Which),
    /// Revoke an install, or a license's, for good: the seat is free
    Revoke(Which),
    /// Clear suspicion and the count of reactivations, and kill the secret: the agent activates again
    Reset(Which),
    /// Bind the fingerprint last observed (or the one given), and clear suspicion
    Rebind {
        /// Its id
        install: InstallId,
        /// A fingerprint, a JSON object of components
        #[arg(long, value_name = "JSON", value_parser = fingerprint)]
        fingerprint: Option<Fingerprint>,
    },
}

/// One install; or those that are named of a license, or all: then to each of them, or to none.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// Its id; with --license-id up to a thousand of them
    #[arg(value_name = "INSTALL", conflicts_with = "all")]
    installs: Vec<InstallId>,
    /// The license whose installs they are
    #[arg(long, value_name = "ID")]
    license_id: Option<LicenseId>,
    /// Every install of the license that it can be done to
    #[arg(long, requires = "license_id")]
    all: bool,
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    let (which, action) = match command {
        Command::List { license_id, state, status, after, limit } => {
            let filter = InstallFilter { license_id, state, status, ..InstallFilter::default() };
            return list(store, &filter, after, limit, json).await;
        }
        Command::Show { install } => {
            let install = install::show(store, install).await?;
            return if json { output::json(&install) } else { explain::print_with_reasons(&install) };
        }
        Command::Approve(which) => (which, InstallAction::Approve),
        Command::Suspend(which) => (which, InstallAction::Suspend),
        Command::Resume(which) => (which, InstallAction::Resume),
        Command::Revoke(which) => (which, InstallAction::Revoke),
        Command::Reset(which) => (which, InstallAction::Reset),
        Command::Rebind { install, fingerprint } => {
            let which = Which { installs: vec![install], license_id: None, all: false };
            (which, InstallAction::Rebind(fingerprint))
        }
    };
    let operator = account::operator(store);
    match (which.license_id, which.installs.as_slice()) {
        (None, [id]) => {
            let install = install::act(&operator, *id, &Expected::ANY, &action).await?;
            if json { output::json(&install) } else { explain::print(&install) }
        }
        (None, _) => {
            Err(Error::Usage("of several installs, --license-id has to say whose they are".to_owned()))
        }
        (Some(_), []) if !which.all => {
            Err(Error::Usage("name the license's installs, or say --all".to_owned()))
        }
        (Some(id), named) => {
            let body = if which.all { json!({}) } else { json!({ "install_ids": named }) };
            let ChosenInstalls { install_ids } = license::read(&body.to_string(), ChosenInstalls::read)?;
            tell(&bulk::act(&operator, id, install_ids.as_deref(), &action).await?, json)
        }
    }
}

fn tell(done: &ChangedInstalls, json: bool) -> Result<(), Error> {
    if json {
        return output::json(done);
    }
    let ChangedInstalls { changed, unchanged, batch_id } = done;
    output::line(&format!("changed {changed} installs; {unchanged} were that already"))?;
    output::line(&format!("the audit log has them as batch {batch_id}"))
}

async fn list(
    store: &Store,
    filter: &InstallFilter,
    mut after: Option<InstallId>,
    limit: i64,
    json: bool,
) -> Result<(), Error> {
    let mut installs: Vec<Install> = Vec::new();
    let mut left = limit;
    while left > 0 {
        let part = install::list(store, filter, after, left).await?;
        left -= i64::try_from(part.items.len()).unwrap_or(left);
        installs.extend(part.items);
        if part.next.is_none() {
            break;
        }
        after = part.next;
    }
    if json {
        return output::json(&installs);
    }
    let row = |install: &Install| {
        [
            install.id.to_string(),
            install.status.to_string(),
            install.decision.state.to_string(),
            install.decision.reason.to_string(),
            install.last_contact.to_string(),
            install.name.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<_> = installs.iter().map(row).collect();
    output::table(["ID", "STATUS", "STATE", "REASON", "LAST CONTACT", "NAME"], &rows, "no installs yet")
}
