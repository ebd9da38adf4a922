//! What PostgreSQL alone can do: `pgbench` with the bare two statements of one heartbeat.

use std::path::{Path, PathBuf};

use cluster::Cluster;
use serde::Serialize;
use tokio::process::Command;

use super::output;
use crate::error::Error;

const COPIES: &str = include_str!("copies.sql");
const BARE: &str = include_str!("bare.sql");

/// PostgreSQL's own programs, and a database to run them on.
pub(crate) struct Database {
    programs: PathBuf,
    url: String,
    password: String,
    folder: PathBuf,
}

/// One run of pgbench.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Bare {
    pub(crate) clients: usize,
    pub(crate) per_second: f64,
    pub(crate) latency_average_us: f64,
}

impl Database {
    /// A database of a cluster.
    pub(crate) fn of(cluster: &Cluster, name: &str, folder: &Path) -> Result<Self, Error> {
        // Arguments can be read by everyone on the machine, so the password goes by the environment.
        let url = cluster.url(name);
        let parts = url.split_once('@').and_then(|(user, place)| Some((user.rsplit_once(':')?, place)));
        let ((user, password), place) = parts.expect("a cluster's URL names user, password and place");
        let (url, password) = (format!("{user}@{place}"), password.to_owned());
        Ok(Self { programs: cluster::programs()?, url, password, folder: folder.to_owned() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env("PGPASSWORD", &self.password);
        command
    }

    /// Runs statements and gives their rows, fields separated by `|`.
    pub(crate) async fn sql(&self, statements: &str) -> Result<String, Error> {
        let mut psql = self.command("psql");
        let options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
        output(psql.args(options).arg("--dbname").arg(&self.url).args(one_by_one(statements))).await
    }

    /// A setting's value.
    pub(crate) async fn setting(&self, name: &str) -> Result<String, Error> {
        self.sql(&format!("SHOW {name}")).await
    }

    /// Copies what there is, for pgbench alone.
    pub(crate) async fn copy_installs(&self) -> Result<(), Error> {
        self.sql(COPIES).await.map(drop)
    }

    /// Runs pgbench with so many clients on so many copied installs.
    pub(crate) async fn run(&self, clients: usize, installs: usize, seconds: u32) -> Result<Bare, Error> {
        let script = self.folder.join("bare.sql");
        std::fs::write(&script, BARE).map_err(|source| Error::File { path: script.clone(), source })?;
        let mut pgbench = self.command("pgbench");
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
        pgbench.arg(format!("--client={clients}")).arg(format!("--time={seconds}"));
        pgbench.arg(format!("--define=installs={installs}")).arg("--file").arg(&script).arg(&self.url);
        let text = output(&mut pgbench).await?;
        let number = |key: &str| number_after(&text, key);
        let (Some(per_second), Some(latency_ms)) = (number("tps = "), number("latency average = ")) else {
            return Err(Error::Program {
                name: "pgbench".to_owned(),
                what: format!("unexpected output: {text}"),
            });
        };
        Ok(Bare { clients, per_second, latency_average_us: latency_ms * 1000.0 })
    }
}

/// Several statements in one `--command` would be one transaction, in which `VACUUM` can't run.
fn one_by_one(statements: &str) -> impl Iterator<Item = String> {
    let statements = statements.split(";\n").map(str::trim).filter(|statement| !statement.is_empty());
    statements.map(|statement| format!("--command={statement}"))
}

/// The first number after a key.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let (_, rest) = text.split_once(key)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let text =
            "latency average = 12.345 ms\ninitial connection time = 9.0 ms\ntps = 1234.567890 (without …)\n";
        assert_eq!(number_after(text, "tps = "), Some(1_234.567_89));
        assert_eq!(number_after(text, "latency average = "), Some(12.345));
        assert_eq!(number_after(text, "absent = "), None);
    }

    #[test]
    fn each_statement_goes_by_itself() {
        let expected = ["--command=INSERT 1", "--command=VACUUM;"];
        assert_eq!(one_by_one("INSERT 1;\n\nVACUUM;").collect::<Vec<_>>(), expected);
        assert_eq!(one_by_one(COPIES).count(), 5);
    }

    /// A license with three installs.
    const ROWS: &str = "
BEGIN;
CREATE TABLE heartbeats_default PARTITION OF heartbeats DEFAULT;
INSERT INTO profiles (id, name, active_number, created_at, updated_at) VALUES (gen_random_uuid(), 'p', 1, now(), now());
INSERT INTO profile_versions (profile_id, number, knobs, created_at) SELECT id, 1, '{}', now() FROM profiles;
INSERT INTO licenses (id, product, customer, profile_id, key_lookup, key_sealed, max_installs, starts_at, entitlements,
                      metadata, created_at, updated_at, key_digest)
SELECT gen_random_uuid(), 'p', 'c', id, decode(repeat('ab', 32), 'hex'), '', 9, now(), '{}', '{}', now(), now(),
       decode(repeat('cd', 32), 'hex')
FROM profiles;
INSERT INTO installs (id, license_id, activated_at, awaiting_approval, bound, activation_nonce, activation_at, holds_seat,
                      observed, instance_id, agent_version, agent_platform, high, accepted_window, recent_nonces,
                      rate_arrival, last_contact)
SELECT gen_random_uuid(), id, now(), false, '', '', now(), true, '', '', '', '', 0, decode(repeat('00', 32), 'hex'),
       '', 0, now()
FROM licenses, generate_series(1, 3);
COMMIT;";

    #[tokio::test]
    async fn the_bare_statements_beat_for_the_copies_alone() {
        let mut cluster = Cluster::temporary(cluster::Options::throwaway()).unwrap();
        cluster.start().unwrap();
        let database = Database::of(&cluster, "postgres", cluster.folder()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sql")) {
            let mut psql = database.command("psql");
            psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname"]).arg(&database.url);
            output(psql.arg("--file").arg(file)).await.unwrap();
        }
        database.sql(ROWS).await.unwrap();
        database.copy_installs().await.unwrap();
        let bare = database.run(2, 3, 1).await.unwrap();
        assert!(bare.per_second > 0.0 && bare.latency_average_us > 0.0);
        let counted = "SELECT (SELECT count(*) FROM installs), (SELECT sum(high) FROM installs) = count(*),
                              count(DISTINCT install_id), (SELECT count(*) FROM installs WHERE high > 0)
                       FROM heartbeats";
        assert_eq!(database.sql(counted).await.unwrap(), "6|t|3|3");
    }
}
