//! Dry runs over HTTP: who would change state is told before a version is published, and nothing is written.

use std::collections::BTreeMap;

use edge::testing::{TestAgent, TestMachine};
use protocol::admin::{DryRun, Role};
use serde_json::{Value, json};

use super::{Client, pointers};
use crate::World;

impl World {
    async fn profile_path(&self) -> String {
        format!("/profiles/{}", self.database.value("SELECT id FROM profiles").await)
    }
}

/// Drafts knobs; returns the version's number.
async fn draft(client: &Client, path: &str, knobs: &Value) -> i64 {
    let drafted = client.post(&format!("{path}/versions"), &json!({ "knobs": knobs })).await;
    assert_eq!(drafted.status, 201, "{}", drafted.json());
    drafted.json()["number"].as_i64().unwrap()
}

async fn foretold(client: &Client, path: &str, number: i64, wanted: &Value) -> DryRun {
    let answer = client.post(&format!("{path}/versions/{number}/dry-run"), wanted).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_slice(&answer.body).unwrap()
}

/// `authorized 14 ok > warned 13 clock_skew: 2`, a line a change.
fn lines(run: &DryRun) -> Vec<String> {
    let said =
        |verdict: &protocol::admin::Verdict| format!("{} {} {}", verdict.state, verdict.rule, verdict.reason);
    let line = |change: &protocol::admin::ForetoldChange| {
        format!("{} > {}: {}", said(&change.from), said(&change.to), change.installs)
    };
    run.changes.iter().map(line).collect()
}

/// What an agent is told by its beat.
async fn beat(world: &World, agent: &mut TestAgent) -> String {
    let claims = agent.beat(&world.server).await.claims();
    let word = |name: &str| claims[name].as_str().unwrap().to_owned();
    format!("{} {} {}", word("state"), claims["rule"], word("reason"))
}

/// Five machines: one in order, one whose clock is off, one with another board, one with two other components, one
/// whose agent is newer.
async fn fleet(world: &World) -> Vec<TestAgent> {
    let mut agents = Vec::new();
    for number in 0..5 {
        agents.push(world.agent(number).await);
    }
    agents[1].skew = 200;
    agents[2].machine = TestMachine::with_components([99, 2, 2]);
    agents[3].machine = TestMachine::with_components([99, 99, 3]);
    "2.0.0".clone_into(&mut agents[4].version);
    world.pass(60);
    for agent in &mut agents {
        agent.beat(&world.server).await;
    }
    agents
}

#[tokio::test]
async fn each_knob_of_a_known_fleet_changes_those_that_it_should_by_the_rule_that_it_should() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    fleet(&world).await;
    for (knobs, worse, better, changes) in [
        (json!({}), 0, 0, &[][..]),
        (json!({ "max_clock_skew": 100 }), 1, 0, &["authorized 14 ok > warned 13 clock_skew: 1"]),
        (json!({ "min_agent_version": "2.0.0" }), 2, 0, &["authorized 14 ok > warned 13 agent_outdated: 2"]),
        (
            json!({ "min_match": 0.667 }),
            1,
            0,
            &["warned 13 fingerprint_drift > locked 8 fingerprint_mismatch: 1"],
        ),
        (
            json!({ "min_match": 0.3 }),
            0,
            1,
            &["locked 8 fingerprint_mismatch > warned 13 fingerprint_drift: 1"],
        ),
        (
            json!({ "weights": { "board_serial": 0, "mac": 0 } }),
            0,
            2,
            &[
                "warned 13 fingerprint_drift > authorized 14 ok: 1",
                "locked 8 fingerprint_mismatch > authorized 14 ok: 1",
            ],
        ),
        (
            json!({ "min_match": 1, "max_clock_skew": 100 }),
            2,
            0,
            &[
                "warned 13 fingerprint_drift > locked 8 fingerprint_mismatch: 1",
                "authorized 14 ok > warned 13 clock_skew: 1",
            ],
        ),
    ] {
        let number = draft(&operator, &path, &knobs).await;
        let run = foretold(&operator, &path, number, &Value::Null).await;
        assert_eq!(lines(&run), changes, "{knobs}");
        let counts = [run.installs, run.unchanged, run.same_state, run.changed, run.worse, run.better];
        assert_eq!(counts, [5, 5 - worse - better, 0, worse + better, worse, better], "{knobs}");
        assert_eq!((run.number, run.percent, &run.next_cursor), (i32::try_from(number).unwrap(), 100, &None));
    }
}

