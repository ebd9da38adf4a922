//! Answers that aren't believed: no contact, and no change but the counter.

use http::Method;
use jose_jwt::{SigningKey, jws};
use policy::State;
use protocol::{InstallId, Nonce, claims::DecisionClaims, token};
use qubictether_agent::{
    Error,
    transport::{Answer, Request},
};
use serde_json::{Value, json};

use crate::{
    rig::Rig,
    server::{NOW, Server, refusal, respond, text},
};

/// How a token's claims are changed before they are signed.
type Edit = fn(&mut DecisionClaims);

/// What is kept, without what an attempt itself changes.
fn kept(rig: &Rig) -> Value {
    let mut record = rig.record();
    record["last_error"] = Value::Null;
    record["install"]["counter"] = Value::Null;
    record["install"]["next_heartbeat_at"] = Value::Null;
    record["install"]["server_time"] = Value::Null;
    record
}

/// Beats against a server that does otherwise, and looks that nothing came of it.
async fn check(rig: &Rig, what: &str, set_up: impl FnOnce(&Server)) {
    let fetched = rig.server.books().count("/v1/keyset");
    let (before, counter) = (kept(rig), rig.counter());
    set_up(&rig.server);
    let error = rig.agent.beat().await.expect_err(what);
    assert!(error.is_no_contact(), "{what}: {error:?}");
    assert_eq!(kept(rig), before, "{what}");
    assert_eq!(rig.counter(), counter + 1, "{what}");
    assert!(rig.agent.status().unwrap().last_error.is_some(), "{what}");
    assert!(rig.server.books().count("/v1/keyset") <= fetched + 1, "{what}");
    rig.server.behave();
    rig.agent.beat().await.expect("an honest server is heard again");
}

/// An answer to a heartbeat whose token is another.
fn with_token(
    make: impl Fn(&str) -> String + Send + 'static,
) -> impl FnMut(&Request, Answer) -> Result<Answer, Error> {
    move |request, answer| {
        if request.path != "/v1/heartbeat" {
            return Ok(answer);
        }
        let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
        json["token"] = make(json["token"].as_str().unwrap()).into();
        Ok(respond(200, &json))
    }
}

#[tokio::test]
async fn claims_that_do_not_fit() {
    let rig = Rig::activated().await;
    let edits: [(&str, Edit); 10] = [
        ("over when it was decided", |claims| (claims.iat, claims.exp) = (NOW - 50, NOW - 10)),
        ("issuer", |claims| claims.iss.push('/')),
        ("audience", |claims| claims.aud = "acme-other".parse().unwrap()),
        ("subject", |claims| claims.sub = InstallId::new(0, [9; 10])),
        ("expired", |claims| claims.exp = claims.iat),
        ("long expired", |claims| claims.exp = 1),
        ("another nonce", |claims| claims.nonce = Nonce::from_bytes(&[7; 24]).unwrap()),
        ("another counter", |claims| claims.ctr += 1),
        ("counter 0", |claims| claims.ctr = 0),
        ("older than a minute", |claims| claims.iat -= 61),
    ];
    for (what, edit) in edits {
        check(&rig, what, |server| server.edit(edit)).await;
    }
}

#[tokio::test]
async fn claims_that_are_not_as_described() {
    let rig = Rig::activated().await;
    let members = [
        ("iat", json!(-1)),
        ("iat", json!(1e300)),
        ("iat", json!("1790000000")),
        ("exp", json!(9_007_199_254_740_992_u64)),
        ("nhb", json!(-300)),
        ("high", json!(u64::MAX)),
        ("state", json!("splendid")),
        ("rule", json!(0)),
        ("rule", json!(15)),
        ("reason", json!("a whim")),
        ("nbf", json!(NOW + 600)),
        (
            "ladder",
            json!([[NOW + 9, "grace", 11, "out_of_contact"], [NOW + 8, "locked", 9, "out_of_contact"]]),
        ),
        ("ladder", json!([[1, 2]])),
        ("ladder", json!([["soon", "grace", 11, "out_of_contact"]])),
        ("ent", json!([])),
        ("ksv", json!(null)),
        ("nonce", json!("AA")),
        ("sub", json!("0192F0A1-7C3B-7D52-9E0A-5B1C2D3E4F50")),
    ];
    for (member, value) in members {
        check(&rig, member, |server| {
            let key = server.books().token_key.clone();
            server.tamper(with_token(move |token| {
                let mut claims = payload(token);
                claims[member] = value.clone();
                jws::sign("qt-decision+jwt", claims.to_string().as_bytes(), &key)
            }));
        })
        .await;
    }
    for text in ["", "{}", "[]", "null", "{\"iss\":1,\"iss\":2}"] {
        check(&rig, text, |server| {
            let key = server.books().token_key.clone();
            server.tamper(with_token(move |_| jws::sign("qt-decision+jwt", text.as_bytes(), &key)));
        })
        .await;
    }
}

