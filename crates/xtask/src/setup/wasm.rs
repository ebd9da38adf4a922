//! The standard library for `wasm32-unknown-unknown`: from rustup, or built from its source where rustup isn't to be
//! asked.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    config::Config,
    error::Error,
    run::{announce, read, run},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Where Debian has the compiler's source in several versions.
const SOURCE: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie-backports main\n";

/// Installs the target for the compiler of this checkout, unless it has it.
pub(super) fn install(config: &Config) -> Result<(), Error> {
    let folder = PathBuf::from(rustc(config, &["--print", "target-libdir", "--target", TARGET])?);
    if has_std(&folder) {
        return Ok(());
    }
    if config.may_ask_rustup && config.find_program("rustup").is_some() {
        let mut rustup = Command::new("rustup");
        if run(rustup.current_dir(&config.checkout).args(["target", "add", TARGET])).is_ok() {
            return Ok(());
        }
    }
    announce("building the target's standard library from its source");
    let work = config.cache.join("wasm-std");
    let built = unpack_source(config, &work).and_then(|source| build(config, &work, &source, &folder));
    // A leftover only takes room.
    let _ = fs::remove_dir_all(&work);
    built
}

fn has_std(folder: &Path) -> bool {
    let is_std = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    fs::read_dir(folder).is_ok_and(|entries| entries.filter_map(Result::ok).any(is_std))
}

fn rustc(config: &Config, arguments: &[&str]) -> Result<String, Error> {
    let text = read(Command::new("rustc").current_dir(&config.checkout).args(arguments))?;
    Ok(text.trim().to_owned())
}

/// Gets the compiler's source; returns the folder that holds `library`.
fn unpack_source(config: &Config, work: &Path) -> Result<PathBuf, Error> {
    if work.exists() {
        fs::remove_dir_all(work).map_err(Error::io("remove", work))?;
    }
    fs::create_dir_all(work).map_err(Error::io("make", work))?;
    if let Some(tarball) = &config.rust_std_source {
        run(Command::new("tar").arg("--extract").arg("--file").arg(tarball).arg("--directory").arg(work))?;
        return Ok(work.to_owned());
    }
    let version = rustc(config, &["--version"])?.split(' ').nth(1).unwrap_or_default().to_owned();
    let unavailable = |why: &str| {
        Error::missing(
            format!("the target {TARGET} can't be had here ({why})"),
            format!(
                "`rustup target add {TARGET}` on a machine that may download it; or name a tarball of the `library` \
                 folder of Rust {version}'s source in QT_RUST_STD_SOURCE"
            ),
        )
    };
    if config.find_program("apt-get").is_none() || config.find_program("dpkg-deb").is_none() {
        return Err(unavailable("rustup isn't to be asked, and there is no apt"));
    }
    let package = download_source(work, &version).map_err(|error| unavailable(&error.to_string()))?;
    run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(work))?;
    Ok(work.join(format!("usr/src/rustc-{version}")))
}

/// Downloads Debian's package of the source, by a configuration of its own: the machine's lists and packages stay.
fn download_source(work: &Path, version: &str) -> Result<PathBuf, Error> {
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path)).map(|()| path)
    };
    for folder in ["lists/partial", "cache/archives/partial"] {
        let folder = work.join(folder);
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
    }
    let list = write("sources.list", SOURCE)?;
    let settings = format!(
        "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"-\";\nDir::State::lists \"{}\";\nDir::Cache \"{}\";\n\
         APT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n#clear APT::Update::Post-Invoke;\n",
        list.display(),
        work.join("lists").display(),
        work.join("cache").display(),
    );
    let settings = write("apt.conf", &settings)?;
    let apt = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.current_dir(work).env("APT_CONFIG", &settings).arg("--quiet").args(arguments);
        command
    };
    run(&mut apt("apt-get", &["update"]))?;
    let offered = read(&mut apt("apt-cache", &["madison", "rust-src"]))?;
    let newest = offered.lines().filter_map(|line| line.split('|').nth(1).map(str::trim));
    let ours = newest.into_iter().find(|offer| offer.starts_with(&format!("{version}+")));
    let remedy = "none of that version in trixie-backports";
    let ours = ours.ok_or_else(|| Error::missing(format!("Debian's rust-src {version}"), remedy))?;
    run(&mut apt("apt-get", &["download", &format!("rust-src={ours}")]))?;
    find(work, "deb").ok_or_else(|| Error::missing("the package", "apt-get left no file"))
}

/// Builds the library with the installed compiler and puts it where rustup would.
fn build(config: &Config, work: &Path, source: &Path, folder: &Path) -> Result<(), Error> {
    let sysroot = PathBuf::from(rustc(config, &["--print", "sysroot"])?);
    let link = sysroot.join("lib/rustlib/src/rust");
    let parent = sysroot.join("lib/rustlib/src");
    fs::create_dir_all(&parent).map_err(Error::io("make", &parent))?;
    // Cargo looks for the source nowhere else. One that rustup installed is as good, and stays.
    let linked = !link.exists();
    if linked {
        // An earlier link may dangle; what can't be removed shows in the next line.
        let _ = fs::remove_file(&link);
        symlink(source, &link).map_err(Error::io("make", &link))?;
    }
    let built = build_std(config, work);
    if linked {
        fs::remove_file(&link).map_err(Error::io("remove", &link))?;
    }
    let built = built?;
    // Under another name until it is whole, so that an interrupted one is never taken for the target.
    let draft = folder.with_extension("draft");
    fs::create_dir_all(&draft).map_err(Error::io("make", &draft))?;
    let libraries = fs::read_dir(&built).map_err(Error::io("list", &built))?.filter_map(Result::ok);
    for library in
        libraries.map(|entry| entry.path()).filter(|path| path.extension() == Some(OsStr::new("rlib")))
    {
        let name = library.file_name().unwrap_or_default();
        if !name.to_string_lossy().starts_with("libempty-") {
            fs::copy(&library, draft.join(name)).map_err(Error::io("copy", &library))?;
        }
    }
    fs::rename(&draft, folder).map_err(Error::io("rename", draft))
}

/// Builds an empty crate and the standard library with it; returns the folder of the libraries.
fn build_std(config: &Config, work: &Path) -> Result<PathBuf, Error> {
    let empty = work.join("empty");
    fs::create_dir_all(empty.join("src")).map_err(Error::io("make", &empty))?;
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n";
    for (name, text) in [("Cargo.toml", manifest), ("src/lib.rs", "")] {
        fs::write(empty.join(name), text).map_err(Error::io("write", empty.join(name)))?;
    }
    let mut cargo = Command::new(&config.cargo);
    cargo.current_dir(&empty).args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET]);
    // The option is unstable. Link-time optimization of what links this needs the bitcode.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Cembed-bitcode=yes");
    run(cargo.env("CARGO_TARGET_DIR", work.join("target")))?;
    Ok(work.join("target").join(TARGET).join("release/deps"))
}

fn find(folder: &Path, extension: &str) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    files.into_iter().find(|path| path.extension() == Some(OsStr::new(extension)))
}
