//! Signing keys over a real database: rotated, tainted and published by two processes.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use jose_jwt::SigningKey;
use keyring::signing::{KeyRecord, KeyUse, LONGEST_TOKEN, OVERLAP, Pace, READ_WITHIN, Stage, StepError};
use protocol::keyset::{Keyset, verify_successor};
use store::testing::{ISSUER, START, TestDatabase};
use store::{Actor, Error, KeyTerms, KeysetTerms, Store};

const LEAD: i64 = 86_400;
const AGE: i64 = 7_776_000;
const LIFE: i64 = 2_592_000;
const TERMS: KeyTerms<'static> = KeyTerms {
    keysets: KeysetTerms { issuer: ISSUER, life: LIFE },
    pace: Pace { lead: LEAD, rotate_after: AGE },
    roots: &[],
    actor: None,
};

/// Two processes over one database.
async fn site() -> (TestDatabase, Store, Store) {
    let database = TestDatabase::new().await;
    let (one, other) = (database.store(1).await, database.store(2).await);
    (database, one, other)
}

async fn kid(store: &Store, key_use: KeyUse, stage: Stage) -> String {
    let now = store.clock().unix_seconds();
    let of = |record: &KeyRecord| record.key_use == key_use && record.stage(now) == stage;
    let keys = store.list_signing_keys().await.unwrap();
    let mut found = keys.iter().filter(|record| of(record));
    let kid = found.next().unwrap_or_else(|| panic!("no {} key", stage.as_str())).kid().to_owned();
    assert_eq!(found.next(), None);
    kid
}

/// The kids in the newest keyset, which has to verify under the root, and its version.
async fn published(store: &Store) -> (u64, Vec<String>) {
    let root = store.list_roots().await.unwrap().pop().unwrap().public;
    let keyset = Keyset::verify(&store.load_keyset().await.unwrap().jws, &root, ISSUER).unwrap();
    let kids = keyset.claims().keys.iter().map(|key| key.jwk.thumbprint().to_owned()).collect();
    (keyset.version(), kids)
}

/// As many private halves, of keys as of roots, as the database has.
async fn keys_made(database: &TestDatabase) -> String {
    database.value("SELECT (SELECT count(*) FROM signing_keys) + (SELECT count(*) FROM root_keys)").await
}

#[tokio::test]
async fn a_rotation_before_the_lead_is_over_says_when_it_can_be_and_changes_nothing() {
    let (database, store, _) = site().await;
    database.clock.advance(LEAD - 1);
    let refused = store.rotate_signing_keys(&[KeyUse::Lease, KeyUse::Token], TERMS).await;
    assert!(
        matches!(&refused, Err(Error::SigningKeys(StepError::TooEarly { from, .. })) if *from == START + LEAD),
        "{refused:?}"
    );
    assert_eq!((keys_made(&database).await.as_str(), published(&store).await.0), ("5", 1));
}

#[tokio::test]
async fn a_rotation_makes_the_prepared_key_sign_and_publishes_the_next_in_one_step() {
    let (database, store, other) = site().await;
    let (old, next) =
        (kid(&store, KeyUse::Token, Stage::Active).await, kid(&store, KeyUse::Token, Stage::Prepared).await);
    database.clock.advance(LEAD);
    store.rotate_signing_keys(&[KeyUse::Token], TERMS).await.unwrap();
    assert_eq!(kid(&other, KeyUse::Token, Stage::Active).await, next);
    assert_eq!(kid(&other, KeyUse::Token, Stage::Retiring).await, old);
    let prepared = kid(&other, KeyUse::Token, Stage::Prepared).await;
    let (version, kids) = published(&other).await;
    assert_eq!((version, kids.len()), (2, 5));
    assert!([&old, &next, &prepared].iter().all(|kid| kids.contains(kid)));

    let now = START + LEAD;
    assert_eq!(other.load_signing_keys(now).await.unwrap().token.kid(), next);
    let keys = store.list_signing_keys().await.unwrap();
    let retiring = keys.iter().find(|key| key.kid() == old).unwrap();
    assert_eq!(retiring.sign_until, Some(now + OVERLAP));
    assert_eq!(retiring.verify_until, Some(now + OVERLAP + LONGEST_TOKEN + READ_WITHIN));
}

