//! What a dry run reads: in parts, each install once, and as far as its reader wants to see.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::collections::BTreeSet;

use protocol::InstallId;
use store::testing::{START, TestDatabase};

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
            let last = store.look_at_installs(profile, after, limit, |install| {
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
