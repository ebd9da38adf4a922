//! The npm packages that tests compare with, in a folder of their own.

use std::{fs, path::PathBuf, process::Command};

use crate::{config::Config, error::Error, run::run};

/// Where they are named, and locked.
const PACKAGE: &str = "tests/jose";

/// What npm reads. The lock comes last: what was interrupted before is made anew.
const FILES: [&str; 3] = [".npmrc", "package.json", "package-lock.json"];

/// Installs what is locked, unless it is there; returns the folder that has `node_modules`.
pub(super) fn install(config: &Config) -> Result<PathBuf, Error> {
    let folder = config.cache.join("jose");
    let read = |file: PathBuf| fs::read_to_string(&file).map_err(Error::io("read", file));
    let wanted = read(config.checkout.join(PACKAGE).join("package-lock.json"))?;
    // Written by npm when it is through.
    let is_whole = folder.join("node_modules/.package-lock.json").is_file();
    if is_whole && read(folder.join("package-lock.json")).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
    for file in FILES {
        let (from, to) = (config.checkout.join(PACKAGE).join(file), folder.join(file));
        fs::copy(&from, &to).map_err(Error::io("copy", from))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    run(&mut npm)?;
    Ok(folder)
}
