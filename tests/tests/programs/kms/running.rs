//! What a process that has its keys does without KMS.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Wrapped, emulator};
use crate::connection::Connection;
use crate::{activate, heartbeat, until};

/// Longer than what a probe says of KMS is kept.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `/readyz` warns of.
async fn warnings(connection: &mut Connection) -> serde_json::Value {
    let answer = connection.get("/readyz").await;
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (200, &json!("ready")), "{body}");
    body["warnings"].clone()
}

#[tokio::test]
async fn a_process_that_runs_goes_on_without_kms_and_says_so() {
    let Wrapped { site, way, key } = Wrapped::new().await;
    let license = site.license("{}", 5).await;
    let server = site.serve().await;
    let mut connection = server.connect().await;
    let mut agent = activate(&mut connection, &license, 1).await;
    way.set_open(false);
    assert_eq!(warnings(&mut connection).await, json!(["kms_unavailable"]));
    let (proof, body) = heartbeat(&mut agent);
    assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
    activate(&mut connection, &license, 2).await;
    assert!(site.logs().contains("KMS unwraps no key"), "it is in the log");

    way.set_open(true);
    let mut other = server.connect().await;
    let well = async || warnings(&mut other).await.is_null().then_some(());
    until("KMS to be back", PATIENCE, well).await;

    // It would start no more, and says so, too.
    emulator().kms("disable_key", &json!({ "KeyId": key }));
    let mut other = server.connect().await;
    let ill = async || {
        let is_told = !warnings(&mut other).await.is_null();
        (is_told && site.logs().contains("is disabled: enable it in KMS")).then_some(())
    };
    until("the key to be missed, and why", PATIENCE, ill).await;
    let (proof, body) = heartbeat(&mut agent);
    let answer = other.post("/v1/heartbeat", Some(&proof), &body).await;
    assert_eq!(answer.word(), "200 authorized");
}

#[tokio::test]
async fn however_many_probes_come_kms_is_asked_once_in_a_while() {
    let Wrapped { site, way, .. } = Wrapped::new().await;
    let server = site.serve().await;
    way.calls();
    let begin = Instant::now();
    let mut connection = server.connect().await;
    for _ in 0..50 {
        assert!(warnings(&mut connection).await.is_null());
    }
    let (calls, seconds) = (way.calls().len(), begin.elapsed().as_secs());
    assert!((1..=2 + seconds / 10).contains(&u64::try_from(calls).unwrap()), "{calls} in {seconds} s");
}
