//! PostgreSQL goes and comes back under a beating fleet.

use std::time::{Duration, Instant};

use cluster::{Cluster, Options};
use edge::testing::{Answer, TestAgent};
use store::testing::TestDatabase;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::site::Site;
use crate::{activate, heartbeat, until};

const AGENTS: u64 = 16;

#[tokio::test]
async fn while_postgresql_is_away_beats_are_refused_at_once_and_accepted_when_it_is_back() {
    let mut cluster = Cluster::temporary(Options::throwaway()).unwrap();
    cluster.start().unwrap();
    let site = Site::over(TestDatabase::at(cluster.url("postgres"), 0)).await;
    let key = site.license("{}", 100).await;
    let server = site.serve().await;
    let mut fleet = Vec::new();
    for number in 0..AGENTS {
        let mut connection = server.connect().await;
        let agent = activate(&mut connection, &key, number).await;
        fleet.push((agent, connection));
    }
    fleet = together(fleet, |answer, _| assert_eq!(answer.word(), "200 authorized")).await;

    cluster.stop().unwrap();
    for _ in 0..4 {
        fleet = together(fleet, |answer, took| {
            assert!(["503 unavailable", "503 overloaded"].contains(&&*answer.word()), "{}", answer.word());
            let seconds =
                answer.headers.get("retry-after").and_then(|text| text.to_str().ok()?.parse::<u32>().ok());
            assert!(seconds.is_some_and(|seconds| seconds >= 1), "{:?}", answer.headers);
            assert!(took <= Duration::from_secs(3), "refused after {took:?}");
        })
        .await;
    }
    assert_eq!(server.connect().await.get("/healthz").await.status, 200, "the process itself is well");
    assert_eq!(server.connect().await.get("/readyz").await.status, 503);

    cluster.start().unwrap();
    let (mut agent, mut connection) = fleet.pop().unwrap();
    until("a heartbeat to be accepted", Duration::from_secs(5), async || {
        (beat(&mut agent, &mut connection).await.status == 200).then_some(())
    })
    .await;
    together(fleet, |answer, _| assert_eq!(answer.word(), "200 authorized")).await;
}

async fn beat(agent: &mut TestAgent, connection: &mut Connection) -> Answer {
    let (proof, body) = heartbeat(agent);
    connection.post("/v1/heartbeat", Some(&proof), &body).await
}

/// A heartbeat of each, all at once.
async fn together(
    fleet: Vec<(TestAgent, Connection)>,
    look: impl Fn(&Answer, Duration),
) -> Vec<(TestAgent, Connection)> {
    let mut beating = JoinSet::new();
    for (mut agent, mut connection) in fleet {
        beating.spawn(async move {
            let begin = Instant::now();
            let answer = beat(&mut agent, &mut connection).await;
            (answer, begin.elapsed(), agent, connection)
        });
    }
    let mut fleet = Vec::new();
    for (answer, took, agent, connection) in beating.join_all().await {
        look(&answer, took);
        fleet.push((agent, connection));
    }
    fleet
}
