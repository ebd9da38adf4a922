//! Which keys are believed: keysets under the pinned root and its successors.

use jose_jwt::SigningKey;
use protocol::{keyset, token::TokenError};
use qubictether_agent::Error;

use crate::{
    rig::Rig,
    server::{NOW, Server, text},
};

const KEYSET: &str = "/v1/keyset";

fn version(rig: &Rig) -> u64 {
    let record = rig.record();
    let newest = record["trust"]["keysets"][0].as_str().unwrap().to_owned();
    let payload = jose_jwt::base64url::decode(newest.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&payload).unwrap()["version"].as_u64().unwrap()
}

#[tokio::test]
async fn an_unknown_key_makes_the_keyset_fetched_once() {
    let rig = Rig::activated().await;
    rig.server.books().rotate();
    rig.agent.beat().await.unwrap();
    assert_eq!((rig.server.books().count(KEYSET), version(&rig)), (2, 2));
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().count(KEYSET), 2);
    // A key that no keyset has: once more for every answer, and no more than that.
    let stranger = rig.server.books().new_key();
    rig.server.books().token_key = stranger;
    for fetched in 3..6 {
        assert!(matches!(rig.agent.beat().await, Err(Error::Token(TokenError::UnknownKey))));
        assert_eq!(rig.server.books().count(KEYSET), fetched);
    }
}

#[tokio::test]
async fn a_newer_version_in_a_token_makes_the_keyset_fetched_and_failing_to_is_no_failure() {
    let rig = Rig::activated().await;
    rig.server.books().publish();
    rig.server
        .tamper(|request, answer| if request.path == KEYSET { Err(Error::TimedOut) } else { Ok(answer) });
    rig.agent.beat().await.unwrap();
    assert_eq!((rig.server.books().count(KEYSET), version(&rig)), (2, 1));
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!((rig.server.books().count(KEYSET), version(&rig)), (3, 2));
    // A version that never comes is asked for once in an answer.
    rig.server.edit(|claims| claims.ksv = 1 << 40);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().count(KEYSET), 4);
}

#[tokio::test]
async fn an_older_keyset_is_refused() {
    let rig = Rig::activated().await;
    let old = {
        let books = rig.server.books();
        keyset::sign(&books.keyset, &books.root)
    };
    rig.server.books().rotate();
    rig.agent.beat().await.unwrap();
    // Somebody who has the old key plays the old keyset.
    rig.server.books().token_key = SigningKey::from_seed(&[102; 32]);
    rig.server.tamper(
        move |request, answer| if request.path == KEYSET { Ok(text(200, old.clone())) } else { Ok(answer) },
    );
    assert!(matches!(rig.agent.beat().await, Err(Error::KeysetRollback)));
    assert_eq!(version(&rig), 2);
    // And again after the install is gone: what was learnt of keys stays.
    rig.server.behave();
    let current = rig.server.books().new_key();
    rig.server.books().token_key = current;
    rig.server.books().rotate();
    rig.agent.beat().await.unwrap();
    rig.agent.deactivate().await.unwrap();
    rig.server.books().keyset.version = 1;
    rig.server.books().rotate();
    assert!(matches!(rig.activate().await, Err(Error::KeysetRollback)));
}

#[tokio::test]
async fn an_expired_keyset_verifies_nothing_new() {
    let rig = Rig::activated().await;
    rig.pass(2_592_000);
    // The server signs no new one: fetched again, and refused.
    assert!(matches!(rig.agent.beat().await, Err(Error::Token(TokenError::KeysetExpired))));
    assert_eq!(rig.server.books().count(KEYSET), 2);
    rig.server.books().publish();
    rig.agent.beat().await.unwrap();
    assert_eq!((rig.server.books().count(KEYSET), version(&rig)), (3, 2));
}

#[tokio::test]
async fn a_server_that_claims_an_earlier_time_makes_no_expired_keyset_good() {
    let rig = Rig::activated().await;
    // Time is measured here; the server's clock stands still.
    rig.clocks.pass(2_592_000 + 3000);
    assert!(matches!(rig.agent.beat().await, Err(Error::Token(TokenError::KeysetExpired))));
}

