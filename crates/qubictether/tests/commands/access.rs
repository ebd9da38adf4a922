//! `init`'s first owner, `user`, `api-key`.

use std::fs;

use crate::Site;

#[tokio::test]
async fn init_makes_the_first_owner_once_and_tells_its_password_once() {
    let site = Site::empty().await;
    let made = site.json(&["init", "--owner-email", "Root@example.com"]);
    assert_eq!(made["owner_email"], "root@example.com");
    assert_eq!(made["owner_password"].as_str().unwrap().len(), 29);
    let again = site.json(&["init"]);
    assert!(again.get("owner_email").is_none() && again.get("owner_password").is_none(), "{again}");
    let users = site.json(&["user", "list"]);
    assert_eq!((users.as_array().unwrap().len(), &users[0]["role"]), (1, &"owner".into()));
}

#[tokio::test]
async fn a_user_gets_the_password_that_is_given_or_one_that_is_printed() {
    let site = Site::new().await;
    let made = site.json(&["user", "add", "--email", "ann@example.com", "--role", "operator"]);
    assert_eq!((&made["role"], made["password"].as_str().unwrap().len()), (&"operator".into(), 29));
    let file = site.folder.path().join("password");
    fs::write(&file, "as long as twelve\n").unwrap();
    let add = ["user", "add", "--role", "viewer", "--password-file", file.to_str().unwrap(), "--email"];
    let made = site.json(&[&add[..], &["bob@example.com"]].concat());
    assert!(made.get("password").is_none());
    assert_eq!(site.says(&[&add[..], &["bob@example.com"]].concat()).code, Some(4), "the address is taken");
    fs::write(&file, "password1234").unwrap();
    let said = site.says(&[&add[..], &["eve@example.com"]].concat());
    assert!(
        said.code == Some(2) && said.error.contains("tries first") && !said.error.contains("password1234"),
        "{said:?}"
    );
    assert_eq!(site.says(&[&add[..], &["no address"]].concat()).code, Some(2));
}

#[tokio::test]
async fn a_key_is_printed_once() {
    let site = Site::new().await;
    let made = site.json(&["api-key", "create", "--role", "owner", "--expires-at", "30d"]);
    let key = made["api_key"].as_str().unwrap();
    assert!(key.starts_with("qt_api_"));
    let listed = site.says(&["api-key", "list"]);
    assert!(listed.output.contains("owner") && !listed.output.contains(key), "{listed:?}");
    let past = site.says(&["api-key", "create", "--role", "owner", "--expires-at", "2020-01-01T00:00:00Z"]);
    assert!(past.code == Some(2) && past.error.contains("/expires_at"), "{past:?}");
    assert_eq!(site.says(&["api-key", "create", "--role", "king"]).code, Some(2));
}
