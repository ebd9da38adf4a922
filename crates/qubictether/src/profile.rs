//! `profile create|list|show|publish`.

use std::path::PathBuf;

use admin::profile;
use clap::{Args, Subcommand};
use protocol::admin::Profile;
use serde_json::json;
use store::Store;

use crate::error::Error;
use crate::{account, output};

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
    /// Publish a profile's next version; it judges every install from its next beat on
    Publish {
        /// Its id or its name
        profile: String,
        #[command(flatten)]
        knobs: Knobs,
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
        Command::Publish { profile, knobs } => {
            let profile = profile::show(store, &profile).await?;
            profile::publish_next(&operator, profile.id, &knobs.text()?).await?
        }
    };
    if json {
        let mut said = json!(profile);
        said["versions"] = json!(profile::versions(store, profile.id, None, MANY).await?);
        return output::json(&said);
    }
    output::line(&format!(
        "profile {} ({}), version {} judges",
        profile.name, profile.id, profile.active_number
    ))?;
    output::line(profile.knobs.get())
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
