//! The functions over a real database, called without a socket, on a clock that the tests turn.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod activate;
mod admin;
mod bad_input;
mod deactivate;
mod events;
mod heartbeat;
mod keys;
mod lease;
mod lease_artifact;
mod lease_interop;
mod lease_life;
mod lease_offline;
mod lease_quota;
mod lease_seats;
mod operator;
mod rekey;
mod replay;
mod restore;
mod rotation;
mod seats;

use std::sync::Arc;

use edge::testing::{TestAgent, TestEdge, TestMachine};
use store::testing::{TestDatabase, TestLicense};

/// A database, a server process over it, and a license of five seats under default knobs.
struct World {
    database: TestDatabase,
    server: TestEdge,
    /// The admin function's Lambda binary over the same database, for tests that were asked to call that.
    function: Arc<admin::AdminFunction>,
    license: TestLicense,
}

impl World {
    async fn new() -> Self {
        Self::with("{}", 5).await
    }

    async fn with(knobs: &str, max_installs: i32) -> Self {
        let database = TestDatabase::new().await;
        let license = database.license(1, knobs, max_installs).await;
        let server = server(&database, 1).await;
        Self { database, server, function: Arc::default(), license }
    }

    /// Activates machine `number`.
    async fn agent(&self, number: u64) -> TestAgent {
        let activated = TestMachine::new(number).activate(&self.server, &self.license.key).await;
        activated.unwrap_or_else(|answer| panic!("machine {number}: {}", answer.word()))
    }

    fn pass(&self, seconds: i64) {
        self.database.clock.advance(seconds);
    }
}

/// A process with every function over a database.
async fn server(database: &TestDatabase, seed: u64) -> TestEdge {
    server_with(database, seed, &[]).await
}

/// One with settings of its own.
async fn server_with(database: &TestDatabase, seed: u64, set: &[(&str, &str)]) -> TestEdge {
    TestEdge::with(database, seed, set, |_| {
        ::auth::router()
            .merge(::heartbeat::router())
            .merge(::lease::router())
            .merge(::admin::router())
            .merge(edge::health::router())
    })
    .await
}
