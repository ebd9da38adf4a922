//! `lease list|revoke|answer`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use admin::{Expected, lease, offline};
use clap::Subcommand;
use edge::Edge;
use protocol::admin::{Lease, LeaseStatus, OfflineAnswer};
use protocol::{InstallId, LeaseId, LicenseId};
use store::{LeaseFilter, Store};

use crate::config::Flags;
use crate::error::Error;
use crate::site::Site;
use crate::{account, output};

/// A request file is far smaller.
const LARGEST: u64 = 16 * 1024;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Leases, in the order in which they were granted
    List {
        /// Only those of this license
        #[arg(long, value_name = "ID")]
        license_id: Option<LicenseId>,
        /// Only those of this install
        #[arg(long, value_name = "ID")]
        install_id: Option<InstallId>,
        /// Only those that are live, renewed, returned, revoked or ended
        #[arg(long, value_parser = LeaseStatus::from_str)]
        status: Option<LeaseStatus>,
        /// Only those after this one
        #[arg(long, value_name = "ID")]
        after: Option<LeaseId>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Revoke a lease: it ends when its machine calls. A machine that doesn't keeps it until its end, and so seat and quota
    Revoke {
        /// Its id
        lease: LeaseId,
    },
    /// Answer the request file of a machine that is never online: activates it and grants it a lease
    ///
    /// Each request is answered once. It counts as the approval where the profile asks for one. The reply is for that machine
    /// alone: `qubictether-agent lease import FILE` takes it there.
    Answer {
        /// The file that `qubictether-agent lease request` wrote; `-` is standard input
        request: PathBuf,
        /// Write the reply to this file, which isn't there yet; else it goes to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) async fn run(flags: &Flags, command: Command) -> Result<(), Error> {
    let store = Site::open(flags).await?.store;
    match command {
        Command::List { license_id, install_id, status, after, limit } => {
            let filter = LeaseFilter { license_id, install_id, status };
            list(&lease::list(&store, &filter, after, limit).await?, flags.json)
        }
        Command::Revoke { lease } => {
            let operator = account::operator(&store);
            print(&lease::revoke(&operator, lease, &Expected::ANY).await?, flags.json)
        }
        Command::Answer { request, out } => answer(flags, store, &request, out.as_deref()).await,
    }
}

fn list(leases: &[Lease], json: bool) -> Result<(), Error> {
    if json {
        return output::json(&leases);
    }
    let row = |lease: &Lease| {
        [
            lease.id.to_string(),
            lease.status.to_string(),
            if lease.in_force { "yes" } else { "no" }.to_owned(),
            lease.ends_at.to_string(),
            lease.install_id.to_string(),
        ]
    };
    let rows: Vec<_> = leases.iter().map(row).collect();
    output::table(["ID", "STATUS", "IN FORCE", "ENDS", "INSTALL"], &rows, "no leases yet")
}

fn print(lease: &Lease, json: bool) -> Result<(), Error> {
    if json {
        return output::json(lease);
    }
    output::line(&format!("lease {} of install {}: {}", lease.id, lease.install_id, lease.status))?;
    if lease.in_force {
        return output::line(&format!("the machine keeps it until it calls, or until {}", lease.ends_at));
    }
    output::line("the machine has heard of it")
}

async fn answer(flags: &Flags, store: Store, request: &Path, out: Option<&Path>) -> Result<(), Error> {
    let request = read(request)?;
    // What the keyset says is the server's own, whatever is set here.
    let mut settings = flags.settings()?;
    let keyset = store.load_keyset().await?;
    settings.keyset_seconds = keyset.expires_at.saturating_sub(keyset.issued_at);
    settings.public_url = keyset.issuer;
    let edge = Edge::new(store, settings);
    // A request is answered once: before that there has to be a place for the answer.
    let draft = out.map(Draft::create).transpose()?;
    let answered = offline::answer(&edge, &account::actor(), &request).await?;
    let written = draft.map(|draft| draft.write(&answered)).transpose()?;
    if flags.json {
        return output::json(&answered);
    }
    let Some(file) = written else { return output::line(&answered.reply) };
    output::line(&format!(
        "install {} has lease {} until {}; take {} to the machine",
        answered.install_id,
        answered.lease_id,
        answered.expires_at,
        file.display()
    ))
}

/// The request, and no more of a file than one can have.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let what = || Error::io(format!("read {}", path.display()));
    let mut text = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut text).map_err(what())?;
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text)).map_err(what())?;
    }
    if text.len() as u64 > LARGEST {
        return Err(Error::Usage(format!(
            "{}: is no offline request, it has more than {LARGEST} bytes",
            path.display()
        )));
    }
    Ok(text)
}

/// The file of a reply that isn't there yet; it goes again unless it is written.
struct Draft {
    path: PathBuf,
    file: Option<File>,
}

impl Draft {
    fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create_new(path).map_err(Error::io(format!("make {}", path.display())))?;
        Ok(Self { path: path.to_owned(), file: Some(file) })
    }

    fn write(mut self, answered: &OfflineAnswer) -> Result<PathBuf, Error> {
        if let Some(mut file) = self.file.take() {
            let written = writeln!(file, "{}", &answered.reply).and_then(|()| file.sync_all());
            written.map_err(Error::io(format!("write {}", self.path.display())))?;
        }
        Ok(self.path.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.is_some() {
            // It is empty; nothing is lost if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}
