//! Profiles over HTTP: made, drafted, published to all or to some, rolled back.

use protocol::admin::Role;
use serde_json::{Value, json};

use super::pointers;
use crate::World;

#[tokio::test]
async fn a_profile_is_drafted_published_and_rolled_back_and_each_judges_the_next_beat() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let path = format!("/profiles/{}", world.database.value("SELECT id FROM profiles").await);
    let drafted = operator
        .post(&format!("{path}/versions"), &json!({ "knobs": { "min_agent_version": "9.0.0" } }))
        .await;
    assert_eq!(
        (drafted.status, &drafted.json()["number"], &drafted.json()["published_at"]),
        (201, &json!(2), &Value::Null)
    );
    assert_eq!(drafted.json()["knobs"]["silence_tolerance"], 3600, "every default is written out");
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized", "a draft judges nobody");

    let version = operator.get(&path).await.json()["version"].clone();
    for _ in 0..2 {
        let published = operator.post(&format!("{path}/versions/2/publish"), &json!({})).await;
        assert_eq!((published.status, &published.json()["active_number"]), (200, &json!(2)));
        assert_eq!(published.json()["version"], version.as_i64().unwrap() + 1, "done twice is done");
    }
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "agent_outdated");
    let rolled = operator.post(&format!("{path}/rollback"), &json!({})).await.json();
    assert_eq!(rolled["active_number"], 1);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    assert_eq!(
        operator.post(&format!("{path}/rollback"), &json!({})).await.word(),
        "409 conflict",
        "nothing is before 1"
    );
    let versions = operator.get(&format!("{path}/versions")).await.json();
    let numbers: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|version| version["number"].clone()).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(
        operator.post(&format!("{path}/versions/3/publish"), &json!({})).await.word(),
        "404 not_found"
    );
    assert_eq!(
        operator.post(&format!("{path}/versions/x/publish"), &json!({})).await.word(),
        "404 not_found"
    );
}

#[tokio::test]
async fn a_version_for_some_in_a_hundred_judges_always_the_same_ones_and_more_of_them_as_it_is_widened() {
    let world = World::with("{}", 100).await;
    let operator = world.script(Role::Operator).await;
    let path = format!("/profiles/{}", world.database.value("SELECT id FROM profiles").await);
    let mut agents = Vec::new();
    for number in 0..40 {
        agents.push(world.agent(number).await);
    }
    operator.post(&format!("{path}/versions"), &json!({ "knobs": {} })).await;
    let mut before: Vec<usize> = Vec::new();
    for percent in [30, 30, 60, 100] {
        let published =
            operator.post(&format!("{path}/versions/2/publish"), &json!({ "percent": percent })).await.json();
        assert_eq!(
            (&published["percent"], &published["active_number"]),
            (&json!(percent), &json!(2)),
            "{published}"
        );
        world.pass(60);
        let mut judged = Vec::new();
        for (number, agent) in agents.iter_mut().enumerate() {
            if agent.beat(&world.server).await.claims()["pro"]["version"] == 2 {
                judged.push(number);
            }
        }
        assert!(before.iter().all(|number| judged.contains(number)), "{percent}: whoever was in stays in");
        if percent == 30 && !before.is_empty() {
            assert_eq!(judged, before, "always the same ones");
        }
        before = judged;
        assert!(percent == 100 || (1..40).contains(&before.len()), "{percent}: {}", before.len());
    }
    assert_eq!(before.len(), 40);
    for percent in [0, 101] {
        let refused =
            operator.post(&format!("{path}/versions/2/publish"), &json!({ "percent": percent })).await;
        assert_eq!(pointers(&refused), ["/percent"]);
    }
}

#[tokio::test]
async fn a_profile_is_made_once_and_refused_knobs_are_named() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let made = operator.post("/profiles", &json!({ "name": "strict", "knobs": { "min_match": 1 } })).await;
    assert_eq!((made.status, &made.json()["active_number"]), (201, &json!(1)));
    assert_eq!(
        operator.post("/profiles", &json!({ "name": "strict", "knobs": {} })).await.word(),
        "409 conflict"
    );
    let refused = operator
        .post("/profiles", &json!({ "name": "other", "knobs": { "min_match": 2, "nonsense": 1 } }))
        .await;
    assert_eq!(pointers(&refused), ["/knobs/min_match", "/knobs/nonsense"]);
    assert_eq!(
        pointers(&operator.post("/profiles", &json!({ "name": "", "knobs": 1 })).await),
        ["/name", "/knobs"]
    );
    let names = operator.get("/profiles?limit=1").await.json();
    assert_eq!(names["items"][0]["name"], "strict");
    let rest =
        operator.get(&format!("/profiles?cursor={}", names["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!(rest["items"][0]["name"], "test-1", "in the order of their names");
}

#[tokio::test]
async fn a_rollback_brings_everybody_back_whoever_is_let_out_goes_first_and_no_license_is_rewritten() {
    let world = World::with("{}", 100).await;
    let operator = world.script(Role::Operator).await;
    let path = format!("/profiles/{}", world.database.value("SELECT id FROM profiles").await);
    let mut agents = Vec::new();
    for number in 0..20 {
        agents.push(world.agent(number).await);
    }
    let licenses = "SELECT xmin || ' ' || l::text FROM licenses l";
    let before = world.database.value(licenses).await;
    let mut judging = async |percent: &Value| {
        let action = if percent.is_null() { "rollback" } else { "versions/2/publish" };
        let body = if percent.is_null() { json!({}) } else { json!({ "percent": percent }) };
        assert_eq!(operator.post(&format!("{path}/{action}"), &body).await.status, 200);
        world.pass(60);
        let mut judged = Vec::new();
        for (number, agent) in agents.iter_mut().enumerate() {
            if agent.beat(&world.server).await.claims()["pro"]["version"] == 2 {
                judged.push(number);
            }
        }
        judged
    };
    operator.post(&format!("{path}/versions"), &json!({ "knobs": {} })).await;
    let most = judging(&json!(70)).await;
    let fewer = judging(&json!(20)).await;
    assert!(
        fewer.len() < most.len() && fewer.iter().all(|number| most.contains(number)),
        "{fewer:?} {most:?}"
    );
    assert_eq!(judging(&json!(70)).await, most, "the same ones again");
    assert_eq!(judging(&Value::Null).await, [0; 0], "a rollback from some");
    assert_eq!(operator.get(&path).await.json()["percent"], 100);
    assert_eq!(judging(&json!(100)).await.len(), 20);
    assert_eq!(judging(&Value::Null).await, [0; 0], "a rollback from all");
    assert_eq!(judging(&json!(70)).await, most, "and once more the same ones");
    assert_eq!(world.database.value(licenses).await, before, "a license names its profile, and that is all");
}
