use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use policy::{Reason, State};
use protocol::{json, problem::Code, request::HeartbeatRequest};
use qubictether_agent::{Error, transport::Answer};

use crate::{
    rig::Rig,
    server::{NOW, refusal},
};

#[tokio::test]
async fn a_beat_says_what_the_protocol_wants_and_takes_the_decision() {
    let rig = Rig::activated().await;
    rig.pass(300);
    rig.server.books().decide(State::Suspended, 4, Reason::InstallSuspended);
    let status = rig.agent.beat().await.unwrap();
    assert_eq!(rig.position(), ("suspended".into(), 4, "install_suspended".into()));
    assert_eq!(status.last_contact, Some(NOW + 300));
    let due = status.next_heartbeat_at.unwrap() - NOW - 300;
    assert!((270..=330).contains(&due), "{due}");
    let books = rig.server.books();
    let body = books.requests.last().unwrap().body.clone().unwrap();
    let beat = HeartbeatRequest::read(&json::parse(&body).unwrap()).unwrap();
    assert_eq!((beat.clock.unix, beat.clock.monotonic_ms), (NOW + 300, 305_000));
    assert_eq!(beat.clock.boot_id, "boot-1");
    assert_eq!(beat.agent.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn every_attempt_has_its_own_counter_and_nonce_and_the_counter_is_on_disk_before_it_is_sent() {
    let rig = Rig::activated().await;
    let seen = Arc::new(AtomicU64::new(0));
    let (file, saw) = (rig.file("state.json"), seen.clone());
    rig.server.tamper(move |_, _| {
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        saw.store(record["install"]["counter"].as_u64().unwrap(), Ordering::SeqCst);
        Err(Error::TimedOut)
    });
    for counter in 1..=3 {
        assert!(matches!(rig.agent.beat().await, Err(Error::TimedOut)));
        assert_eq!(seen.load(Ordering::SeqCst), counter);
    }
    rig.server.behave();
    rig.another(7).beat().await.unwrap();
    let proofs = rig.server.books().proofs("/v1/heartbeat");
    assert_eq!(proofs.iter().map(|proof| proof.counter.value()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let nonces: std::collections::HashSet<_> = proofs.iter().map(|proof| proof.nonce).collect();
    assert_eq!(nonces.len(), 4);
}

#[tokio::test]
async fn the_next_counter_is_above_the_highest_that_the_server_accepted() {
    let rig = Rig::activated().await;
    rig.server.edit(|claims| claims.high = 500);
    rig.agent.beat().await.unwrap();
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().proofs("/v1/heartbeat")[1].counter.value(), 501);
}

#[tokio::test]
async fn who_has_used_the_last_counter_activates_anew() {
    let rig = Rig::activated().await;
    rig.server.edit(|claims| claims.high = (1 << 53) - 1);
    rig.agent.beat().await.unwrap();
    rig.server.behave();
    assert!(matches!(rig.agent.beat().await, Err(Error::ActivationNeeded)));
    assert!(rig.agent.status().unwrap().activation_needed);
    assert_eq!(rig.server.books().count("/v1/heartbeat"), 1);
    rig.activate().await.unwrap();
    rig.agent.beat().await.unwrap();
    assert!(!rig.agent.status().unwrap().activation_needed);
}

#[tokio::test]
async fn a_401_tells_the_time_and_the_beat_is_tried_once_more() {
    let rig = Rig::activated().await;
    rig.server.books().clock.advance(1000);
    rig.agent.beat().await.unwrap();
    let proofs = rig.server.books().proofs("/v1/heartbeat");
    assert_eq!(proofs.len(), 2);
    assert!(proofs[0].counter < proofs[1].counter && proofs[0].nonce != proofs[1].nonce);
    // The time that was learnt goes on with the monotonic clock.
    rig.pass(700);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().count("/v1/heartbeat"), 3);
}

#[tokio::test]
async fn a_second_401_means_that_activation_is_needed_and_the_state_and_the_beat_stay() {
    let rig = Rig::activated().await;
    let secrets = std::mem::take(&mut rig.server.books().secrets);
    assert!(matches!(rig.agent.beat().await, Err(Error::ActivationNeeded)));
    assert_eq!(rig.server.books().count("/v1/heartbeat"), 2);
    let status = rig.agent.status().unwrap();
    assert!(status.activation_needed && status.last_error.is_some());
    assert_eq!(rig.position(), ("authorized".into(), 14, "ok".into()));
    // A server that was restored, say, knows the secret again.
    rig.server.books().secrets = secrets;
    assert!(!rig.agent.beat().await.unwrap().activation_needed);
}

#[tokio::test]
async fn a_401_that_is_not_the_servers_says_nothing() {
    let rig = Rig::activated().await;
    for answer in [
        Answer { status: 401, body: b"<html>please sign in</html>".to_vec().into(), ..Answer::default() },
        refusal(Code::InvalidProof, -5),
        refusal(Code::InvalidProof, i64::MAX),
        Answer { status: 401, ..refusal(Code::Forbidden, NOW) },
    ] {
        rig.server.tamper(move |_, _| Ok(answer.clone()));
        assert!(rig.agent.beat().await.unwrap_err().is_no_contact());
        assert!(!rig.agent.status().unwrap().activation_needed);
    }
    assert_eq!(rig.server.books().count("/v1/heartbeat"), 4);
}

#[tokio::test]
async fn problems_are_no_contact_and_retry_after_is_honoured() {
    let rig = Rig::activated().await;
    rig.pass(100);
    for code in Code::ALL.iter().filter(|code| code.status() != 401) {
        rig.server.tamper(|_, _| Ok(Answer { retry_after: Some(900), ..refusal(*code, NOW + 100) }));
        let error = rig.agent.beat().await.unwrap_err();
        assert!(error.is_no_contact() && error.retry_after() == Some(900), "{code}");
        let status = rig.agent.status().unwrap();
        assert_eq!(status.last_contact, Some(NOW));
        assert_eq!(status.next_heartbeat_at, Some(NOW + 100 + 900));
    }
    assert_eq!(rig.position(), ("authorized".into(), 14, "ok".into()));
}

#[tokio::test]
async fn errors_tell_the_time_too() {
    let rig = Rig::activated().await;
    rig.server.books().clock.advance(5000);
    rig.server.tamper(|_, _| Ok(refusal(Code::Unavailable, NOW + 5000)));
    assert!(rig.agent.beat().await.is_err());
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().count("/v1/heartbeat"), 2);
}

#[tokio::test]
async fn an_answer_that_is_a_little_older_than_the_newest_is_a_contact_but_decides_nothing() {
    let rig = Rig::activated().await;
    rig.server.edit(|claims| {
        claims.iat -= 60;
        claims.state = State::Revoked;
        claims.high = 40;
    });
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.position().0, "authorized");
    assert_eq!(rig.counter(), 40);
    // Of equals the one that came later.
    rig.server.edit(|claims| claims.state = State::Warned);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.position().0, "warned");
}

#[tokio::test]
async fn absurd_intervals_are_bounded() {
    let rig = Rig::activated().await;
    rig.server.edit(|claims| claims.nhb = (1 << 53) - 1);
    let due = rig.agent.beat().await.unwrap().next_heartbeat_at.unwrap();
    assert!(due <= NOW + 604_800 * 11 / 10);
    rig.server.edit(|claims| claims.nhb = 0);
    assert!(rig.agent.beat().await.unwrap().next_heartbeat_at.unwrap() >= NOW);
}
