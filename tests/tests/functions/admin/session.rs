//! Signing in and out.

use protocol::admin::Role;
use serde_json::json;

use super::{PASSWORD, cookie};
use crate::World;

#[tokio::test]
async fn whoever_signs_in_gets_a_cookie_that_no_script_reads_and_the_database_keeps_its_hash() {
    let world = World::new().await;
    world.user("ann@example.com", Role::Viewer).await;
    let answer = world.sign_in(&json!({ "email": " Ann@Example.com ", "password": PASSWORD })).await;
    assert_eq!((answer.status, &answer.json()["role"]), (201, &"viewer".into()));
    let set = answer.headers["set-cookie"].to_str().unwrap();
    for part in ["qt_session=", "; Path=/", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "plain http on loopback");
    let token = cookie(&answer)["qt_session=".len()..].to_owned();
    let kept = world.database.value("SELECT sessions::text || users::text FROM sessions, users").await;
    assert!(!kept.contains(&token) && !kept.contains(PASSWORD));
}

#[tokio::test]
async fn a_session_ends_by_signing_out_after_twelve_hours_unused_and_after_seven_days() {
    let world = World::new().await;
    let person = world.person(Role::Viewer).await;
    assert_eq!(person.get("/session").await.json()["name"], "viewer@example.com");
    world.pass(12 * 3600 - 1);
    assert_eq!(person.get("/session").await.status, 200, "and so it is used");
    world.pass(12 * 3600);
    assert_eq!(person.get("/session").await.word(), "401 unauthorized", "unused for twelve hours");

    let person = world.signed_in("viewer@example.com").await;
    for _ in 0..27 {
        world.pass(6 * 3600);
        assert_eq!(person.get("/session").await.status, 200);
    }
    world.pass(6 * 3600);
    assert_eq!(person.get("/session").await.word(), "401 unauthorized", "seven days");

    let person = world.signed_in("viewer@example.com").await;
    let out = person.call(http::Method::DELETE, "/session", &json!(null)).await;
    assert_eq!(out.status, 204);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(person.get("/session").await.word(), "401 unauthorized");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_are_one_answer() {
    let world = World::new().await;
    world.user("ann@example.com", Role::Owner).await;
    let mut answers = Vec::new();
    for email in ["ann@example.com", "nobody@example.com"] {
        let answer = world.sign_in(&json!({ "email": email, "password": "not that at all" })).await;
        let mut body = answer.json();
        body["request_id"] = json!(null);
        answers.push((answer.word(), body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, "401 unauthorized");
}

#[tokio::test]
async fn failures_make_the_next_attempt_wait_longer_for_known_and_unknown_accounts_alike() {
    for email in ["ann@example.com", "nobody@example.com"] {
        let world = World::new().await;
        world.user("ann@example.com", Role::Owner).await;
        let wrong = json!({ "email": email, "password": "not that at all" });
        for _ in 0..5 {
            assert_eq!(world.sign_in(&wrong).await.word(), "401 unauthorized");
        }
        let mut waits = Vec::new();
        for _ in 0..4 {
            let refused = world.sign_in(&wrong).await;
            assert_eq!(refused.word(), "429 slow_down", "{email}");
            assert!(refused.headers.contains_key("retry-after"));
            let mut waited = 0;
            while world.sign_in(&wrong).await.word() == "429 slow_down" {
                world.pass(1);
                waited += 1;
            }
            waits.push(waited);
        }
        assert_eq!(waits, [1, 2, 4, 8], "{email}");
    }
}

#[tokio::test]
async fn the_right_password_is_not_looked_at_while_an_account_has_to_wait_and_then_starts_it_anew() {
    let world = World::new().await;
    world.user("ann@example.com", Role::Owner).await;
    let (right, wrong) = (PASSWORD, "not that at all");
    let with = |password: &str| json!({ "email": "ann@example.com", "password": password });
    for _ in 0..7 {
        world.sign_in(&with(wrong)).await;
    }
    assert_eq!(world.sign_in(&with(right)).await.word(), "429 slow_down");
    world.pass(60);
    assert_eq!(world.sign_in(&with(right)).await.status, 201);
    for _ in 0..5 {
        assert_eq!(world.sign_in(&with(wrong)).await.word(), "401 unauthorized");
    }
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_are_looked_at_than_one_after_another() {
    let world = World::new().await;
    world.user("ann@example.com", Role::Owner).await;
    let wrong = json!({ "email": "ann@example.com", "password": "not that at all" });
    let guesses = (0..30).map(|_| world.sign_in(&wrong));
    let answers = futures_util::future::join_all(guesses).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(looked_at, 5, "the free ones and the first that is made to wait for");
}
