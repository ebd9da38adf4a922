//! The public keys.

use std::sync::Arc;

use jose_jwt::Jwk;
use protocol::keyset::Keyset;
use serde_json::Value;

use super::{World, assert_problem, now};
use crate::site::ISSUER;

pub(super) async fn the_keyset_is_signed_by_the_root_and_lists_every_key(world: Arc<World>) {
    let answer = world.get("/v1/keyset").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/jwt");
    assert_eq!(answer.headers["cache-control"], "public, max-age=60");
    let text = String::from_utf8(answer.body).unwrap();
    let keyset = Keyset::verify(&text, &world.root(), ISSUER).unwrap();
    let claims = keyset.claims();
    assert!(claims.iat <= now() + 60 && now() < claims.exp);
    let stranger = jose_jwt::SigningKey::from_seed(&[3; 32]);
    assert!(Keyset::verify(&text, stranger.public(), ISSUER).is_err());
    // Of each use one that signs, and one that is prepared.
    assert!(claims.keys.len() >= 4, "{}", claims.keys.len());
}

pub(super) async fn the_jwks_lists_the_same_keys_and_no_more_of_them(world: Arc<World>) {
    let answer = world.get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    assert_eq!(answer.headers["cache-control"], "public, max-age=60");
    let listed = answer.json()["keys"].as_array().unwrap().clone();
    let keyset = world.keyset().await;
    assert_eq!(listed.len(), keyset.claims().keys.len());
    for key in &listed {
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["crv", "kid", "kty", "use", "x"]);
        assert_eq!(
            (&key["kty"], &key["crv"], &key["use"]),
            (&"OKP".into(), &"Ed25519".into(), &"sig".into())
        );
        let parsed = Jwk::parse(&key.to_string()).unwrap();
        assert_eq!(key["kid"], Value::from(parsed.thumbprint()));
    }
}

pub(super) async fn there_is_no_successor_of_a_root_that_has_none(world: Arc<World>) {
    let kid = world.root().kid().to_owned();
    for kid in [kid.as_str(), "unheard-of", "a%2Fb", "%00"] {
        let answer = world.get(&format!("/v1/keyset/successor/{kid}")).await;
        assert_problem(&answer, "404 not_found", kid);
    }
}
