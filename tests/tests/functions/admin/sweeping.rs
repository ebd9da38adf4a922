//! What lists say of installs is what the engine says, whoever is silent and whenever somebody sweeps; and a fleet that is
//! well costs no row.

use std::collections::BTreeSet;

use edge::testing::TestAgent;
use protocol::admin::Role;
use protocol::ambient::{Random, SeededRandom};
use serde_json::{Value, json};

use super::Client;
use crate::World;

/// Each install's state as lists filter by it, and as the engine decides it now.
async fn states(client: &Client) -> Vec<(String, String)> {
    let page = client.get("/installs?limit=200").await.json();
    let words = |install: &Value| {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        (word(&install["state"]), word(&install["decision"]["state"]))
    };
    page["items"].as_array().unwrap().iter().map(words).collect()
}

async fn sweep(world: &World) {
    world.server.edge.store.sweep().await.unwrap();
}

/// Agents, some of which beat as agreed, some now and then, and some no longer.
async fn fleet(world: &World) -> Vec<TestAgent> {
    let mut agents = Vec::new();
    for number in 0..6 {
        agents.push(world.agent(number).await);
        world.pass(7);
    }
    agents
}

#[tokio::test]
async fn after_each_sweep_lists_say_what_the_engine_says_whoever_is_silent_for_however_long() {
    for (seed, knobs) in [
        (1, r#"{"silence_grace": 900, "silence_degraded": 400}"#),
        (2, r#"{"silence_tolerance": 700, "silence_grace": 0, "silence_degraded": 0}"#),
        (3, r#"{"silence_tolerance": 5000, "silence_grace": 1300}"#),
        (4, r#"{"silence_tolerance": 90000, "expiry_grace": 500, "expiry_degraded": 0}"#),
    ] {
        let world = World::with(knobs, 9).await;
        let viewer = world.script(Role::Viewer).await;
        let mut agents = fleet(&world).await;
        let ends = world.server.edge.now() + 4_000;
        let ends = format!("UPDATE licenses SET expires_at = to_timestamp({ends})");
        world.database.run(&ends).await;
        let random = SeededRandom::new(seed);
        let mut byte = [0];
        let (mut seen, mut last) = (BTreeSet::new(), 0);
        for step in 0..220 {
            // Somebody sweeps every half minute; now and then nobody does for a while.
            world.pass(if step % 50 == 49 { 2_000 } else { 30 });
            let now = world.server.edge.now();
            for (number, agent) in agents.iter_mut().enumerate() {
                random.fill(&mut byte);
                let beats = match number {
                    0 | 1 => now - last >= 270 && byte[0] % 2 == 0,
                    2 | 3 => byte[0] < 6,
                    4 => step < 20 && byte[0] < 40,
                    _ => step == 100,
                };
                if beats {
                    agent.beat(&world.server).await;
                    last = now;
                }
            }
            sweep(&world).await;
            for (listed, decided) in states(&viewer).await {
                assert_eq!(listed, decided, "step {step} under {knobs}");
                seen.insert(decided);
            }
        }
        assert!(seen.len() >= 2, "{knobs}: {seen:?}");
    }
}

#[tokio::test]
async fn of_those_that_beat_as_agreed_no_sweep_writes_anything() {
    let world = World::with("{}", 9).await;
    let mut agents = fleet(&world).await;
    sweep(&world).await;
    let rows = "SELECT xmin || ' ' || install_id FROM install_states ORDER BY install_id";
    let before = world.database.lines(rows).await;
    for _ in 0..60 {
        world.pass(300);
        for agent in &mut agents {
            assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
        }
        sweep(&world).await;
    }
    assert_eq!(world.database.lines(rows).await, before, "five hours, and sixty sweeps");
    let operator = world.script(Role::Operator).await;
    let path = format!("/licenses/{}", world.license.id);
    let version = operator.get(&path).await.json()["version"].clone();
    let renamed = operator.patch(&path, &version, &json!({ "customer": "Example Ltd" })).await;
    assert_eq!(renamed.status, 200);
    sweep(&world).await;
    assert_eq!(world.database.value("SELECT count(*) FROM restatements").await, "0", "all were judged");
    assert_eq!(world.database.lines(rows).await, before, "and nothing had changed");
}

#[tokio::test]
async fn those_that_were_judged_at_once_are_judged_anew_at_other_times_each() {
    let world = World::with("{}", 5_000).await;
    let store = &world.server.edge.store;
    let now = world.server.edge.now();
    store.make_installs(world.license.id, 2_000, now).await;
    sweep(&world).await;
    let hours = format!(
        "SELECT count(*) FROM install_states GROUP BY floor(extract(epoch FROM due_at) - {now} - 86400)::int / 3600"
    );
    let hours: Vec<u32> =
        world.database.lines(&hours).await.iter().map(|count| count.parse().unwrap()).collect();
    assert_eq!((hours.len(), hours.iter().sum::<u32>()), (24, 2_000), "within the second day");
    assert!(hours.iter().all(|count| (40..140).contains(count)), "as many each hour: {hours:?}");
}

#[tokio::test]
async fn a_round_is_spread_over_its_time_and_one_that_is_late_is_over_at_once() {
    let world = World::with("{}", 9_000).await;
    let store = &world.server.edge.store;
    store.make_installs(world.license.id, 9_000, world.server.edge.now()).await;
    let looked =
        async || world.database.value("SELECT round_looked FROM sweeps").await.parse::<i64>().unwrap();
    sweep(&world).await;
    sweep(&world).await;
    assert_eq!(looked().await, 0, "the first is over, and the next one isn't due");
    world.pass(1_200);
    for step in 0_i64..20 {
        sweep(&world).await;
        let share = 9_000 * step * 60 / 1_200;
        let looked = looked().await;
        assert!((share..=share + 2_000).contains(&looked) || looked == 0 && step > 15, "{step}: {looked}");
        world.pass(60);
    }
    let silent = "SELECT count(*) FROM install_states WHERE state = 'grace'";
    world.pass(7_200);
    sweep(&world).await;
    assert_eq!(world.database.value(silent).await, "9000", "nobody has swept for two hours");
}

#[tokio::test]
async fn who_is_silent_is_noted_once_and_no_longer_when_it_is_heard_of() {
    let world = World::with(r#"{"silence_tolerance": 90000}"#, 5).await;
    let viewer = world.script(Role::Viewer).await;
    let mut agent = world.agent(1).await;
    sweep(&world).await;
    let noted = "SELECT xmin || ' ' || coalesce(extract(epoch FROM silent_since)::bigint::text, '-') FROM install_states";
    let silent_from = world.server.edge.now();
    world.pass(3_600);
    sweep(&world).await;
    let row = world.database.value(noted).await;
    assert!(row.ends_with(&silent_from.to_string()), "{row}");
    for _ in 0..5 {
        world.pass(3_600);
        sweep(&world).await;
    }
    assert_eq!(world.database.value(noted).await, row, "once");
    let since = "/installs?silent_since=2026-09-21T14:15:23Z";
    assert_eq!(viewer.get(since).await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    assert_eq!(viewer.get(since).await.json()["items"], json!([]), "at once");
    world.pass(1_200);
    sweep(&world).await;
    assert!(world.database.value(noted).await.ends_with(" -"));
}
