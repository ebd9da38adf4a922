//! What two server processes over one database must not both allow.

use edge::testing::TestMachine;
use tokio::task::JoinSet;

use crate::site::Site;
use crate::{activate, activation, heartbeat, rounds};

#[tokio::test]
async fn sixty_four_copies_of_a_proof_are_accepted_once() {
    let site = Site::new().await;
    let servers = [site.serve().await, site.serve().await];
    // An install is judged 10 times in a burst.
    let (rounds, burst) = (rounds(1000), 10);
    let key = site.license("{}", u32::try_from(rounds.div_ceil(burst)).unwrap()).await;
    let mut connections = Vec::new();
    for copy in 0..64 {
        connections.push(servers[copy % 2].connect().await);
    }
    let mut agents = Vec::new();
    for number in 0..rounds.div_ceil(burst) {
        agents.push(activate(&mut connections[0], &key, number as u64).await);
    }
    for round in 0..rounds {
        let agent = &mut agents[round / burst];
        let (proof, body) = heartbeat(agent);
        let mut senders = JoinSet::new();
        for mut connection in connections.drain(..) {
            let (proof, body) = (proof.clone(), body.clone());
            senders.spawn(async move {
                (connection.post("/v1/heartbeat", Some(&proof), &body).await, connection)
            });
        }
        let mut words = Vec::new();
        for (answer, connection) in senders.join_all().await {
            words.push(answer.word());
            connections.push(connection);
        }
        words.sort();
        assert_eq!(words[0], "200 authorized", "round {round}");
        assert!(words[1..].iter().all(|word| word == "409 nonce_replayed"), "round {round}: {words:?}");
    }
    let suspected = "SELECT count(*) FROM installs WHERE clone_suspected_at IS NOT NULL";
    assert_eq!(site.database.value(suspected).await, "0");
    let judged = "SELECT count(*) FROM heartbeats WHERE operation = 'heartbeat'";
    assert_eq!(site.database.value(judged).await, rounds.to_string());
}

#[tokio::test]
async fn thirty_two_activations_at_once_take_no_more_than_the_five_seats() {
    let site = Site::new().await;
    let servers = [site.serve().await, site.serve().await];
    let key = site.license("{}", 5).await;
    let mut senders = JoinSet::new();
    for number in 0..32 {
        let mut connection = servers[number % 2].connect().await;
        let body = activation(&TestMachine::new(number as u64), &key);
        senders.spawn(async move { connection.post("/v1/activate", None, &body).await.word() });
    }
    let words = senders.join_all().await;
    let count = |wanted: &str| words.iter().filter(|word| *word == wanted).count();
    assert_eq!((count("201 authorized"), count("409 seats_exhausted")), (5, 27), "{words:?}");
    assert_eq!(site.database.value("SELECT count(*) FROM installs WHERE holds_seat").await, "5");
}
