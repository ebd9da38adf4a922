//! What the database holds to, whoever asks.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use policy::{Knobs, evaluate};
use protocol::ambient::{ManualClock, SeededRandom};
use store::testing::{ISSUER, START, TestDatabase};
use store::{Audit, Contact, Database, Error, KeysetTerms, Outcome, Store, Subject};

const DAY: i64 = 86_400;

async fn install(database: &TestDatabase, store: &Store) -> protocol::InstallId {
    let license = database.license(1, "{}", 5).await;
    let id = store.new_id();
    database
        .run(&format!(
            "INSERT INTO installs (id, license_id, activated_at, activation_at, last_contact, awaiting_approval, bound,
                                   activation_nonce, observed, instance_id, agent_version, agent_platform, holds_seat,
                                   high, accepted_window, recent_nonces, rate_arrival)
             SELECT '{id}', '{}', t, t, t, false, b, '', b, '', '1', 'x', true, 0, decode(repeat('00', 32), 'hex'), '', 0
             FROM (SELECT to_timestamp({START}) AS t, 'mac=' || repeat('A', 43) AS b) x",
            license.id
        ))
        .await;
    protocol::InstallId::from_uuid(id)
}

fn contact(mut subject: Subject) -> Contact {
    let facts = policy::Facts { last_contact: START, ..Default::default() };
    let decision = evaluate(&facts, &Knobs::default().judging, START);
    subject.last_contact += 1;
    let audit = Audit {
        at: START,
        operation: "heartbeat",
        outcome: Outcome::Accepted,
        counter: 1,
        decision,
        clock_skew: None,
    };
    Contact { subject, audit: vec![audit] }
}

#[tokio::test]
async fn of_two_that_judged_one_revision_the_second_writes_nothing() {
    let database = TestDatabase::new().await;
    let store = database.store(1).await;
    let id = install(&database, &store).await;
    let load = || async { store.load_subjects(&[id]).await.unwrap().pop().unwrap() };
    let (first, second) = (load().await, load().await);
    assert_eq!(store.commit_contacts(&[contact(first)]).await.unwrap(), [id]);
    assert_eq!(store.commit_contacts(&[contact(second)]).await.unwrap(), []);
    assert_eq!(database.value("SELECT count(*) FROM heartbeats").await, "1");
    assert_eq!(database.value("SELECT revision FROM installs").await, "2");
}

#[tokio::test]
async fn of_a_batch_those_that_did_not_change_are_written() {
    let database = TestDatabase::new().await;
    let store = database.store(1).await;
    let changed = install(&database, &store).await;
    let untouched = store.new_id();
    database
        .run(&format!(
            "CREATE TEMPORARY TABLE copy AS SELECT * FROM installs; UPDATE copy SET id = '{untouched}';
             INSERT INTO installs SELECT * FROM copy"
        ))
        .await;
    let untouched = protocol::InstallId::from_uuid(untouched);
    let subjects = store.load_subjects(&[changed, untouched]).await.unwrap();
    database.run(&format!("UPDATE installs SET revision = revision + 1 WHERE id = '{changed}'")).await;
    let contacts: Vec<_> = subjects.into_iter().map(contact).collect();
    assert_eq!(store.commit_contacts(&contacts).await.unwrap(), [untouched]);
    assert_eq!(database.value("SELECT install_id FROM heartbeats").await, untouched.to_string());
}

#[tokio::test]
async fn a_sealed_secret_moved_to_another_install_does_not_open() {
    let database = TestDatabase::new().await;
    let store = database.store(1).await;
    let id = install(&database, &store).await;
    let mut subject = store.load_subjects(&[id]).await.unwrap().pop().unwrap();
    subject.set_secrets(Some(protocol::secrets::Secrets::fresh(protocol::Secret::from_bytes([5; 32]))));
    store.commit_contacts(&[contact(subject)]).await.unwrap();
    assert!(store.load_subjects(&[id]).await.unwrap()[0].secrets.is_some());
    let other = store.new_id();
    database.run(&format!("UPDATE installs SET id = '{other}'")).await;
    let moved = store.load_subjects(&[protocol::InstallId::from_uuid(other)]).await;
    assert!(matches!(moved, Err(Error::Keyring(_))), "{moved:?}");
}

