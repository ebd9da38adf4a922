//! What KMS is asked when a program starts, and what is said when it refuses.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

use serde_json::json;
use store::testing::TestDatabase;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Way, Wrapped, emulator, environment};
use crate::site::Site;
use crate::{activate, heartbeat};

/// Longer than KMS is waited for.
const PATIENCE: Duration = Duration::from_secs(12);

/// The wrapped keys of a new site: a data key and the lookup key.
const KEYS: usize = 2;

/// The one line of a program that doesn't start, because its keys can't be had.
async fn refused(operator: &mut Command) -> String {
    let output = timeout(PATIENCE, operator.arg("serve").env("QT_LOG", "error").output());
    let Output { status, stdout, stderr } = output.await.expect("it ends").unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), &*stdout), (Some(5), &b""[..]), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[tokio::test]
async fn each_key_is_wrapped_by_one_call_and_unwrapped_by_one_whenever_a_process_starts() {
    let Wrapped { site, way, key } = Wrapped::new().await;
    let calls = way.calls();
    let count = |action: &str| calls.iter().filter(|call| *call == action).count();
    assert_eq!((count("Encrypt"), count("Decrypt"), calls.len()), (KEYS, KEYS, 2 * KEYS), "{calls:?}");
    assert_eq!(site.database.value("SELECT DISTINCT wrapped_by FROM wrapped_keys").await, key);
    assert!(!site.kek_file().exists());

    let license = site.license("{}", 5).await;
    way.calls();
    for number in 0..2 {
        let server = site.serve().await;
        assert_eq!(way.calls(), ["Decrypt"; KEYS], "start {number}");
        let mut connection = server.connect().await;
        let mut agent = activate(&mut connection, &license, number).await;
        let (proof, body) = heartbeat(&mut agent);
        assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
        assert_eq!(way.calls(), [""; 0], "nobody waits for KMS");
    }
}

#[tokio::test]
async fn what_was_wrapped_for_another_purpose_stays_closed() {
    let Wrapped { site, key, .. } = Wrapped::new().await;
    let swap = "UPDATE wrapped_keys SET wrapped = (SELECT wrapped FROM wrapped_keys AS other
                                                   WHERE other.purpose <> wrapped_keys.purpose)";
    site.database.run(swap).await;
    let said = refused(&mut site.operator()).await;
    assert!(said.contains(&key) && said.contains("doesn't unwrap data-key 1"), "{said}");
    assert!(said.contains("QT_KMS_KEY_ID"), "{said}");
    site.database.run(swap).await;
    site.serve().await;
}

#[tokio::test]
async fn a_key_that_can_not_be_used_is_named_with_what_to_do() {
    let Wrapped { site, key, .. } = Wrapped::new().await;
    let id = json!({ "KeyId": key });
    emulator().kms("disable_key", &id);
    let said = refused(&mut site.operator()).await;
    assert!(said.contains(&format!("KMS key {key} is disabled: enable it in KMS")), "{said}");
    emulator().kms("enable_key", &id);

    emulator().kms("schedule_key_deletion", &json!({ "KeyId": key, "PendingWindowInDays": 7 }));
    let said = refused(&mut site.operator()).await;
    assert!(said.contains(&key) && said.contains("about to be deleted"), "{said}");
    assert!(said.contains("cancel the deletion in KMS, then enable the key"), "{said}");
    emulator().kms("cancel_key_deletion", &id);
    emulator().kms("enable_key", &id);
    site.serve().await;

    let nobodys = "00000000-0000-4000-8000-000000000000";
    let said = refused(site.operator().env("QT_KMS_KEY_ID", nobodys)).await;
    assert!(said.contains(nobodys) && said.contains("isn't there"), "{said}");
    let other = emulator().make_key();
    let said = refused(site.operator().env("QT_KMS_KEY_ID", &other)).await;
    assert!(said.contains(&other) && said.contains("wrapped_by"), "{said}");
}

#[tokio::test]
async fn keys_are_not_made_by_a_key_that_can_not_be_used() {
    let Wrapped { site, key, .. } = Wrapped::without_keys().await;
    emulator().kms("disable_key", &json!({ "KeyId": key }));
    let output = site.operator().arg("init").output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && said.contains("is disabled: enable it in KMS"), "{said}");
    assert_eq!(site.database.value("SELECT count(*) FROM wrapped_keys").await, "0");
    emulator().kms("enable_key", &json!({ "KeyId": key }));
    assert_eq!(site.operate(&["init"]).await["created"], true);
}

#[tokio::test]
async fn a_development_server_has_its_keys_wrapped_by_kms_too() {
    let way = Way::to_kms();
    let key = emulator().make_key();
    let mut site = Site::bare(TestDatabase::at(String::new(), 0));
    site.besides = environment(&key, way.url());
    // PostgreSQL runs as an account of its own where this is root's, and has to get in.
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let dev = |mut command: Command| {
        command.arg("--dev-dir").arg(folder.path()).env_remove("QT_DATABASE_URL").env_remove("QT_KEK_FILE");
        command
    };
    let mut serve = dev(site.operator());
    let server = site.started(serve.args(["serve", "--dev"])).await;
    assert_eq!(way.calls()[..2], ["Encrypt"; 2]);
    assert!(!folder.path().join("kek").exists());
    // Another terminal, which knows the way and who it is, and the rest from the folder.
    let mut list = dev(site.operator());
    list.env_remove("QT_KEY_PROVIDER").env_remove("QT_KMS_KEY_ID").args(["license", "list", "--json"]);
    let output = list.output().await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "[]\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    drop(server);
}

#[tokio::test]
async fn a_start_without_kms_ends_in_seconds_and_says_why() {
    let Wrapped { site, way, key } = Wrapped::new().await;
    way.set_open(false);
    let said = refused(&mut site.operator()).await;
    assert!(said.contains(&key) && said.contains("can't be reached"), "{said}");
    way.set_open(true);
    site.serve().await;
}
