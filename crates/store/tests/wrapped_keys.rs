//! Data keys and lookup keys over a real database: rotated while two processes work.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::sync::Arc;

use keyring::signing::OVERLAP;
use keyring::{Context, LocalProvider, Purpose};
use policy::{Knobs, evaluate};
use protocol::ambient::{Clock, SeededRandom};
use protocol::secrets::Secrets;
use protocol::{InstallId, LicenseKey, Secret};
use store::testing::{KEK, START, TestDatabase, TestLicense, recording};
use store::{Actor, Audit, Brought, Contact, Error, Outcome, Progress, Rotation, Store, Subject};

const DATA_KEY: Context = Context { purpose: Purpose::DataKey, version: 1 };
const LOOKUP_KEY: Context = Context { purpose: Purpose::LookupKey, version: 1 };

/// A database with a license and so many installs that have secrets.
struct Site {
    database: TestDatabase,
    license: TestLicense,
    installs: Vec<InstallId>,
}

impl Site {
    async fn new(installs: usize) -> Self {
        let database = TestDatabase::new().await;
        let license = database.license(1, "{}", 1000).await;
        let ids = database.store(1000).await.make_installs(license.id, installs, START).await;
        Self { database, license, installs: ids }
    }

    async fn store(&self, seed: u64) -> Store {
        self.database.store(seed).await
    }

    /// Under which data keys values are, by table: `installs 1`, `installs 2`, …
    async fn versions(&self) -> Vec<String> {
        let of = |table: &str, column: &str| {
            format!("SELECT '{table} ' || get_byte({column}, 3) FROM {table} WHERE {column} IS NOT NULL")
        };
        let all = [
            of("installs", "secrets"),
            of("licenses", "key_sealed"),
            of("signing_keys", "private_key"),
            of("root_keys", "private_key"),
        ];
        self.database.lines(&format!("SELECT * FROM ({}) a ORDER BY 1", all.join(" UNION "))).await
    }

    fn settle(&self) {
        self.database.clock.advance(OVERLAP);
    }
}

fn contact(subject: Subject) -> Contact {
    let facts = policy::Facts { last_contact: START, ..Default::default() };
    let decision = evaluate(&facts, &Knobs::default().judging, START);
    let audit = Audit {
        at: START,
        operation: "rekey",
        outcome: Outcome::Accepted,
        counter: 1,
        decision,
        clock_skew: None,
    };
    Contact { subject, audit: vec![audit] }
}

async fn secret_of(store: &Store, install: InstallId) -> Result<Option<Secrets>, Error> {
    Ok(store.load_subjects(&[install]).await?.pop().unwrap().secrets)
}

async fn is_found(store: &Store, key: &LicenseKey) -> bool {
    let mut connection = store.connection().await.unwrap();
    let activation = store.begin_activation(&mut connection).await.unwrap();
    activation.find_license(Some(key)).await.unwrap().is_some()
}

/// Brings everything under a rotation's key, as the command does: once more when something was still to come. Returns how
/// many values that were.
async fn finish(site: &Site, store: &Store, rotation: Rotation) -> u64 {
    let mut renewed = 0;
    loop {
        let mut last = Progress::default();
        let brought = store.bring_under(rotation, |progress| last = progress).await.unwrap();
        renewed += last.renewed;
        match brought {
            Brought::All => return renewed,
            Brought::Later(at) => assert!(at > site.database.clock.unix_seconds()),
        }
        site.settle();
    }
}

#[tokio::test]
async fn what_was_sealed_before_a_rotation_opens_and_everything_is_brought_under_the_new_key() {
    let site = Site::new(3).await;
    let (one, other) = (site.store(1).await, site.store(2).await);
    let rotation = one.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    assert_eq!((rotation.to.version, rotation.settled_at, rotation.is_new), (2, START + OVERLAP, true));
    assert_eq!(site.versions().await, ["installs 1", "licenses 1", "root_keys 1", "signing_keys 1"]);
    for store in [&one, &other] {
        assert!(secret_of(store, site.installs[0]).await.unwrap().is_some());
    }
    assert_eq!(finish(&site, &one, rotation).await, 3 + 1 + 4 + 1);
    assert_eq!(site.versions().await, ["installs 2", "licenses 2", "root_keys 2", "signing_keys 2"]);
    // A process that has never heard of the new key.
    assert!(secret_of(&other, site.installs[0]).await.unwrap().is_some());
    assert!(other.load_signing_keys(START).await.is_ok() && other.load_roots().await.unwrap().len() == 1);
    let keys = one.list_wrapped_keys().await.unwrap();
    let retired: Vec<_> = keys.iter().map(|key| (key.context, key.retired_at.is_some())).collect();
    let next = Context { version: 2, ..DATA_KEY };
    assert_eq!(retired, [(DATA_KEY, true), (next, false), (LOOKUP_KEY, false)]);
}