#[tokio::test]
async fn a_lease_key_verifies_as_long_as_the_longest_lease_that_was_to_be_had() {
    let (database, store, _) = site().await;
    database.license(1, r#"{"lease_max_seconds": 31622400}"#, 1).await;
    database.license(2, r#"{"lease_max_seconds": 0}"#, 1).await;
    database.clock.advance(LEAD);
    store.rotate_signing_keys(&[KeyUse::Lease], TERMS).await.unwrap();
    let keys = store.list_signing_keys().await.unwrap();
    let until = keys.iter().find_map(|key| key.verify_until);
    assert_eq!(until, Some(START + LEAD + OVERLAP + 31_622_400 + READ_WITHIN));
}

#[tokio::test]
async fn of_many_that_rotate_at_once_one_does() {
    let (database, one, other) = site().await;
    database.clock.advance(LEAD);
    let stores = [std::sync::Arc::new(one), std::sync::Arc::new(other)];
    let mut rotating = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = stores[number % 2].clone();
        rotating.spawn(async move { store.rotate_signing_keys(&KeyUse::ALL, TERMS).await });
    }
    let results = rotating.join_all().await;
    let too_early =
        |result: &&Result<(), Error>| matches!(result, Err(Error::SigningKeys(StepError::TooEarly { .. })));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(too_early).count(), 7, "{results:?}");
    assert_eq!(published(&stores[0]).await.0, 2);
}

#[tokio::test]
async fn the_database_itself_lets_no_use_have_two_active_or_two_prepared_keys() {
    let (database, _, _) = site().await;
    for second in ["publish_at WHERE sign_from IS NULL", "NULL WHERE sign_from IS NOT NULL"] {
        let refused = format!(
            "DO $$ BEGIN
                 UPDATE signing_keys SET sign_from = {second};
                 RAISE 'taken: {second}';
             EXCEPTION WHEN unique_violation THEN NULL;
             END $$"
        );
        database.run(&refused).await;
    }
}

#[tokio::test]
async fn keys_that_are_old_enough_are_rotated_by_whoever_looks_first() {
    let (database, one, other) = site().await;
    database.clock.advance(AGE - 1);
    let keyset = one.tend_keys(TERMS).await.unwrap().unwrap();
    assert_eq!(keyset.version, 2, "a third of the keyset's life is gone");
    assert!(other.tend_keys(TERMS).await.unwrap().is_none());
    database.clock.advance(1);
    let next = kid(&one, KeyUse::Lease, Stage::Prepared).await;
    assert_eq!(other.tend_keys(TERMS).await.unwrap().unwrap().version, 3);
    assert!(one.tend_keys(TERMS).await.unwrap().is_none());
    assert_eq!(kid(&one, KeyUse::Lease, Stage::Active).await, next);
}

#[tokio::test]
async fn who_tends_keys_does_not_wait_for_another_that_is_at_it() {
    let (database, store, _) = site().await;
    database.clock.advance(AGE);
    let lock = "SELECT pg_advisory_xact_lock(7163127404523)";
    let tended = database.holding(lock, store.tend_keys(TERMS)).await;
    assert!(tended.unwrap().is_none());
    assert!(store.tend_keys(TERMS).await.unwrap().is_some());
}

#[tokio::test]
async fn a_rotation_that_breaks_off_leaves_the_old_key_signing() {
    let (database, store, other) = site().await;
    let before = kid(&store, KeyUse::Token, Stage::Active).await;
    database.clock.advance(LEAD);
    // What comes last fails.
    database.run("ALTER TABLE keysets ADD CHECK (version < 2)").await;
    let failed = store.rotate_signing_keys(&KeyUse::ALL, TERMS).await;
    assert!(matches!(failed, Err(Error::Statement { .. })), "{failed:?}");
    assert_eq!(other.load_signing_keys(START + LEAD).await.unwrap().token.kid(), before);
    assert_eq!((keys_made(&database).await.as_str(), published(&other).await.0), ("5", 1));
}

