//! `serve --dev`: a PostgreSQL and keys in a folder of their own.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cluster::{Cluster, Options};

use crate::config::Flags;
use crate::error::Error;

/// In the folder: the settings by which other commands reach this server's database and keys.
pub(crate) const SETTINGS_FILE: &str = "dev.env";

/// A development server's PostgreSQL; it stops when this is dropped.
pub(crate) struct Dev {
    /// Where everything lies.
    pub(crate) folder: PathBuf,
    /// The settings that go with it.
    pub(crate) settings: HashMap<String, String>,
    _cluster: Cluster,
}

impl Dev {
    /// Makes the folder and what belongs into it, or goes on with what is there, and starts PostgreSQL.
    ///
    /// The public URL is where it listens, so that an agent on this machine needs to be told nothing else. What is to wrap
    /// the keys stands in the settings, too, so that other commands know it.
    pub(crate) fn start(flags: &Flags, listen: SocketAddr) -> Result<Self, Error> {
        let folder = &flags.dev_dir();
        fs::create_dir_all(folder).map_err(Error::io(format!("make the folder {}", folder.display())))?;
        let folder =
            folder.canonicalize().map_err(Error::io(format!("find the folder {}", folder.display())))?;
        let mut cluster = Cluster::create_or_open(folder.join("postgres"), Options::durable())?;
        cluster.start()?;
        let mut settings = HashMap::from([
            ("QT_DATABASE_URL".to_owned(), cluster.url("postgres")),
            ("QT_KEK_FILE".to_owned(), folder.join("kek").display().to_string()),
        ]);
        if listen.port() != 0 {
            settings.insert("QT_PUBLIC_URL".to_owned(), format!("http://{listen}"));
        }
        for name in ["QT_KEY_PROVIDER", "QT_KMS_KEY_ID"] {
            settings.extend(flags.find(name).map(|value| (name.to_owned(), value)));
        }
        write_settings(&folder.join(SETTINGS_FILE), &settings)?;
        Ok(Self { folder, settings, _cluster: cluster })
    }
}

/// The file holds the database's password: it is the owner's alone.
fn write_settings(file: &Path, settings: &HashMap<String, String>) -> Result<(), Error> {
    let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        writeln!(file, "{}", lines.join("\n"))
    };
    write().map_err(Error::io(format!("write {}", file.display())))
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
