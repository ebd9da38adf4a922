//! A machine that is never online: one file out, one file in.

use jose_jwt::{SigningKey, base64url, x25519::SecretKey};
use policy::State;
use protocol::{
    Nonce, Secret,
    ambient::SeededRandom,
    claims::{DecisionClaims, LeaseClaims},
    json, lease,
    offline::{OfflineReply, PresentedRequest},
    response::CompactJose,
    token::TokenError,
};
use qubictether_agent::{Error, Settings, Status};
use serde_json::Value;

use crate::{
    leasing::another_install,
    rig::{Rig, WEEK, license_key},
    server::{ISSUER, LICENSE_KEY, NOW},
};

/// How a reply is changed before it is encrypted.
type Change = fn(&Rig, &mut OfflineReply);

/// How claims are changed before they are signed.
type Edit<C> = fn(&mut C);

/// A machine with a license key, that was never online.
fn lonely() -> Rig {
    let rig = Rig::with(|builder, _| builder.license_key(license_key()));
    rig.server.leave();
    rig
}

fn seal(reply: &OfflineReply, to: &PresentedRequest) -> String {
    reply.seal(&to.request().reply_to, &SecretKey::from_bytes(&[77; 32]), [3; 12]).0
}

/// What an operator answers to a request.
fn answer(rig: &Rig, request: &str) -> String {
    let (reply, presented) = rig.server.books().answer_by_file(request);
    seal(&reply, &presented)
}

async fn import(rig: &Rig) -> Result<Status, Error> {
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let reply = answer(rig, &request);
    rig.agent.import_offline(&reply).await
}

#[tokio::test]
async fn a_request_is_as_the_protocol_wants_it_and_holds_nothing_secret() {
    let rig = lonely();
    let text = rig.agent.request_offline(WEEK).await.unwrap();
    let presented = PresentedRequest::read(&json::parse(text.as_bytes()).unwrap()).unwrap();
    assert!(presented.is_made_with(&license_key()));
    let request = presented.request();
    assert_eq!((request.iat, request.duration_seconds), (NOW, 604_800));
    assert_eq!(request.agent.version, env!("CARGO_PKG_VERSION"));
    let members: Vec<_> =
        serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 10);
    let pending = rig.record()["requests"].as_array().unwrap().clone();
    assert_eq!(pending[0]["nonce"].as_str().unwrap(), request.nonce.to_string());
    let key: Secret = pending[0]["key"].as_str().unwrap().parse().unwrap();
    assert_eq!(SecretKey::from_bytes(key.as_bytes()).public(), request.reply_to);
    for secret in [&*key.spelled(), &LICENSE_KEY[4..10], &LICENSE_KEY[11..17]] {
        assert!(!text.contains(secret));
    }
    assert_eq!(rig.agent.status().unwrap().state, None);
    assert_eq!(rig.server.books().requests.len(), 0);
    assert_eq!(Settings::kept_in(&rig.state()).unwrap().unwrap().product.as_str(), "acme-render");
}

#[cfg(unix)]
#[tokio::test]
async fn what_opens_the_answer_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;

    let rig = lonely();
    rig.agent.request_offline(WEEK).await.unwrap();
    for entry in std::fs::read_dir(rig.state()).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        assert!(!std::fs::read_to_string(&path).unwrap().contains("DQSGN8"), "{}", path.display());
    }
}

#[tokio::test]
async fn a_reply_is_an_activation_the_keys_and_a_lease_without_the_network() {
    let rig = lonely();
    let status = import(&rig).await.unwrap();
    assert_eq!(
        (status.state, status.lease.as_ref().unwrap().until),
        (Some(State::Authorized), NOW + 604_800)
    );
    assert_eq!(status.install_id, Some(rig.server.books().install));
    assert_eq!(status.entitlements.unwrap().get(), r#"{"edition":"leased"}"#, "the lease came later");
    assert!(!status.activation_needed);
    assert_eq!((rig.counter(), rig.record()["requests"].as_array().unwrap().len()), (0, 0));
    assert_eq!(rig.server.books().requests.len(), 0);
    let mut states = Vec::new();
    for seconds in [3600, 604_800 - 3600, 3600, 3600] {
        rig.pass(seconds);
        states.push(rig.another(2).status().unwrap().state.unwrap().as_str());
    }
    assert_eq!(states, ["leased", "grace", "degraded", "locked"]);
    // Should it ever be online, it is an install like any other.
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().proofs("/v1/heartbeat").last().unwrap().counter.value(), 1);
}