#[tokio::test]
async fn a_data_key_seals_no_more_than_its_bound_however_many_processes_do_it() {
    let site = Site::new(1).await;
    let (one, other) = (site.store(1).await, site.store(2).await);
    let seal = async |store: &Store| {
        let mut subject = store.load_subjects(&[site.installs[0]]).await?.pop().unwrap();
        subject.set_secrets(Some(Secrets::fresh(Secret::from_bytes([9; 32]))));
        store.commit_contacts(&[contact(subject)]).await.map(|written| written.len())
    };
    // There is one reservation left, of 1024.
    site.database
        .run("UPDATE wrapped_keys SET seals_reserved = 2147483648 - 1024 WHERE purpose = 'data-key'")
        .await;
    assert_eq!(seal(&one).await.unwrap(), 1);
    for _ in 0..2 {
        let refused = seal(&other).await;
        assert!(matches!(refused, Err(Error::Keyring(keyring::Error::AllowanceSpent))), "{refused:?}");
    }
    let reserved = "SELECT seals_reserved FROM wrapped_keys WHERE purpose = 'data-key'";
    assert_eq!(site.database.value(reserved).await, "2147483648");
    other.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    assert_eq!(seal(&other).await.unwrap(), 1, "under the next one");
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_a_rotation_seals_under_the_old_key_for_a_minute_at_most() {
    let site = Site::new(2).await;
    let (one, other) = (site.store(1).await, site.store(2).await);
    let rotation = one.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    // Each an install of its own: who opens a value of a new version has heard of it.
    let seal = async |store: &Store, install: InstallId| {
        let mut subject = store.load_subjects(&[install]).await.unwrap().pop().unwrap();
        subject.set_secrets(Some(Secrets::fresh(Secret::from_bytes([9; 32]))));
        assert_eq!(store.commit_contacts(&[contact(subject)]).await.unwrap().len(), 1);
        let version = format!("SELECT get_byte(secrets, 3) FROM installs WHERE id = '{install}'");
        site.database.value(&version).await
    };
    assert_eq!(seal(&one, site.installs[0]).await, "2");
    site.database.clock.advance(29);
    assert!(matches!(one.bring_under(rotation, |_| ()).await, Ok(Brought::Later(_))));
    site.database.run("UPDATE installs SET secrets = NULL").await;
    assert_eq!(seal(&other, site.installs[1]).await, "1", "after it was walked over");
    assert_eq!(one.bring_under(rotation, |_| ()).await.unwrap(), Brought::Later(START + OVERLAP));
    site.database.run("UPDATE installs SET secrets = NULL").await;
    site.database.clock.advance(1);
    assert_eq!(seal(&other, site.installs[1]).await, "2");
    site.settle();
    assert_eq!(one.bring_under(rotation, |_| ()).await.unwrap(), Brought::All);
}

#[tokio::test]
async fn a_rotation_that_was_begun_goes_on_and_no_other_begins() {
    let site = Site::new(2).await;
    let (one, other) = (site.store(1).await, site.store(2).await);
    let rotation = one.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    let again = other.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    assert_eq!((again.to, again.settled_at, again.is_new), (rotation.to, rotation.settled_at, false));
    // Both at once, as often as it takes.
    site.settle();
    let (a, b) = tokio::join!(one.bring_under(rotation, |_| ()), other.bring_under(again, |_| ()));
    let brought = [a.unwrap(), b.unwrap()];
    if !brought.contains(&Brought::All) {
        assert_eq!(one.bring_under(rotation, |_| ()).await.unwrap(), Brought::All, "{brought:?}");
    }
    let next = other.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    assert_eq!((next.to.version, next.is_new), (3, true));
}

#[tokio::test]
async fn a_row_that_somebody_works_on_is_left_for_the_next_walk() {
    let site = Site::new(2).await;
    let store = site.store(1).await;
    let rotation = store.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    site.settle();
    let locked = format!("SELECT FROM installs WHERE id = '{}' FOR UPDATE", site.installs[0]);
    let brought = site.database.holding(&locked, store.bring_under(rotation, |_| ())).await;
    assert!(matches!(brought, Ok(Brought::Later(_))), "{brought:?}");
    assert_eq!(site.versions().await[..2], ["installs 1", "installs 2"]);
    assert_eq!(store.bring_under(rotation, |_| ()).await.unwrap(), Brought::All);
}

#[tokio::test]
async fn what_does_not_open_is_named_and_keeps_its_key() {
    let site = Site::new(2).await;
    let store = site.store(1).await;
    let broken = site.installs[1];
    site.database
        .run(&format!("UPDATE installs SET secrets = secrets || '\\x00' WHERE id = '{broken}'"))
        .await;
    let rotation = store.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    site.settle();
    let closed = store.bring_under(rotation, |_| ()).await.unwrap_err();
    let said = closed.to_string();
    assert!(said.starts_with("1 sealed value") && said.contains(&broken.to_string()), "{said}");
    assert_eq!(site.versions().await[..2], ["installs 1", "installs 2"]);
    assert!(store.list_wrapped_keys().await.unwrap()[0].retired_at.is_none());
}

#[tokio::test]
async fn an_old_copy_opens_with_the_retired_key_and_says_so_when_that_is_destroyed() {
    let site = Site::new(1).await;
    let store = site.store(1).await;
    let (copy, restore) = (
        "CREATE TABLE copy AS SELECT id, secrets FROM installs",
        "UPDATE installs SET secrets = copy.secrets FROM copy WHERE copy.id = installs.id",
    );
    site.database.run(copy).await;
    let rotation = store.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    let early = store.destroy_wrapped_key(DATA_KEY, &Actor::command_line()).await;
    assert!(matches!(early, Err(Error::KeyNeeded { left: None, .. })), "{early:?}");
    finish(&site, &store, rotation).await;

    site.database.run(restore).await;
    // One that starts now doesn't unwrap what has retired, until it is wanted.
    let late = site.store(3).await;
    for store in [&store, &late] {
        assert!(secret_of(store, site.installs[0]).await.unwrap().is_some());
    }
    let needed = store.destroy_wrapped_key(DATA_KEY, &Actor::command_line()).await;
    assert!(matches!(needed, Err(Error::KeyNeeded { left: Some(1), .. })), "{needed:?}");
    let rotation = store.begin_rotation(Purpose::DataKey, &Actor::command_line()).await.unwrap();
    finish(&site, &store, rotation).await;
    store.destroy_wrapped_key(DATA_KEY, &Actor::command_line()).await.unwrap();
    store.destroy_wrapped_key(DATA_KEY, &Actor::command_line()).await.unwrap();
    assert_eq!(
        site.database.value("SELECT length(wrapped) FROM wrapped_keys WHERE destroyed_at IS NOT NULL").await,
        "0"
    );

    let (from, to) =
        ([KEK, [1; 32]]).map(|key| LocalProvider::from_key(key, Arc::new(SeededRandom::new(5)))).into();
    let moved = store.database().rewrap_keys(&from, &to, &recording(START)).await.unwrap();
    assert_eq!(moved.moved, 3, "what was destroyed stays so");
    store.database().rewrap_keys(&to, &from, &recording(START)).await.unwrap();

    site.database.run(restore).await;
    for store in [&store, &site.store(4).await] {
        let closed = secret_of(store, site.installs[0]).await.unwrap_err();
        assert!(matches!(closed, Error::Keyring(keyring::Error::DestroyedVersion(1))), "{closed:?}");
    }
    let unknown = store.destroy_wrapped_key(Context { version: 9, ..DATA_KEY }, &Actor::command_line()).await;
    assert!(matches!(unknown, Err(Error::KeyUnknown(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_license_key_is_found_at_every_moment_of_a_lookup_keys_rotation() {
    let site = Site::new(0).await;
    let (one, other) = (site.store(1).await, site.store(2).await);
    let (key, stranger) = (&site.license.key, LicenseKey::generate([7; 18]));
    let rotation = one.begin_rotation(Purpose::LookupKey, &Actor::command_line()).await.unwrap();
    for store in [&one, &other] {
        assert!(is_found(store, key).await && !is_found(store, &stranger).await);
    }
    // One that was made under the new key, for a process that learns of it by that.
    let third = site.store(3).await;
    let made = site.database.license(2, "{}", 1).await;
    let versions = "SELECT string_agg(lookup_version::text, ' ' ORDER BY lookup_version) FROM licenses";
    assert_eq!(site.database.value(versions).await, "1 2");
    assert!(is_found(&third, &made.key).await);

    let unaware = site.store(4).await;
    finish(&site, &one, rotation).await;
    assert_eq!(site.database.value(versions).await, "2 2");
    for store in [&one, &other, &third, &unaware] {
        assert!(is_found(store, key).await && is_found(store, &made.key).await);
        assert!(!is_found(store, &stranger).await);
    }
    one.destroy_wrapped_key(LOOKUP_KEY, &Actor::command_line()).await.unwrap();
    assert!(is_found(&site.store(5).await, key).await);
}
