//! How the server starts, and how it says why it doesn't.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;
use store::testing::TestDatabase;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::site::Site;
use crate::{activate, heartbeat};

/// A start that is refused is refused at once.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_empty_database_can_be_migrated_by_many_processes_at_once() {
    let site = Site::bare(TestDatabase::empty().await);
    let mut migrating = JoinSet::new();
    for _ in 0..4 {
        let mut operator = site.operator();
        migrating.spawn(async move { operator.arg("migrate").output().await.unwrap() });
    }
    for output in migrating.join_all().await {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let applied = "SELECT count(*) = count(DISTINCT version) AND count(*) > 0 FROM schema_history";
    assert_eq!(site.database.value(applied).await, "t");
}

#[tokio::test]
async fn two_processes_that_start_at_once_serve_the_same_fleet() {
    let site = Site::new().await;
    let (one, other) = tokio::join!(site.serve(), site.serve());
    let key = site.license("{}", 5).await;
    let mut agent = activate(&mut one.connect().await, &key, 1).await;
    for server in [&other, &one] {
        let mut connection = server.connect().await;
        assert_eq!(connection.get("/readyz").await.status, 200);
        let (proof, body) = heartbeat(&mut agent);
        assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
    }
    let keysets = [
        one.connect().await.get("/v1/keyset").await.body,
        other.connect().await.get("/v1/keyset").await.body,
    ];
    assert_eq!(keysets[0], keysets[1]);
}

#[tokio::test]
async fn many_processes_that_make_the_keys_at_once_make_them_once() {
    let site = Site::bare(TestDatabase::empty().await);
    let mut making = JoinSet::new();
    for _ in 0..4 {
        let mut operator = site.operator();
        making.spawn(async move { operator.args(["init", "--json"]).output().await.unwrap() });
    }
    let mut roots = Vec::new();
    for output in making.join_all().await {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        roots.push(made["root_public_key"].as_str().unwrap().to_owned());
    }
    roots.dedup();
    assert_eq!(roots.len(), 1, "{roots:?}");
    site.serve().await;
}

#[tokio::test]
async fn a_server_that_can_not_serve_says_so_in_a_line_and_ends() {
    let site = Site::bare(TestDatabase::empty().await);
    let said = refused(site.operator().env("QT_LOG", "error")).await;
    assert!(said.contains("init"), "without keys: {said}");

    let away = Site::bare(TestDatabase::at("postgres://nobody:geheim@127.0.0.1:1/nothing".to_owned(), 0));
    let said = refused(away.operator().env("QT_LOG", "error")).await;
    assert!(said.contains("database") && !said.contains("geheim"), "without a database: {said}");

    let site = Site::new().await;
    let first = site.serve().await;
    let address = first.address.to_string();
    let said = refused(site.operator().env("QT_LOG", "error").env("QT_LISTEN", &address)).await;
    assert!(said.contains(&address), "where another listens: {said}");
}

#[tokio::test]
async fn a_bad_setting_stops_the_server_at_once_and_is_named() {
    let site = Site::bare(TestDatabase::at("postgres://nobody@127.0.0.1:1/nothing".to_owned(), 0));
    for (name, value) in [
        ("QT_LISTEN", "nowhere"),
        ("QT_DATABASE_URL", ""),
        ("QT_DATABASE_URL", "mysql://root:geheim@localhost/qt"),
        ("QT_DATABASE_CONNECTIONS", "0"),
        ("QT_KEY_PROVIDER", "paper"),
        ("QT_KEK_FILE", ""),
        ("QT_PUBLIC_URL", "ftp://license.example.com"),
        ("QT_KEYSET_SECONDS", "-1"),
        ("QT_KEY_LEAD_SECONDS", "soon"),
        ("QT_KEY_ROTATE_SECONDS", "0"),
        ("QT_RETENTION_DAYS", "forever"),
        ("QT_ACTIVATIONS_PER_KEY", "0/s burst 1"),
        ("QT_QUEUE", "1e3"),
        ("QT_LOG", "loud=very=much"),
    ] {
        let said = refused(site.operator().env("QT_LOG", "error").env(name, value)).await;
        assert!(said.contains(name) && !said.contains("geheim"), "{name}={value}: {said}");
    }
}

#[tokio::test]
async fn a_missing_or_open_key_encryption_key_stops_the_server_with_the_remedy() {
    let site = Site::new().await;
    let file = site.kek_file();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "as it was made");

    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let said = refused(site.operator().env("QT_LOG", "error")).await;
    assert!(said.contains(file.to_str().unwrap()) && said.contains("chmod"), "{said}");

    fs::remove_file(&file).unwrap();
    let said = refused(site.operator().env("QT_LOG", "error")).await;
    assert!(said.contains(file.to_str().unwrap()) && said.contains("QT_KEK_FILE"), "{said}");
    assert!(said.contains("init"), "what makes it: {said}");
    assert!(!file.exists(), "a new key would open nothing");
}

/// The one line that a server says which doesn't start.
async fn refused(operator: &mut Command) -> String {
    let output = timeout(AT_ONCE, operator.arg("serve").output()).await.expect("it ends").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code().is_some_and(|code| code != 0), "{:?}: {said}", output.status);
    assert_eq!(output.stdout, b"", "it never listened");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}
