//! The air gap: a request file in, activation, keys and lease out, all or nothing, once.

use admin::Error;
use admin::offline::answer;
use edge::testing::{TestAgent, TestLease, TestMachine};
use jose_jwt::x25519::SecretKey;
use protocol::admin::OfflineAnswer;
use protocol::keyset::Keyset;
use protocol::offline::{KeyDigest, OfflineReply, OfflineRequest};
use protocol::request::AgentInfo;
use protocol::token::{Expect, verify_decision, verify_lease};
use protocol::{InstanceId, LicenseKey};
use store::testing::{ISSUER, START};
use store::{Actor, InstallAction};

use crate::{World, server};

const WEEK: i64 = 604_800;
const MONTH: i64 = 30 * 86_400;

pub(crate) fn recipient() -> SecretKey {
    SecretKey::from_bytes(&[3; 32])
}

/// What machine `number` asks.
pub(crate) fn request(number: u64, key: &LicenseKey) -> OfflineRequest {
    let machine = TestMachine::new(number);
    OfflineRequest {
        key_digest: KeyDigest::of(key),
        nonce: machine.nonce(),
        instance_id: InstanceId::from_bytes([6; 16]),
        fingerprint: machine.fingerprint,
        agent: AgentInfo { version: "1.4.2".into(), platform: "linux-x86_64".into() },
        iat: START,
        duration_seconds: WEEK,
        reply_to: recipient().public(),
    }
}

/// Answers machine `number`, who asks now.
async fn ask(world: &World, number: u64) -> Result<OfflineAnswer, String> {
    let asked = OfflineRequest { iat: world.server.edge.now(), ..request(number, &world.license.key) };
    send(world, &asked.sign(&world.license.key)).await
}

/// Answers a request file; what is refused is said as `409 nonce_replayed -`.
async fn send(world: &World, file: &str) -> Result<OfflineAnswer, String> {
    answer(&world.server.edge, &Actor::command_line(), file.as_bytes()).await.map_err(|error| match error {
        Error::Refused(refusal) => {
            format!("{} {} {}", refusal.code().status(), refusal.code(), refusal.reason().unwrap_or("-"))
        }
        Error::Invalid(errors) => format!("422 {}", errors[0].pointer),
        other => panic!("{other}"),
    })
}

fn opened(answered: &OfflineAnswer) -> OfflineReply {
    OfflineReply::open(&answered.reply, &recipient()).unwrap()
}

/// How much there is of everything that an answer stores.
async fn stored(world: &World) -> String {
    let counts = "SELECT concat_ws(' ', (SELECT count(*) FROM installs), (SELECT count(*) FROM leases), (SELECT count(*) \
                  FROM heartbeats), (SELECT count(*) FROM offline_requests))";
    world.database.value(counts).await
}

