//! `POST /v1/leases`: for how long, what is inside, and why none is granted.

use edge::testing::{Answer, TestAgent, TestLease, TestMachine};
use protocol::ambient::{SeededRandom, array};
use serde_json::{Value, json};
use store::testing::{ISSUER, START};

use crate::World;

const WEEK: i64 = 604_800;

/// Status, code and reason of a refusal.
pub(crate) fn refused(answer: &Answer) -> String {
    format!("{} {}", answer.word(), answer.json()["reason"].as_str().unwrap_or("-"))
}

/// Changes the world's license.
async fn license(world: &World, change: &str) {
    world.database.run(&format!("UPDATE licenses SET {change}")).await;
}

/// Changes every install, as an operator does.
async fn installs(world: &World, change: &str) {
    world.database.run(&format!("UPDATE installs SET {change}, revision = revision + 1")).await;
}

#[tokio::test]
async fn a_lease_says_what_holds_while_it_is_in_force() {
    let world = World::with(r#"{"weights": {"mac": 3, "disk": 9}, "min_match": 0.55}"#, 5).await;
    let mut agent = world.agent(1).await;
    agent.counter = 6;
    world.pass(60);
    let answer = agent.ask_lease(&world.server, WEEK).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["content-type"], "application/json");
    let body = answer.json();
    let (now, end) = (START + 60, START + 60 + WEEK);
    assert_eq!((&body["expires_at"], &body["server_time"]), (&json!(end), &json!(now)));
    assert_eq!(body.as_object().unwrap().len(), 4);
    let lease = TestLease::of(&answer);
    let claims = lease.claims(&agent.secret);
    for (claim, value) in [
        ("iss", json!(ISSUER)),
        ("sub", json!(agent.install)),
        ("aud", json!("acme-render")),
        ("lic", json!(world.license.id)),
        ("ent", json!({ "edition": "pro" })),
        ("jti", body["lease_id"].clone()),
        ("iat", json!(now)),
        ("nbf", json!(now)),
        ("exp", json!(end)),
        ("ctr", json!(7)),
        ("high", json!(7)),
        ("state", json!("authorized")),
        ("rule", json!(14)),
        ("reason", json!("ok")),
        (
            "ladder",
            json!([
                [now + 3600, "leased", 12, "offline_lease"],
                [end, "grace", 11, "out_of_contact"],
                [end + WEEK, "degraded", 10, "out_of_contact"],
                [end + 2 * WEEK, "locked", 9, "out_of_contact"]
            ]),
        ),
        ("fp", json!(agent.machine.fingerprint)),
        ("min_match", json!(0.55)),
        ("weights", json!({ "board_serial": 1, "mac": 3, "machine_id": 1 })),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    assert_eq!(claims["pro"]["version"], 1);
    assert_eq!(claims.as_object().unwrap().len(), 19);
    assert_eq!(
        world.database.value("SELECT operation || ' ' || outcome || ' ' || counter || ' ' || state FROM heartbeats WHERE counter = 7").await,
        "lease accepted 7 authorized"
    );
}

/// A number from 1 to `most`, most often near a bound of the other numbers.
fn near(random: &SeededRandom, bounds: &[i64], most: i64) -> i64 {
    let drawn = u64::from_be_bytes(array(random));
    let [kind, which, step, ..] = drawn.to_be_bytes().map(usize::from);
    let number = if kind < 200 {
        bounds[which % bounds.len()] + i64::try_from(step % 3).unwrap() - 1
    } else {
        i64::try_from(drawn >> 24).unwrap() % most
    };
    number.clamp(1, most)
}

#[tokio::test]
async fn granted_seconds_never_exceed_any_of_the_four_bounds() {
    const PROFILE: i64 = 7200;
    let world = World::with(&format!(r#"{{"lease_max_seconds": {PROFILE}}}"#), 1000).await;
    let random = SeededRandom::new(8);
    let mut agent = world.agent(1).await;
    let mut decided = [0; 4];
    for _ in 0..200 {
        world.pass(5);
        let now = world.server.edge.now();
        let cap = near(&random, &[PROFILE], 3 * PROFILE);
        let left = near(&random, &[PROFILE, cap], 3 * PROFILE);
        let asked = near(&random, &[PROFILE, cap, left], protocol::MAX_INTEGER);
        let caps = array::<1>(&random)[0] % 4;
        let cap = (caps & 1 == 0).then_some(cap);
        let left = (caps & 2 == 0).then_some(left);
        license(
            &world,
            &format!(
                "lease_max_seconds = {}, expires_at = {}",
                cap.map_or("NULL".to_owned(), |cap| cap.to_string()),
                left.map_or("NULL".to_owned(), |left| format!("to_timestamp({})", now + left)),
            ),
        )
        .await;
        let lease = agent.take_lease(&world.server, asked).await;
        let bounds = [asked, PROFILE, cap.unwrap_or(i64::MAX), left.unwrap_or(i64::MAX)];
        let granted = lease.ends_at - now;
        assert!(granted >= 1 && bounds.iter().all(|bound| granted <= *bound), "{granted} of {bounds:?}");
        assert_eq!(Some(&granted), bounds.iter().min(), "no less than they allow: {bounds:?}");
        assert_eq!(lease.claims(&agent.secret)["exp"], lease.ends_at);
        decided[bounds.iter().position(|bound| *bound == granted).unwrap()] += 1;
    }
    assert!(decided.iter().all(|count| *count > 5), "each bound has been the least: {decided:?}");
}

#[tokio::test]
async fn only_who_is_authorized_or_warned_gets_a_lease() {
    let end = START - 1;
    for (license_is, install_is, answer) in [
        ("revoked_at = to_timestamp(1)", "", "403 lease_refused license_revoked"),
        ("suspended_at = to_timestamp(1)", "", "403 lease_refused license_suspended"),
        ("", "suspended_at = to_timestamp(1)", "403 lease_refused install_suspended"),
        ("", "awaiting_approval = true", "403 lease_refused awaiting_approval"),
        ("starts_at = to_timestamp(1790000124)", "", "403 lease_refused license_not_started"),
        (&format!("expires_at = to_timestamp({end})"), "", "403 lease_refused license_expired"),
        ("", "holds_seat = false, seats_exceeded_at = to_timestamp(1790000000)", "201 - -"),
        ("max_installs = 0", "holds_seat = false", "403 lease_refused seats_exceeded"),
        ("", &format!("revoked_at = to_timestamp({START})"), "403 forbidden -"),
        ("", "clone_suspected_at = to_timestamp(1)", "201 - -"),
        ("", "secrets = NULL", "401 invalid_proof -"),
    ] {
        let world = World::new().await;
        let mut agent = world.agent(1).await;
        if !license_is.is_empty() {
            license(&world, license_is).await;
        }
        if !install_is.is_empty() {
            installs(&world, install_is).await;
        }
        let got = agent.ask_lease(&world.server, WEEK).await;
        assert_eq!(refused(&got), answer, "{license_is} {install_is}");
        assert_eq!(got.json()["type"].is_null(), got.status == 201);
    }
}

#[tokio::test]
async fn a_judged_refusal_uses_up_counter_and_nonce_and_stands_in_the_log() {
    let world = World::with(r#"{"lease_max_seconds": 0}"#, 5).await;
    let mut agent = world.agent(1).await;
    let (proof, body) = agent.lease_request(&world.server, 60);
    let send = || world.server.post("/v1/leases", Some(&proof), body.clone());
    assert_eq!(refused(&send().await), "403 lease_refused lease_not_allowed");
    assert_eq!(send().await.word(), "409 nonce_replayed");
    let log = "SELECT outcome || ' ' || counter || ' ' || state FROM heartbeats WHERE operation = 'lease'";
    assert_eq!(world.database.lines(log).await, ["refused 1 authorized"]);
    assert_eq!(world.database.value("SELECT count(*) FROM leases").await, "0");
    assert_eq!(agent.beat(&world.server).await.claims()["high"], 2);
}

#[tokio::test]
async fn another_machine_gets_no_lease_and_a_drifted_one_is_warned_and_does() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    agent.machine = TestMachine::with_components([7, 8, 9]);
    assert_eq!(refused(&agent.ask_lease(&world.server, 60).await), "403 lease_refused fingerprint_mismatch");
    agent.machine = TestMachine::with_components([7, 1, 1]);
    let lease = agent.take_lease(&world.server, 60).await;
    let claims = lease.claims(&agent.secret);
    assert_eq!((&claims["state"], &claims["reason"]), (&json!("warned"), &json!("fingerprint_drift")));
    assert_eq!(claims["fp"], json!(TestMachine::new(1).fingerprint), "what is bound, not what was seen");
}

#[tokio::test]
async fn the_reasons_come_in_their_order() {
    let world = World::with(r#"{"lease_max_outstanding": 1}"#, 5).await;
    let (mut agent, mut other) = (world.agent(1).await, world.agent(2).await);
    let revoked = agent.take_lease(&world.server, 3000).await;
    assert!(crate::operator::revoke_lease(&world.database.store(9).await, revoked.id).await);
    agent.beat(&world.server).await;
    other.take_lease(&world.server, WEEK).await;
    license(&world, "lease_max_seconds = 0, suspended_at = to_timestamp(1)").await;
    let mut reasons = Vec::new();
    for change in ["suspended_at = suspended_at", "suspended_at = NULL"] {
        license(&world, change).await;
        reasons.push(refused(&agent.ask_lease(&world.server, 60).await));
    }
    world.pass(3000);
    for change in ["lease_max_seconds = 0", "lease_max_seconds = NULL"] {
        license(&world, change).await;
        reasons.push(refused(&agent.ask_lease(&world.server, 60).await));
    }
    let order = ["license_suspended", "lease_revoked", "lease_not_allowed", "lease_limit"];
    assert_eq!(reasons, order.map(|reason| format!("403 lease_refused {reason}")));
    world.pass(WEEK - 3000);
    agent.take_lease(&world.server, 60).await;
}

#[tokio::test]
async fn a_cap_of_nothing_allows_nothing() {
    for (knobs, cap) in
        [(r#"{"lease_max_seconds": 0}"#, "NULL"), ("{}", "0"), (r#"{"lease_max_seconds": 0}"#, "60")]
    {
        let world = World::with(knobs, 5).await;
        license(&world, &format!("lease_max_seconds = {cap}")).await;
        let answer = world.agent(1).await.ask_lease(&world.server, 60).await;
        assert_eq!(refused(&answer), "403 lease_refused lease_not_allowed", "{knobs} {cap}");
    }
}

#[tokio::test]
async fn a_copy_gets_no_lease_and_is_suspected() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut copy = agent.clone();
    agent.beat(&world.server).await;
    assert_eq!(refused(&copy.ask_lease(&world.server, 60).await), "403 forbidden -");
    let outcome = "SELECT outcome FROM heartbeats WHERE operation = 'lease'";
    assert_eq!(world.database.lines(outcome).await, ["clone"]);
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "clone_suspected");
}

/// Sends a lease request whose body was changed, under a proof of what is sent.
async fn send_changed(world: &World, agent: &mut TestAgent, change: impl FnOnce(&mut Value)) -> Answer {
    let (_, body) = agent.lease_request(&world.server, 60);
    let mut body: Value = serde_json::from_str(&body).unwrap();
    change(&mut body);
    let body = body.to_string();
    let proof = agent.prove(&protocol::proof::Operation::Lease, world.server.edge.now(), body.as_bytes());
    world.server.post("/v1/leases", Some(&proof), body).await
}

#[tokio::test]
async fn a_body_that_is_not_as_described_is_refused_by_its_pointer_and_consumes_nothing() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for seconds in
        [json!(0), json!(-1), json!(1.5), json!("60"), json!(9_007_199_254_740_992_i64), Value::Null]
    {
        let answer =
            send_changed(&world, &mut agent, |body| body["duration_seconds"] = seconds.clone()).await;
        assert_eq!(answer.word(), "422 invalid", "{seconds}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/duration_seconds", "{seconds}");
    }
    let missing = send_changed(&world, &mut agent, |body| {
        body.as_object_mut().unwrap().remove("duration_seconds");
        body["clock"] = json!({});
    })
    .await;
    let pointers: Vec<_> =
        missing.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, ["/clock/unix", "/clock/monotonic_ms", "/clock/boot_id", "/duration_seconds"]);
    let most =
        send_changed(&world, &mut agent, |body| body["duration_seconds"] = json!(protocol::MAX_INTEGER));
    assert_eq!(most.await.status, 201);
    assert_eq!(world.database.value("SELECT count(*) FROM heartbeats WHERE operation = 'lease'").await, "1");
}

#[tokio::test]
async fn the_checks_come_in_the_protocols_order() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let now = world.server.edge.now();
    let prove =
        |agent: &mut TestAgent, body: &[u8]| agent.prove(&protocol::proof::Operation::Lease, now, body);
    let large = vec![b' '; 16 * 1024 + 1];
    assert_eq!(world.server.post("/v1/leases", None, large).await.word(), "413 too_large");
    assert_eq!(world.server.post("/v1/leases", None, "nonsense").await.word(), "401 invalid_proof");
    let (other, body) = agent.heartbeat(&world.server);
    assert_eq!(
        world.server.post("/v1/leases", Some(&other), body).await.word(),
        "401 invalid_proof",
        "a heartbeat's"
    );
    let proof = prove(&mut agent, b"nonsense");
    assert_eq!(world.server.post("/v1/leases", Some(&proof), "nonsense").await.word(), "400 malformed");
    let request = http::Request::post("/v1/leases").header("authorization", prove(&mut agent, b"{}"));
    let untyped = request.body(axum::body::Body::from("{}")).unwrap();
    assert_eq!(world.server.send(untyped).await.word(), "415 unsupported_media_type");
    let (proof, body) = agent.lease_request(&world.server, 60);
    let send = || world.server.post("/v1/leases", Some(&proof), body.clone());
    assert_eq!(send().await.status, 201);
    assert_eq!(send().await.word(), "409 nonce_replayed");
    for _ in 0..9 {
        agent.beat(&world.server).await;
    }
    assert_eq!(agent.ask_lease(&world.server, 60).await.word(), "429 slow_down");
    assert_eq!(send().await.word(), "409 nonce_replayed", "before the rate");
}

#[tokio::test]
async fn sixty_four_copies_of_a_request_over_two_processes_get_one_lease() {
    let world = World::new().await;
    let second = crate::server(&world.database, 2).await;
    let mut agent = world.agent(1).await;
    for _ in 0..5 {
        let (proof, body) = agent.lease_request(&world.server, 60);
        let mut senders = tokio::task::JoinSet::new();
        for copy in 0..64 {
            let process = if copy % 2 == 0 { world.server.clone() } else { second.clone() };
            let (proof, body) = (proof.clone(), body.clone());
            senders.spawn(async move { process.post("/v1/leases", Some(&proof), body).await.word() });
        }
        let mut words = senders.join_all().await;
        words.sort();
        assert_eq!(words[0], "201 -");
        assert!(words[1..].iter().all(|word| word == "409 nonce_replayed"), "{words:?}");
    }
    assert_eq!(world.database.value("SELECT count(*) FROM leases").await, "5");
    assert_eq!(world.database.value("SELECT count(*) FROM leases WHERE renewed_at IS NULL").await, "1");
}
