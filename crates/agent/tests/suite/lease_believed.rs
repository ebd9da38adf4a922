//! Leases that aren't believed: nothing of them is kept.

use jose_jwt::{base64url, jwe, jws};
use protocol::{
    LeaseId, Secret,
    ambient::SeededRandom,
    claims::LeaseClaims,
    lease,
    proof::Operation,
    request::{AgentInfo, HeartbeatRequest, LeaseRequest},
    response::{CompactJose, LeaseResponse},
    token::TokenError,
};
use qubictether_agent::{
    Error,
    clock::Clocks,
    core::Core,
    exchange::{Exchange, Step},
    transport::Answer,
};
use serde_json::{Value, json};

use crate::{
    leasing::another_install,
    rig::{Rig, WEEK},
    server::{ISSUER, NOW, respond},
};

/// How a lease's claims are changed before they are signed.
type Edit = fn(&mut LeaseClaims);

/// Asks for a lease of a server that does otherwise, and looks that nothing came of it.
async fn check(rig: &Rig, what: &str, set_up: impl FnOnce(&Rig)) -> Error {
    let before = rig.agent.status().unwrap();
    set_up(rig);
    let error = rig.agent.take_lease(WEEK).await.expect_err(what);
    assert!(error.is_no_contact(), "{what}: {error:?}");
    let after = rig.agent.status().unwrap();
    assert_eq!(
        (after.lease, after.state, after.reason),
        (before.lease, before.state, before.reason),
        "{what}"
    );
    assert!(after.last_error.is_some(), "{what}");
    rig.server.behave();
    error
}

fn answered(change: impl Fn(&mut Value) + Send + 'static) -> impl FnOnce(&Rig) {
    move |rig| {
        rig.server.tamper(move |request, answer| {
            if request.path != "/v1/leases" {
                return Ok(answer);
            }
            let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
            change(&mut json);
            Ok(respond(201, &json))
        });
    }
}

#[tokio::test]
async fn leases_of_another_server_product_install_request_or_time() {
    let rig = Rig::activated().await;
    let edits: [(&str, Edit, TokenError); 12] = [
        ("server", |claims| claims.iss.push('/'), TokenError::Issuer(format!("{ISSUER}/"))),
        ("product", |claims| claims.aud = "acme-other".parse().unwrap(), TokenError::Audience),
        ("install", |claims| claims.sub = another_install().0, TokenError::Subject),
        ("lease", |claims| claims.jti = LeaseId::new(0, [9; 10]), TokenError::OtherRequest),
        ("counter", |claims| claims.ctr += 1, TokenError::OtherRequest),
        ("no counter", |claims| claims.ctr = 0, TokenError::OtherRequest),
        ("older than a minute", |claims| claims.iat -= 61, TokenError::Old),
        ("over", |claims| claims.exp = claims.iat, TokenError::Expired),
        ("long over", |claims| claims.exp = 1, TokenError::Expired),
        ("not yet", |claims| claims.nbf = NOW + 600, TokenError::Early),
        (
            "over when it was granted",
            |claims| (claims.iat, claims.exp) = (NOW - 50, NOW - 10),
            TokenError::Expired,
        ),
        (
            "from after its keyset",
            |claims| (claims.iat, claims.exp) = (NOW + 2_592_000, NOW + 3_000_000),
            TokenError::KeysetExpired,
        ),
    ];
    for (what, edit, expected) in edits {
        let refused = check(&rig, what, |rig| rig.server.books().leasing.edit = Some(Box::new(edit))).await;
        assert!(matches!(&refused, Error::Token(error) if *error == expected), "{what}: {refused:?}");
    }
    // As it should be.
    rig.agent.take_lease(WEEK).await.unwrap();
    rig.server.books().leasing.edit = Some(Box::new(|claims| claims.iat -= 60));
    rig.agent.take_lease(WEEK).await.unwrap();
}

