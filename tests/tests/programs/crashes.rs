//! Nothing that was acknowledged is lost by a crash: of the server, and of PostgreSQL.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cluster::{Cluster, Options};
use protocol::LicenseKey;
use serde_json::Value;
use store::testing::TestDatabase;
use tokio::process::Child;

use crate::site::{PRODUCT, Site, fixed_address, program, terminate};
use crate::{rounds, until};

/// Installs of a swarm: each is judged 10 times in a burst, so that they beat at full speed for a while.
const INSTALLS: u64 = 300;

const PATIENCE: Duration = Duration::from_mins(1);

/// Under one swarm it crashes so often before what was acknowledged is looked for.
const CRASHES_OF_A_SWARM: usize = 10;

#[tokio::test]
async fn a_killed_server_loses_no_acknowledged_heartbeat() {
    let mut cluster = Cluster::temporary(Options::durable()).unwrap();
    cluster.start().unwrap();
    let site = Site::over(TestDatabase::at(cluster.url("postgres"), 0)).await;
    let mut server = Some(site.serve_at(fixed_address()).await);
    let address = server.as_ref().unwrap().address;
    crash_under_swarms(&site, address, async || {
        server.take().unwrap().kill().await;
        server = Some(site.serve_at(address).await);
    })
    .await;
}

#[tokio::test]
async fn a_killed_postgresql_loses_no_acknowledged_heartbeat() {
    let mut cluster = Cluster::temporary(Options::durable()).unwrap();
    cluster.start().unwrap();
    let site = Site::over(TestDatabase::at(cluster.url("postgres"), 0)).await;
    let server = site.serve_at(fixed_address()).await;
    crash_under_swarms(&site, server.address, async || {
        cluster.kill().unwrap();
        cluster.start().unwrap();
    })
    .await;
}

async fn crash_under_swarms(site: &Site, server: SocketAddr, mut crash: impl AsyncFnMut()) {
    let crashes: Vec<usize> = (0..rounds(10)).collect();
    for crashes in crashes.chunks(CRASHES_OF_A_SWARM) {
        // One of its own each time: how often a license key may activate is bounded.
        let key = site.license("{}", 1_000_000).await;
        let swarm = Swarm::start(site, server, &key);
        for number in crashes {
            more_beats(site, crash_point(beats(site).await, *number)).await;
            crash().await;
            more_beats(site, beats(site).await + 50).await;
        }
        swarm.end_and_compare(site).await;
    }
}

/// After how many heartbeats it crashes: another moment each time, and all before the swarm's burst is used up.
fn crash_point(before: usize, number: usize) -> usize {
    before + 60 + 37 * (number % CRASHES_OF_A_SWARM)
}

/// How many heartbeats were judged.
async fn beats(site: &Site) -> usize {
    let count = site.database.value("SELECT count(*) FROM heartbeats WHERE operation = 'heartbeat'").await;
    count.parse().unwrap()
}

async fn more_beats(site: &Site, wanted: usize) {
    let enough = async || (beats(site).await >= wanted).then_some(());
    until(&format!("{wanted} heartbeats"), PATIENCE, enough).await;
}

/// `qubictether-bench swarm`, beating in a closed loop until it is told to end.
struct Swarm {
    child: Child,
    acknowledged: PathBuf,
}

impl Swarm {
    fn start(site: &Site, server: SocketAddr, key: &LicenseKey) -> Self {
        let (keys, acknowledged) = (site.folder().join("keys"), site.folder().join("acknowledged"));
        fs::write(&keys, key.printed().as_bytes()).unwrap();
        let mut command = program("qubictether-bench");
        command.args(["swarm", "--until-signal", "--concurrency", "16", "--product", PRODUCT]);
        command.args(["--server", &format!("http://{server}"), "--installs", &INSTALLS.to_string()]);
        command.arg("--license-keys").arg(keys).arg("--acknowledged").arg(&acknowledged);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, acknowledged }
    }

    /// Ends it, and looks for everything that was acknowledged.
    async fn end_and_compare(mut self, site: &Site) {
        let status = terminate(&mut self.child).await;
        let output = self.child.wait_with_output().await.unwrap().stdout;
        let report: Value = serde_json::from_slice(&output).unwrap();
        assert!(status.success(), "{report}");
        let text = fs::read_to_string(&self.acknowledged).unwrap();
        let mut values = String::new();
        let mut count = 0;
        for line in text.lines() {
            let (install, counter) = line.split_once(' ').unwrap();
            if counter != "0" {
                count += 1;
                write!(values, "{}('{install}'::uuid, {counter})", if count == 1 { "" } else { ", " })
                    .unwrap();
            }
        }
        assert!(count > 0, "{report}");
        let query = format!(
            "SELECT acknowledged.install || ' ' || acknowledged.counter
             FROM (VALUES {values}) AS acknowledged (install, counter)
             LEFT JOIN installs ON installs.id = acknowledged.install
             WHERE coalesce(installs.high, 0) < acknowledged.counter OR NOT EXISTS (
                 SELECT FROM heartbeats
                 WHERE heartbeats.install_id = acknowledged.install AND heartbeats.counter = acknowledged.counter
                   AND heartbeats.operation = 'heartbeat' AND heartbeats.outcome = 'accepted')"
        );
        assert_eq!(site.database.lines(&query).await, [""; 0], "acknowledged, and gone");
    }
}
