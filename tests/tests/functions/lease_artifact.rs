//! The artifact: whose it is, and that nothing of it can be changed.

use edge::testing::TestLease;
use jose_jwt::base64url;
use protocol::keyset::Keyset;
use protocol::response::CompactJose;
use protocol::token::{Expect, TokenError, verify_lease};
use protocol::{InstallId, LeaseId, Secret};
use store::testing::{ISSUER, START};

use crate::World;

async fn keyset(world: &World) -> Keyset {
    let root = world.database.database().find_root().await.unwrap().unwrap();
    let text = String::from_utf8(world.server.get("/v1/keyset").await.body).unwrap();
    Keyset::verify(&text, &root, ISSUER).unwrap()
}

/// Opens and verifies, as the agent of an install does.
fn take(
    artifact: &str,
    lease: LeaseId,
    secret: &Secret,
    keyset: &Keyset,
    sub: InstallId,
) -> Result<i64, TokenError> {
    let aud = "acme-render".parse().unwrap();
    let expect = Expect { iss: ISSUER, aud: &aud, sub, now: Some(START), request: None, newest: None };
    let CompactJose(signed) = protocol::lease::open(artifact, secret, lease)?;
    verify_lease(&signed, keyset, &expect).map(|claims| claims.exp)
}

#[tokio::test]
async fn every_bit_of_an_artifact_counts() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, 60).await;
    let keyset = keyset(&world).await;
    let take = |artifact: &str| take(artifact, lease.id, &agent.secret, &keyset, agent.install);
    assert_eq!(take(&lease.artifact), Ok(lease.ends_at));
    for position in 0..lease.artifact.len() {
        for bit in 0..8 {
            let mut changed = lease.artifact.clone().into_bytes();
            changed[position] ^= 1 << bit;
            // What is no text can't be handed to an agent.
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(take(&changed).is_err(), "byte {position}, bit {bit}");
        }
    }
    let parts: Vec<Vec<u8>> =
        lease.artifact.split('.').map(|part| base64url::decode(part).unwrap()).collect();
    for part in 0..parts.len() {
        for bit in 0..parts[part].len() * 8 {
            let mut changed = parts.clone();
            changed[part][bit / 8] ^= 1 << (bit % 8);
            let changed: Vec<String> = changed.iter().map(|part| base64url::encode(part)).collect();
            assert!(take(&changed.join(".")).is_err(), "part {part}, bit {bit}");
        }
    }
    let signed = lease.signed(&agent.secret);
    for position in 0..signed.len() {
        let mut changed = signed.clone().into_bytes();
        changed[position] ^= 1;
        let changed = CompactJose(String::from_utf8(changed).unwrap());
        // Whoever holds the secret can seal what he likes, but not sign it.
        let resealed = protocol::lease::seal(&changed, &agent.secret, lease.id, [1; 12]);
        assert!(take(resealed.as_str()).is_err(), "signed byte {position}");
    }
}

#[tokio::test]
async fn an_artifact_is_of_its_install_its_secret_and_its_lease() {
    let world = World::new().await;
    let (mut agent, mut other) = (world.agent(1).await, world.agent(2).await);
    let lease = agent.take_lease(&world.server, 60).await;
    let theirs = other.take_lease(&world.server, 60).await;
    let keyset = keyset(&world).await;
    let take = |lease: &TestLease, id, secret, sub| take(&lease.artifact, id, secret, &keyset, sub).is_ok();
    assert!(take(&lease, lease.id, &agent.secret, agent.install));
    assert!(!take(&lease, lease.id, &other.secret, agent.install), "another's secret");
    assert!(!take(&lease, lease.id, &agent.secret, other.install), "another install");
    assert!(!take(&lease, theirs.id, &agent.secret, agent.install), "another lease");
    assert!(!take(&theirs, theirs.id, &agent.secret, agent.install), "another's lease");
    let moved =
        protocol::lease::seal(&CompactJose(theirs.signed(&other.secret)), &agent.secret, theirs.id, [1; 12]);
    assert!(protocol::lease::open(moved.as_str(), &agent.secret, theirs.id).is_ok());
    let moved = TestLease { artifact: moved.0, ..theirs };
    assert!(
        !take(&moved, moved.id, &agent.secret, agent.install),
        "sealed anew, it still names the other install"
    );
}

#[tokio::test]
async fn an_artifact_is_sealed_under_the_secret_that_proved_the_request() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut old = agent.clone();
    assert_eq!(agent.rekey(&world.server).await.status, 200);
    old.counter = agent.counter;
    let lease = old.take_lease(&world.server, 60).await;
    assert_eq!(lease.claims(&old.secret)["exp"], START + 60, "the answer to the rekey may be lost");
    assert!(protocol::lease::open(&lease.artifact, &agent.secret, lease.id).is_err());
    agent.counter = old.counter;
    let lease = agent.take_lease(&world.server, 60).await;
    assert_eq!(lease.claims(&agent.secret)["exp"], START + 60);
}

#[tokio::test]
async fn a_lease_is_signed_by_a_lease_key_and_a_token_by_a_token_key() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, 60).await;
    let kid = |signed: &str| {
        let header = base64url::decode(signed.split('.').next().unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        (header["typ"].clone(), header["kid"].as_str().unwrap().to_owned())
    };
    let used_for = |kid: &str, keyset: &Keyset| {
        keyset
            .claims()
            .keys
            .iter()
            .find(|key| key.jwk.public_key().kid() == kid)
            .map(|key| key.use_for.as_str())
    };
    let keyset = keyset(&world).await;
    let (typ, signer) = kid(&lease.signed(&agent.secret));
    assert_eq!((typ.as_str(), used_for(&signer, &keyset)), (Some("qt-lease+jwt"), Some("lease")));
    let header = base64url::decode(lease.artifact.split('.').next().unwrap()).unwrap();
    let expected = format!(r#"{{"alg":"dir","enc":"A256GCM","typ":"qt-lease+jwe","kid":"{}"}}"#, lease.id);
    assert_eq!(String::from_utf8(header).unwrap(), expected);
    let token = agent.beat(&world.server).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(used_for(&kid(&token).1, &keyset), Some("token"));
}
