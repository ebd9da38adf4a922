//! `migrate` and `init`: the schema, the partitions, the keys, the first owner. Run again they find all done.

use admin::user;
use clap::Args;
use edge::config::KeyProvider;
use edge::{Settings, open};
use protocol::ambient::{Clock, OsRandom, SystemClock};
use serde_json::json;
use store::{Database, Error as StoreError, KeysetTerms};

use crate::config::Flags;
use crate::error::Error;
use crate::site::make_kek_file;
use crate::{account, output};

pub(crate) async fn migrate(flags: &Flags) -> Result<(), Error> {
    let settings = flags.settings()?;
    let database = edge::open::database(&settings, 1).await?;
    let applied = bring_up(&database).await?;
    if flags.json {
        return output::json(&json!({ "applied": applied }));
    }
    for migration in &applied {
        output::line(&format!("applied {migration}"))?;
    }
    output::line("the schema is up to date")
}

/// Migrates and makes the partitions.
pub(crate) async fn bring_up(database: &Database) -> Result<Vec<String>, Error> {
    let applied = database.migrate().await?;
    database.make_partitions(SystemClock.unix_seconds()).await?;
    Ok(applied)
}

#[derive(Args)]
pub(crate) struct Init {
    /// What the first owner signs in to the admin API with
    #[arg(long, value_name = "EMAIL", default_value = FIRST_OWNER)]
    owner_email: String,
}

/// The first owner's address, where nobody says another.
pub(crate) const FIRST_OWNER: &str = "owner@localhost";

pub(crate) async fn init(flags: &Flags, init: &Init) -> Result<(), Error> {
    let settings = flags.settings()?;
    let database = edge::open::database(&settings, 2).await?;
    let (made, root) = make_keys(&database, &settings).await?;
    let store = open::store(database, open::provider(&settings.key_provider).await?).await?;
    let owner = user::create_first_owner(&account::operator(&store), &init.owner_email).await?;
    if flags.json {
        let mut said = json!({ "root_public_key": root, "created": made });
        if let Some((owner, password)) = owner {
            said["owner_email"] = owner.email.into();
            said["owner_password"] = password.told().into();
        }
        return output::json(&said);
    }
    if let Some((owner, password)) = owner {
        output::line(&format!("made the first owner, {}", owner.email))?;
        output::line(&format!("password, told only now: {}", password.told()))?;
    }
    output::line(if made { "made the keys" } else { "the database has its keys already" })?;
    output::line(&format!("root public key, for the agents: {root}"))?;
    output::line(&match &settings.key_provider {
        KeyProvider::Local { file } => format!(
            "keep {} safe, apart from the database and its backups: without it they open no more",
            file.display()
        ),
        KeyProvider::Kms { key_id } => {
            format!(
                "keep the KMS key {key_id}: when it is deleted, the database and its backups open no more"
            )
        }
    })
}

/// Migrates, and makes the keys unless they are there; whether those open is for the caller to see. Returns whether they were made, and the root's public half.
pub(crate) async fn make_keys(database: &Database, settings: &Settings) -> Result<(bool, String), Error> {
    bring_up(database).await?;
    if let Some(root) = database.find_root().await? {
        return Ok((false, root.to_string()));
    }
    if let KeyProvider::Local { file } = &settings.key_provider
        && make_kek_file(file)?
    {
        tracing::info!(file = %file.display(), "made the key-encryption key");
    }
    let terms = KeysetTerms { issuer: &settings.public_url, life: settings.keyset_seconds };
    let provider = open::provider(&settings.key_provider).await?;
    match database.init_keys(&*provider, &SystemClock, &OsRandom, terms).await {
        Ok(keys) => Ok((true, keys.root.to_string())),
        // Another process was faster.
        Err(StoreError::KeysExist) => {
            let root = database.find_root().await?.ok_or(StoreError::NoKeys)?;
            Ok((false, root.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
