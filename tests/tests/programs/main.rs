//! The real programs, as operators and customers run them: processes, sockets, signals, and a PostgreSQL that can be
//! killed under them.
//!
//! `QT_BIN_DIR` is the folder of the built programs, `QT_TEST_DATABASE_URL` a server on which databases may be made:
//! `cargo xtask test` sets both. `QT_ROUNDS` makes the rounds of the races and the crashes more (or fewer), `QT_ROTATIONS`
//! those of keys; `QT_SEED` is the seed of what is chosen at random there.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod abuse;
mod admin_api;
mod agent;
mod agent_copy;
mod agent_lease;
mod agent_life;
mod conformance;
mod connection;
mod crashes;
mod drain;
mod hold;
mod kms;
mod lambda;
mod many_connections;
mod outage;
mod overload;
mod races;
mod reseal;
mod rotation;
mod secrets;
mod site;
mod start;
mod webhooks;
mod wire;

use std::time::Duration;

use edge::testing::{TestAgent, TestMachine};
use protocol::LicenseKey;
use protocol::ambient::{Clock, SystemClock};
use protocol::proof::Operation;

use connection::Connection;

/// How often a round is repeated: by `QT_ROUNDS`, else so many times.
fn rounds(default: usize) -> usize {
    std::env::var("QT_ROUNDS").map_or(default, |text| text.parse().expect("QT_ROUNDS is a number"))
}

/// Looks again and again until `look` finds something.
async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, looking).await.unwrap_or_else(|_| panic!("waited {patience:?} for {what}"))
}

/// Activates machine `number`.
async fn activate(connection: &mut Connection, key: &LicenseKey, number: u64) -> TestAgent {
    let machine = TestMachine::new(number);
    let answer = connection.post("/v1/activate", None, &activation(&machine, key)).await;
    assert_eq!(answer.status, 201, "machine {number}: {}", answer.word());
    TestAgent::of(machine, &answer)
}

fn activation(machine: &TestMachine, key: &LicenseKey) -> String {
    machine.activation(key, &machine.nonce()).to_string()
}

/// The next heartbeat of an agent, which could be sent any number of times: its proof and its body.
fn heartbeat(agent: &mut TestAgent) -> (String, String) {
    let now = SystemClock.unix_seconds();
    let body = agent.body(now);
    (agent.prove(&Operation::Heartbeat, now, body.as_bytes()), body)
}