#[tokio::test]
async fn what_is_foretold_is_what_the_next_beats_say_to_however_many_it_is_published() {
    let world = World::with("{}", 100).await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    let mut agents = Vec::new();
    for number in 0..24 {
        let mut agent = world.agent(number).await;
        agent.skew = i64::try_from(number % 4).unwrap() * 100;
        agent.version = ["1.4.2", "2.0.0-rc.1", "2.0.0"][usize::try_from(number % 3).unwrap()].to_owned();
        if number % 5 == 0 {
            agent.machine = TestMachine::with_components([99, number, number]);
        }
        agents.push(agent);
    }
    world.pass(60);
    let mut told = Vec::new();
    for agent in &mut agents {
        told.push(beat(&world, agent).await);
    }
    let mut moved = 0;
    for (knobs, percents) in [
        (json!({ "max_clock_skew": 150 }), &[5, 40, 100][..]),
        (json!({ "max_clock_skew": 50, "min_match": 0.8 }), &[50]),
        // Over one that judges half: the other half comes back to what the rest has.
        (json!({ "min_agent_version": "2.0.0" }), &[30, 60, 20, 100]),
        (json!({ "weights": { "board_serial": 0 }, "max_clock_skew": 250 }), &[100]),
    ] {
        let number = draft(&operator, &path, &knobs).await;
        for percent in percents {
            let run = foretold(&operator, &path, number, &json!({ "percent": percent })).await;
            let published = operator
                .post(&format!("{path}/versions/{number}/publish"), &json!({ "percent": percent }))
                .await;
            assert_eq!(published.status, 200);
            world.pass(60);
            let mut changes: BTreeMap<String, i64> = BTreeMap::new();
            for (agent, before) in agents.iter_mut().zip(&mut told) {
                let after = beat(&world, agent).await;
                if after != *before {
                    *changes.entry(format!("{before} > {after}")).or_default() += 1;
                }
                *before = after;
            }
            moved += changes.len();
            let mut expected = lines(&run);
            expected.sort();
            let changes: Vec<_> =
                changes.iter().map(|(change, count)| format!("{change}: {count}")).collect();
            assert_eq!(expected, changes, "{knobs} to {percent}");
            for change in &run.changes {
                for example in &change.examples {
                    let agent = agents.iter().position(|agent| agent.install == example.install_id).unwrap();
                    let said = format!("{} {} {}", change.to.state, change.to.rule, change.to.reason);
                    assert_eq!(told[agent], said, "{knobs} to {percent}");
                }
            }
        }
    }
    assert!(moved > 8, "{moved}");
}

#[tokio::test]
async fn what_is_foretold_is_what_installs_pages_say_of_suspended_suspected_silent_and_leased_ones() {
    let expected = pages_say_what_is_foretold(false).await;
    assert!(expected.iter().any(|line| line.contains("locked 9 seats_exceeded")), "{expected:?}");
    assert!(expected.iter().any(|line| line.contains("quarantined 5 clone_suspected")), "{expected:?}");
}

#[tokio::test]
async fn an_incident_hold_holds_in_a_dry_run_too() {
    let expected = pages_say_what_is_foretold(true).await;
    assert!(!expected.iter().any(|line| line.contains("seats_exceeded")), "{expected:?}");
    assert!(expected.iter().any(|line| line.contains("quarantined 5 clone_suspected")), "{expected:?}");
}

