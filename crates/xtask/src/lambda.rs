//! The Lambda functions: their zips, and the same on this machine.

use std::{
    env::{join_paths, split_paths},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;

use crate::{
    config::Config,
    error::Error,
    run::{announce, cargo, run, target_folder},
    setup::cargo_lambda,
};

/// The functions: each is a package and its binary.
pub(crate) const FUNCTIONS: [&str; 4] = ["heartbeat", "lease", "auth", "admin"];

/// A processor that Lambda has.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Arch {
    /// Intel's and AMD's.
    #[value(name = "x86_64")]
    X86_64,
    /// Graviton's; Rust's standard library has to be there for it (`rustup target add aarch64-unknown-linux-gnu`).
    Arm64,
}

impl Arch {
    const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

/// What the functions' cold start is compared with.
const HELLO: &str = "lambda-hello";

/// Makes the functions' zips, and prints how large they are and which glibc they need.
pub(crate) fn build(config: &Config, arch: Arch) -> Result<(), Error> {
    build_packages(config, arch, &FUNCTIONS).map(drop)
}

/// Makes the zips of the functions and of one that only says hello; returns their folder.
pub(crate) fn build_to_compare(config: &Config) -> Result<PathBuf, Error> {
    build_packages(config, Arch::X86_64, &[&FUNCTIONS[..], &[HELLO]].concat())
}

fn build_packages(config: &Config, arch: Arch, packages: &[&str]) -> Result<PathBuf, Error> {
    let (program, zig) = cargo_lambda::install_to_build(config)?;
    let folder = target_folder(config)?.join("lambda");
    for format in ["binary", "zip"] {
        let mut command = build_command(config, &program, &zig, arch);
        command.arg("--output-format").arg(format).arg("--lambda-dir").arg(&folder);
        for package in packages {
            command.args(["--package", package]);
        }
        // The second time only what is built is put in the zip.
        run(&mut command)?;
    }
    announce(&format!("the zips are in {}", folder.display()));
    for function in packages {
        let zip = folder.join(function).join("bootstrap.zip");
        let size = fs::metadata(&zip).map_err(Error::io("look at", &zip))?.len();
        let binary = folder.join(function).join("bootstrap");
        let glibc = newest_glibc(&binary)?.unwrap_or_else(|| "none".into());
        println!("    {function:12} {:5.2} MB   newest glibc symbol {glibc}", as_megabytes(size));
    }
    Ok(folder)
}

/// cargo-lambda's build with zig, in the checkout; rustup is kept out of it, since it may not download.
fn build_command(config: &Config, program: &Path, zig: &Path, arch: Arch) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&config.checkout);
    command.args(["lambda", "build", "--profile", "lambda", "--skip-target-check"]);
    if arch == Arch::Arm64 {
        command.args(["--target", arch.target()]);
    }
    let path = join_paths(std::iter::once(zig.to_owned()).chain(split_paths(config.path())));
    command.env("PATH", path.unwrap_or_else(|_| OsString::from(zig)));
    for name in &config.cargos_own {
        command.env_remove(name);
    }
    command
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn as_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The newest version of glibc whose symbols a binary names: `GLIBC_2.28`.
fn newest_glibc(binary: &Path) -> Result<Option<String>, Error> {
    let bytes = fs::read(binary).map_err(Error::io("read", binary))?;
    let versions = bytes.split(|byte| !(byte.is_ascii_alphanumeric() || b"_.".contains(byte)));
    let numbers = versions.filter_map(|text| std::str::from_utf8(text).ok()?.strip_prefix("GLIBC_"));
    let newest = numbers.filter_map(|text| Some((numbers_of(text)?, text))).max();
    Ok(newest.map(|(_, text)| text.to_owned()))
}

fn numbers_of(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Runs the functions on the development server's database.
pub(crate) fn watch(config: &Config, folder: Option<PathBuf>, port: u16) -> Result<(), Error> {
    let program = cargo_lambda::install(config)?;
    let folder = folder.unwrap_or_else(|| config.default_dev_folder());
    let settings = folder.join("dev.env");
    if !settings.is_file() {
        let what = format!("{} isn't there", settings.display());
        return Err(Error::missing(what, "start `cargo xtask up` in another terminal first"));
    }
    let mut build = cargo(config, ["build"]);
    for function in FUNCTIONS {
        build.args(["--package", function]);
    }
    // Else the first request of each waits for the compiler.
    run(&mut build)?;
    for function in FUNCTIONS {
        announce(&format!("{function}: http://127.0.0.1:{port}/lambda-url/{function}"));
    }
    let mut command = Command::new(program);
    command.current_dir(&config.checkout).args(["lambda", "watch", "--invoke-address", "127.0.0.1"]);
    command.arg("--invoke-port").arg(port.to_string()).arg("--env-file").arg(settings);
    run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_the_highest_number_and_not_the_last_word() {
        let file = std::env::temp_dir().join(format!("qubictether-glibc-{}", std::process::id()));
        fs::write(&file, b"\0GLIBC_2.9\0GLIBC_2.28\0GLIBC_2.3.4\0GLIBC_PRIVATE\0GLIBCXX_3.4")
            .expect("a file");
        let newest = newest_glibc(&file);
        fs::remove_file(&file).expect("the file");
        assert_eq!(newest.expect("it is read").as_deref(), Some("2.28"));
    }
}
