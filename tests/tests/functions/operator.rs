//! What an operator does: each word reaches the agent's next beat, and done twice is done.

use ::admin::{Error, Expected, Operator, install, lease, license, profile};
use edge::testing::{TestAgent, TestMachine};
use protocol::admin::{Install, InstallStatus, License, LicenseChange, LicenseStatus, NewLicense, Time};
use protocol::json::{self, Reader};
use protocol::proof::Operation;
use protocol::{InstallId, LeaseId, LicenseId, LicenseKey};
use serde_json::{Value, json};
use store::testing::START;
use store::{InstallAction, InstallFilter, LicenseFilter, Store};

use crate::World;

async fn store(world: &World) -> Store {
    world.database.store(77).await
}

/// Does something to an install as the command line does.
pub(crate) async fn act(store: &Store, id: InstallId, action: &InstallAction) -> Result<Install, Error> {
    install::act(&Operator::at_the_command_line(store), id, &Expected::ANY, action).await
}

/// Revokes a lease as the command line does. Returns whether that changed anything.
pub(crate) async fn revoke_lease(store: &Store, id: LeaseId) -> bool {
    let operator = Operator::at_the_command_line(store);
    let before = lease::show(store, id).await.map(|lease| lease.version).ok();
    let after = lease::revoke(&operator, id, &Expected::ANY).await.map(|lease| lease.version).ok();
    after.is_some() && after != before
}

/// A license of two seats under the test's own profile.
pub(crate) async fn wanted(store: &Store) -> NewLicense {
    let profile = profile::show(store, "test-1").await.unwrap().id;
    let wanted = json!({ "product": "acme-render", "customer": "Example Ltd", "profile_id": profile,
                         "max_installs": 2, "entitlements": { "edition": "pro" } });
    read(&wanted, NewLicense::read)
}