async fn pages_say_what_is_foretold(is_held: bool) -> Vec<String> {
    let world = World::with(r#"{"clone_action": "warn"}"#, 9).await;
    let owner = world.script(Role::Owner).await;
    let path = world.profile_path().await;
    let mut agents = Vec::new();
    for number in 0..7 {
        agents.push(world.agent(number).await);
    }
    agents[0].take_lease(&world.server, 86_400).await;
    let at = |seconds: i64| format!("to_timestamp({})", store::testing::START + seconds);
    for (agent, set) in [
        (2, format!("suspended_at = {}", at(1))),
        (3, format!("clone_suspected_at = {}", at(1))),
        (4, format!("seats_exceeded_at = {}", at(-700_000))),
        (5, "awaiting_approval = true".to_owned()),
        (6, format!("deactivated_at = {}", at(1))),
    ] {
        let set = format!("UPDATE installs SET {set} WHERE id = '{}'", agents[agent].install);
        world.database.run(&set).await;
    }
    world.pass(4_000);
    if is_held {
        let hold = json!({ "until": "2026-09-23T00:00:00Z", "reason": "the line is down" });
        assert_eq!(owner.put("/hold", &hold).await.status, 200);
    }
    let page = async |agent: &TestAgent| {
        let decision = owner.get(&format!("/installs/{}", agent.install)).await.json()["decision"].clone();
        let word = |name: &str| decision[name].as_str().unwrap().to_owned();
        format!("{} {} {}", word("state"), decision["rule"], word("reason"))
    };
    let mut before = Vec::new();
    for agent in &agents[..6] {
        before.push(page(agent).await);
    }
    let knobs = json!({ "clone_action": "quarantine", "overage_grace": 0, "overage_degraded": 0,
                        "silence_grace": 0, "silence_tolerance": 3_900 });
    let number = draft(&owner, &path, &knobs).await;
    let run = foretold(&owner, &path, number, &json!({})).await;
    owner.post(&format!("{path}/versions/{number}/publish"), &json!({})).await;
    let mut changes: BTreeMap<String, i64> = BTreeMap::new();
    for (agent, before) in agents[..6].iter().zip(before) {
        let after = page(agent).await;
        if after != before {
            *changes.entry(format!("{before} > {after}")).or_default() += 1;
        }
    }
    let mut expected = lines(&run);
    expected.sort();
    let changes: Vec<_> = changes.iter().map(|(change, count)| format!("{change}: {count}")).collect();
    assert_eq!(expected, changes);
    assert_eq!(run.installs, 6, "nobody hears any more of the one that has left");
    expected
}

async fn fleet_of_two(world: &World) -> Vec<TestAgent> {
    vec![world.agent(0).await, world.agent(1).await]
}

#[tokio::test]
async fn an_instant_ahead_is_judged_as_if_nothing_more_were_heard_until_then() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    world.agent(1).await;
    let number = draft(&operator, &path, &json!({ "silence_grace": 0 })).await;
    let now = foretold(&operator, &path, number, &json!({})).await;
    assert_eq!((now.unchanged, now.at.to_string().as_str()), (1, "2026-09-21T14:15:23Z"));
    let later = foretold(&operator, &path, number, &json!({ "at": "2026-09-21T15:15:23Z" })).await;
    assert_eq!(lines(&later), ["grace 11 out_of_contact > degraded 10 out_of_contact: 1"]);
    for at in ["2026-09-21T14:15:22Z", "2026-12-20T14:15:24Z", "soon"] {
        let refused = operator.post(&format!("{path}/versions/{number}/dry-run"), &json!({ "at": at })).await;
        assert_eq!((refused.status, pointers(&refused)), (422, vec!["/at".to_owned()]), "{at}");
    }
}

#[tokio::test]
async fn parts_add_up_to_the_whole_and_judge_the_same_instant() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    fleet(&world).await;
    let knobs = json!({ "max_clock_skew": 100, "min_agent_version": "2.0.0", "min_match": 1 });
    let number = draft(&operator, &path, &knobs).await;
    let whole = foretold(&operator, &path, number, &json!({})).await;
    for limit in 1..=6 {
        let mut sum: Option<DryRun> = None;
        let mut cursor = String::new();
        for part in 0.. {
            assert!(part <= 5, "in parts of {limit}: it goes on for ever");
            let part = operator
                .post(&format!("{path}/versions/{number}/dry-run?limit={limit}{cursor}"), &json!({}))
                .await;
            let part: DryRun = serde_json::from_slice(&part.body).unwrap();
            assert!(part.installs <= limit, "{part:?}");
            let next = part.next_cursor.clone();
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.add(part),
            }
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
            // Time goes on, and doesn't matter.
            world.pass(1);
        }
        let sum = sum.unwrap();
        assert_eq!(sum, DryRun { at: sum.at, ..whole.clone() }, "in parts of {limit}");
    }
    let refused =
        operator.post(&format!("{path}/versions/{number}/dry-run?limit=0&cursor=x"), &json!({})).await;
    assert_eq!(pointers(&refused), ["/limit", "/cursor"]);
}