#[tokio::test]
async fn a_retired_key_leaves_the_keyset_when_its_last_signature_has_expired() {
    let (database, store, _) = site().await;
    let old = kid(&store, KeyUse::Token, Stage::Active).await;
    database.clock.advance(LEAD);
    store.rotate_signing_keys(&[KeyUse::Token], TERMS).await.unwrap();
    // Not for the keyset's age, then.
    let terms = KeyTerms { keysets: KeysetTerms { life: 10 * LIFE, ..TERMS.keysets }, ..TERMS };
    store.sign_keyset(terms).await.unwrap();
    database.clock.advance(OVERLAP + LONGEST_TOKEN + READ_WITHIN - 1);
    assert!(store.tend_keys(terms).await.unwrap().is_none());
    assert!(published(&store).await.1.contains(&old));
    database.clock.advance(1);
    assert_eq!(store.tend_keys(terms).await.unwrap().unwrap().version, 4);
    assert!(!published(&store).await.1.contains(&old));
    assert!(store.tend_keys(terms).await.unwrap().is_none());
}

#[tokio::test]
async fn a_tainted_key_leaves_the_keyset_at_once_and_the_prepared_one_signs() {
    let (_database, store, other) = site().await;
    let bad = kid(&store, KeyUse::Token, Stage::Active).await;
    let next = kid(&store, KeyUse::Token, Stage::Prepared).await;
    store.taint_signing_key(&bad, TERMS).await.unwrap();
    assert_eq!(other.load_signing_keys(START).await.unwrap().token.kid(), next);
    let (version, kids) = published(&other).await;
    assert_eq!((version, kids.len(), kids.contains(&bad)), (2, 4, false));
    assert!(kids.contains(&kid(&other, KeyUse::Token, Stage::Prepared).await));

    // Done twice is done.
    other.taint_signing_key(&bad, TERMS).await.unwrap();
    assert_eq!(published(&other).await.0, 2);
    // The prepared one likewise.
    let prepared = kid(&other, KeyUse::Token, Stage::Prepared).await;
    store.taint_signing_key(&prepared, TERMS).await.unwrap();
    let (version, kids) = published(&other).await;
    assert_eq!((version, kids.len(), kids.contains(&prepared)), (3, 4, false));
    assert_eq!(other.load_signing_keys(START).await.unwrap().token.kid(), next);
}

#[tokio::test]
async fn what_is_unknown_or_has_retired_can_not_be_tainted() {
    let (database, store, _) = site().await;
    let unknown = store.taint_signing_key("nobody's", TERMS).await;
    assert!(matches!(unknown, Err(Error::SigningKeys(StepError::Unknown(_)))), "{unknown:?}");
    let old = kid(&store, KeyUse::Token, Stage::Active).await;
    database.clock.advance(LEAD);
    store.rotate_signing_keys(&[KeyUse::Token], TERMS).await.unwrap();
    database.clock.advance(OVERLAP + LONGEST_TOKEN + READ_WITHIN);
    let retired = store.taint_signing_key(&old, TERMS).await;
    assert!(matches!(retired, Err(Error::SigningKeys(StepError::Retired(_)))), "{retired:?}");
    assert_eq!(published(&store).await.0, 2);
}

#[tokio::test]
async fn a_root_that_was_forgotten_signs_only_where_it_is_given() {
    let (database, store, other) = site().await;
    let roots = store.load_roots().await.unwrap();
    assert_eq!(store.forget_roots(&[roots[0].kid()], &Actor::command_line()).await.unwrap(), 1);
    assert_eq!(store.forget_roots(&[roots[0].kid()], &Actor::command_line()).await.unwrap(), 0);
    assert!(other.load_roots().await.unwrap().is_empty());
    let stranger = [SigningKey::from_seed(&[9; 32])];
    database.clock.advance(LEAD);
    for terms in [TERMS, KeyTerms { roots: &stranger, ..TERMS }] {
        let absent = other.rotate_signing_keys(&KeyUse::ALL, terms).await;
        assert!(matches!(&absent, Err(Error::RootAbsent { kid }) if kid == roots[0].kid()), "{absent:?}");
        assert!(matches!(other.sign_keyset(terms).await, Err(Error::RootAbsent { .. })));
        let bad = kid(&other, KeyUse::Token, Stage::Active).await;
        assert!(matches!(other.taint_signing_key(&bad, terms).await, Err(Error::RootAbsent { .. })));
    }
    assert_eq!((keys_made(&database).await.as_str(), published(&other).await.0), ("5", 1));
    other.rotate_signing_keys(&KeyUse::ALL, KeyTerms { roots: &roots, ..TERMS }).await.unwrap();
    assert_eq!(published(&store).await.0, 2);
    assert!(!store.load_keyset().await.unwrap().has_root);
}

