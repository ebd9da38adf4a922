//! An offline lease, from its taking to its end and beyond.

use policy::{Reason, State};
use protocol::{json, problem::Code, request::LeaseRequest};
use qubictether_agent::{Error, status::LeaseStatus};

use crate::{
    rig::{Rig, WEEK},
    server::{NOW, refusal},
};

const END: i64 = NOW + 604_800;

#[tokio::test]
async fn a_lease_is_asked_for_as_the_protocol_wants_and_held() {
    let rig = Rig::activated().await;
    let status = rig.agent.take_lease(WEEK).await.unwrap();
    let (id, end) = rig.server.books().leasing.live.unwrap();
    assert_eq!((status.lease, end), (Some(LeaseStatus { id, until: END }), END));
    assert_eq!(status.state, Some(State::Authorized));
    assert_eq!(status.entitlements.unwrap().get(), r#"{"edition":"leased"}"#);
    assert_eq!(
        status.ladder.iter().map(|rung| rung.state).collect::<Vec<_>>()[..2],
        [State::Leased, State::Grace]
    );
    assert_eq!((status.last_contact, status.last_error), (Some(NOW), None));
    let books = rig.server.books();
    let asked = books.requests.last().unwrap();
    assert_eq!(asked.path, "/v1/leases");
    let body = asked.body.clone().unwrap();
    let read = LeaseRequest::read(&json::parse(&body).unwrap()).unwrap();
    assert_eq!((read.duration_seconds, read.heartbeat.clock.unix), (604_800, NOW));
}

#[tokio::test]
async fn silence_is_leased_to_the_leases_end_and_walks_on_beyond_it() {
    let rig = Rig::leased().await;
    rig.server.leave();
    let mut states = Vec::new();
    for seconds in [3599, 1, 604_800 - 3601, 1, 3600, 3600, 10_000_000] {
        rig.pass(seconds);
        assert!(rig.agent.beat().await.is_err());
        let status = rig.agent.status().unwrap();
        states.push((rig.word(), status.lease.is_some()));
    }
    let expected = [
        ("authorized ok", true),
        ("leased offline_lease", true),
        ("leased offline_lease", true),
        ("grace out_of_contact", false),
        ("degraded out_of_contact", false),
        ("locked out_of_contact", false),
        ("locked out_of_contact", false),
    ];
    assert_eq!(states, expected.map(|(word, held)| (word.to_owned(), held)));
    rig.server.behave();
    rig.server.books().publish();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.word(), "authorized ok");
}

#[tokio::test]
async fn a_lease_outlives_the_process_its_secret_its_keys_and_their_keyset() {
    let rig = Rig::leased().await;
    let held = rig.agent.status().unwrap().lease;
    rig.pass(100);
    rig.agent.rekey().await.unwrap();
    rig.agent.beat().await.unwrap();
    rig.agent.take_lease(WEEK).await.unwrap();
    let renewed = rig.another(2).status().unwrap().lease;
    assert!(renewed.is_some() && renewed != held, "renewed under a new id");

    // The lease key is retired, and the keyset that knew it expires.
    let unknown = rig.server.books().new_key();
    rig.server.books().lease_key = unknown;
    rig.server.books().rotate();
    rig.server.edit(|claims| claims.ctr = 0);
    assert!(rig.agent.beat().await.is_err());
    rig.clocks.restart(500_000);
    let restarted = rig.another(3).status().unwrap();
    assert_eq!((restarted.state, restarted.lease), (Some(State::Leased), renewed));
    rig.clocks.restart(3_000_000);
    assert_eq!(rig.word(), "locked out_of_contact");
}

#[tokio::test]
async fn the_keyset_that_verified_the_lease_is_kept_beside_those_of_the_token() {
    let rig = Rig::leased().await;
    let keysets = || rig.record()["trust"]["keysets"].as_array().unwrap().len();
    let first = rig.server.books().lease_key.clone();
    for _ in 0..3 {
        rig.pass(10);
        rig.server.books().lease_key = first.clone();
        rig.server.books().rotate();
        // From now on the first lease key is retired, too.
        rig.server.books().keyset.keys.truncate(1);
        rig.agent.beat().await.unwrap();
        assert_eq!(keysets(), 2, "the newest, which verifies the token, and the lease's");
        rig.another(2).status().unwrap();
    }
    rig.pass(10);
    rig.server.books().lease_key = first;
    rig.server.books().rotate();
    rig.agent.take_lease(WEEK).await.unwrap();
    rig.agent.beat().await.unwrap();
    assert_eq!(keysets(), 1);
}

