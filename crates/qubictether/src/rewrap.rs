//! `keys rewrap`: the wrapped keys, moved to another key-encryption key.

use clap::{Args, ValueEnum};
use edge::config::KeyProvider;
use edge::open;
use protocol::ambient::{Clock, OsRandom, SystemClock};
use serde_json::json;
use store::Recording;

use crate::config::Flags;
use crate::error::Error;
use crate::site::make_kek_file;
use crate::{account, output};

#[derive(Args)]
pub(crate) struct Rewrap {
    /// What is to wrap the keys
    #[arg(long, value_enum)]
    to: Target,
    /// Which one: a key of KMS, or a key file, made if it isn't there [default: `QT_KMS_KEY_ID`, `QT_KEK_FILE`]
    #[arg(long, value_name = "KEY")]
    to_key: Option<String>,
}

/// Where a key-encryption key is.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    Local,
    Kms,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kms => "kms",
        }
    }
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  qubictether keys rewrap --to kms --to-key alias/qubictether    from the key file, or from another key of KMS
  qubictether keys rewrap --to local --to-key /etc/qt/kek        back to a key file

QT_KEY_PROVIDER, and QT_KEK_FILE or QT_KMS_KEY_ID, name what wraps the keys now. Change them when this is done.";

pub(crate) async fn run(flags: &Flags, rewrap: &Rewrap) -> Result<(), Error> {
    let settings = flags.settings()?;
    let target = KeyProvider::read(|name| match name {
        "QT_KEY_PROVIDER" => Some(rewrap.to.name().to_owned()),
        _ => rewrap.to_key.clone().or_else(|| flags.find(name)),
    })?;
    let from = open::provider(&settings.key_provider).await?;
    if let KeyProvider::Local { file } = &target {
        make_kek_file(file)?;
    }
    let to = open::provider(&target).await?;
    let database = edge::open::database(&settings, 1).await?;
    let at = SystemClock.unix_seconds();
    let recording = Recording { actor: account::actor(), at, random: &OsRandom };
    let done = database.rewrap_keys(&*from, &*to, &recording).await?;
    if flags.json {
        let done = json!({ "rewrapped": done.moved, "already": done.already, "wrapped_by": done.by });
        return output::json(&done);
    }
    output::line(&match done.moved {
        0 => format!("{} wraps the keys already", done.by),
        moved => format!("{moved} keys were wrapped anew; {} wraps them now", done.by),
    })?;
    let needed = match &target {
        KeyProvider::Local { file } => format!("QT_KEY_PROVIDER=local and QT_KEK_FILE={}", file.display()),
        KeyProvider::Kms { key_id } => format!("QT_KEY_PROVIDER=kms and QT_KMS_KEY_ID={key_id}"),
    };
    output::line(&format!("what runs goes on; what starts from now on needs {needed}"))
}
