//! Where PostgreSQL's programs are: the only place of this crate that reads the environment.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::Error;

/// Where Debian puts each major version, in a folder of its number.
const DEBIAN: &str = "/usr/lib/postgresql";

/// What a cluster can't do without.
const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The folder of PostgreSQL's server programs: what `QT_PG_BIN` says, else where `pg_ctl` is found by `PATH`, else
/// the newest of Debian's.
///
/// # Errors
/// [`Error::NotInstalled`], and [`Error::NoSuchProgram`] when `QT_PG_BIN` is wrong.
pub fn programs() -> Result<PathBuf, Error> {
    if let Some(folder) = env::var_os("QT_PG_BIN").map(PathBuf::from) {
        return match NEEDED.into_iter().find(|program| !folder.join(program).is_file()) {
            None => Ok(folder),
            Some(program) => Err(Error::NoSuchProgram { folder, program }),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let by_path = env::split_paths(&path).find_map(|folder| {
        // Each program looks for the others beside itself, and a link may stand alone.
        let program = fs::canonicalize(folder.join("pg_ctl")).ok()?;
        program.parent().filter(|folder| is_complete(folder)).map(Path::to_owned)
    });
    by_path.or_else(newest_of_debian).ok_or(Error::NotInstalled)
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.filter_map(Result::ok);
    let numbered = versions.filter_map(|entry| {
        Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
    });
    numbered.filter(|(_, folder)| is_complete(folder)).max().map(|(_, folder)| folder)
}

fn is_complete(folder: &Path) -> bool {
    NEEDED.iter().all(|program| folder.join(program).is_file())
}
