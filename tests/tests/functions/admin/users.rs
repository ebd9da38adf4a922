//! Users: made, changed, removed.

use protocol::admin::Role;
use serde_json::json;

use super::{PASSWORD, pointers};
use crate::World;

#[tokio::test]
async fn a_user_is_made_listed_changed_and_removed() {
    let world = World::new().await;
    let owner = world.person(Role::Owner).await;
    let body = json!({ "email": "Bob@example.com", "role": "operator", "password": PASSWORD });
    let made = owner.post("/users", &body).await;
    assert_eq!((made.status, &made.headers["etag"]), (201, &"\"1\"".parse().unwrap()));
    let bob = made.json();
    assert_eq!(
        (&bob["email"], &bob["role"], &bob["totp"]),
        (&json!("bob@example.com"), &json!("operator"), &json!(false))
    );
    assert_eq!(owner.post("/users", &body).await.word(), "409 conflict", "the address is taken");
    let listed = owner.get("/users").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(listed["items"].as_array().unwrap().contains(&bob));

    let path = format!("/users/{}", bob["id"].as_str().unwrap());
    let changed = owner.patch(&path, &json!(1), &json!({ "role": "viewer" })).await.json();
    assert_eq!((&changed["role"], &changed["version"]), (&json!("viewer"), &json!(2)));
    assert_eq!(
        owner.patch(&path, &json!(2), &json!({ "email": "owner@example.com" })).await.word(),
        "409 conflict"
    );
    assert_eq!(owner.delete(&path, &json!(2)).await.status, 204);
    assert_eq!(owner.delete(&path, &json!(2)).await.word(), "404 not_found");
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_user_is_named_and_no_password_is_told_again() {
    let world = World::new().await;
    let owner = world.person(Role::Owner).await;
    for (body, wrong) in [
        (json!({}), vec!["/email", "/role", "/password"]),
        (json!({ "email": "no address", "role": "owner", "password": "short" }), vec!["/email", "/password"]),
        (json!({ "email": "a@b", "role": "king", "password": PASSWORD }), vec!["/role"]),
        (json!({ "email": "a@b", "role": "owner", "password": "Password1234" }), vec!["/password"]),
        (json!([]), vec![""]),
    ] {
        let refused = owner.post("/users", &body).await;
        assert_eq!(
            (refused.word().as_str(), pointers(&refused)),
            ("422 invalid", wrong.into_iter().map(str::to_owned).collect())
        );
        assert!(!String::from_utf8(refused.body).unwrap().contains("Password1234"));
    }
}

#[tokio::test]
async fn a_changed_password_or_role_ends_the_users_sessions_and_an_address_does_not() {
    let world = World::new().await;
    let owner = world.person(Role::Owner).await;
    world.user("bob@example.com", Role::Operator).await;
    let users = owner.get("/users").await.json();
    let bob = users["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["email"] == "bob@example.com")
        .unwrap()
        .clone();
    let path = format!("/users/{}", bob["id"].as_str().unwrap());
    let session = world.signed_in("bob@example.com").await;
    owner.patch(&path, &json!(1), &json!({ "email": "bobby@example.com" })).await;
    assert_eq!(session.get("/session").await.json()["name"], "bobby@example.com");
    owner.patch(&path, &json!(2), &json!({ "role": "viewer" })).await;
    assert_eq!(session.get("/session").await.word(), "401 unauthorized");
    let session = world.signed_in("bobby@example.com").await;
    owner.patch(&path, &json!(3), &json!({ "password": "another long one" })).await;
    assert_eq!(session.get("/session").await.word(), "401 unauthorized");
    assert_eq!(
        world.sign_in(&json!({ "email": "bobby@example.com", "password": PASSWORD })).await.word(),
        "401 unauthorized"
    );
    let session =
        world.sign_in(&json!({ "email": "bobby@example.com", "password": "another long one" })).await;
    assert_eq!(session.status, 201);
    owner.delete(&path, &json!(4)).await;
    let cookie = super::cookie(&session);
    assert_eq!(world.nobody().with("cookie", &cookie).get("/session").await.word(), "401 unauthorized");
}

#[tokio::test]
async fn an_owner_stays_whatever_two_of_them_do_at_once() {
    let world = World::new().await;
    let one = world.person(Role::Owner).await;
    let me = one.get("/session").await.json()["user_id"].as_str().unwrap().to_owned();
    let path = format!("/users/{me}");
    assert_eq!(one.patch(&path, &json!(1), &json!({ "role": "viewer" })).await.word(), "409 conflict");
    assert_eq!(one.delete(&path, &json!(1)).await.word(), "409 conflict");
    world.user("two@example.com", Role::Owner).await;
    let two = world.signed_in("two@example.com").await;
    let other = two.get("/session").await.json()["user_id"].as_str().unwrap().to_owned();
    let (mine, theirs) = (format!("/users/{other}"), path);
    let version = json!(1);
    let (first, second) = tokio::join!(one.delete(&mine, &version), two.delete(&theirs, &version));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert!(statuses == [204, 409] || statuses == [204, 401], "{statuses:?}");
    assert_eq!(world.database.value("SELECT count(*) FROM users WHERE role = 'owner'").await, "1");
}