#[tokio::test]
async fn an_unknown_lease_key_makes_the_keyset_fetched_once() {
    let rig = Rig::activated().await;
    let key = rig.server.books().new_key();
    rig.server.books().lease_key = key;
    let fetched = rig.server.books().count("/v1/keyset");
    rig.server.books().rotate();
    rig.agent.take_lease(WEEK).await.unwrap();
    assert_eq!(rig.server.books().count("/v1/keyset"), fetched + 1);
}

#[tokio::test]
async fn of_a_token_and_a_lease_the_newer_counts_and_of_equals_the_one_that_came_later() {
    let rig = Rig::activated().await;
    rig.server.books().decide(State::Warned, 13, Reason::ClockSkew);
    rig.agent.take_lease(WEEK).await.unwrap();
    assert_eq!(rig.word(), "warned clock_skew", "the lease, of the same second as the activation");
    rig.server.books().decide(State::Suspended, 4, Reason::InstallSuspended);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.word(), "suspended install_suspended", "the token, of the same second");
    let ties = |rig: &Rig| rig.record()["install"]["lease"]["came_later"].as_bool().unwrap();
    assert!(!ties(&rig));

    rig.pass(100);
    rig.server.books().decide(State::Authorized, 14, Reason::Ok);
    rig.agent.take_lease(WEEK).await.unwrap();
    assert_eq!(rig.word(), "authorized ok", "the newer lease");
    // An answer that is a little older decides nothing.
    rig.server.books().decide(State::Locked, 9, Reason::OutOfContact);
    rig.server.edit(|claims| claims.iat -= 30);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.word(), "authorized ok");
    assert_eq!(rig.another(2).status().unwrap().state, Some(State::Authorized));
}

#[tokio::test]
async fn what_an_operator_revoked_ends_at_the_next_beat() {
    let rig = Rig::leased().await;
    rig.pass(60);
    rig.agent.beat().await.unwrap();
    assert!(rig.agent.status().unwrap().lease.is_some(), "a newer token knows of it");
    rig.server.books().leasing.live = None;
    rig.pass(60);
    assert!(rig.agent.status().unwrap().lease.is_some(), "nobody has told it yet");
    let status = rig.agent.beat().await.unwrap();
    assert_eq!(status.lease, None);
    assert!(status.ladder.iter().all(|rung| rung.state != State::Leased));
    rig.server.leave();
    rig.pass(3600);
    assert_eq!(rig.word(), "grace out_of_contact");
}

#[tokio::test]
async fn a_lease_that_is_returned_is_gone() {
    let rig = Rig::leased().await;
    let (id, _) = rig.server.books().leasing.live.unwrap();
    let status = rig.agent.return_lease().await.unwrap();
    assert_eq!((status.state, status.lease), (Some(State::Authorized), None));
    assert!(rig.record()["install"]["lease"].is_null());
    let asked = rig.server.books().requests.last().cloned().unwrap();
    assert_eq!((asked.path, asked.body), (format!("/v1/leases/{id}/return"), None));
    assert!(matches!(rig.agent.return_lease().await, Err(Error::NoLease)));
    rig.server.leave();
    rig.pass(3600);
    assert_eq!(rig.word(), "grace out_of_contact");
}

#[tokio::test]
async fn a_return_whose_answer_is_lost_is_heard_of_at_the_next_beat() {
    let rig = Rig::leased().await;
    rig.pass(60);
    rig.server.leave();
    assert!(matches!(rig.agent.return_lease().await, Err(Error::TimedOut)));
    assert!(rig.agent.status().unwrap().lease.is_some());
    rig.server.behave();
    let again = rig.agent.return_lease().await.unwrap_err();
    assert!(matches!(again, Error::Problem { code: Some(Code::NotFound), .. }), "{again:?}");
    assert!(rig.agent.status().unwrap().lease.is_some(), "an error isn't signed, and decides nothing");
    assert_eq!(rig.agent.beat().await.unwrap().lease, None);
}