/// What a body that is as described says.
fn read<T>(body: &Value, body_of: impl FnOnce(Reader<'_>) -> Option<T>) -> T {
    json::read(&json::parse(body.to_string().as_bytes()).unwrap(), body_of).unwrap()
}

async fn change(store: &Store, id: LicenseId, body: Value) -> Result<License, Error> {
    let wanted = read(&body, LicenseChange::read);
    license::change(&Operator::at_the_command_line(store), id, &Expected::ANY, wanted).await
}

fn pointers(error: &Error) -> Vec<&str> {
    match error {
        Error::Invalid(errors) => errors.iter().map(|error| error.pointer.as_str()).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_license_that_an_operator_makes_activates() {
    let world = World::new().await;
    let store = store(&world).await;
    let operator = Operator::at_the_command_line(&store);
    let made = license::create(&operator, wanted(&store).await).await.unwrap();
    let key = LicenseKey::parse(&made.license_key).unwrap();
    let agent = TestMachine::new(1).activate(&world.server, &key).await.unwrap();
    assert_eq!(agent.license, made.license.id);
    let sealed = world
        .database
        .value("SELECT encode(key_sealed, 'escape') FROM licenses ORDER BY id DESC LIMIT 1")
        .await;
    assert!(!sealed.contains(key.canonical()));
}

#[tokio::test]
async fn a_license_of_no_profile_or_that_ends_before_it_starts_is_not_made() {
    let world = World::new().await;
    let store = store(&world).await;
    let operator = Operator::at_the_command_line(&store);
    let unknown = NewLicense {
        profile_id: protocol::ProfileId::from_uuid(*world.license.id.as_uuid()),
        ..wanted(&store).await
    };
    let over = NewLicense { expires_at: Some(Time(1)), ..wanted(&store).await };
    for (wrong, pointer) in [(unknown, "/profile_id"), (over, "/expires_at")] {
        let error = license::create(&operator, wrong).await.err().unwrap();
        assert_eq!(pointers(&error), [pointer]);
    }
    let all = license::list(&store, &LicenseFilter::default(), None, 10).await.unwrap();
    assert_eq!(all.len(), 1, "the test's own");
}

#[tokio::test]
async fn a_suspended_license_is_told_and_resumed_and_a_revoked_one_stays_revoked() {
    let world = World::new().await;
    let (store, id, any) = (store(&world).await, world.license.id, Expected::ANY);
    let operator = Operator::at_the_command_line(&store);
    let mut agent = world.agent(1).await;
    for _ in 0..2 {
        assert_eq!(license::suspend(&operator, id, &any).await.unwrap().status, LicenseStatus::Suspended);
    }
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "license_suspended");
    assert_eq!(license::resume(&operator, id, &any).await.unwrap().status, LicenseStatus::Active);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    for _ in 0..2 {
        assert_eq!(license::revoke(&operator, id, &any).await.unwrap().status, LicenseStatus::Revoked);
    }
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "license_revoked");
    for refused in [license::suspend(&operator, id, &any).await, license::resume(&operator, id, &any).await] {
        assert!(matches!(refused, Err(Error::Conflict(_))));
    }
    assert_eq!(license::show(&store, id).await.unwrap().version, 4, "what changed nothing moved nothing");
}

#[tokio::test]
async fn an_install_is_approved_suspended_resumed_and_revoked() {
    let world = World::with(r#"{"require_approval": "yes"}"#, 1).await;
    let store = store(&world).await;
    let mut agent = world.agent(1).await;
    let id = agent.install;
    for (action, word, status) in [
        (InstallAction::Approve, "200 authorized", InstallStatus::Active),
        (InstallAction::Suspend, "200 suspended", InstallStatus::Suspended),
        (InstallAction::Suspend, "200 suspended", InstallStatus::Suspended),
        (InstallAction::Resume, "200 authorized", InstallStatus::Active),
        (InstallAction::Revoke, "200 revoked", InstallStatus::Revoked),
        (InstallAction::Revoke, "200 revoked", InstallStatus::Revoked),
    ] {
        assert_eq!(act(&store, id, &action).await.unwrap().status, status, "{action:?}");
        assert_eq!(agent.beat(&world.server).await.word(), word, "{action:?}");
    }
    for action in
        [InstallAction::Resume, InstallAction::Reset, InstallAction::Rebind(None), InstallAction::Approve]
    {
        assert!(matches!(act(&store, id, &action).await, Err(Error::Conflict(_))), "{action:?}");
    }
    world.agent(2).await;
}

#[tokio::test]
async fn a_reset_clears_suspicion_and_the_agent_activates_again_into_its_install() {
    let world = World::with(r#"{"reactivations_per_month": 0}"#, 1).await;
    let store = store(&world).await;
    let mut agent = world.agent(1).await;
    let mut copy = agent.clone();
    agent.beat(&world.server).await;
    assert_eq!(copy.beat(&world.server).await.claims()["reason"], "clone_suspected");
    act(&store, agent.install, &InstallAction::Reset).await.unwrap();
    assert_eq!(agent.beat(&world.server).await.word(), "401 invalid_proof");
    let mut again = world.agent(1).await;
    assert_eq!(again.install, agent.install);
    assert_eq!(again.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn a_rebind_binds_what_was_observed_or_what_is_given() {
    let world = World::new().await;
    let store = store(&world).await;
    let mut agent = world.agent(1).await;
    agent.machine = TestMachine::with_components([7, 8, 9]);
    assert_eq!(agent.beat(&world.server).await.word(), "200 locked");
    act(&store, agent.install, &InstallAction::Rebind(None)).await.unwrap();
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    let given = TestMachine::new(1).fingerprint;
    let shown = act(&store, agent.install, &InstallAction::Rebind(Some(given.clone()))).await.unwrap();
    assert_eq!(shown.fingerprint.bound, given);
    assert_eq!(agent.beat(&world.server).await.word(), "200 locked");
}

#[tokio::test]
async fn an_install_is_shown_as_the_engine_judges_it_now() {
    let world = World::new().await;
    let store = store(&world).await;
    let agent = world.agent(1).await;
    world.pass(3600 + 604_800);
    let shown = install::show(&store, agent.install).await.unwrap();
    assert_eq!((shown.decision.state.as_str(), shown.ladder.len()), ("degraded", 1), "it is silent");
    let of_license = InstallFilter { license_id: Some(world.license.id), ..InstallFilter::default() };
    assert_eq!(install::list(&store, &of_license, None, 10).await.unwrap().items.len(), 1);
    let after = install::list(&store, &InstallFilter::default(), Some(agent.install), 10).await.unwrap();
    assert_eq!(after.items.len(), 0, "only those after it");
}

#[tokio::test]
async fn a_published_profile_judges_from_the_next_beat_on() {
    let world = World::new().await;
    let store = store(&world).await;
    let mut agent = world.agent(1).await;
    agent.beat(&world.server).await;
    let operator = Operator::at_the_command_line(&store);
    let id = profile::show(&store, "test-1").await.unwrap().id;
    let knobs = r#"{"min_agent_version": "9.0.0"}"#;
    let published = profile::publish_next(&operator, id, knobs, 100).await.unwrap();
    assert_eq!(published.active_number, 2);
    let answer = agent.beat(&world.server).await;
    assert_eq!(
        (&answer.claims()["reason"], &answer.claims()["pro"]["version"]),
        (&"agent_outdated".into(), &2.into())
    );
    let knobs = r#"{"silence_tolerance": 5, "nonsense": 1}"#;
    let refused = profile::publish_next(&operator, id, knobs, 100).await.err().unwrap();
    assert_eq!(pointers(&refused), ["/knobs/silence_tolerance", "/knobs/nonsense"]);
    let taken = profile::create(&operator, "test-1", "{}").await.err().unwrap();
    assert!(matches!(taken, Error::Conflict(_)), "{taken}");
    assert_eq!(profile::versions(&store, id, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn when_a_license_gets_fewer_seats_the_newest_are_over_them_from_that_moment_until_there_is_room() {
    let world = World::with("{}", 5).await;
    let store = store(&world).await;
    let mut agents = Vec::new();
    for number in 0..3 {
        agents.push(world.agent(number).await);
        world.pass(1);
    }
    let seats = async |max_installs: i32| {
        change(&store, world.license.id, json!({ "max_installs": max_installs })).await.unwrap()
    };
    let lowered_at = world.server.edge.now();
    assert_eq!(seats(1).await.max_installs, 1);
    world.pass(100);
    let mut rungs = Vec::new();
    for agent in &mut agents {
        let answer = agent.beat(&world.server).await;
        rungs.push((answer.word(), answer.claims()["ladder"][0][0].clone()));
    }
    let over = ("200 grace".to_owned(), json!(lowered_at + 604_800));
    assert_eq!(rungs[0].0, "200 authorized", "the first of them has its seat");
    assert_eq!(rungs[1..], [over.clone(), over.clone()], "not from their beats on");

    seats(2).await;
    let over_since =
        async |agent: &TestAgent| install::show(&store, agent.install).await.unwrap().seats_exceeded_at;
    assert_eq!(over_since(&agents[1]).await, None, "there is room at once, for who doesn't call, too");
    assert_eq!(over_since(&agents[2]).await.map(|at| at.0), Some(lowered_at));
    assert_eq!(agents[0].ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await.status, 204);
    assert_eq!(agents[2].beat(&world.server).await.word(), "200 authorized", "one has left");
    seats(0).await;
    assert_eq!(agents[1].beat(&world.server).await.word(), "200 grace");
}

#[tokio::test]
async fn a_change_of_a_license_leaves_what_it_does_not_name_and_a_revoked_one_stays_as_it_is() {
    let world = World::new().await;
    let store = store(&world).await;
    let operator = Operator::at_the_command_line(&store);
    let made = license::create(&operator, wanted(&store).await).await.unwrap().license;
    let body = json!({ "expires_at": Time(START + 86_400), "entitlements": { "edition": "max" } });
    let changed = change(&store, made.id, body).await.unwrap();
    assert_eq!((changed.customer.as_str(), changed.max_installs, changed.version), ("Example Ltd", 2, 2));
    assert_eq!(
        (changed.entitlements.get(), changed.expires_at.map(|end| end.0)),
        (r#"{"edition":"max"}"#, Some(START + 86_400))
    );
    let never = json!({ "expires_at": null });
    assert_eq!(change(&store, made.id, never.clone()).await.unwrap().expires_at, None);
    license::revoke(&operator, made.id, &Expected::ANY).await.unwrap();
    assert!(matches!(change(&store, made.id, never).await, Err(Error::Conflict(_))));
}