#[tokio::test]
async fn an_answer_is_activation_keys_and_lease_in_one() {
    let world = World::with(r#"{"require_approval": "yes"}"#, 5).await;
    let asked = request(1, &world.license.key);
    let answered = send(&world, &asked.sign(&world.license.key)).await.unwrap();
    let reply = opened(&answered);
    assert_eq!((reply.request, reply.counter), (asked.nonce, 0));
    assert_eq!((reply.install_id, reply.license_id), (answered.install_id, world.license.id));
    assert_eq!((reply.lease_id, answered.expires_at.0), (answered.lease_id, START + WEEK));
    let root = world.database.database().find_root().await.unwrap().unwrap();
    let keyset = Keyset::verify(reply.keyset.as_str(), &root, ISSUER).unwrap();
    let aud = "acme-render".parse().unwrap();
    let expect = Expect {
        iss: ISSUER,
        aud: &aud,
        sub: reply.install_id,
        now: Some(START),
        request: Some((asked.nonce, 0)),
        newest: None,
    };
    let token = verify_decision(reply.token.as_str(), &keyset, &expect).unwrap();
    let signed = protocol::lease::open(reply.artifact.as_str(), &reply.secret, reply.lease_id).unwrap();
    let lease = verify_lease(signed.as_str(), &keyset, &expect).unwrap();
    assert_eq!((token.ctr, token.high, lease.ctr, lease.high), (0, 0, 0, 0));
    assert_eq!(
        (token.state.as_str(), lease.state.as_str()),
        ("authorized", "authorized"),
        "the upload approves"
    );
    assert_eq!((lease.exp, &lease.ladder), (START + WEEK, &token.ladder));
    assert_eq!((lease.ladder[0].state.as_str(), lease.fp), ("leased", asked.fingerprint));
    let log = "SELECT string_agg(operation || ' ' || outcome || ' ' || counter, ', ' ORDER BY operation) FROM heartbeats";
    assert_eq!(world.database.value(log).await, "activate accepted 0, lease accepted 0");
    assert_eq!(stored(&world).await, "1 1 2 1");
}

#[tokio::test]
async fn a_machine_that_got_online_after_all_goes_on_with_what_it_has() {
    let world = World::new().await;
    let reply = opened(&ask(&world, 1).await.unwrap());
    let machine = TestMachine::new(1);
    let mut agent = TestAgent {
        install: reply.install_id,
        license: reply.license_id,
        secret: reply.secret,
        counter: 0,
        machine,
        version: "1.4.2".to_owned(),
        skew: 0,
    };
    let claims = agent.beat(&world.server).await.claims();
    assert_eq!((claims["high"].as_i64(), claims["ladder"][0][1].as_str()), (Some(1), Some("leased")));
    assert_eq!(agent.return_lease(&world.server, reply.lease_id).await.word(), "200 authorized");
}

#[tokio::test]
async fn a_request_is_answered_once_however_often_and_wherever_it_comes() {
    let world = World::new().await;
    let second = server(&world.database, 2).await;
    let file = request(1, &world.license.key).sign(&world.license.key);
    let mut answering = tokio::task::JoinSet::new();
    for copy in 0..16 {
        let edge = if copy % 2 == 0 { world.server.edge.clone() } else { second.edge.clone() };
        let file = file.clone();
        answering.spawn(async move { answer(&edge, &Actor::command_line(), file.as_bytes()).await.is_ok() });
    }
    assert_eq!(answering.join_all().await.into_iter().filter(|done| *done).count(), 1);
    assert_eq!(send(&world, &file).await.unwrap_err(), "409 nonce_replayed -");
    assert_eq!(stored(&world).await, "1 1 2 1");
    let (edge, store) = (&world.server.edge, &world.server.edge.store);
    world.pass(MONTH);
    assert_eq!(store.forget_offline_requests().await.unwrap(), 0, "it could still be answered");
    assert_eq!(send(&world, &file).await.unwrap_err(), "409 nonce_replayed -");
    world.pass(1);
    assert_eq!(send(&world, &file).await.unwrap_err(), "422 /iat");
    assert_eq!(edge.store.forget_offline_requests().await.unwrap(), 1);
}

#[tokio::test]
async fn a_request_that_is_too_old_or_from_ahead_is_refused_whatever_its_key() {
    let world = World::new().await;
    let unknown = LicenseKey::generate([5; 18]);
    for (iat, fits) in
        [(START - MONTH - 1, false), (START - MONTH, true), (START + 300, true), (START + 301, false)]
    {
        let key = &world.license.key;
        let file = OfflineRequest { iat, ..request(1, key) }.sign(key);
        assert_eq!(send(&world, &file).await.err().as_deref(), (!fits).then_some("422 /iat"), "{iat}");
        let file = OfflineRequest { iat, ..request(1, &unknown) }.sign(&unknown);
        let refusal = if fits { "403 license_refused -" } else { "422 /iat" };
        assert_eq!(send(&world, &file).await.unwrap_err(), refusal, "{iat}");
    }
}

#[tokio::test]
async fn an_unknown_digest_and_a_wrong_mac_are_one_answer() {
    let world = World::new().await;
    let key = &world.license.key;
    let file = request(1, key).sign(key);
    let mut errors = Vec::new();
    let mut changed: serde_json::Value = serde_json::from_str(&file).unwrap();
    changed["duration_seconds"] = 1.into();
    errors.push(changed.to_string());
    let mut other = request(1, key);
    other.key_digest = KeyDigest::of(&LicenseKey::generate([5; 18]));
    errors.push(other.sign(key));
    errors.push(request(1, key).sign(&LicenseKey::generate([5; 18])));
    for file in errors {
        let error = answer(&world.server.edge, &Actor::command_line(), file.as_bytes()).await.unwrap_err();
        assert_eq!(error.to_string(), "license_refused: This license key activates nothing");
    }
    assert_eq!(stored(&world).await, "0 0 0 0");
    assert!(send(&world, &file).await.is_ok());
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_says_why() {
    let world = World::new().await;
    assert_eq!(send(&world, "nonsense").await.unwrap_err(), "400 malformed -");
    assert_eq!(send(&world, "{}").await.unwrap_err(), "422 /qt");
}

#[tokio::test]
async fn where_the_lease_is_refused_nothing_is_stored_and_the_request_may_come_again() {
    for (change, reason) in [
        ("suspended_at = to_timestamp(1)", "403 lease_refused license_suspended"),
        ("starts_at = to_timestamp(1790000124)", "403 lease_refused license_not_started"),
        ("expires_at = to_timestamp(1790000123)", "403 lease_refused license_expired"),
        ("lease_max_seconds = 0", "403 lease_refused lease_not_allowed"),
        ("max_installs = 0", "409 seats_exhausted -"),
        ("revoked_at = to_timestamp(1)", "403 license_refused -"),
        ("starts_at = to_timestamp(1), expires_at = to_timestamp(2)", "403 license_refused -"),
    ] {
        let world = World::new().await;
        let file = request(1, &world.license.key).sign(&world.license.key);
        world.database.run(&format!("UPDATE licenses SET {change}")).await;
        assert_eq!(send(&world, &file).await.unwrap_err(), reason, "{change}");
        assert_eq!(stored(&world).await, "0 0 0 0", "{change}");
        let back = "suspended_at = NULL, revoked_at = NULL, expires_at = NULL, lease_max_seconds = NULL, max_installs = 1, \
                    starts_at = to_timestamp(1)";
        world.database.run(&format!("UPDATE licenses SET {back}")).await;
        assert!(send(&world, &file).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn the_same_machine_again_is_a_renewal_and_counts_as_no_reactivation() {
    let world = World::with(r#"{"reactivations_per_month": 0, "lease_max_outstanding": 1}"#, 1).await;
    let first = opened(&ask(&world, 1).await.unwrap());
    world.pass(MONTH);
    let second = opened(&ask(&world, 1).await.unwrap());
    world.pass(60);
    let third = opened(&ask(&world, 1).await.unwrap());
    assert_eq!((second.install_id, third.install_id), (first.install_id, first.install_id));
    assert!(second.secret != first.secret && third.lease_id != second.lease_id);
    let leases = "SELECT string_agg(CASE WHEN renewed_at IS NULL THEN 'kept' ELSE 'renewed' END, ' ' ORDER BY granted_at) FROM leases";
    assert_eq!(world.database.value(leases).await, "kept renewed kept", "the first had ended");
    assert_eq!(world.database.value("SELECT cardinality(reactivations) FROM installs").await, "0");
    assert_eq!(ask(&world, 2).await.unwrap_err(), "409 seats_exhausted -");
}

#[tokio::test]
async fn what_an_operator_holds_against_the_install_refuses_it_and_a_pending_one_is_approved() {
    let world = World::with(r#"{"require_approval": "yes", "clone_action": "quarantine"}"#, 5).await;
    let store = world.database.store(9).await;
    let mut agent = world.agent(1).await;
    assert_eq!(agent.beat(&world.server).await.word(), "200 pending");
    let version = admin::install::show(&store, agent.install).await.unwrap().version;
    let reply = opened(&ask(&world, 1).await.unwrap());
    assert_eq!(reply.install_id, agent.install);
    let shown = admin::install::show(&store, agent.install).await.unwrap();
    assert_eq!((shown.status.as_str(), shown.version), ("active", version + 1));
    assert_eq!(agent.beat(&world.server).await.word(), "401 invalid_proof", "the secret is another");
    assert!(crate::operator::revoke_lease(&store, reply.lease_id).await);
    assert_eq!(ask(&world, 1).await.unwrap_err(), "403 lease_refused lease_revoked");
    world
        .database
        .run("UPDATE installs SET clone_suspected_at = to_timestamp(1), revision = revision + 1")
        .await;
    assert_eq!(ask(&world, 1).await.unwrap_err(), "403 lease_refused clone_suspected");
    world.database.run("UPDATE installs SET clone_suspected_at = NULL, revision = revision + 1").await;
    crate::operator::act(&store, agent.install, &InstallAction::Suspend).await.unwrap();
    assert_eq!(ask(&world, 1).await.unwrap_err(), "403 lease_refused install_suspended");
    crate::operator::act(&store, agent.install, &InstallAction::Revoke).await.unwrap();
    assert_eq!(ask(&world, 1).await.unwrap_err(), "403 license_refused -");
    assert_eq!(stored(&world).await, "1 1 4 1", "refusals store nothing");
}

#[tokio::test]
async fn the_quota_bounds_offline_leases_too() {
    let world = World::with(r#"{"lease_max_outstanding": 1}"#, 5).await;
    ask(&world, 1).await.unwrap();
    assert_eq!(ask(&world, 2).await.unwrap_err(), "403 lease_refused lease_limit");
    world.pass(WEEK);
    ask(&world, 2).await.unwrap();
}

#[tokio::test]
async fn licenses_of_a_server_that_knew_no_digests_are_found_too() {
    let world = World::new().await;
    let others: Vec<_> = {
        let mut others = Vec::new();
        for seed in 2..5 {
            others.push(world.database.license(seed, "{}", 5).await);
        }
        others
    };
    world.database.run("UPDATE licenses SET key_digest = NULL").await;
    let broken = format!("UPDATE licenses SET key_sealed = '\\x00' WHERE id = '{}'", others[0].id);
    world.database.run(&broken).await;
    ask(&world, 1).await.unwrap();
    let asked = request(2, &others[2].key);
    send(&world, &asked.sign(&others[2].key)).await.unwrap();
    let without = "SELECT count(*) FROM licenses WHERE key_digest IS NULL";
    assert_eq!(world.database.value(without).await, "1", "the one whose key doesn't open");
    let store = &world.server.edge.store;
    assert_eq!(store.fill_key_digests().await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_license_that_an_operator_makes_is_found_by_its_digest() {
    let world = World::new().await;
    let store = world.database.store(77).await;
    let operator = admin::Operator::at_the_command_line(&store);
    let made = admin::license::create(&operator, crate::operator::wanted(&store).await).await.unwrap();
    let key = LicenseKey::parse(&made.license_key).unwrap();
    assert_eq!(store.fill_key_digests().await.unwrap(), (0, 0), "it has its digest");
    let answered = send(&world, &request(1, &key).sign(&key)).await.unwrap();
    assert_eq!(answered.license_id, made.license.id);
    let reply = opened(&answered);
    let lease = TestLease { id: reply.lease_id, ends_at: 0, artifact: reply.artifact.0 };
    assert_eq!(lease.claims(&reply.secret)["iss"], ISSUER);
}