#[tokio::test]
async fn nothing_is_written_and_nothing_that_is_locked_is_waited_for() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    fleet(&world).await;
    let number = draft(&operator, &path, &json!({ "min_match": 1, "max_clock_skew": 1 })).await;
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND \
                  table_type = 'BASE TABLE' ORDER BY 1";
    let tables = world.database.lines(tables).await;
    assert!(tables.len() > 10, "{tables:?}");
    let dump = async || {
        let mut dump = Vec::new();
        for table in &tables {
            let rows = format!("SELECT '{table} ' || xmin || ' ' || t::text FROM {table} t ORDER BY 1");
            dump.extend(world.database.lines(&rows).await);
        }
        dump
    };
    let before = dump().await;
    let locked = "SELECT 1 FROM installs FOR UPDATE; SELECT 1 FROM licenses FOR UPDATE; SELECT 1 FROM profiles FOR \
                  UPDATE; SELECT 1 FROM profile_versions FOR UPDATE";
    let run = world.database.holding(locked, foretold(&operator, &path, number, &json!({}))).await;
    assert_eq!(run.changed, 2, "{run:?}");
    assert_eq!(dump().await, before);
}

#[tokio::test]
async fn what_no_judgement_of_today_shows_is_noted() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 5).await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    let mut agents = fleet_of_two(&world).await;
    world.pass(5_000);
    agents[0].beat(&world.server).await;
    let knobs = json!({ "release_silent_after": 4_000, "require_approval": "yes", "reactivations_per_month": 1,
                        "learn_drift": true, "lease_max_seconds": 60,
                        "cadence": { "warned": { "interval": 100, "token_ttl": 100 } } });
    let number = draft(&operator, &path, &knobs).await;
    let run = foretold(&operator, &path, number, &json!({})).await;
    assert_eq!((run.changed, run.seats_released), (0, 1), "{run:?}");
    let of = [
        "require_approval",
        "reactivations_per_month",
        "learn_drift",
        "lease_max_seconds",
        "release_silent_after",
        "cadence",
    ];
    assert_eq!(run.notes.len(), of.len(), "{:?}", run.notes);
    for (note, knob) in run.notes.iter().zip(of) {
        assert!(note.starts_with(knob), "{note}");
    }
    let same = draft(&operator, &path, &json!({ "release_silent_after": 7200 })).await;
    assert_eq!(foretold(&operator, &path, same, &json!({})).await.notes, [""; 0]);
}

#[tokio::test]
async fn what_is_not_there_or_can_not_be_published_so_is_refused() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    let ask = async |path: String, body: Value| operator.post(&path, &body).await;
    assert_eq!(ask(format!("{path}/versions/2/dry-run"), json!({})).await.word(), "404 not_found");
    assert_eq!(ask(format!("{path}/versions/0/dry-run"), json!({})).await.word(), "404 not_found");
    let nobodys = "/profiles/01920000-0000-7000-8000-000000000000/versions/1/dry-run";
    assert_eq!(ask(nobodys.to_owned(), json!({})).await.word(), "404 not_found");
    let same = ask(format!("{path}/versions/1/dry-run"), json!({ "percent": 5 })).await;
    assert_eq!(same.word(), "409 conflict", "there is none for the rest");
    let wrong = ask(format!("{path}/versions/1/dry-run"), json!({ "percent": 0, "at": 1 })).await;
    assert_eq!(pointers(&wrong), ["/percent", "/at"]);
    let viewer = world.script(Role::Viewer).await;
    assert_eq!(viewer.post(&format!("{path}/versions/1/dry-run"), &json!({})).await.word(), "403 forbidden");
}

#[tokio::test]
async fn one_that_the_database_breaks_off_says_so_and_what_to_do_and_the_next_one_goes_through() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let path = world.profile_path().await;
    fleet(&world).await;
    let number = draft(&operator, &path, &json!({ "min_match": 1 })).await;
    let ask = async || operator.post(&format!("{path}/versions/{number}/dry-run"), &json!({})).await;
    // As it does when its time is up, which nobody waits for here.
    let broken_off = async {
        let end =
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
                   AND query LIKE '-- dry_run.installs%' AND wait_event_type = 'Lock'";
        while world.database.value(end).await == "0" {}
    };
    let both = Box::pin(async { tokio::join!(ask(), broken_off) });
    let (refused, ()) = world.database.holding("LOCK TABLE installs IN ACCESS EXCLUSIVE MODE", both).await;
    assert_eq!(refused.word(), "503 unavailable");
    let problem = refused.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("took longer") && detail.contains("nothing was changed"), "{detail}");
    assert!(detail.contains("limit"), "what to do: {detail}");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(foretold(&operator, &path, number, &json!({})).await.installs, 5);
}
