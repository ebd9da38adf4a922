//! What becomes of a message: tried again, given up, sent again, taken over from the dead; and nobody waits for another.

use edge::testing::Receiver;
use protocol::admin::Role;
use serde_json::{Value, json};
use store::TakenDelivery;

use super::webhooks::{ALLOW, act, deliver, deliveries, listen};
use crate::{World, server_with};

#[tokio::test]
async fn a_target_that_fails_is_tried_again_on_waits_that_grow_and_given_up_after_about_a_day() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let webhook = listen(&owner, &receiver, &["*"]).await;
    let ping = act(&owner, &format!("/webhooks/{}/ping", webhook["id"].as_str().unwrap())).await;
    assert_eq!(ping.status, 202);
    receiver.answer_with([Some(500), Some(302)]);
    receiver.answer_with([Some(503); 8]);
    let began = world.server.edge.now();
    for attempt in 1..=10 {
        deliver(&world.server).await;
        let delivery = deliveries(&owner, &webhook, "").await.remove(0);
        assert_eq!(delivery["attempts"], attempt);
        assert_eq!(receiver.received().len(), attempt, "no redirect is followed");
        let (code, error) = match attempt {
            1 => (500, "refused"),
            2 => (302, "redirected"),
            _ => (503, "refused"),
        };
        assert_eq!((&delivery["status_code"], &delivery["error"]), (&json!(code), &json!(error)));
        if attempt == 10 {
            assert_eq!((&delivery["status"], &delivery["next_attempt_at"]), (&json!("failed"), &json!(null)));
            break;
        }
        assert_eq!(delivery["status"], "pending");
        let next = protocol::admin::parse_time(delivery["next_attempt_at"].as_str().unwrap()).unwrap();
        world.pass(next - world.server.edge.now() - 1);
        deliver(&world.server).await;
        assert_eq!(receiver.received().len(), attempt, "not before its time");
        world.pass(1);
    }
    let hours = (world.server.edge.now() - began) / 3_600;
    assert!((20..=34).contains(&hours), "{hours} h");
    let ids: Vec<_> = receiver.received().iter().map(|told| told.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one message");
    world.pass(86_400);
    deliver(&world.server).await;
    assert_eq!(receiver.received().len(), 10, "given up");

    let path = format!("/webhooks/{}/deliveries/{}/resend", webhook["id"].as_str().unwrap(), ids[0]);
    let again = act(&owner, &path).await;
    assert_eq!((again.status, &again.json()["status"]), (202, &json!("pending")));
    assert_eq!(act(&owner, &path).await.json(), again.json(), "done twice is done");
    deliver(&world.server).await;
    let delivery = deliveries(&owner, &webhook, "status=delivered").await.remove(0);
    assert_eq!((&delivery["attempts"], &delivery["error"]), (&json!(11), &json!(null)));
    assert_eq!(receiver.received()[10].header("webhook-id"), ids[0]);
    let audited = owner.get("/audit?action=webhook.resend").await.json();
    assert_eq!(audited["items"].as_array().unwrap().len(), 1);
    assert_eq!(audited["items"][0]["before"]["error"], "refused");

    let metrics = String::from_utf8(world.server.get("/metrics").await.body).unwrap();
    for counted in [r#"{outcome="refused"} 9"#, r#"{outcome="redirected"} 1"#, r#"{outcome="delivered"} 1"#] {
        assert!(metrics.contains(&format!("qubictether_webhook_attempts_total{counted}")), "{metrics}");
    }

    world.pass(30 * 86_400);
    world.server.edge.store.forget_deliveries().await.unwrap();
    assert_eq!(deliveries(&owner, &webhook, "").await, [Value::Null; 0], "it is old");
}

#[tokio::test]
async fn a_target_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_asks_up_to_a_day() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let webhook = listen(&owner, &receiver, &["*"]).await;
    act(&owner, &format!("/webhooks/{}/ping", webhook["id"].as_str().unwrap())).await;
    for (status, after, wait) in
        [(503, "600", 600), (429, "Mon, 21 Sep 2026 14:35:23 GMT", 600), (503, "1000000", 86_400)]
    {
        receiver.answer_with([Some(status)]);
        receiver.put_off(after);
        deliver(&world.server).await;
        let next = deliveries(&owner, &webhook, "").await[0]["next_attempt_at"].clone();
        let next = protocol::admin::parse_time(next.as_str().unwrap()).unwrap();
        assert_eq!(next - world.server.edge.now(), wait, "{status} {after}");
        world.pass(wait - 1);
        deliver(&world.server).await;
        assert_eq!(deliveries(&owner, &webhook, "status=delivered").await, [Value::Null; 0], "not before");
        world.pass(1);
    }
    deliver(&world.server).await;
    assert_eq!(deliveries(&owner, &webhook, "status=delivered").await[0]["attempts"], 4);
}