#[tokio::test]
async fn a_refusal_says_why_and_changes_nothing() {
    let rig = Rig::leased().await;
    let before = (rig.word(), rig.agent.status().unwrap().lease);
    for reason in ["lease_revoked", "lease_not_allowed", "lease_limit", "license_expired"] {
        rig.server.books().leasing.refusal = Some(reason.into());
        let Err(Error::LeaseRefused(refusal)) = rig.agent.take_lease(WEEK).await else { panic!("{reason}") };
        assert_eq!(refusal.reason(), Some(reason));
        assert!(rig.agent.status().unwrap().last_error.unwrap().ends_with(reason));
    }
    rig.server.books().leasing.refusal = Some("qt1-dqsgn8".into());
    let refused = rig.agent.take_lease(WEEK).await.unwrap_err();
    assert!(!refused.in_one_line().contains("dqsgn8"));
    // Of a beat it would be no refusal of a lease.
    rig.server.tamper(|_, _| Ok(refusal(Code::LeaseRefused, NOW)));
    assert!(matches!(rig.agent.beat().await, Err(Error::Problem { status: 403, .. })));
    assert_eq!((rig.word(), rig.agent.status().unwrap().lease), before);
}

#[tokio::test]
async fn a_lease_is_kept_by_the_same_install_and_lost_with_it() {
    let rig = Rig::leased().await;
    rig.activate().await.unwrap();
    assert!(rig.agent.status().unwrap().lease.is_some(), "a reinstall is the same install");
    rig.server.books().install = crate::leasing::another_install().0;
    rig.activate().await.unwrap();
    assert_eq!(rig.agent.status().unwrap().lease, None);
    rig.agent.take_lease(WEEK).await.unwrap();
    rig.agent.deactivate().await.unwrap();
    assert_eq!(rig.agent.status().unwrap().lease, None);
}

