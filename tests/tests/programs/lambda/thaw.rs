//! A process is frozen between two events, for any time: whatever has died meanwhile, the first request succeeds.

use edge::testing::TestAgent;
use protocol::ambient::{Clock, SystemClock};
use protocol::proof::Operation;
use rustix::process::{Pid, Signal, kill_process};

use crate::connection::Connection;
use crate::site::{Functions, Site};
use crate::wire::Wire;
use crate::{activate, heartbeat};

/// What ends every connection of the site's functions to its database.
const TERMINATE: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'qubictether'";

#[tokio::test]
async fn the_first_request_after_a_thaw_succeeds() {
    let site = Site::new().await;
    let key = site.license("{}", 20).await;
    let functions = site.functions().await;
    let mut connection = functions.connect().await;
    let mut agent = activate(&mut connection, &key, 1).await;
    beat(&mut connection, &mut agent).await;
    for number in 2..5 {
        // Frozen, a process doesn't see its connection end: it learns of it and of the next event at once.
        let frozen = [&functions.heartbeat, &functions.auth].map(Frozen::new);
        let ended: u32 = site.database.value(TERMINATE).await.parse().unwrap();
        assert!(ended >= 2, "{ended} connections ended");
        drop(frozen);
        beat(&mut connection, &mut agent).await;
        activate(&mut connection, &key, number).await;
    }
}

#[tokio::test]
async fn every_kind_of_request_bears_that_the_connection_has_died() {
    let site = Site::new().await;
    let key = site.license("{}", 20).await;
    let wire = Wire::open_to(&site.database.url).await;
    let functions = Functions::start(|name| {
        let mut command = site.function(name);
        command.env("QT_DATABASE_URL", wire.url());
        command
    })
    .await;
    let mut connection = functions.connect().await;
    let mut agent = activate(&mut connection, &key, 1).await;
    beat(&mut connection, &mut agent).await;
    let seen = async || drop(site.database.value(TERMINATE).await);
    // The process can't know: it learns of it when it sends something.
    let unseen = async || wire.forget();
    for number in [2, 3] {
        let die = async || if number == 2 { seen().await } else { unseen().await };
        die().await;
        beat(&mut connection, &mut agent).await;
        die().await;
        activate(&mut connection, &key, number).await;
        die().await;
        let proof = agent.prove(&Operation::Rekey, SystemClock.unix_seconds(), b"");
        let answer = connection.post("/v1/rekey", Some(&proof), "").await;
        assert_eq!(answer.status, 200, "{}", answer.word());
        agent.secret = answer.json()["secret"].as_str().unwrap().parse().unwrap();
        die().await;
        let answer = connection.get(&format!("/v1/keyset/successor/{}", "a".repeat(43))).await;
        assert_eq!(answer.word(), "404 not_found");
        die().await;
        let now = SystemClock.unix_seconds();
        let body = agent.body(now).replacen('{', r#"{"duration_seconds": 60,"#, 1);
        let proof = agent.prove(&Operation::Lease, now, body.as_bytes());
        assert_eq!(connection.post("/v1/leases", Some(&proof), &body).await.status, 201);
        die().await;
        for function in functions.all() {
            let url = lambda_emulator::Url::open(&[("/", function)]).await.unwrap();
            assert_eq!(Connection::open(url.address()).await.get("/readyz").await.status, 200);
        }
    }
}

async fn beat(connection: &mut Connection, agent: &mut TestAgent) {
    let (proof, body) = heartbeat(agent);
    assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
}

/// A process that is stopped until this is dropped.
struct Frozen(Pid);

impl Frozen {
    fn new(function: &lambda_emulator::Function) -> Self {
        let id = function.process_id().and_then(|id| Pid::from_raw(id.try_into().unwrap())).unwrap();
        kill_process(id, Signal::STOP).unwrap();
        Self(id)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}