#[tokio::test]
async fn leases_that_are_not_signed_or_sealed_as_they_must_be() {
    let rig = Rig::activated().await;
    let signed = |rig: &Rig, typ: &str, by_token_key: bool| {
        let books = rig.server.books();
        let key = if by_token_key { &books.token_key } else { &books.lease_key };
        let claims = json!({ "iss": "https://license.example.com" });
        CompactJose(jws::sign(typ, claims.to_string().as_bytes(), key))
    };
    let secret: Secret = rig.secrets()[0].as_str().unwrap().parse().unwrap();
    let id = LeaseId::new(1, [5; 10]);
    let key = lease::content_key(&secret, id);
    let sealed =
        |text: &str, typ: &str, kid: &str| jwe::encrypt_dir(typ, kid, &key, [1; 12], text.as_bytes());
    let (own, kid) = ("qt-lease+jwe", id.to_string());
    for (what, artifact, expected) in [
        (
            "claims that aren't",
            sealed(signed(&rig, "qt-lease+jwt", false).as_str(), own, &kid),
            Some(TokenError::Claims),
        ),
        (
            "a token key",
            sealed(signed(&rig, "qt-lease+jwt", true).as_str(), own, &kid),
            Some(TokenError::UnknownKey),
        ),
        (
            "a decision",
            sealed(signed(&rig, "qt-decision+jwt", false).as_str(), own, &kid),
            Some(TokenError::Type),
        ),
        ("no signature", sealed("e30.e30.", own, &kid), None),
        (
            "another lease",
            sealed("a.b.c", own, &LeaseId::new(1, [6; 10]).to_string()),
            Some(TokenError::UnknownKey),
        ),
        ("another type", sealed("a.b.c", "qt-lease+jwt", &kid), None),
        (
            "another secret",
            lease::seal(&CompactJose("a.b.c".into()), &Secret::from_bytes([9; 32]), id, [1; 12]).0,
            None,
        ),
        ("nothing", String::new(), None),
        ("no parts", "....".into(), None),
        ("a JWS in the open", signed(&rig, "qt-lease+jwt", false).0, None),
    ] {
        let refused = check(
            &rig,
            what,
            answered(move |json| {
                json["lease_id"] = id.to_string().into();
                json["artifact"] = artifact.clone().into();
            }),
        )
        .await;
        let Error::Token(refused) = refused else { panic!("{what}: {refused:?}") };
        assert!(expected.is_none_or(|expected| refused == expected), "{what}: {refused:?}");
    }
}

#[tokio::test]
async fn answers_that_are_not_as_described() {
    let rig = Rig::activated().await;
    for (member, value) in [
        ("lease_id", json!("not-a-uuid")),
        ("lease_id", json!("0192F0A2-1111-7CCC-9DDD-FEDCBA987654")),
        ("artifact", json!(7)),
        ("expires_at", json!("soon")),
        ("server_time", json!(1e300)),
        ("server_time", Value::Null),
    ] {
        check(&rig, member, answered(move |json| json[member] = value.clone())).await;
    }
    for status in [200, 202, 204, 302, 400, 403, 404, 409, 422, 429, 500, 503] {
        check(&rig, "another status", |rig| {
            rig.server.tamper(move |_, answer| Ok(Answer { status, ..answer }));
        })
        .await;
    }
    for body in ["", "[]", "null", "{\"lease_id\":1,\"lease_id\":1}"] {
        check(&rig, body, |rig| {
            rig.server.tamper(move |_, _| Ok(crate::server::text(201, body.into())));
        })
        .await;
    }
    // Not what is signed: the lease's end stands in the lease.
    answered(|json| json["expires_at"] = (NOW + 1).into())(&rig);
    let lease = rig.agent.take_lease(WEEK).await.unwrap().lease.unwrap();
    assert_eq!(lease.until, NOW + 604_800);
}

