//! The public keys, and what is signed by them.

use jose_jwt::{PublicKey, SigningKey};
use protocol::keyset::Keyset;
use protocol::token::{Expect, verify_decision};
use store::testing::{ISSUER, START};

use crate::World;

async fn root(world: &World) -> PublicKey {
    world.database.database().find_root().await.unwrap().unwrap()
}

#[tokio::test]
async fn the_keyset_verifies_under_the_root_and_tokens_under_the_keyset() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let answer = world.server.get("/v1/keyset").await;
    assert_eq!(answer.headers["content-type"], "application/jwt");
    assert_eq!(answer.headers["cache-control"], "public, max-age=60");
    let text = String::from_utf8(answer.body).unwrap();
    let keyset = Keyset::verify(&text, &root(&world).await, ISSUER).unwrap();
    assert_eq!(keyset.claims().keys.len(), 4, "of each use one that signs and one that is prepared");
    assert!(Keyset::verify(&text, SigningKey::from_seed(&[1; 32]).public(), ISSUER).is_err());
    let answer = agent.beat(&world.server).await.json();
    let expect = Expect {
        iss: ISSUER,
        aud: &"acme-render".parse().unwrap(),
        sub: agent.install,
        now: Some(START),
        request: None,
        newest: None,
    };
    assert_eq!(verify_decision(answer["token"].as_str().unwrap(), &keyset, &expect).unwrap().ctr, 1);
}

#[tokio::test]
async fn the_jwks_lists_the_same_keys() {
    let world = World::new().await;
    let answer = world.server.get("/.well-known/jwks.json").await;
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 4);
    let members: Vec<_> = keys[0].as_object().unwrap().keys().cloned().collect();
    let mut expected = ["crv", "kid", "kty", "use", "x"].map(str::to_owned).to_vec();
    expected.sort();
    let mut members = members;
    members.sort();
    assert_eq!(members, expected);
}

#[tokio::test]
async fn a_keyset_is_signed_anew_when_a_third_of_its_life_is_gone() {
    let world = World::new().await;
    let version = |text: Vec<u8>, root: PublicKey| {
        Keyset::verify(&String::from_utf8(text).unwrap(), &root, ISSUER).unwrap().version()
    };
    let root = root(&world).await;
    world.pass(2_592_000 / 3 - 1);
    assert_eq!(version(world.server.get("/v1/keyset").await.body, root.clone()), 1);
    world.pass(31);
    assert_eq!(version(world.server.get("/v1/keyset").await.body, root), 2);
    assert_eq!(world.agent(1).await.beat(&world.server).await.claims()["ksv"], 2);
}

#[tokio::test]
async fn a_root_that_was_not_followed_has_no_successor() {
    let world = World::new().await;
    let kid = root(&world).await.kid().to_owned();
    let answer = world.server.get(&format!("/v1/keyset/successor/{kid}")).await;
    assert_eq!(answer.word(), "404 not_found");
    for no_kid in ["AAAA", "%00", "%ff", "..", "%2e%2e%2fkeyset"] {
        let answer = world.server.get(&format!("/v1/keyset/successor/{no_kid}")).await;
        assert_eq!(answer.word(), "404 not_found", "{no_kid}");
    }
}

#[tokio::test]
async fn a_keyset_is_signed_anew_when_the_public_url_is_another() {
    let world = World::new().await;
    world.database.run("UPDATE keysets SET issuer = 'https://before.example.com'").await;
    let text = String::from_utf8(world.server.get("/v1/keyset").await.body).unwrap();
    let keyset = Keyset::verify(&text, &root(&world).await, ISSUER).unwrap();
    assert_eq!((keyset.version(), keyset.claims().iss.as_str()), (2, ISSUER));
}
