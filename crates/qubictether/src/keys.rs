//! `keys list|rotate|taint|sign-keyset|export-root|destroy`; `rewrap` has a file of its own.

mod rotation;

use std::path::{Path, PathBuf};

use admin::signing_key::{self, Keys};
use admin::wrapped_key::{self, WrappedKey};
use clap::{Args, Subcommand, ValueEnum};
use edge::Settings;
use keyring::signing::KeyUse;
use keyring::{Context, Purpose, read_roots, write_roots};
use protocol::admin::{Root, SigningKey};
use serde::Serialize;
use serde_json::json;
use store::{Actor, KeyTerms, KeysetTerms, PublishedKeyset, Store};

use crate::config::Flags;
use crate::error::Error;
use crate::rewrap::{self, Rewrap};
use crate::site::Site;
use crate::{account, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    WithOpenKeys(WithOpenKeys),
    /// Wrap the data keys and the lookup key by another key-encryption key: of KMS, or in a file
    ///
    /// Each is unwrapped again before anything is written, and all are written at once or none. What was moved already
    /// stays as it is. Processes that run have their keys and go on.
    #[command(after_help = rewrap::EXAMPLES)]
    Rewrap(Rewrap),
}

/// What is done with keys that open by the settings.
#[derive(Subcommand)]
pub(crate) enum WithOpenKeys {
    /// What signs, verifies and seals: the keyset, the roots, signing keys, data keys; and what has to be seen to
    List,
    /// Rotate keys: those that sign, the root, the data key or the lookup key
    ///
    /// Signing keys: the prepared ones sign from now on, if they were published for long enough, and the next are published.
    /// A server does this by itself when keys are old enough (`QT_KEY_ROTATE_SECONDS`). A prepared key has to be published
    /// for `QT_KEY_LEAD_SECONDS` before it signs, so that every agent knows it; before that nothing is done, and the
    /// status is 4. The old key goes on verifying until the last thing that it signed has expired.
    ///
    /// Data key and lookup key: a new one is active at once, and everything is brought under it while servers work. It may
    /// be ended at any moment, and run again, in several places too: it goes on. What was replaced retires when every
    /// process has heard of the new key, two minutes after it was made, and nothing is left.
    #[command(after_help = ROTATE)]
    Rotate(Rotate),
    /// Trust a signing key no more: it leaves the keyset at once, and where it signed the prepared one does
    ///
    /// For emergencies, when somebody else may have the key. Servers stop signing with it within a minute; what it signed
    /// is refused by every agent that has the new keyset. A new key is prepared.
    Taint {
        /// Its kid: `keys list`
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        root: RootKey,
    },
    /// Sign a new keyset, where the root key is kept away from the database
    ///
    /// A keyset lives for `QT_KEYSET_SECONDS`. A server signs a new one when a third of that is gone, if it has the root
    /// key; else this has to be done before the end, or agents believe nothing new. It is signed for `QT_PUBLIC_URL` where
    /// that is set, else for the same issuer as the last one; likewise for `QT_KEYSET_SECONDS`.
    SignKeyset(RootKey),
    /// Write the root key to a file, to be kept offline, and remove it from the database
    ///
    /// From then on `rotate`, `taint` and `sign-keyset` need the file (--root-key FILE), and nobody rotates keys or renews
    /// keysets by himself any more. There is no other copy: keep at least two. Roots that were replaced leave with it, the
    /// one that signs first.
    ExportRoot {
        /// A file that isn't there yet; its mode will be 0600
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Destroy a retired data key or lookup key: what was sealed under it, and comes back, opens no more
    ///
    /// Nothing may be left under it. A whole backup of the database from before has the wrapped key too: it opens for whoever
    /// has the key-encryption key of that time, so change that as well, and destroy the old one.
    #[command(group = clap::ArgGroup::new("key").required(true))]
    Destroy {
        /// The data key's version: `keys list`
        #[arg(long, value_name = "VERSION", group = "key")]
        data: Option<u32>,
        /// The lookup key's version
        #[arg(long, value_name = "VERSION", group = "key")]
        lookup: Option<u32>,
    },
}

const ROTATE: &str = "\
Examples:
  qubictether keys rotate                    token and lease keys
  qubictether keys rotate --use token        token keys alone
  qubictether keys rotate --data             the data key, and everything that is sealed
  qubictether keys rotate --lookup           the lookup key, and the index over license keys
  qubictether keys rotate --root             a new root key, which the old one vouches for
  qubictether keys rotate --root-key FILE    token and lease keys, where the root key is kept in a file";

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag on the command line")]
pub(crate) struct Rotate {
    /// Only the keys that sign this
    #[arg(long = "use", value_name = "USE", group = "what")]
    key_use: Option<Use>,
    /// The data key: seals everything anew
    #[arg(long, group = "what")]
    data: bool,
    /// The lookup key: indexes every license key anew
    #[arg(long, group = "what")]
    lookup: bool,
    /// The root key: the old one vouches for the new one, which agents follow up to sixteen times
    #[arg(long, group = "what")]
    root: bool,
    /// With --data or --lookup: don't wait until the old key can retire; the next run sees to that
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    root_key: RootKey,
}

/// What a key signs.
#[derive(Clone, Copy, ValueEnum)]
enum Use {
    Token,
    Lease,
}

#[derive(Args)]
pub(crate) struct RootKey {
    /// The file that the root key was exported to
    #[arg(long = "root-key", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl RootKey {
    fn read(&self) -> Result<Vec<jose_jwt::SigningKey>, Error> {
        Ok(self.file.as_deref().map(read_roots).transpose()?.unwrap_or_default())
    }
}

pub(crate) async fn run(flags: &Flags, command: Command) -> Result<(), Error> {
    match command {
        Command::WithOpenKeys(command) => manage(flags, command).await,
        // The keys need not open by the settings any more: they may have moved before.
        Command::Rewrap(rewrap) => rewrap::run(flags, &rewrap).await,
    }
}

async fn manage(flags: &Flags, command: WithOpenKeys) -> Result<(), Error> {
    let actor = &account::actor();
    let settings = flags.settings()?;
    let store = Site::open(flags).await?.store;
    let newest = store.load_keyset().await?;
    let operator = account::operator(&store);
    let keys = match command {
        WithOpenKeys::List => {
            let keys = signing_key::list(&store, terms(&settings, &newest, &[], actor)).await?;
            return Listed::of(keys, wrapped_key::list(&store).await?).print(flags.json);
        }
        WithOpenKeys::Destroy { data, lookup } => {
            let data = data.map(|version| Context { purpose: Purpose::DataKey, version });
            let lookup = lookup.map(|version| Context { purpose: Purpose::LookupKey, version });
            // One of them was given.
            let Some(key) = data.or(lookup) else { return Ok(()) };
            let keys = wrapped_key::destroy(&operator, key).await?;
            return if flags.json { output::json(&keys) } else { describe_wrapped(&keys) };
        }
        WithOpenKeys::Rotate(rotate) if rotate.data || rotate.lookup => {
            let purpose = if rotate.data { Purpose::DataKey } else { Purpose::LookupKey };
            return rotation::run(&store, purpose, actor, !rotate.no_wait, flags.json).await;
        }
        WithOpenKeys::Rotate(rotate) => {
            let roots = rotate.root_key.read()?;
            self::rotate(&store, &rotate, terms(&settings, &newest, &roots, actor)).await?
        }
        WithOpenKeys::Taint { kid, root } => {
            let roots = root.read()?;
            signing_key::taint(&store, &kid, terms(&settings, &newest, &roots, actor)).await?
        }
        WithOpenKeys::SignKeyset(root) => {
            let roots = root.read()?;
            let mut terms = terms(&settings, &newest, &roots, actor);
            // What was not said is as it was: nobody is to change the issuer by forgetting a variable.
            if flags.is_set("QT_PUBLIC_URL")? {
                terms.keysets.issuer = &settings.public_url;
            }
            if flags.is_set("QT_KEYSET_SECONDS")? {
                terms.keysets.life = settings.keyset_seconds;
            }
            signing_key::sign_keyset(&store, terms).await?
        }
        WithOpenKeys::ExportRoot { out } => return export(&store, &out, flags.json).await,
    };
    if flags.json { output::json(&keys) } else { describe(&keys) }
}

/// Keysets are signed for whom and for how long the last one was: only a server's own settings change that.
fn terms<'a>(
    settings: &Settings,
    newest: &'a PublishedKeyset,
    roots: &'a [jose_jwt::SigningKey],
    actor: &'a Actor,
) -> KeyTerms<'a> {
    let life = newest.expires_at.saturating_sub(newest.issued_at);
    let keysets = KeysetTerms { issuer: &newest.issuer, life };
    KeyTerms { keysets, pace: settings.key_terms().pace, roots, actor: Some(actor) }
}

