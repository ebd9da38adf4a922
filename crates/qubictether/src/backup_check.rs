//! `backup check`: a dump is restored where it harms nobody, and everything that is sealed in it opened.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use admin::{audit, heartbeat};
use cluster::{Cluster, Options};
use edge::open;
use keyring::KeyEncryption;
use protocol::admin::{ChainCheck, Time};
use serde_json::json;
use store::{ColumnCheck, Database, HeartbeatFilter, Store};

use crate::config::Flags;
use crate::error::Error;
use crate::output;

/// The database into which a dump is restored.
const DATABASE: &str = "postgres";

/// After how many values it is said how far the check is.
const TELL_EVERY: u64 = 20_000;

pub(crate) async fn run(flags: &Flags, file: Option<&Path>) -> Result<(), Error> {
    let Some(file) = file else {
        let settings = flags.settings()?;
        let provider = open::provider(&settings.key_provider).await?;
        return check(flags, open::database(&settings, 2).await?, provider).await;
    };
    let format = Format::of(file)?;
    let mut cluster = Cluster::temporary(Options::throwaway())?;
    cluster.start()?;
    let copy = HashMap::from([
        ("QT_DATABASE_URL".to_owned(), cluster.url(DATABASE)),
        ("QT_DATABASE_AUTH".to_owned(), "password".to_owned()),
    ]);
    let settings = flags.settings_over(&copy)?;
    // Before anything that takes long.
    let provider = open::provider(&settings.key_provider).await?;
    output::progress(&format!("restoring {} into a private PostgreSQL", file.display()));
    restore(&cluster, file, format)?;
    let database = open::database(&settings, 2).await?;
    if !database.has_keys_table().await? {
        return Err(Error::Usage(format!(
            "{} holds no tables of qubictether's: dump the server's database by itself, `pg_dump --file FILE \"$QT_DATABASE_URL\"`",
            file.display()
        )));
    }
    database.migrate().await?;
    check(flags, database, provider).await
}

/// How `pg_dump` wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// SQL, for `psql`.
    Plain,
    /// Custom, tar or a directory, for `pg_restore`.
    Archive,
}

impl Format {
    fn of(file: &Path) -> Result<Self, Error> {
        if file.is_dir() {
            return Ok(Self::Archive);
        }
        let mut start = Vec::new();
        let read = File::open(file).and_then(|file| file.take(512).read_to_end(&mut start));
        read.map_err(Error::io(format!("read {}", file.display())))?;
        let is_packed = [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ"];
        if is_packed.iter().any(|magic| start.starts_with(magic)) {
            return Err(Error::Usage(format!(
                "{} is compressed as a whole: unpack it first",
                file.display()
            )));
        }
        let is_tar = start.get(257..262) == Some(b"ustar");
        Ok(if start.starts_with(b"PGDMP") || is_tar { Self::Archive } else { Self::Plain })
    }
}

/// Brings a dump into the private cluster. Who owned what, and who was allowed what, is of no matter there.
fn restore(cluster: &Cluster, file: &Path, format: Format) -> Result<(), Error> {
    let mut command = match format {
        Format::Archive => {
            let mut command = cluster.client("pg_restore", DATABASE);
            command
                .args(["--no-owner", "--no-privileges", "--exit-on-error", "--dbname", DATABASE])
                .arg(file);
            command
        }
        Format::Plain => {
            let mut command = cluster.client("psql", DATABASE);
            command.args(["--no-psqlrc", "--quiet", "--output=/dev/null", "--file"]).arg(file);
            command
        }
    };
    let output = command.output().map_err(Error::io("run PostgreSQL's client programs"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // A plain dump names roles, which aren't here; psql goes on without them.
    let missing_role = |line: &&str| line.contains("role \"") && line.ends_with("does not exist");
    let is_error = |line: &&str| line.contains("ERROR:") || line.contains("error:");
    let first = said.lines().find(|line| is_error(line) && !missing_role(line));
    if output.status.success() && first.is_none() {
        return Ok(());
    }
    let detail = first.unwrap_or(said.trim()).to_owned();
    Err(Error::Restore { file: file.to_owned(), detail })
}

/// Opens everything, and says what there is.
async fn check(flags: &Flags, database: Database, provider: Arc<dyn KeyEncryption>) -> Result<(), Error> {
    let store = open::store(database, provider).await?;
    let mut told = 0;
    let columns = store.check_sealed(|tried| {
        if tried / TELL_EVERY > told {
            told = tried / TELL_EVERY;
            output::progress(&format!("{tried} values tried"));
        }
    });
    let columns = columns.await?;
    let chain = audit::verify(&store).await?;
    tell(flags, &columns, &chain, newest_contact(&store).await?)?;
    let count = columns.iter().map(|column| column.closed).sum();
    if let Some(first) = columns.into_iter().find_map(|column| column.first_closed) {
        return Err(Error::Unopened { count, first });
    }
    if chain.intact {
        return Ok(());
    }
    let (at, detail) = (chain.broken_at.unwrap_or(chain.rows + 1), chain.detail.unwrap_or_default());
    Err(Error::Tampered { at, detail })
}

/// How new what is in it is.
async fn newest_contact(store: &Store) -> Result<Option<Time>, Error> {
    let newest = heartbeat::list(store, &HeartbeatFilter::default(), None, 1).await?;
    Ok(newest.first().map(|heartbeat| heartbeat.at))
}

fn tell(
    flags: &Flags,
    columns: &[ColumnCheck],
    chain: &ChainCheck,
    newest: Option<Time>,
) -> Result<(), Error> {
    if flags.json {
        let column = |check: &ColumnCheck| {
            let ColumnCheck { table, column, rows, opened, closed, .. } = check;
            json!({ "table": table, "column": column, "rows": rows, "opened": opened, "closed": closed })
        };
        let opens = columns.iter().all(|column| column.closed == 0);
        let columns: Vec<_> = columns.iter().map(column).collect();
        return output::json(
            &json!({ "opens": opens, "columns": columns, "audit": chain, "newest_contact": newest }),
        );
    }
    let row = |check: &ColumnCheck| {
        let name = format!("{}.{}", check.table, check.column);
        [name, check.rows.to_string(), check.opened.to_string(), check.closed.to_string()]
    };
    let rows: Vec<_> = columns.iter().map(row).collect();
    output::table(["SEALED", "ROWS", "OPEN", "CLOSED"], &rows, "")?;
    let newest = newest.map_or_else(|| "none".to_owned(), |at| at.to_string());
    output::line(&format!("the newest contact in it: {newest}"))?;
    if chain.intact {
        output::line(&format!("audit log: {} rows hold; the last one's hash is {}", chain.rows, chain.hash))?;
    }
    if columns.iter().all(|column| column.closed == 0) && chain.intact {
        output::line("everything in it opens with this key")?;
    }
    Ok(())
}