#[tokio::test]
async fn each_root_vouches_for_the_next_and_the_last_signs() {
    let (_database, store, other) = site().await;
    let mut trusted = store.list_roots().await.unwrap()[0].public.clone();
    for version in 2..=17 {
        other.rotate_root(TERMS).await.unwrap();
        let said = store.find_root_successor(trusted.kid()).await.unwrap().unwrap();
        trusted = verify_successor(&said, &trusted, ISSUER).unwrap();
        let keyset = Keyset::verify(&store.load_keyset().await.unwrap().jws, &trusted, ISSUER).unwrap();
        assert_eq!(keyset.version(), version);
    }
    assert_eq!(store.find_root_successor(trusted.kid()).await.unwrap(), None);
}

#[tokio::test]
async fn a_root_that_is_kept_elsewhere_vouches_for_the_next_where_it_is_given() {
    let (_database, store, _) = site().await;
    let roots = store.load_roots().await.unwrap();
    store.forget_roots(&[roots[0].kid()], &Actor::command_line()).await.unwrap();
    assert!(matches!(store.rotate_root(TERMS).await, Err(Error::RootAbsent { .. })));
    store.rotate_root(KeyTerms { roots: &roots, ..TERMS }).await.unwrap();
    let said = store.find_root_successor(roots[0].kid()).await.unwrap().unwrap();
    let next = verify_successor(&said, roots[0].public(), ISSUER).unwrap();
    assert_eq!(store.load_roots().await.unwrap()[0].public(), &next);
}

#[tokio::test]
async fn another_public_url_signs_keyset_and_successors_anew() {
    let (_database, store, other) = site().await;
    let first = store.load_roots().await.unwrap();
    store.rotate_root(TERMS).await.unwrap();
    let moved = "https://license.example.com";
    let terms = KeyTerms { keysets: KeysetTerms { issuer: moved, ..TERMS.keysets }, ..TERMS };
    other.tend_keys(terms).await.unwrap().unwrap();
    let successor = async || {
        let said = store.find_root_successor(first[0].kid()).await.unwrap().unwrap();
        verify_successor(&said, first[0].public(), moved)
    };
    let next = successor().await.unwrap();
    Keyset::verify(&store.load_keyset().await.unwrap().jws, &next, moved).unwrap();

    // Those kept elsewhere too, where they are given.
    store.forget_roots(&[first[0].kid()], &Actor::command_line()).await.unwrap();
    other.tend_keys(TERMS).await.unwrap().unwrap();
    other.tend_keys(terms).await.unwrap().unwrap();
    assert!(successor().await.is_ok(), "what it said stays");
    store.sign_keyset(KeyTerms { roots: &first, ..TERMS }).await.unwrap();
    assert!(successor().await.is_err());
    store.sign_keyset(KeyTerms { roots: &first, ..terms }).await.unwrap();
    assert_eq!(successor().await.unwrap(), next);
}

#[tokio::test]
async fn what_an_operator_changes_stands_in_the_audit_log_and_what_is_due_does_not() {
    let (database, store, _) = site().await;
    let actor = Actor::command_line();
    let terms = KeyTerms { actor: Some(&actor), ..TERMS };
    database.clock.advance(AGE);
    store.tend_keys(TERMS).await.unwrap().unwrap();
    database.clock.advance(LEAD);
    store.rotate_signing_keys(&KeyUse::ALL, terms).await.unwrap();
    let bad = kid(&store, KeyUse::Token, Stage::Active).await;
    for _ in 0..2 {
        store.taint_signing_key(&bad, terms).await.unwrap();
    }
    store.rotate_root(terms).await.unwrap();
    assert!(store.taint_signing_key("nobody's", terms).await.is_err());
    let log = "SELECT action || ' ' || resource_id || ' ' || coalesce(after::text, '-') FROM admin_audit ORDER BY seq";
    let root = store.list_roots().await.unwrap().pop().unwrap().public;
    assert_eq!(
        database.lines(log).await,
        [
            r#"signing_key.rotate token lease {"keyset":3}"#.to_owned(),
            format!(r#"signing_key.taint {bad} {{"keyset":4}}"#),
            format!(r#"root_key.rotate {0} {{"kid":"{0}"}}"#, root.kid()),
        ]
    );
}
