//! `profile create|list|show|draft|dry-run|publish|rollback`.

use std::path::PathBuf;

use admin::{Expected, Operator, profile};
use clap::{Args, Subcommand};
use protocol::admin::Profile;
use serde_json::json;
use store::Store;

use crate::error::Error;
use crate::{account, dry_run, output};

/// How many rows a list prints at most.
const MANY: i64 = 10_000;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a profile; its knobs are published as version 1
    Create {
        /// Its name, 1 to 100 characters
        #[arg(long)]
        name: String,
        #[command(flatten)]
        knobs: Knobs,
    },
    /// Every profile
    List,
    /// A profile with its knobs and its versions
    Show {
        /// Its id or its name
        profile: String,
    },
    /// Draft a profile's next version; it judges nobody until it is published
    Draft {
        /// Its id or its name
        profile: String,
        #[command(flatten)]
        knobs: Knobs,
    },
    /// Tell what publishing a version would change, and change nothing
    DryRun(dry_run::DryRun),
    /// Publish a version, or knobs as the next one; it judges from the installs' next beats on
    Publish {
        /// Its id or its name
        profile: String,
        /// The version, a draft or one that was published before
        #[arg(long = "version", value_name = "N", conflicts_with_all = ["knobs", "knobs_file"])]
        number: Option<i32>,
        /// To so many installs in a hundred, always the same ones; the rest stays with the version before
        #[arg(long, value_name = "P", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=100))]
        percent: i32,
        #[command(flatten)]
        knobs: Knobs,
    },
    /// Have the version before judge all again
    Rollback {
        /// Its id or its name
        profile: String,
    },
}

#[derive(Args)]
pub(crate) struct Knobs {
    /// The knobs, a JSON object; one that is left out has its default
    #[arg(long, value_name = "JSON", conflicts_with = "knobs_file")]
    knobs: Option<String>,
    /// File of the knobs
    #[arg(long, value_name = "FILE")]
    knobs_file: Option<PathBuf>,
}

impl Knobs {
    fn text(self) -> Result<String, Error> {
        match (self.knobs, self.knobs_file) {
            (Some(knobs), _) => Ok(knobs),
            (None, Some(file)) => {
                std::fs::read_to_string(&file).map_err(Error::io(format!("read {}", file.display())))
            }
            (None, None) => Ok("{}".to_owned()),
        }
    }
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    let operator = account::operator(store);
    let profile = match command {
        Command::List => return list(store, json).await,
        Command::Create { name, knobs } => profile::create(&operator, &name, &knobs.text()?).await?,
        Command::Show { profile } => profile::show(store, &profile).await?,
        Command::Draft { profile, knobs } => {
            let profile = profile::show(store, &profile).await?;
            return draft(&operator, &profile, &knobs.text()?, json).await;
        }
        Command::DryRun(wanted) => return dry_run::run(store, &wanted, json).await,
        Command::Publish { profile, number, percent, knobs } => {
            let id = profile::show(store, &profile).await?.id;
            match number {
                Some(number) => profile::publish(&operator, id, number, percent, &Expected::ANY).await?,
                None => profile::publish_next(&operator, id, &knobs.text()?, percent).await?,
            }
        }
        Command::Rollback { profile } => {
            let id = profile::show(store, &profile).await?.id;
            profile::roll_back(&operator, id, &Expected::ANY).await?
        }
    };
    if json {
        let mut said = json!(profile);
        said["versions"] = json!(profile::versions(store, profile.id, None, MANY).await?);
        return output::json(&said);
    }
    output::line(&format!("profile {} ({}), {}", profile.name, profile.id, who_judges(&profile)))?;
    output::line(profile.knobs.get())
}

/// `version 2 judges 5 installs in a hundred, version 1 the rest`.
fn who_judges(profile: &Profile) -> String {
    let number = profile.active_number;
    match profile.previous_number.filter(|_| profile.percent < 100) {
        None => format!("version {number} judges"),
        Some(rest) => {
            format!(
                "version {number} judges {} installs in a hundred, version {rest} the rest",
                profile.percent
            )
        }
    }
}

async fn draft(operator: &Operator<'_>, profile: &Profile, knobs: &str, json: bool) -> Result<(), Error> {
    let version = profile::draft(operator, profile.id, knobs).await?;
    if json {
        return output::json(&version);
    }
    let (name, number) = (&profile.name, version.number);
    output::line(&format!(
        "version {number} of profile {name} is a draft: it judges nobody until it is published"
    ))?;
    output::line(&format!(
        "qubictether profile dry-run {} --version {number}   tells what it would change",
        profile.id
    ))
}

async fn list(store: &Store, json: bool) -> Result<(), Error> {
    let profiles = profile::list(store, None, MANY).await?;
    if json {
        return output::json(&profiles);
    }
    let row = |profile: &Profile| {
        [
            profile.id.to_string(),
            profile.name.clone(),
            profile.active_number.to_string(),
            profile.updated_at.to_string(),
        ]
    };
    let rows: Vec<_> = profiles.iter().map(row).collect();
    output::table(
        ["ID", "NAME", "VERSION", "CHANGED"],
        &rows,
        "no profiles yet: qubictether profile create --name …",
    )
}
