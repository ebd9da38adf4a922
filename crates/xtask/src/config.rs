//! What the environment says: the only place that reads it.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Error, run::read};

/// Where things are.
pub(crate) struct Config {
    /// The checkout.
    pub(crate) checkout: PathBuf,
    /// The folder of tools and test environments, outside the checkout: `QT_CACHE`, else `~/.cache/qubictether`.
    pub(crate) cache: PathBuf,
    /// The cargo that runs this.
    pub(crate) cargo: OsString,
    /// `QT_RUST_STD_SOURCE`: a tarball with the `library` folder of the compiler's source.
    pub(crate) rust_std_source: Option<PathBuf>,
    /// Whether rustup may download: not where `RUSTUP_AUTO_INSTALL` is 0.
    pub(crate) may_ask_rustup: bool,
    /// What the cargo that runs this says of this package. To another cargo it is noise, by which it builds anew some
    /// of what the user's own cargo has built.
    pub(crate) cargos_own: Vec<OsString>,
    path: OsString,
}

impl Config {
    /// Reads it.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        // At run time, since a target folder may be shared by several checkouts.
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let checkout = Path::new(&package).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned();
        let in_home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache/qubictether"));
        let cache = env::var_os("QT_CACHE").map(PathBuf::from).or_else(in_home);
        let no_cache = || Error::missing("no folder for the tools", "set HOME, or name one in QT_CACHE");
        let cache =
            std::path::absolute(cache.ok_or_else(no_cache)?).map_err(Error::io("find", "QT_CACHE"))?;
        Ok(Self {
            checkout,
            cache,
            cargo: env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            rust_std_source: env::var_os("QT_RUST_STD_SOURCE").map(PathBuf::from),
            may_ask_rustup: env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0"),
            cargos_own: env::vars_os().map(|(name, _)| name).filter(|name| is_cargos_own(name)).collect(),
            path: env::var_os("PATH").unwrap_or_default(),
        })
    }

    /// Where `up` keeps everything. PostgreSQL, which doesn't run as root, can't reach what is in root's home.
    pub(crate) fn default_dev_folder(&self) -> PathBuf {
        if is_root() { "/var/lib/qubictether-dev".into() } else { self.cache.join("dev") }
    }

    /// The folders in which programs are found.
    pub(crate) fn path(&self) -> &OsStr {
        &self.path
    }

    /// Where `localstack` keeps everything.
    pub(crate) fn default_localstack_folder(&self) -> PathBuf {
        if is_root() { "/var/lib/qubictether-localstack".into() } else { self.cache.join("localstack-dev") }
    }

    /// The file of a program that `PATH` finds.
    pub(crate) fn find_program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path).map(|folder| folder.join(name)).find(|file| file.is_file())
    }
}

fn is_cargos_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