#[tokio::test]
async fn a_reply_is_imported_once() {
    let rig = lonely();
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let reply = answer(&rig, &request);
    rig.agent.import_offline(&format!("{reply}\r\n")).await.unwrap();
    let kept = rig.record();
    rig.pass(100);
    assert!(matches!(rig.agent.import_offline(&reply).await, Err(Error::UnknownReply)));
    assert_eq!(rig.record(), kept);
    // What was kept before the import is the old record as a whole, and takes the reply.
    let rig = lonely();
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let before = std::fs::read(rig.file("state.json")).unwrap();
    let reply = answer(&rig, &request);
    rig.agent.import_offline(&reply).await.unwrap();
    std::fs::write(rig.file("state.json"), before).unwrap();
    rig.another(2).import_offline(&reply).await.unwrap();
}

#[tokio::test]
async fn the_same_machine_renews_by_another_request() {
    let rig = lonely();
    import(&rig).await.unwrap();
    let (install, secrets) = (rig.record()["install"]["id"].clone(), rig.secrets());
    // The reply is on its way for a day: the token in it is for whoever is shown it at once, and over.
    rig.pass(500_000);
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let reply = answer(&rig, &request);
    rig.clocks.pass(86_400);
    assert_eq!(rig.word(), "leased offline_lease");
    let status = rig.agent.import_offline(&reply).await.unwrap();
    assert_eq!(status.lease.unwrap().until, NOW + 500_000 + 604_800);
    assert_eq!(rig.record()["install"]["id"], install);
    assert_ne!(rig.secrets(), secrets);
    assert_eq!(rig.word(), "authorized ok");
}

