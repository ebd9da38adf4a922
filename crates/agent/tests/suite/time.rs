//! Walking the ladder, through silence, restarts and clocks that somebody turned.

use crate::{rig::Rig, server::NOW};

#[tokio::test]
async fn silence_walks_the_ladder_and_a_contact_ends_it() {
    let rig = Rig::activated().await;
    rig.server.leave();
    let mut states = Vec::new();
    for seconds in [3599, 1, 3599, 1, 3600, 1_000_000] {
        rig.pass(seconds);
        assert!(rig.agent.beat().await.is_err());
        states.push(rig.position().0);
    }
    assert_eq!(states, ["authorized", "grace", "grace", "degraded", "locked", "locked"]);
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.position().0, "authorized");
}

#[tokio::test]
async fn turning_the_wall_clock_while_the_machine_is_up_changes_nothing() {
    let rig = Rig::activated().await;
    rig.clocks.turn(-1_000_000);
    rig.clocks.pass(3600);
    assert_eq!(rig.position(), ("grace".into(), 11, "out_of_contact".into()));
    rig.clocks.turn(50_000_000);
    assert_eq!(rig.position().0, "grace");
}

#[tokio::test]
async fn off_time_counts() {
    let rig = Rig::activated().await;
    rig.clocks.restart(7200);
    assert_eq!((rig.position().0.as_str(), rig.agent.status().unwrap().at), ("degraded", NOW + 7200));
}

#[tokio::test]
async fn a_clock_turned_back_over_a_restart_locks_until_the_server_is_heard() {
    let rig = Rig::activated().await;
    rig.clocks.turn(-3601);
    rig.clocks.restart(0);
    assert_eq!(rig.position(), ("locked".into(), 0, "clock_rollback".into()));
    // That the clock is right again, or the machine restarted again, is no excuse.
    rig.server.leave();
    assert!(rig.agent.beat().await.is_err());
    rig.clocks.turn(3601);
    rig.clocks.restart(10);
    assert_eq!(rig.position(), ("locked".into(), 0, "clock_rollback".into()));
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.position(), ("authorized".into(), 14, "ok".into()));
}

#[tokio::test]
async fn a_clock_that_is_merely_wrong_harms_nobody() {
    for wrong in [-40_000_000, 40_000_000] {
        let rig = Rig::new();
        rig.clocks.turn(wrong);
        rig.activate().await.unwrap();
        rig.clocks.restart(100);
        assert_eq!(rig.position().0, "authorized", "{wrong}");
        rig.server.books().clock.advance(100);
        rig.agent.beat().await.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_over_a_restart_makes_nobody_deaf() {
    let rig = Rig::activated().await;
    rig.clocks.turn(300_000_000);
    rig.clocks.restart(60);
    assert_eq!(rig.position().0, "locked");
    rig.server.books().clock.advance(60);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.position().0, "authorized");
    assert_eq!(rig.agent.status().unwrap().at, NOW + 60);
}
