//! `install list|show|approve|suspend|resume|revoke|reset|rebind`.

use admin::{Expected, install};
use clap::Subcommand;
use policy::State;
use protocol::admin::{Install, InstallStatus};
use protocol::{Fingerprint, InstallId, LicenseId};
use store::{InstallAction, InstallFilter, Store};

use crate::error::Error;
use crate::{account, output};

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
    /// An install as it is judged now, with its ladder
    Show {
        /// Its id
        install: InstallId,
    },
    /// Let a pending install work
    Approve {
        /// Its id
        install: InstallId,
    },
    /// Suspend an install until it is resumed
    Suspend {
        /// Its id
        install: InstallId,
    },
    /// End an install's suspension
    Resume {
        /// Its id
        install: InstallId,
    },
    /// Revoke an install, for good: its seat is free
    Revoke {
        /// Its id
        install: InstallId,
    },
    /// Clear suspicion and the count of reactivations, and kill the secret: the agent activates again
    Reset {
        /// Its id
        install: InstallId,
    },
    /// Bind the fingerprint last observed (or the one given), and clear suspicion
    Rebind {
        /// Its id
        install: InstallId,
        /// A fingerprint, a JSON object of components
        #[arg(long, value_name = "JSON", value_parser = fingerprint)]
        fingerprint: Option<Fingerprint>,
    },
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    let (id, action) = match command {
        Command::List { license_id, state, status, after, limit } => {
            let filter = InstallFilter { license_id, state, status, ..InstallFilter::default() };
            return list(store, &filter, after, limit, json).await;
        }
        Command::Show { install } => return print(&install::show(store, install).await?, json),
        Command::Approve { install } => (install, InstallAction::Approve),
        Command::Suspend { install } => (install, InstallAction::Suspend),
        Command::Resume { install } => (install, InstallAction::Resume),
        Command::Revoke { install } => (install, InstallAction::Revoke),
        Command::Reset { install } => (install, InstallAction::Reset),
        Command::Rebind { install, fingerprint } => (install, InstallAction::Rebind(fingerprint)),
    };
    let operator = account::operator(store);
    print(&install::act(&operator, id, &Expected::ANY, &action).await?, json)
}

fn print(install: &Install, json: bool) -> Result<(), Error> {
    if json {
        return output::json(install);
    }
    let decision = &install.decision;
    let name = install.name.as_deref().unwrap_or("unnamed");
    output::line(&format!("install {} ({name}) of license {}", install.id, install.license_id))?;
    output::line(&format!(
        "{}: {}, rule {}, {}",
        install.status, decision.state, decision.rule, decision.reason
    ))?;
    output::line(&format!("last heard of {}, agent {}", install.last_contact, install.agent.version))?;
    for step in &install.ladder {
        output::line(&format!("  from {} {}, rule {}, {}", step.at, step.state, step.rule, step.reason))?;
    }
    Ok(())
}

async fn list(
    store: &Store,
    filter: &InstallFilter,
    after: Option<InstallId>,
    limit: i64,
    json: bool,
) -> Result<(), Error> {
    let installs = install::list(store, filter, after, limit).await?;
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