#[tokio::test]
async fn a_target_that_says_that_it_is_gone_is_told_nothing_more() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let webhook = listen(&owner, &receiver, &["*"]).await;
    let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    act(&owner, &format!("{path}/ping")).await;
    receiver.answer_with([Some(500)]);
    deliver(&world.server).await;
    world.pass(5);
    act(&owner, &format!("{path}/ping")).await;
    receiver.answer_with([Some(410)]);
    deliver(&world.server).await;
    let faults: Vec<_> =
        deliveries(&owner, &webhook, "status=failed").await.iter().map(|row| row["error"].clone()).collect();
    assert_eq!(faults, ["gone", "disabled"]);
    let row = owner.get("/webhooks").await.json()["items"][0].clone();
    assert_eq!((&row["disabled_at"], &row["version"]), (&json!("2026-09-21T14:15:28Z"), &json!(2)));
    act(&owner, &format!("/licenses/{}/suspend", world.license.id)).await;
    world.pass(86_400);
    deliver(&world.server).await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(act(&owner, &format!("{path}/ping")).await.word(), "409 conflict");
    let id = deliveries(&owner, &webhook, "").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(act(&owner, &format!("{path}/deliveries/{id}/resend")).await.word(), "409 conflict");
}

#[tokio::test]
async fn one_that_never_answers_holds_up_nobody_else() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let (silent, quick) = (Receiver::open().await, Receiver::open().await);
    silent.answer_with(vec![None; 100]);
    listen(&owner, &silent, &["*"]).await;
    let webhook = listen(&owner, &quick, &["*"]).await;
    for _ in 0..20 {
        act(&owner, &format!("/licenses/{}/suspend", world.license.id)).await;
        act(&owner, &format!("/licenses/{}/resume", world.license.id)).await;
    }
    let server = world.server.clone();
    let delivering = tokio::spawn(async move { deliver(&server).await });
    assert_eq!(quick.wait_for(40).await.len(), 40);
    assert_eq!(silent.wait_for(8).await.len(), 8, "it is at the first ones still");
    delivering.abort();
    assert!(deliveries(&owner, &webhook, "status=delivered").await.len() >= 32);
}

#[tokio::test]
async fn two_processes_deliver_each_message_once() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    listen(&owner, &receiver, &["*"]).await;
    for _ in 0..30 {
        act(&owner, &format!("/licenses/{}/suspend", world.license.id)).await;
        act(&owner, &format!("/licenses/{}/resume", world.license.id)).await;
    }
    let other = server_with(&world.database, 2, &ALLOW).await;
    tokio::join!(deliver(&world.server), deliver(&other), deliver(&world.server));
    let mut ids: Vec<_> = receiver.received().iter().map(|told| told.header("webhook-id")).collect();
    assert_eq!(ids.len(), 60);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}

#[tokio::test]
async fn what_a_process_had_taken_when_it_died_is_delivered_by_another_once_its_time_is_over() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let webhook = listen(&owner, &receiver, &["*"]).await;
    act(&owner, &format!("/webhooks/{}/ping", webhook["id"].as_str().unwrap())).await;
    let id = webhook["id"].as_str().unwrap().parse().unwrap();
    let taken: Vec<TakenDelivery> = world.server.edge.store.take_deliveries(id, 8).await.unwrap();
    assert_eq!(taken.len(), 1);
    let other = server_with(&world.database, 2, &ALLOW).await;
    world.pass(59);
    deliver(&other).await;
    assert_eq!(receiver.events(), [""; 0], "it may be under way");
    world.pass(1);
    deliver(&other).await;
    assert_eq!(receiver.events(), ["webhook.ping"]);
    // The first one wasn't dead after all, and comes to an end now.
    let failed = store::Attempted::GivenUp(protocol::admin::DeliveryFault::TimedOut);
    world.server.edge.store.settle_delivery(&taken[0], None, failed).await.unwrap();
    let row = deliveries(&owner, &webhook, "").await.remove(0);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("delivered"), &json!(2)));
}

#[tokio::test]
async fn a_secret_that_is_sealed_anew_signs_as_before() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let webhook = listen(&owner, &receiver, &["*"]).await;
    let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    let ping = act(&owner, &format!("{path}/ping")).await.json();
    deliver(&world.server).await;
    let store = &world.server.edge.store;
    let command_line = store::Actor::command_line();
    let rotation = store.begin_rotation(keyring::Purpose::DataKey, &command_line).await.unwrap();
    store.bring_under(rotation, |_| ()).await.unwrap();
    assert_eq!(world.database.value("SELECT get_byte(secret, 3) FROM webhooks").await, "2");
    act(&owner, &format!("{path}/deliveries/{}/resend", ping["id"].as_str().unwrap())).await;
    deliver(&world.server).await;
    let signed: Vec<_> = receiver.received().iter().map(|told| told.header("webhook-signature")).collect();
    assert_eq!((signed.len(), &signed[0]), (2, &signed[1]), "of the same message at the same time");
}