#[tokio::test]
async fn an_older_request_may_be_answered_and_goes_with_a_newer_one() {
    let rig = lonely();
    let mut requests = Vec::new();
    for _ in 0..9 {
        requests.push(rig.agent.request_offline(WEEK).await.unwrap());
    }
    let replies: Vec<_> = requests.iter().map(|request| answer(&rig, request)).collect();
    assert!(
        matches!(rig.agent.import_offline(&replies[0]).await, Err(Error::UnknownReply)),
        "eight are kept"
    );
    rig.agent.import_offline(&replies[3]).await.unwrap();
    assert!(matches!(rig.agent.import_offline(&replies[2]).await, Err(Error::UnknownReply)));
    rig.agent.import_offline(&replies[8]).await.unwrap();
    assert!(matches!(rig.agent.import_offline(&replies[7]).await, Err(Error::UnknownReply)));
    assert!(rig.record()["requests"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn replies_that_do_not_fit_change_nothing() {
    let rig = lonely();
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let before = rig.record();
    let stranger = Rig::with(|builder, _| {
        builder.license_key(license_key()).random(std::sync::Arc::new(SeededRandom::new(2)))
    });
    stranger.agent.request_offline(WEEK).await.unwrap();
    let changes: [(&str, Change); 11] = [
        ("another request", |_, reply| reply.request = Nonce::from_bytes(&[7; 24]).unwrap()),
        ("another install", |_, reply| reply.install_id = another_install().0),
        ("another license", |_, reply| reply.license_id = another_install().1),
        ("another secret", |_, reply| reply.secret = Secret::from_bytes([9; 32])),
        ("a counter", |_, reply| reply.counter = 1),
        ("another root", |rig, reply| {
            reply.keyset = CompactJose(protocol::keyset::sign(
                &rig.server.books().keyset,
                &SigningKey::from_seed(&[7; 32]),
            ));
        }),
        ("a keyset that has expired", |rig, reply| {
            let mut claims = rig.server.books().keyset.clone();
            claims.exp = NOW;
            reply.keyset = CompactJose(protocol::keyset::sign(&claims, &rig.server.books().root));
        }),
        ("no keyset", |_, reply| reply.keyset = CompactJose(String::new())),
        ("no token", |_, reply| reply.token = CompactJose("a.b.c".into())),
        ("another lease", |_, reply| reply.lease_id = protocol::LeaseId::new(0, [9; 10])),
        ("no lease", |_, reply| reply.artifact = CompactJose("a..b.c.d".into())),
    ];
    for (what, change) in changes {
        let (mut reply, presented) = rig.server.books().answer_by_file(&request);
        change(&rig, &mut reply);
        let refused = rig.agent.import_offline(&seal(&reply, &presented)).await.expect_err(what);
        assert!(refused.is_no_contact(), "{what}: {refused:?}");
        assert_eq!(rig.record(), before, "{what}");
    }
    // The answer to another request, though it opens here.
    rig.server.edit(|claims| claims.nonce = Nonce::from_bytes(&[7; 24]).unwrap());
    let (mut reply, presented) = rig.server.books().answer_by_file(&request);
    reply.request = Nonce::from_bytes(&[7; 24]).unwrap();
    let refused = rig.agent.import_offline(&seal(&reply, &presented)).await;
    assert!(matches!(refused, Err(Error::Token(TokenError::OtherRequest))), "{refused:?}");
    assert_eq!(rig.record(), before);
    let decisions: [(&str, Edit<DecisionClaims>, TokenError); 6] = [
        (
            "another nonce",
            |claims| claims.nonce = Nonce::from_bytes(&[7; 24]).unwrap(),
            TokenError::OtherRequest,
        ),
        ("another counter", |claims| claims.ctr = 1, TokenError::OtherRequest),
        ("another server", |claims| claims.iss.push('/'), TokenError::Issuer(format!("{ISSUER}/"))),
        ("another product", |claims| claims.aud = "acme-other".parse().unwrap(), TokenError::Audience),
        ("another license", |claims| claims.lic = another_install().1, TokenError::Claims),
        ("over at once", |claims| claims.exp = claims.iat, TokenError::Expired),
    ];
    for (what, edit, expected) in decisions {
        rig.server.edit(edit);
        let refused = rig.agent.import_offline(&answer(&rig, &request)).await;
        assert!(matches!(refused, Err(Error::Token(error)) if error == expected), "{what}");
        assert_eq!(rig.record(), before, "{what}");
    }
    rig.server.behave();
    let leases: [(&str, Edit<LeaseClaims>, TokenError); 5] = [
        ("another install", |claims| claims.sub = another_install().0, TokenError::Subject),
        ("another license", |claims| claims.lic = another_install().1, TokenError::Claims),
        ("another counter", |claims| claims.ctr = 1, TokenError::OtherRequest),
        ("over", |claims| claims.exp = claims.iat, TokenError::Expired),
        ("older than the token", |claims| claims.iat -= 61, TokenError::Old),
    ];
    for (what, edit, expected) in leases {
        rig.server.books().leasing.edit = Some(Box::new(edit));
        let refused = rig.agent.import_offline(&answer(&rig, &request)).await;
        assert!(matches!(refused, Err(Error::Token(error)) if error == expected), "{what}");
        assert_eq!(rig.record(), before, "{what}");
    }
    rig.server.behave();
    let good = answer(&rig, &request);
    assert!(matches!(stranger.agent.import_offline(&good).await, Err(Error::UnknownReply)));
    for other in ["", "{}", &request, &good[..good.len() - 1], &format!("{good}.")] {
        assert!(matches!(rig.agent.import_offline(other).await, Err(Error::UnknownReply)), "{other}");
    }
    assert_eq!(rig.record(), before);
    rig.agent.import_offline(&good).await.unwrap();
}

#[tokio::test]
async fn every_character_of_a_reply_counts() {
    let rig = lonely();
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let (reply, presented) = rig.server.books().answer_by_file(&request);
    let good = seal(&reply, &presented);
    let key: Secret = rig.record()["requests"][0]["key"].as_str().unwrap().parse().unwrap();
    let key = SecretKey::from_bytes(key.as_bytes());
    assert!(OfflineReply::open(&good, &key).is_ok());
    for index in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[index] ^= 1 << (index % 7);
        let changed = String::from_utf8(bytes).unwrap();
        assert!(OfflineReply::open(&changed, &key).is_err(), "{index}");
    }
    // And nobody who knows the public half only can make one: it has to be under the pinned root.
    let mut forged = reply.clone();
    let secret = Secret::from_bytes([1; 32]);
    forged.artifact = lease::seal(&CompactJose("a.b.c".into()), &secret, reply.lease_id, [1; 12]);
    forged.secret = secret;
    assert!(matches!(rig.agent.import_offline(&seal(&forged, &presented)).await, Err(Error::Token(_))));
    rig.agent.import_offline(&good).await.unwrap();
}

#[tokio::test]
async fn a_reply_that_is_older_than_what_was_heard_or_over_when_it_comes_is_refused() {
    let rig = lonely();
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let reply = answer(&rig, &request);
    rig.server.behave();
    rig.pass(100);
    rig.activate().await.unwrap();
    let refused = rig.agent.import_offline(&reply).await;
    assert!(matches!(refused, Err(Error::Token(TokenError::Old))), "{refused:?}");

    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let reply = answer(&rig, &request);
    rig.clocks.pass(700_000);
    let refused = rig.agent.import_offline(&reply).await;
    assert!(matches!(refused, Err(Error::Token(TokenError::Expired))), "{refused:?}");
    rig.server.books().clock.advance(700_000);
    let request = rig.agent.request_offline(10_000_000).await.unwrap();
    let reply = answer(&rig, &request);
    rig.clocks.pass(2_592_000);
    let refused = rig.agent.import_offline(&reply).await;
    assert!(matches!(refused, Err(Error::Keyset(TokenError::KeysetExpired))), "{refused:?}");
}

#[tokio::test]
async fn a_reply_on_another_machine_is_locked() {
    let rig = lonely();
    let request = rig.agent.request_offline(WEEK).await.unwrap();
    let reply = answer(&rig, &request);
    rig.show(r#"{"dongle": "18"}"#);
    rig.agent.import_offline(&reply).await.unwrap();
    assert_eq!(rig.position(), ("locked".into(), 8, "fingerprint_mismatch".into()));
}

#[tokio::test]
async fn a_reply_ends_a_clock_rollback() {
    let rig = lonely();
    import(&rig).await.unwrap();
    rig.clocks.turn(-7200);
    rig.clocks.restart(0);
    assert_eq!(rig.word(), "locked clock_rollback");
    import(&rig).await.unwrap();
    assert_eq!(rig.word(), "authorized ok");
}

#[tokio::test]
async fn without_a_license_key_there_is_no_request_and_a_kept_one_serves() {
    let rig = Rig::new();
    assert!(matches!(rig.agent.request_offline(WEEK).await, Err(Error::NoLicenseKey)));
    assert!(matches!(rig.agent.import_offline("a.b.c").await, Err(Error::UnknownReply)));
    assert!(!rig.state().exists());
    let rig = Rig::with(|builder, _| builder.license_key(license_key()).keep_license_key(true));
    rig.agent.request_offline(WEEK).await.unwrap();
    rig.another(2).request_offline(WEEK).await.unwrap();
    let parts: Vec<_> = rig.record()["requests"].as_array().unwrap().clone();
    assert_eq!(parts.len(), 2);
    assert!(base64url::decode(parts[0]["key"].as_str().unwrap()).is_ok());
}