#[tokio::test]
async fn a_reason_that_only_a_later_server_has_is_shown() {
    let rig = Rig::activated().await;
    let key = rig.server.books().token_key.clone();
    rig.server.tamper(with_token(move |token| {
        let mut claims = payload(token);
        (claims["state"], claims["rule"], claims["reason"]) =
            (json!("grace"), json!(11), json!("moon_phase"));
        claims["ladder"] = json!([[NOW + 100, "locked", 9, "moon_set"]]);
        jws::sign("qt-decision+jwt", claims.to_string().as_bytes(), &key)
    }));
    rig.agent.beat().await.unwrap();
    // Also when it is read again from the disk.
    let shown: Value = serde_json::from_str(&rig.agent.status().unwrap().to_string()).unwrap();
    let position = (&shown["state"], &shown["rule"], &shown["reason"]);
    assert_eq!(position, (&json!("grace"), &json!(11), &json!("moon_phase")));
    assert_eq!(shown["ladder"], json!([[NOW + 100, "locked", 9, "moon_set"]]));
}

fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&jose_jwt::base64url::decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn texts_that_are_not_signed_as_they_must_be() {
    let rig = Rig::activated().await;
    let header = |json: &str| jose_jwt::base64url::encode(json.as_bytes());
    let kid = SigningKey::from_seed(&[102; 32]).kid().to_owned();
    let headers = [
        format!(r#"{{"alg":"none","typ":"qt-decision+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"qt-decision+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"qt-decision+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"qt-decision+jwt","kid":"{kid}","crit":["b64"],"b64":false}}"#),
        r#"{"alg":"EdDSA","typ":"qt-decision+jwt"}"#.to_owned(),
        r#"{"alg":"EdDSA","typ":"qt-decision+jwt","kid":"../../etc"}"#.to_owned(),
    ];
    for json in headers {
        let header = header(&json);
        check(&rig, &json, |server| {
            server.tamper(with_token(move |token| {
                let (_, rest) = token.split_once('.').unwrap();
                format!("{header}.{rest}")
            }));
        })
        .await;
    }
    check(&rig, "another type", |server| {
        let key = server.books().token_key.clone();
        server.tamper(with_token(move |token| {
            jws::sign("qt-lease+jwt", payload(token).to_string().as_bytes(), &key)
        }));
    })
    .await;
    check(&rig, "the root's own signature", |server| {
        let root = server.books().root.clone();
        server.tamper(with_token(move |token| {
            jws::sign("qt-decision+jwt", payload(token).to_string().as_bytes(), &root)
        }));
    })
    .await;
    for (what, change) in [
        ("empty", (|_| String::new()) as fn(&str) -> String),
        ("no signature", |token| token.rsplit_once('.').unwrap().0.to_owned() + "."),
        ("cut short", |token| token[..token.len() - 1].to_owned()),
        ("padded", |token| format!("{token}=")),
        ("white space", |token| format!("{token} ")),
        ("four parts", |token| format!("{token}.AA")),
        ("not ASCII", |token| format!("ü{token}")),
        ("dots", |_| ".".repeat(100_000)),
    ] {
        check(&rig, what, |server| server.tamper(with_token(change))).await;
    }
}

#[tokio::test]
async fn every_bit_of_a_signature_counts() {
    let rig = Rig::activated().await;
    for bit in (0..512).step_by(7) {
        rig.server.tamper(with_token(move |token| {
            let (input, signature) = token.rsplit_once('.').unwrap();
            let mut bytes = jose_jwt::base64url::decode(signature).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            format!("{input}.{}", jose_jwt::base64url::encode(&bytes))
        }));
        assert!(matches!(rig.agent.beat().await, Err(Error::Token(_))), "bit {bit}");
    }
    assert_eq!(rig.agent.status().unwrap().last_contact, Some(NOW));
}

#[tokio::test]
async fn a_lie_about_the_time_moves_the_bucket_and_nothing_else() {
    let rig = Rig::activated().await;
    let honest = rig.agent.beat().await.unwrap();
    for lie in [i64::MIN, -1, 0, NOW - 300_000_000, NOW - 61, NOW + 899, NOW + 300_000_000, i64::MAX] {
        rig.server.tamper(move |request, answer| {
            if request.path != "/v1/heartbeat" {
                return Ok(answer);
            }
            let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
            json["server_time"] = lie.into();
            Ok(respond(answer.status, &json))
        });
        let status = rig.agent.beat().await.unwrap();
        assert_eq!(
            (status.at, status.state, status.ladder),
            (honest.at, honest.state, honest.ladder.clone()),
            "{lie}"
        );
        rig.server.behave();
        // The next proof may be for a wrong bucket; a 401 tells the right one.
        rig.agent.beat().await.unwrap();
        assert_eq!(rig.agent.status().unwrap().at, NOW, "{lie}");
    }
    // And what has ended isn't made good by it.
    rig.clocks.pass(1000);
    rig.server.edit(|claims| claims.exp = claims.iat + 900);
    assert!(matches!(rig.agent.beat().await, Err(Error::Token(token::TokenError::Expired))));
}

#[tokio::test]
async fn an_answer_that_says_something_twice() {
    let rig = Rig::activated().await;
    for twice in [r#"{"state":"authorized","#, r#"{"x":1,"x":2,"#, r#"{"\u0074oken":"a.b.c","#] {
        check(&rig, twice, |server| {
            server.tamper(move |_, answer| {
                let json = String::from_utf8(answer.body.to_vec()).unwrap();
                Ok(text(answer.status, json.replacen('{', twice, 1)))
            });
        })
        .await;
    }
    // A refusal that does tells no time, and that no secret is unknown.
    rig.server.tamper(|_, _| {
        let json =
            String::from_utf8(refusal(protocol::problem::Code::InvalidProof, NOW).body.to_vec()).unwrap();
        Ok(text(401, json.replacen('{', r#"{"server_time":1,"#, 1)))
    });
    assert!(matches!(
        rig.agent.beat().await,
        Err(Error::Problem { status: 401, .. } | Error::Unreadable { .. })
    ));
    assert!(!rig.agent.status().unwrap().activation_needed);
}

#[tokio::test]
async fn an_old_answer_again() {
    let rig = Rig::activated().await;
    let first = std::sync::Arc::new(std::sync::Mutex::new(None));
    rig.server.tamper(move |_, answer| Ok(first.lock().unwrap().get_or_insert(answer).clone()));
    rig.agent.beat().await.unwrap();
    rig.server.books().decide(State::Revoked, 2, policy::Reason::InstallRevoked);
    assert!(matches!(rig.agent.beat().await, Err(Error::Token(token::TokenError::OtherRequest))));
}

#[tokio::test]
async fn answers_that_are_none_of_the_protocols() {
    let rig = Rig::activated().await;
    let garbage: [&[u8]; 8] = [
        b"",
        b"{",
        b"null",
        b"\xff\xfe\x00",
        b"{\"state\":\"authorized\"}",
        b"<html></html>",
        b"{\"state\":\"authorized\",\"next_heartbeat_in\":1e400,\"server_time\":1,\"token\":\"a.b.c\"}",
        b"{\"state\":\"authorized\",\"next_heartbeat_in\":1,\"server_time\":-9223372036854775808,\"token\":\"a.b.c\"}",
    ];
    for body in garbage {
        for status in [200, 400, 401, 403, 409, 429, 500, 503] {
            check(&rig, "garbage", |server| {
                server.tamper(move |_, _| {
                    Ok(Answer { status, body: body.to_vec().into(), ..Answer::default() })
                });
            })
            .await;
        }
    }
    check(&rig, "nested deeply", |server| {
        server.tamper(|_, _| Ok(text(200, "[".repeat(200_000))));
    })
    .await;
    for status in [100, 101, 201, 202, 204, 206, 301, 302, 304, 307, 308, 418, 599, 999, 0] {
        check(&rig, "another status", |server| {
            server.tamper(move |_, answer| Ok(Answer { status, ..answer }));
        })
        .await;
    }
    for server_time in [i64::MIN, -1, i64::MAX] {
        check(&rig, "an absurd time", |server| {
            server.tamper(move |_, _| Ok(refusal(protocol::problem::Code::Internal, server_time)));
        })
        .await;
    }
    check(&rig, "nobody", Server::leave).await;
}

#[tokio::test]
async fn an_activation_is_verified_as_strictly() {
    let edits: [(&str, Edit); 7] = [
        ("issuer", |claims| claims.iss = "https://license.example.org".into()),
        ("audience", |claims| claims.aud = "acme-other".parse().unwrap()),
        ("subject", |claims| claims.sub = InstallId::new(0, [9; 10])),
        ("license", |claims| claims.lic = protocol::LicenseId::new(0, [9; 10])),
        ("expired", |claims| claims.exp = NOW),
        ("another nonce", |claims| claims.nonce = Nonce::from_bytes(&[7; 24]).unwrap()),
        ("another counter", |claims| claims.ctr = 1),
    ];
    for (what, edit) in edits {
        let rig = Rig::new();
        rig.server.edit(edit);
        assert!(matches!(rig.activate().await, Err(Error::Token(_))), "{what}");
        assert_eq!(rig.agent.status().unwrap().state, None, "{what}");
        assert!(rig.record()["install"].is_null(), "{what}");
    }
}

#[tokio::test]
async fn every_request_goes_to_a_path_of_the_protocol() {
    let rig = Rig::activated().await;
    rig.agent.beat().await.unwrap();
    let books = rig.server.books();
    let asked: Vec<_> =
        books.requests.iter().map(|request| (request.method.clone(), request.path.as_str())).collect();
    let expected =
        [(Method::POST, "/v1/activate"), (Method::GET, "/v1/keyset"), (Method::POST, "/v1/heartbeat")];
    assert_eq!(asked, expected);
}
