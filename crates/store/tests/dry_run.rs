//! What a dry run reads: in parts, each install once, and as far as its reader wants to see.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::InstallId;
use store::Error;
use store::testing::{START, TestDatabase};

const LONGEST: Duration = Duration::from_mins(1);

#[tokio::test]
async fn whoever_has_seen_enough_goes_on_later_and_each_install_is_seen_once() {
    let database = TestDatabase::new().await;
    let store = database.store(1).await;
    let mut made = BTreeSet::new();
    for seed in 1..=2 {
        let license = database.license(seed, "{}", 1_000).await;
        made.extend(store.make_installs(license.id, 300, START).await);
    }
    database.run("UPDATE licenses SET profile_id = (SELECT profile_id FROM licenses LIMIT 1)").await;
    let profile = store.find_profile(&database.value("SELECT profile_id FROM licenses").await).await.unwrap();
    let profile = profile.unwrap().id;
    for (limit, enough) in
        [(1_000, 50), (1_000, 599), (1_000, 600), (100, 1_000), (600, 1_000), (1_000, 1_000)]
    {
        let mut seen: Vec<InstallId> = Vec::new();
        let mut after = None;
        for part in 0.. {
            assert!(part <= 12, "{limit} {enough}: it goes on for ever");
            let begin = seen.len();
            let last = store.look_at_installs(profile, after, limit, LONGEST, |install| {
                assert!(install.holds_seat && install.facts.last_contact == START, "{install:?}");
                seen.push(install.id);
                seen.len() - begin < enough
            });
            after = last.await.unwrap();
            let Some(last) = after else { break };
            assert_eq!(seen.last(), Some(&last));
        }
        assert_eq!(seen.len(), 600, "{limit} {enough}");
        assert!(made.iter().eq(&seen), "{limit} {enough}: in the order of their ids");
    }
}

#[tokio::test]
async fn one_that_takes_too_long_is_broken_off_and_leaves_nothing_behind() {
    let database = TestDatabase::new().await;
    let store = database.store(1).await;
    let license = database.license(1, "{}", 1_000).await;
    let made = store.make_installs(license.id, 3, START).await;
    let profile = store.find_profile(&database.value("SELECT profile_id FROM licenses").await).await.unwrap();
    let profile = profile.unwrap().id;
    let look = async |within| store.look_at_installs(profile, None, 9, within, |_| true).await;
    let broken_off = database
        .holding("LOCK TABLE installs IN ACCESS EXCLUSIVE MODE", look(Duration::from_millis(50)))
        .await;
    assert!(matches!(broken_off, Err(Error::TookTooLong("dry_run.installs"))), "{broken_off:?}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND (state <> 'idle' OR wait_event_type = 'Lock') AND pid <> pg_backend_pid()";
    // Its connection ends when the database has read that it does.
    let mut looks = 0;
    while database.value(left).await != "0" {
        looks += 1;
        assert!(looks < 1_000, "a transaction is left, or somebody who waits");
    }
    assert_eq!(look(LONGEST).await.unwrap(), None);
    assert_eq!(made.len(), 3);
}
