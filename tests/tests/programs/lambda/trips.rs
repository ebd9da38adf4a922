//! What a heartbeat costs on the wire to the database, and what poolers between have to bear.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lambda_emulator::Function;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::site::{Functions, PATIENCE, Site};
use crate::wire::Wire;
use crate::{activate, heartbeat, until};

#[tokio::test]
async fn a_lone_heartbeat_takes_two_round_trips_on_one_connection_without_named_statements() {
    let site = Site::new().await;
    let key = site.license("{}", 5).await;
    // Whom a beat that changes nothing tells nothing.
    site.operate(&["webhook", "create", "--url", "https://hooks.example.com"]).await;
    let wire = Wire::open_to(&site.database.url).await;
    let functions = functions_by(&site, wire.url(), Some("heartbeat")).await;
    let mut connection = functions.connect().await;
    let mut agent = activate(&mut connection, &key, 1).await;
    assert!(wire.round_trips() > 0, "keys are read in the init phase");
    for number in 0..=3 {
        let before = wire.round_trips();
        let (proof, body) = heartbeat(&mut agent);
        assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
        // The first one of a new secret ends the old, and so seals: a process reserves a thousand seals at once.
        assert_eq!(wire.round_trips() - before, if number == 0 { 3 } else { 2 }, "heartbeat {number}");
    }
    assert_eq!((wire.connections(), wire.named_statements()), (1, 0));
}

#[tokio::test]
async fn a_heartbeat_that_changes_what_is_said_of_its_install_takes_two_round_trips_whoever_listens() {
    let site = Site::new().await;
    let key = site.license("{}", 5).await;
    let wire = Wire::open_to(&site.database.url).await;
    let functions = functions_by(&site, wire.url(), Some("heartbeat")).await;
    let mut connection = functions.connect().await;
    let mut agent = activate(&mut connection, &key, 1).await;
    let mut beat = async || {
        let before = wire.round_trips();
        let (proof, body) = heartbeat(&mut agent);
        assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
        wire.round_trips() - before
    };
    beat().await;
    let queued = "SELECT count(*) FROM webhook_deliveries WHERE event = 'install.state_changed'";
    for listeners in 0..=2 {
        let before = site.database.value(queued).await.parse::<u32>().unwrap();
        site.database.run("UPDATE installs SET shown = 'grace 11 out_of_contact active'").await;
        assert_eq!(beat().await, 2, "{listeners} listen");
        let told = site.database.value(queued).await.parse::<u32>().unwrap() - before;
        assert_eq!(told, listeners);
        site.operate(&["webhook", "create", "--url", "https://hooks.example.com"]).await;
    }
}

#[tokio::test]
async fn a_function_asks_for_all_its_keys_before_it_hears_the_first_answer() {
    let site = Site::new().await;
    let wire = Wire::open_to(&site.database.url).await;
    // Wrapped keys, keyset, signing keys.
    wire.hold_until_asked(3);
    for name in ["heartbeat", "lease", "auth", "admin"] {
        let (asked, connections) = (wire.round_trips(), wire.connections());
        let mut command = site.function(name);
        command.env("QT_DATABASE_URL", wire.url());
        let mut function = Function::start(name, [command]).await.unwrap();
        timeout(PATIENCE, function.ready()).await.expect("it starts").expect("it doesn't end");
        assert_eq!((wire.round_trips() - asked, wire.connections() - connections), (3, 1), "{name}");
    }
}

#[tokio::test]
async fn functions_share_the_one_session_of_a_pooler_in_transaction_mode() {
    let site = Site::new().await;
    let key = site.license("{}", 20).await;
    let pooler = Pooler::start(&site.database.url).await;
    let wire = Wire::open_to(&pooler.url).await;
    let functions = functions_by(&site, wire.url(), None).await;
    let server = site.start(site.operator().env("QT_DATABASE_URL", wire.url())).await;
    let mut connections = [functions.connect().await, server.connect().await];
    // What migrates prepares what it asks, and wants a connection of its own for that.
    let by_migration = wire.named_statements();
    for number in 1..=4 {
        // Two processes of their own take turns on the same session.
        let mut agent = activate(&mut connections[0], &key, number).await;
        for _ in 0..2 {
            for connection in &mut connections {
                let (proof, body) = heartbeat(&mut agent);
                assert_eq!(
                    connection.post("/v1/heartbeat", Some(&proof), &body).await.word(),
                    "200 authorized"
                );
            }
        }
        let proof = agent.prove(&protocol::proof::Operation::Rekey, now(), b"");
        assert_eq!(connections[1].post("/v1/rekey", Some(&proof), "").await.status, 200);
    }
    assert_eq!(wire.named_statements(), by_migration);
    let sessions = "SELECT coalesce(string_agg(concat_ws(' ', backend_type, split_part(query, chr(10), 1)), chr(10)), '')
                    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let sessions = site.database.value(sessions).await;
    assert_eq!(sessions.lines().count(), 1, "{sessions}");
    assert!(wire.connections() >= 4, "{} connections shared it", wire.connections());
}

fn now() -> i64 {
    use protocol::ambient::{Clock, SystemClock};
    SystemClock.unix_seconds()
}

/// A site's functions, one of them or all with their database at `url`.
async fn functions_by(site: &Site, url: &str, only: Option<&str>) -> Functions {
    Functions::start(|name| {
        let mut command = site.function(name);
        if only.is_none_or(|only| only == name) {
            command.env("QT_DATABASE_URL", url);
        }
        command
    })
    .await
}

/// A `PgBouncer` in transaction mode that has one session with its database for everybody.
struct Pooler {
    url: String,
    _folder: TempDir,
    _process: Child,
}

impl Pooler {
    async fn start(url: &str) -> Self {
        let (credentials, place) = url.strip_prefix("postgres://").unwrap().rsplit_once('@').unwrap();
        let (user, password) = credentials.split_once(':').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        let (host, port) = server.split_once(':').unwrap();
        let own_port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = TempDir::new().unwrap();
        // It refuses to be root's, and so has to read this as another.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{database} = host={host} port={port} dbname={database} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own_port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 1\nmax_db_connections = 1\n\
             ignore_startup_parameters = extra_float_digits\n{}",
            // Newer ones keep named statements for their clients; RDS Proxy doesn't, and this one shall not.
            if is_newer_than_1_20() { "max_prepared_statements = 0\n" } else { "" },
        );
        fs::write(&settings, text).unwrap();
        let mut command = Command::new(program());
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "postgres"]);
        }
        command.arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.kill_on_drop(true).spawn().unwrap();
        let listening = async || tokio::net::TcpStream::connect(("127.0.0.1", own_port)).await.ok();
        until("PgBouncer", PATIENCE, listening).await;
        let url = format!("postgres://{credentials}@127.0.0.1:{own_port}/{database}");
        Self { url, _folder: folder, _process: process }
    }
}

/// Debian puts it where only root's `PATH` leads.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("pgbouncer"));
    programs
        .find(|program| Path::is_file(program))
        .expect("pgbouncer is installed: `cargo xtask setup` does it")
}

fn is_newer_than_1_20() -> bool {
    let output = std::process::Command::new(program()).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let version = said.split_whitespace().nth(1).unwrap();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap());
    (parts.next(), parts.next()) > (Some(1), Some(20))
}
