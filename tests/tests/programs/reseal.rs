//! The data key is rotated under load, by a command that is killed; and what an old copy of the tables is worth then.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use edge::testing::{Answer, TestAgent};
use keyring::LocalProvider;
use protocol::ambient::{Clock, OsRandom, SystemClock};
use protocol::proof::Operation;
use serde_json::Value;
use store::{Database, Store};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::site::{Server, Site};
use crate::{activate, heartbeat};

/// How many installs' secrets are sealed anew.
const INSTALLS: usize = 100_000;

/// How long all of them may take.
const LONG: Duration = Duration::from_mins(5);

/// What would otherwise take two minutes: that every process has surely heard of the new key.
const SETTLE: &str =
    "UPDATE wrapped_keys SET replaced_at = replaced_at - interval '3 minutes' WHERE replaced_at IS NOT NULL";

/// How many values are under a data key.
async fn under(site: &Site, version: u32) -> usize {
    let of = |table: &str, column: &str| format!("SELECT {column} AS sealed FROM {table}");
    let all = [
        of("installs", "secrets"),
        of("licenses", "key_sealed"),
        of("signing_keys", "private_key"),
        of("root_keys", "private_key"),
    ];
    let count =
        format!("SELECT count(*) FROM ({}) a WHERE get_byte(sealed, 3) = {version}", all.join(" UNION ALL "));
    site.database.value(&count).await.parse().unwrap()
}

/// `keys rotate --data`, killed when it has told so often how far it is.
async fn rotate_until(site: &Site, told: usize) {
    let mut operator = site.operator();
    operator.args(["keys", "rotate", "--data", "--no-wait"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = operator.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = 0;
    while seen < told {
        let line = timeout(LONG, lines.next_line()).await.expect("it goes on").unwrap();
        let line = line.expect("it was killed before its end");
        seen += usize::from(line.starts_with("looked at"));
    }
    child.kill().await.unwrap();
}

/// `keys rotate --data` to its end, or to where it would wait.
async fn rotate(site: &Site) -> Value {
    let mut operator = site.operator();
    operator.args(["keys", "rotate", "--data", "--no-wait", "--json"]);
    let output = timeout(LONG, operator.output()).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Installs that nobody calls for, with secrets under the active data key.
async fn make_installs(site: &Site) {
    let provider = LocalProvider::open(&site.kek_file(), Arc::new(OsRandom)).unwrap();
    let database = Database::new(&site.database.url, 2).unwrap();
    let store =
        Store::open(database, Arc::new(provider), Arc::new(SystemClock), Arc::new(OsRandom)).await.unwrap();
    let license = site.database.value("SELECT id FROM licenses").await.parse().unwrap();
    store.make_installs(license, INSTALLS, SystemClock.unix_seconds()).await;
}

async fn beat(agent: &mut TestAgent, connection: &mut Connection) -> Answer {
    let (proof, body) = heartbeat(agent);
    connection.post("/v1/heartbeat", Some(&proof), &body).await
}

/// Agents that beat and change their secrets until they are told to stop; each of them with what it has then.
fn load(server: &Server, agents: Vec<TestAgent>) -> (watch::Sender<bool>, Vec<JoinHandle<TestAgent>>) {
    let (stop, stopped) = watch::channel(false);
    let address = server.address;
    let work = |mut agent: TestAgent| {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut cadence = tokio::time::interval(Duration::from_millis(300));
            while !*stopped.borrow() {
                cadence.tick().await;
                let answer = beat(&mut agent, &mut connection).await;
                assert!([200, 429].contains(&answer.status), "{}", answer.word());
                let proof = agent.prove(&Operation::Rekey, SystemClock.unix_seconds(), b"{}");
                let answer = connection.post("/v1/rekey", Some(&proof), "{}").await;
                assert!([200, 429].contains(&answer.status), "{}", answer.word());
                if answer.status == 200 {
                    agent.secret = answer.json()["secret"].as_str().unwrap().parse().unwrap();
                }
            }
            agent
        })
    };
    (stop, agents.into_iter().map(work).collect())
}

/// The tables of licenses and installs, as a backup of them alone would have them.
async fn dump(site: &Site, file: &Path) {
    let mut command = Command::new(cluster::programs().unwrap().join("pg_dump"));
    // What a restored install fires is in the copy too.
    command.args(["--data-only", "--disable-triggers", "--table=licenses", "--table=installs"]);
    command.arg("--table=install_states").arg("--file").arg(file);
    assert!(command.arg(&site.database.url).status().await.unwrap().success());
}

async fn restore(site: &Site, file: &Path) {
    site.database.run("TRUNCATE installs, licenses CASCADE").await;
    let mut command = Command::new(cluster::programs().unwrap().join("psql"));
    command.args(["--quiet", "--set=ON_ERROR_STOP=1", "--file"]).arg(file).arg(&site.database.url);
    assert!(command.stdout(Stdio::null()).status().await.unwrap().success());
}

#[tokio::test]
async fn a_rotation_of_the_data_key_under_load_that_is_killed_twice_ends_complete() {
    let site = Site::new().await;
    let server = site.serve().await;
    let key = site.license("{}", 1_000_000).await;
    make_installs(&site).await;
    let mut agents = Vec::new();
    for number in 0..10 {
        agents.push(activate(&mut server.connect().await, &key, number).await);
    }
    let before = agents[0].clone();
    let all = under(&site, 1).await;
    let copy = site.folder().join("copy.sql");
    dump(&site, &copy).await;

    let (stop, working) = load(&server, agents);
    rotate_until(&site, 2).await;
    let (left, brought) = (under(&site, 1).await, under(&site, 2).await);
    assert!(left > 0 && brought > 0, "{left} left, {brought} brought: it was killed in between");
    rotate_until(&site, 4).await;
    assert!(under(&site, 1).await < left);
    rotate(&site).await;
    assert_eq!(rotate(&site).await["is_over"], false, "processes may still seal under the old key");
    site.database.run(SETTLE).await;
    assert_eq!(rotate(&site).await["is_over"], true);
    assert_eq!((under(&site, 1).await, under(&site, 2).await), (0, all));
    stop.send(true).unwrap();
    for agent in working {
        let mut agent = agent.await.unwrap();
        // An answer of its last rekeying was taken: what it has serves.
        let answer = beat(&mut agent, &mut server.connect().await).await;
        assert!([200, 429].contains(&answer.status), "{}", answer.word());
    }

    // The copy opens with the key that retired, as long as that is kept. Nothing runs while it is put back.
    server.kill().await;
    restore(&site, &copy).await;
    let server = site.serve().await;
    let mut old = before;
    assert_eq!(beat(&mut old, &mut server.connect().await).await.word(), "200 authorized");
    let needed = site.operator().args(["keys", "destroy", "--data", "1"]).output().await.unwrap();
    let said = String::from_utf8(needed.stderr).unwrap();
    assert!(needed.status.code() == Some(4) && said.contains("values are under it"), "{said}");
    rotate(&site).await;
    site.database.run(SETTLE).await;
    assert_eq!(rotate(&site).await["is_over"], true);
    site.operate(&["keys", "destroy", "--data", "1"]).await;

    server.kill().await;
    restore(&site, &copy).await;
    let late = site.serve().await;
    let answer = beat(&mut old, &mut late.connect().await).await;
    assert_eq!(answer.word(), "500 internal");
    assert!(site.logs().contains("data key 1 was destroyed"), "the log says why");
    late.kill().await;
}