async fn rotate(store: &Store, rotate: &Rotate, terms: KeyTerms<'_>) -> Result<Keys, Error> {
    let uses = match rotate.key_use {
        _ if rotate.root => return Ok(signing_key::rotate_root(store, terms).await?),
        Some(Use::Token) => &[KeyUse::Token][..],
        Some(Use::Lease) => &[KeyUse::Lease],
        None => &KeyUse::ALL,
    };
    Ok(signing_key::rotate(store, uses, terms).await?)
}

async fn export(store: &Store, out: &Path, json: bool) -> Result<(), Error> {
    let mut roots = store.load_roots().await?;
    // The one that signs first.
    roots.reverse();
    let kids: Vec<_> = roots.iter().map(|root| root.kid().to_owned()).collect();
    if kids.is_empty() {
        let gone = "the root key isn't in the database any more: it was exported before".to_owned();
        return Err(admin::Error::Conflict(gone).into());
    }
    write_roots(out, &roots)?;
    drop(roots);
    store.forget_roots(&kids.iter().map(String::as_str).collect::<Vec<_>>(), &account::actor()).await?;
    if json {
        return output::json(&json!({ "file": out, "kids": kids }));
    }
    output::line(&format!(
        "wrote {} to {} and removed it from the database",
        kids.join(", "),
        out.display()
    ))?;
    output::line("backups from before still have it, sealed; keep copies of the file where no server is")?;
    output::line("before the keyset ends, sign the next one: qubictether keys sign-keyset --root-key FILE")
}

