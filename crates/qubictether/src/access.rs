//! `user add|list`, `api-key create|list`: who may call the admin API.

use std::path::PathBuf;

use admin::password::Password;
use admin::{api_key, user};
use clap::{Subcommand, ValueEnum};
use protocol::admin::{ApiKey, NewApiKey, Role, Time, User};
use protocol::ambient::OsRandom;
use serde_json::json;
use store::Store;

use crate::error::Error;
use crate::{account, license, output};

/// How many rows a list prints at most.
const MANY: i64 = 10_000;

/// What somebody may do.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    /// Reads all but users, API keys and webhooks
    Viewer,
    /// Works on licenses, installs, leases and profiles, too
    Operator,
    /// Works on users, API keys, signing keys and webhooks, too
    Owner,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Owner => Self::Owner,
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user; prints its password where none is given
    Add {
        /// What it signs in with
        #[arg(long)]
        email: String,
        /// What it may do
        #[arg(long)]
        role: RoleName,
        /// File whose first line is the password; without it one is made and printed
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Every user
    List,
}

#[derive(Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make an API key; prints it, which is told only now
    Create {
        /// What it may do
        #[arg(long)]
        role: RoleName,
        /// What it is called, 1 to 100 characters
        #[arg(long, default_value = "command line")]
        name: String,
        /// When it ends, RFC 3339, or so many days from now, like 30d; without it it has no end
        #[arg(long, value_name = "TIME", value_parser = license::end)]
        expires_at: Option<i64>,
    },
    /// Every API key, without the keys themselves
    List,
}

pub(crate) async fn user(store: &Store, command: UserCommand, json: bool) -> Result<(), Error> {
    let UserCommand::Add { email, role, password_file } = command else {
        return list_users(store, json).await;
    };
    let (password, given) = match password_file {
        Some(file) => {
            let text =
                std::fs::read_to_string(&file).map_err(Error::io(format!("read {}", file.display())))?;
            let line = text.lines().next().unwrap_or_default();
            let password = Password::parse(line);
            let wrong = |detail| Error::Usage(format!("{}: the password {detail}", file.display()));
            (password.map_err(wrong)?, true)
        }
        None => (Password::generate(&OsRandom), false),
    };
    let operator = account::operator(store);
    let user = user::create_here(&operator, &email, role.into(), &password).await?;
    if json {
        let mut said = json!(user);
        if !given {
            said["password"] = password.told().into();
        }
        return output::json(&said);
    }
    output::line(&format!("made the {} {} ({})", user.role, user.email, user.id))?;
    if given { Ok(()) } else { output::line(&format!("password, told only now: {}", password.told())) }
}

async fn list_users(store: &Store, json: bool) -> Result<(), Error> {
    let users = user::list(store, None, MANY).await?;
    if json {
        return output::json(&users);
    }
    let row = |user: &User| [user.id.to_string(), user.email.clone(), user.role.to_string(), yes(user.totp)];
    let rows: Vec<_> = users.iter().map(row).collect();
    output::table(["ID", "EMAIL", "ROLE", "SECOND FACTOR"], &rows, "no users yet: qubictether user add …")
}

pub(crate) async fn api_key(store: &Store, command: ApiKeyCommand, json: bool) -> Result<(), Error> {
    let ApiKeyCommand::Create { role, name, expires_at } = command else {
        return list_api_keys(store, json).await;
    };
    let wanted = NewApiKey { name, role: role.into(), expires_at: expires_at.map(Time) };
    let created = api_key::create(&account::operator(store), wanted).await?;
    if json {
        return output::json(&created);
    }
    output::line(&format!("made the {}'s key {} ({})", created.row.role, created.row.name, created.row.id))?;
    output::line(&format!("key, told only now: {}", created.api_key))
}

async fn list_api_keys(store: &Store, json: bool) -> Result<(), Error> {
    let keys = api_key::list(store, None, MANY).await?;
    if json {
        return output::json(&keys);
    }
    let time = |time: Option<Time>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let row = |key: &ApiKey| {
        let (expires, used) = (time(key.expires_at), time(key.last_used_at));
        [key.id.to_string(), key.name.clone(), key.role.to_string(), expires, used]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    output::table(
        ["ID", "NAME", "ROLE", "ENDS", "USED"],
        &rows,
        "no API keys yet: qubictether api-key create …",
    )
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
