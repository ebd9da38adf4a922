//! Settings on the command line and in the environment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use edge::Settings;

use crate::dev;
use crate::error::Error;

/// Settings: a flag comes before the variable of the same name, that before what `--dev-dir` says.
#[derive(Args)]
pub(crate) struct Flags {
    /// Print one JSON value on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder of a development server (`serve --dev`): its database and its keys
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dev_dir: Option<PathBuf>,
    /// PostgreSQL, `postgres://user:password@host/database` (`QT_DATABASE_URL`)
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    database_url: Option<String>,
    /// How the database lets this in: password (in the URL) or iam (RDS) (`QT_DATABASE_AUTH`, default `password`)
    #[arg(long, global = true, value_name = "HOW", help_heading = "Settings")]
    database_auth: Option<String>,
    /// Connections to PostgreSQL that a process holds at most (`QT_DATABASE_CONNECTIONS`, default `16`)
    #[arg(long, global = true, value_name = "N", help_heading = "Settings")]
    database_connections: Option<String>,
    /// What wraps the data keys: local or kms (`QT_KEY_PROVIDER`, default `local`)
    #[arg(long, global = true, value_name = "NAME", help_heading = "Settings")]
    key_provider: Option<String>,
    /// File of the key-encryption key, 32 bytes, mode 0600 (`QT_KEK_FILE`)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    kek_file: Option<String>,
    /// Key of AWS KMS: its id, its ARN, or an alias (`QT_KMS_KEY_ID`)
    #[arg(long, global = true, value_name = "KEY", help_heading = "Settings")]
    kms_key_id: Option<String>,
    /// The issuer of everything signed (`QT_PUBLIC_URL`, default `http://127.0.0.1:8080`)
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    public_url: Option<String>,
    /// More origins from which the admin site may call, with commas between (`QT_ADMIN_ORIGINS`, default `none`)
    #[arg(long, global = true, value_name = "ORIGINS", help_heading = "Settings")]
    admin_origins: Option<String>,
    /// How long a keyset lives, seconds (`QT_KEYSET_SECONDS`, default `2592000`)
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Settings")]
    keyset_seconds: Option<String>,
    /// How long a key is published before it signs, seconds (`QT_KEY_LEAD_SECONDS`, default `86400`)
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Settings")]
    key_lead_seconds: Option<String>,
    /// How old a key that signs gets before the next one does, seconds (`QT_KEY_ROTATE_SECONDS`, default `7776000`)
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Settings")]
    key_rotate_seconds: Option<String>,
    /// Heartbeats older than that are dropped, a month at a time (`QT_RETENTION_DAYS`, default `400`)
    #[arg(long, global = true, value_name = "DAYS", help_heading = "Settings")]
    retention_days: Option<String>,
    /// How often an address may activate (`QT_ACTIVATIONS_PER_ADDRESS`, default `50/s burst 3000`)
    #[arg(long, global = true, value_name = "RATE", help_heading = "Settings")]
    activations_per_address: Option<String>,
    /// How often a license key may activate (`QT_ACTIVATIONS_PER_KEY`, default `10/s burst 1000`)
    #[arg(long, global = true, value_name = "RATE", help_heading = "Settings")]
    activations_per_key: Option<String>,
    /// Heartbeats that may wait before more are refused (`QT_QUEUE`, default `2048`)
    #[arg(long, global = true, value_name = "N", help_heading = "Settings")]
    queue: Option<String>,
    /// Webhooks to private addresses and this machine's own, by http too: refuse or allow (`QT_WEBHOOK_PRIVATE_TARGETS`, default `refuse`)
    #[arg(long, global = true, value_name = "WHAT", help_heading = "Settings")]
    webhook_private_targets: Option<String>,
    /// Where `serve` listens; port 0 is any free one (`QT_LISTEN`, default `127.0.0.1:8080`)
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Settings")]
    listen: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or a filter of tracing (`QT_LOG`, default `info`)
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Settings")]
    log: Option<String>,
}

impl Flags {
    /// What was set, flag or variable.
    pub(crate) fn find(&self, name: &str) -> Option<String> {
        let flag = match name {
            "QT_DATABASE_URL" => &self.database_url,
            "QT_DATABASE_AUTH" => &self.database_auth,
            "QT_DATABASE_CONNECTIONS" => &self.database_connections,
            "QT_KEY_PROVIDER" => &self.key_provider,
            "QT_KEK_FILE" => &self.kek_file,
            "QT_KMS_KEY_ID" => &self.kms_key_id,
            "QT_PUBLIC_URL" => &self.public_url,
            "QT_ADMIN_ORIGINS" => &self.admin_origins,
            "QT_KEYSET_SECONDS" => &self.keyset_seconds,
            "QT_KEY_LEAD_SECONDS" => &self.key_lead_seconds,
            "QT_KEY_ROTATE_SECONDS" => &self.key_rotate_seconds,
            "QT_RETENTION_DAYS" => &self.retention_days,
            "QT_ACTIVATIONS_PER_ADDRESS" => &self.activations_per_address,
            "QT_ACTIVATIONS_PER_KEY" => &self.activations_per_key,
            "QT_QUEUE" => &self.queue,
            "QT_WEBHOOK_PRIVATE_TARGETS" => &self.webhook_private_targets,
            "QT_LISTEN" => &self.listen,
            "QT_LOG" => &self.log,
            _ => &None,
        };
        flag.clone().or_else(|| std::env::var(name).ok())
    }

    /// Whether a setting was made, by whatever means.
    pub(crate) fn is_set(&self, name: &str) -> Result<bool, Error> {
        let dev = self.dev_dir.as_deref().map(read_dev).transpose()?.unwrap_or_default();
        Ok(self.find(name).or_else(|| dev.get(name).cloned()).is_some_and(|text| !text.is_empty()))
    }

    /// Every setting; those that neither a flag nor a variable gives come from the development folder.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let dev = self.dev_dir.as_deref().map(read_dev).transpose()?.unwrap_or_default();
        Ok(Settings::read(|name| self.find(name).or_else(|| dev.get(name).cloned()))?)
    }

    /// Every setting, over a development server that this process has started.
    pub(crate) fn settings_over(&self, dev: &HashMap<String, String>) -> Result<Settings, Error> {
        Ok(Settings::read(|name| match name {
            "QT_PUBLIC_URL" => self.find(name).or_else(|| dev.get(name).cloned()),
            _ => dev.get(name).cloned().or_else(|| self.find(name)),
        })?)
    }

    /// The folder of a development server.
    pub(crate) fn dev_dir(&self) -> PathBuf {
        self.dev_dir.clone().unwrap_or_else(|| {
            let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
            let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
            match (dev::is_root(), state.or(home)) {
                // PostgreSQL runs as an account of its own then, which may not enter root's home.
                (true, _) | (false, None) => PathBuf::from("/var/lib/qubictether-dev"),
                (false, Some(state)) => state.join("qubictether-dev"),
            }
        })
    }
}

fn read_dev(folder: &Path) -> Result<HashMap<String, String>, Error> {
    let file = folder.join(dev::SETTINGS_FILE);
    let text = std::fs::read_to_string(&file).map_err(|cause| {
        Error::Usage(format!(
            "{}: {cause}; start `qubictether serve --dev --dev-dir …` first",
            file.display()
        ))
    })?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect())
}