/// What `keys list` prints.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    keys: Keys,
    wrapped_keys: Vec<WrappedKey>,
}

impl Listed {
    fn of(mut keys: Keys, wrapped_keys: Vec<WrappedKey>) -> Self {
        keys.warnings.extend(wrapped_key::warnings(&wrapped_keys));
        Self { keys, wrapped_keys }
    }

    fn print(&self, json: bool) -> Result<(), Error> {
        if json {
            return output::json(self);
        }
        describe(&self.keys)?;
        describe_wrapped(&self.wrapped_keys)
    }
}

fn describe_wrapped(keys: &[WrappedKey]) -> Result<(), Error> {
    let row = |key: &WrappedKey| {
        let what = match (key.left, key.seals_reserved) {
            (Some(1), _) => "1 value left".to_owned(),
            (Some(left), _) => format!("{left} values left"),
            (None, Some(seals)) => format!("{seals} seals of 2147483648"),
            (None, None) => String::new(),
        };
        let name = format!("{} {}", key.purpose, key.version);
        [name, key.status.to_owned(), key.wrapped_by.clone(), key.created_at.to_string(), what]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    output::table(["WRAPPED KEY", "STATUS", "WRAPPED BY", "MADE", ""], &rows, "")
}

fn describe(keys: &Keys) -> Result<(), Error> {
    for warning in &keys.warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    let keyset = &keys.keyset;
    output::line(&format!(
        "keyset {} of {}, signed at {}, ends at {}",
        keyset.version, keyset.issuer, keyset.issued_at, keyset.expires_at
    ))?;
    let root = |root: &Root| {
        let place = if root.in_database { "here" } else { "elsewhere" };
        [root.kid.clone(), root.status.clone(), place.to_owned(), root.created_at.to_string()]
    };
    let rows: Vec<_> = keys.roots.iter().map(root).collect();
    output::table(["ROOT KEY", "STATUS", "PRIVATE HALF", "MADE"], &rows, "")?;
    let key = |key: &SigningKey| {
        let next = match (key.tainted_at, key.verify_until, key.ready_at, key.sign_from) {
            (Some(at), ..) => format!("tainted at {at}"),
            (_, Some(until), ..) => format!("verifies until {until}"),
            (_, _, Some(from), _) => format!("may sign from {from}"),
            (.., Some(since)) => format!("signs since {since}"),
            _ => String::new(),
        };
        [key.kid.clone(), key.key_use.clone(), key.status.clone(), next]
    };
    let rows: Vec<_> = keys.signing_keys.iter().map(key).collect();
    output::table(["SIGNING KEY", "USE", "STATUS", ""], &rows, "")
}