/// An agent that has asked for a lease, what it waits for, and the answer.
fn asked(rig: &Rig) -> (Core, Exchange, LeaseResponse) {
    let record = serde_json::from_slice(&std::fs::read(rig.file("state.json")).unwrap()).unwrap();
    let settings = qubictether_agent::Settings::kept_in(&rig.state()).unwrap().unwrap();
    let mut core = Core::open(record, &settings).unwrap();
    let reading = rig.clocks.read();
    let body = LeaseRequest {
        heartbeat: HeartbeatRequest {
            instance_id: protocol::InstanceId::from_bytes([6; 16]),
            fingerprint: protocol::Fingerprint::new([("dongle", "A".repeat(43))]).unwrap(),
            agent: AgentInfo { version: "1.4.2".into(), platform: "test".into() },
            clock: reading.clone().into(),
        },
        duration_seconds: 604_800,
    };
    let body = Some(serde_json::to_vec(&body).unwrap());
    let random = SeededRandom::new(5);
    let (exchange, request) = Exchange::prove(&mut core, Operation::Lease, body, &reading, &random).unwrap();
    let answer = rig.server.answer(&request).unwrap();
    (core, exchange, serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn every_bit_of_an_artifact_counts() {
    let rig = Rig::activated().await;
    let (core, exchange, good) = asked(&rig);
    let (reading, random) = (rig.clocks.read(), SeededRandom::new(6));
    let hear = |artifact: String| {
        let mut core = core.clone();
        let answer = respond(201, &LeaseResponse { artifact: CompactJose(artifact), ..good.clone() });
        match exchange.clone().hear(&mut core, Ok(answer), &reading, &random) {
            Step::Done(result) => (result, serde_json::to_value(core.record()).unwrap()),
            Step::Send(_) => panic!("nothing else is asked for"),
        }
    };
    let (believed, record) = hear(good.artifact.0.clone());
    assert!(believed.is_ok() && record["install"]["lease"].is_object());

    let text = good.artifact.as_str();
    // One bit of each character; of what they encode, all.
    let spelled = (0..text.len()).filter_map(|index| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[index] ^= 1 << (index % 7);
        String::from_utf8(bytes).ok()
    });
    let parts: Vec<_> = text.split('.').map(|part| base64url::decode(part).unwrap()).collect();
    let places = (0..parts.len()).flat_map(|part| (0..parts[part].len() * 8).map(move |bit| (part, bit)));
    let encoded = places.map(|(part, bit)| {
        let mut parts = parts.clone();
        parts[part][bit / 8] ^= 1 << (bit % 8);
        parts.iter().map(|part| base64url::encode(part)).collect::<Vec<_>>().join(".")
    });
    let mut count = 0;
    for artifact in spelled.chain(encoded) {
        let (believed, record) = hear(artifact);
        assert!(matches!(believed, Err(Error::Token(_))), "{believed:?}");
        assert!(record["install"]["lease"].is_null());
        count += 1;
    }
    assert!(count > 10_000, "{count}");
}

#[tokio::test]
async fn a_lease_that_was_changed_on_disk_is_not_believed() {
    let rig = Rig::leased().await;
    let record = rig.record();
    let lease = record["install"]["lease"]["signed"].as_str().unwrap();
    let whole = std::fs::read_to_string(rig.file("state.json")).unwrap();
    let other_claims = {
        let mut parts: Vec<_> = lease.split('.').map(str::to_owned).collect();
        let mut claims: Value = serde_json::from_slice(&base64url::decode(&parts[1]).unwrap()).unwrap();
        claims["exp"] = (NOW + 10_000_000).into();
        parts[1] = base64url::encode(claims.to_string().as_bytes());
        parts.join(".")
    };
    let token = record["install"]["token"].as_str().unwrap().to_owned();
    for other in [other_claims, format!("{}AAAA", &lease[..lease.len() - 4]), token, String::new()] {
        std::fs::write(rig.file("state.json"), whole.replace(lease, &other)).unwrap();
        assert!(matches!(rig.agent.status(), Err(Error::Corrupt { .. })), "{other}");
    }
    // Which of the two is newer stands in what is signed.
    std::fs::write(rig.file("state.json"), &whole).unwrap();
    rig.pass(10);
    rig.server.books().decide(policy::State::Suspended, 4, policy::Reason::InstallSuspended);
    rig.agent.beat().await.unwrap();
    let whole = std::fs::read_to_string(rig.file("state.json")).unwrap();
    let later = whole.replace(r#""came_later":false"#, r#""came_later":true"#);
    assert_ne!(later, whole);
    std::fs::write(rig.file("state.json"), later).unwrap();
    assert_eq!(rig.word(), "suspended install_suspended");
}
