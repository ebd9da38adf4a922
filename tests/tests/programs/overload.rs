//! More heartbeats at once than the server lets wait.

use edge::testing::TestMachine;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::RETRY_AFTER;

use crate::connection::Connection;
use crate::site::Site;
use crate::{activate, activation, heartbeat};

/// How many heartbeats may wait.
const QUEUE: usize = 4;

#[tokio::test]
async fn what_finds_no_place_is_refused_at_once_unread_and_what_waits_is_answered() {
    let mut site = Site::new().await;
    site.besides.push(("QT_QUEUE", QUEUE.to_string()));
    let key = site.license("{}", 100).await;
    let server = site.serve().await;
    let mut beats = Vec::new();
    for number in 0..2 * QUEUE as u64 {
        let mut connection = server.connect().await;
        let mut agent = activate(&mut connection, &key, number).await;
        beats.push((connection, heartbeat(&mut agent)));
    }
    let mut forger = server.connect().await;
    let (proof, body) = heartbeat(&mut activate(&mut forger, &key, 99).await);
    let another_body = format!("{body} ");
    let mut answers: FuturesUnordered<_> =
        beats.into_iter().map(|(connection, beat)| send(connection, beat)).collect();
    let refused = async {
        for _ in 0..QUEUE {
            let answer = answers.next().await.unwrap();
            assert_eq!(answer.word(), "503 overloaded");
            let seconds: u64 = answer.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!((5..=10).contains(&seconds), "{seconds}");
        }
        let forged = forger.post("/v1/heartbeat", Some(&proof), &another_body).await;
        assert_eq!(forged.word(), "503 overloaded", "nobody has looked at the proof");
    };
    site.database.holding("LOCK TABLE installs IN ACCESS EXCLUSIVE MODE", refused).await;
    while let Some(answer) = answers.next().await {
        assert_eq!(answer.word(), "200 authorized");
    }
    let forged = forger.post("/v1/heartbeat", Some(&proof), &another_body).await;
    assert_eq!(forged.status, 401, "there is room again");
}

async fn send(mut connection: Connection, (proof, body): (String, String)) -> edge::testing::Answer {
    connection.post("/v1/heartbeat", Some(&proof), &body).await
}

#[tokio::test]
async fn what_would_wait_long_for_the_database_is_refused_at_once() {
    const WAITING: usize = 2 * 16;
    let mut site = Site::new().await;
    site.besides.push(("QT_DATABASE_CONNECTIONS", "2".to_owned()));
    let key = site.license("{}", 100).await;
    let server = site.serve().await;
    let mut activations = Vec::new();
    for number in 0..2 * WAITING as u64 {
        let body = activation(&TestMachine::new(number), &key);
        activations.push((server.connect().await, body));
    }
    let mut answers: FuturesUnordered<_> = activations
        .into_iter()
        .map(async |(mut connection, body)| connection.post("/v1/activate", None, &body).await)
        .collect();
    let refused = async {
        // Some connections are the server's own affair, now and then.
        for _ in 0..WAITING / 2 {
            assert_eq!(answers.next().await.unwrap().word(), "503 overloaded");
        }
    };
    site.database.holding("LOCK TABLE installs IN ACCESS EXCLUSIVE MODE", refused).await;
    let mut activated = 0;
    while let Some(answer) = answers.next().await {
        match &*answer.word() {
            "503 overloaded" => {}
            word => activated += usize::from(word.starts_with("201")),
        }
    }
    assert!(activated >= WAITING / 2, "{activated} of those that waited");
}