#[tokio::test]
async fn what_was_verified_before_stays_believed_when_its_key_is_gone() {
    let rig = Rig::activated().await;
    let token = rig.agent.token().unwrap().unwrap();
    rig.server.books().rotate();
    // The new keyset comes, but no token that is believed: the agent keeps both keysets.
    rig.server.edit(|claims| claims.ctr = 0);
    assert!(rig.agent.beat().await.is_err());
    assert_eq!(rig.record()["trust"]["keysets"].as_array().unwrap().len(), 2);
    let restarted = rig.another(2);
    assert_eq!(restarted.status().unwrap().state, Some(policy::State::Authorized));
    assert_eq!(restarted.token().unwrap(), Some(token));
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.record()["trust"]["keysets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_keyset_under_another_root_is_refused() {
    for signer in [SigningKey::from_seed(&[7; 32]), SigningKey::from_seed(&[102; 32])] {
        let rig = Rig::new();
        rig.server.books().root = signer;
        assert!(matches!(rig.activate().await, Err(Error::Keyset(TokenError::UnknownKey))));
        assert!(rig.record()["install"].is_null());
    }
}

#[tokio::test]
async fn keysets_that_are_not_as_described_are_refused() {
    let broken: [fn(&Server); 5] = [
        |server| server.books().keyset.iss = "https://license.example.org".into(),
        |server| server.books().keyset.keys.clear(),
        |server| server.books().keyset.exp = NOW,
        |server| {
            server.tamper(|request, answer| {
                let swapped = request.path == KEYSET;
                Ok(if swapped { text(200, "\u{fffd}".repeat(9)) } else { answer })
            });
        },
        |server| {
            let claims = server.books().keyset.clone();
            let key = server.books().root.clone();
            let payload = serde_json::to_string(&claims).unwrap();
            let jws = jose_jwt::jws::sign("qt-decision+jwt", payload.as_bytes(), &key);
            server.tamper(move |request, answer| {
                Ok(if request.path == KEYSET { text(200, jws.clone()) } else { answer })
            });
        },
    ];
    for (number, set_up) in broken.into_iter().enumerate() {
        let rig = Rig::new();
        set_up(&rig.server);
        assert!(rig.activate().await.unwrap_err().is_no_contact(), "{number}");
        assert!(rig.record()["install"].is_null(), "{number}");
        assert_eq!(rig.server.books().count(KEYSET), 1);
    }
}

#[tokio::test]
async fn a_chain_of_successors_is_followed_and_kept() {
    let rig = Rig::activated().await;
    for _ in 0..3 {
        rig.server.books().succeed_root();
    }
    rig.server.books().rotate();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.record()["trust"]["successors"].as_array().unwrap().len(), 3);
    // The next process still pins the first root.
    let asked = rig.server.books().requests.len();
    rig.server.books().rotate();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().requests.len(), asked + 2, "the keyset, and no successor");
}

#[tokio::test]
async fn a_keyset_of_a_root_that_was_left_is_refused() {
    let rig = Rig::activated().await;
    let left = rig.server.books().root.clone();
    rig.server.books().succeed_root();
    rig.server.books().rotate();
    rig.agent.beat().await.unwrap();
    rig.server.books().root = left;
    rig.server.books().rotate();
    assert!(matches!(rig.agent.beat().await, Err(Error::Keyset(TokenError::UnknownKey))));
}

#[tokio::test]
async fn sixteen_successors_in_a_row_are_followed_and_no_more() {
    for (steps, reached) in [(16, true), (17, false)] {
        let rig = Rig::activated().await;
        for _ in 0..steps {
            rig.server.books().succeed_root();
        }
        rig.server.books().rotate();
        assert_eq!(rig.agent.beat().await.is_ok(), reached, "{steps}");
        let asked =
            rig.server.books().requests.iter().filter(|request| request.path.contains("successor")).count();
        assert_eq!(asked, 16, "{steps}");
        // The last one is kept, so that the next attempt goes on from there.
        rig.agent.beat().await.unwrap();
    }
}

#[tokio::test]
async fn successors_that_the_trusted_root_did_not_sign_are_refused() {
    let rig = Rig::activated().await;
    rig.server.books().root = SigningKey::from_seed(&[7; 32]);
    rig.server.books().succeed_root();
    let forged = rig.server.books().successors[0].1.clone();
    let pinned = SigningKey::from_seed(&[101; 32]).kid().to_owned();
    rig.server.books().successors.push((pinned, forged));
    rig.server.books().rotate();
    assert!(matches!(rig.agent.beat().await, Err(Error::Keyset(TokenError::UnknownKey))));
    assert!(rig.record()["trust"]["successors"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn successors_in_a_circle_come_to_an_end() {
    let rig = Rig::activated().await;
    let (pinned, other) = (SigningKey::from_seed(&[101; 32]), SigningKey::from_seed(&[7; 32]));
    for (from, to) in [(&pinned, &other), (&other, &pinned)] {
        rig.server.books().root = from.clone();
        let claims = protocol::claims::RootClaims {
            iss: crate::server::ISSUER.into(),
            iat: NOW,
            root: to.public().clone().into(),
        };
        let jws = keyset::sign_successor(&claims, from);
        rig.server.books().successors.push((from.kid().to_owned(), jws));
    }
    rig.server.books().root = SigningKey::from_seed(&[8; 32]);
    rig.server.books().rotate();
    for _ in 0..3 {
        assert!(matches!(rig.agent.beat().await, Err(Error::Keyset(TokenError::UnknownKey))));
        assert_eq!(
            rig.record()["trust"]["successors"].as_array().unwrap().len(),
            1,
            "one that was left is none"
        );
    }
    assert!(rig.server.books().requests.len() < 25);
}