#[tokio::test]
async fn a_lease_opens_with_the_secret_that_proved_its_request() {
    let rig = Rig::activated().await;
    // A secret that somebody else made up comes first, and doesn't serve.
    rig.server.tamper(|request, answer| match request.path.as_str() {
        "/v1/rekey" => {
            let mut json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            json["secret"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".into();
            Ok(crate::server::respond(200, &json))
        }
        _ => Ok(answer),
    });
    let old = rig.secrets();
    rig.agent.rekey().await.unwrap();
    rig.agent.take_lease(WEEK).await.unwrap();
    assert_eq!(rig.secrets(), old, "the one that was heard to serve");
    assert!(rig.agent.status().unwrap().lease.is_some());
}

/// What becomes of a lease on another machine.
mod machines {
    use super::*;

    const MISMATCH: (&str, u8, &str) = ("locked", 8, "fingerprint_mismatch");

    fn position(rig: &Rig) -> (String, u8, String) {
        rig.position()
    }

    fn mismatch() -> (String, u8, String) {
        (MISMATCH.0.into(), MISMATCH.1, MISMATCH.2.into())
    }

    #[tokio::test]
    async fn it_counts_only_where_the_fingerprint_scores_enough() {
        let rig = Rig::activated().await;
        rig.show(r#"{"a": "1", "b": "2", "c": "3"}"#);
        rig.server.books().leasing.weights = vec![("a".into(), 3), ("b".into(), 1), ("c".into(), 1)];
        rig.agent.take_lease(WEEK).await.unwrap();
        for (components, fits) in [
            (r#"{"a": "1", "b": "2", "c": "3"}"#, true),
            (r#"{"a": "1"}"#, true),
            (r#"{"a": "1", "b": "x", "c": "x", "d": "4"}"#, true),
            (r#"{"a": "x", "b": "2", "c": "3"}"#, false),
            (r#"{"d": "4"}"#, false),
            ("nonsense", false),
        ] {
            rig.show(components);
            let expected = if fits { ("authorized".into(), 14, "ok".into()) } else { mismatch() };
            assert_eq!(position(&rig), expected, "{components}");
            rig.clocks.pass(10);
        }
        rig.show(r#"{"a": "1"}"#);
        rig.clocks.pass(3600);
        assert_eq!(position(&rig).0, "leased");
    }

    #[tokio::test]
    async fn a_copied_folder_is_locked_also_where_a_newer_token_knows_of_the_lease() {
        let rig = Rig::leased().await;
        rig.pass(60);
        rig.agent.beat().await.unwrap();
        rig.server.leave();
        rig.show(r#"{"dongle": "18"}"#);
        assert_eq!(position(&rig).0, "authorized", "the token's own word, until silence is noticed");
        for (seconds, state) in [(3600, "leased"), (604_800 - 3600, "grace")] {
            rig.pass(seconds);
            assert_eq!(position(&rig), mismatch());
            rig.show(r#"{"dongle": "17"}"#);
            assert_eq!(position(&rig).0, state);
            rig.show(r#"{"dongle": "18"}"#);
        }
    }

    #[tokio::test]
    async fn the_servers_next_word_counts_again() {
        let rig = Rig::leased().await;
        rig.show(r#"{"dongle": "18"}"#);
        assert_eq!(position(&rig), mismatch());
        rig.pass(10);
        rig.server.books().decide(State::Warned, 13, Reason::FingerprintDrift);
        rig.agent.beat().await.unwrap();
        assert_eq!(position(&rig).0, "warned");
    }
}

/// Time without a server.
mod clocks {
    use super::*;

    #[tokio::test]
    async fn a_wall_clock_that_stands_still_stops_no_lease() {
        let rig = Rig::leased().await;
        rig.server.leave();
        rig.clocks.pass(604_800);
        rig.clocks.turn(-604_800);
        assert_eq!(rig.word(), "grace out_of_contact");
    }

    #[tokio::test]
    async fn nor_does_one_that_stands_still_over_restarts_where_somebody_looks_now_and_then() {
        let rig = Rig::leased().await;
        rig.server.leave();
        for _ in 0..8 {
            // Nothing runs but whoever asks for the status, and the wall clock is set back to where it was.
            rig.clocks.restart(0);
            assert!(rig.agent.status().is_ok());
            rig.clocks.pass(86_400);
            rig.clocks.turn(-86_400);
            assert!(rig.agent.status().is_ok());
        }
        assert_eq!(rig.word(), "locked out_of_contact");
        assert_eq!(rig.agent.status().unwrap().at, NOW + 8 * 86_400);
    }

    #[tokio::test]
    async fn off_time_counts_against_a_lease() {
        let rig = Rig::leased().await;
        rig.server.leave();
        rig.clocks.restart(604_799);
        assert_eq!(rig.word(), "leased offline_lease");
        rig.clocks.restart(1);
        assert_eq!(rig.word(), "grace out_of_contact");
    }

    #[tokio::test]
    async fn a_clock_turned_back_over_a_restart_locks_a_leased_machine_until_the_server_is_heard() {
        let rig = Rig::leased().await;
        rig.server.leave();
        rig.clocks.pass(86_400);
        assert_eq!(rig.word(), "leased offline_lease");
        rig.clocks.turn(-86_400);
        rig.clocks.restart(60);
        assert_eq!(rig.position(), ("locked".into(), 0, "clock_rollback".into()));
        rig.show(r#"{"dongle": "18"}"#);
        assert_eq!(rig.position().1, 0, "whatever else is wrong");
        rig.show(r#"{"dongle": "17"}"#);
        rig.server.books().clock.advance(86_460);
        rig.server.behave();
        rig.agent.take_lease(WEEK).await.unwrap();
        assert_eq!(rig.word(), "authorized ok");
    }

    #[tokio::test]
    async fn a_clock_that_is_merely_wrong_costs_nothing_of_a_lease() {
        for wrong in [-40_000_000, -4000, 4000, 40_000_000] {
            let rig = Rig::new();
            rig.clocks.turn(wrong);
            rig.activate().await.unwrap();
            rig.agent.take_lease(WEEK).await.unwrap();
            rig.clocks.restart(7200);
            assert_eq!(
                rig.word(),
                if wrong < -3600 { "authorized ok" } else { "leased offline_lease" },
                "{wrong}"
            );
            rig.clocks.pass(3600);
            assert_eq!(rig.word(), "leased offline_lease", "{wrong}");
        }
    }
}