#[tokio::test]
async fn partitions_are_made_ahead_and_dropped_whole() {
    let test = TestDatabase::new().await;
    let database = test.database();
    assert_eq!(database.make_partitions(START).await.unwrap(), [""; 0], "the template has them");
    let next = database.make_partitions(START + 31 * DAY).await.unwrap();
    assert_eq!(next, ["heartbeats_2027_04"], "half a year ahead of October 2026");
    // What PostgreSQL knows of its own tables once it has looked at them decides how it finds partitions.
    test.run("ANALYZE").await;
    assert_eq!(database.drop_partitions(START, 1).await.unwrap(), [""; 0]);
    assert_eq!(
        database.drop_partitions(START + 101 * DAY, 60).await.unwrap(),
        ["heartbeats_2026_09", "heartbeats_2026_10"]
    );
    assert_eq!(database.drop_partitions(START + 100 * DAY, 60).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn processes_that_migrate_at_once_apply_each_migration_once() {
    let test = TestDatabase::new().await;
    test.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let database = Database::new(&test.url, 1).unwrap();
        processes.spawn(async move { database.migrate().await.unwrap().len() });
    }
    let mut applied = processes.join_all().await;
    applied.sort_unstable();
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations")).unwrap().count();
    assert_eq!(applied, [0, 0, 0, all]);
}

#[tokio::test]
async fn keys_are_made_once() {
    let test = TestDatabase::new().await;
    let database = test.database();
    let root = database.find_root().await.unwrap().unwrap();
    let provider = keyring::LocalProvider::from_key([1; 32], std::sync::Arc::new(SeededRandom::new(9)));
    let terms = KeysetTerms { issuer: ISSUER, life: 1000 };
    let again = database.init_keys(&provider, &ManualClock::at(START), &SeededRandom::new(9), terms).await;
    assert!(matches!(again, Err(Error::KeysExist)), "{again:?}");
    assert_eq!(database.find_root().await.unwrap().unwrap(), root);
}

#[tokio::test]
async fn another_key_encryption_key_opens_nothing() {
    let test = TestDatabase::new().await;
    let provider = keyring::LocalProvider::from_key([1; 32], std::sync::Arc::new(SeededRandom::new(9)));
    let clock = std::sync::Arc::new(test.clock.clone());
    let opened = Store::open(
        test.database(),
        std::sync::Arc::new(provider),
        clock,
        std::sync::Arc::new(SeededRandom::new(1)),
    )
    .await;
    assert!(matches!(opened.err(), Some(Error::Keyring(_))));
}

#[tokio::test]
async fn a_published_version_of_a_profile_never_changes() {
    let test = TestDatabase::new().await;
    test.license(1, "{}", 5).await;
    for change in ["UPDATE profile_versions SET knobs = '{}'", "DELETE FROM profile_versions"] {
        let tried = format!(
            "CREATE TEMPORARY TABLE refused (message text);
             DO $$ BEGIN {change}; EXCEPTION WHEN restrict_violation THEN INSERT INTO refused VALUES (SQLERRM); END $$;
             SELECT message FROM refused"
        );
        let message = test.value(&tried).await;
        assert!(message.contains("is published and can't change"), "{change}: {message}");
    }
}

#[tokio::test]
async fn versions_that_are_published_at_once_have_numbers_of_their_own() {
    let test = TestDatabase::new().await;
    let store = std::sync::Arc::new(test.store(1).await);
    let made = {
        let mut connection = store.connection().await.unwrap();
        let change = store.begin_change(&mut connection).await.unwrap();
        let profile = change.insert_profile("standard", "{}").await.unwrap();
        change.commit().await.unwrap();
        profile
    };
    let mut publishing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, id) = (store.clone(), made.id);
        publishing.spawn(async move {
            let mut connection = store.connection().await.unwrap();
            let change = store.begin_change(&mut connection).await.unwrap();
            change.lock_profile(id).await.unwrap().unwrap();
            let draft = change.insert_draft(id, "{}").await.unwrap();
            change.judge_by(id, draft.number, 100, None).await.unwrap();
            change.commit().await.unwrap();
            draft.number
        });
    }
    let mut numbers = publishing.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (2..10).collect::<Vec<_>>());
    assert_eq!(store.find_profile("standard").await.unwrap().unwrap().active_number, 9);
}

#[tokio::test]
async fn a_tests_database_goes_with_it_whoever_is_connected_and_however_it_ends() {
    let databases = [TestDatabase::new().await, TestDatabase::new().await];
    let name = |database: &TestDatabase| database.url.rsplit_once('/').unwrap().1.to_owned();
    let names = databases.each_ref().map(name);
    let [one, other] = databases;
    let connected = one.store(1).await;
    let panicking = std::thread::spawn(move || {
        let _database = other;
        std::panic::resume_unwind(Box::new("a test that fails"));
    });
    assert!(panicking.join().is_err());
    drop(one);
    // One is taken when those before it are gone.
    drop(TestDatabase::empty().await);
    assert!(connected.database().ping().await.is_err());
    let left = format!("SELECT count(*) FROM pg_database WHERE datname IN ('{}', '{}')", names[0], names[1]);
    assert_eq!(TestDatabase::new().await.value(&left).await, "0");
}
