//! `migrate` and `init`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::Site;

#[tokio::test]
async fn init_makes_schema_keys_and_key_file_once_and_names_the_same_root_ever_after() {
    let site = Site::empty().await;
    let made = site.json(&["init"]);
    assert_eq!(made["created"], true);
    let root = made["root_public_key"].as_str().unwrap();
    assert!(root.parse::<jose_jwt::PublicKey>().is_ok(), "{root}");
    let file = fs::metadata(site.kek_file()).unwrap();
    assert_eq!((file.len(), file.permissions().mode() & 0o7777), (32, 0o600));

    let kek = fs::read(site.kek_file()).unwrap();
    let again = site.json(&["init"]);
    assert_eq!((&again["created"], &again["root_public_key"]), (&false.into(), &root.into()));
    assert_eq!(fs::read(site.kek_file()).unwrap(), kek);
    let said = site.says(&["init"]);
    assert!(
        said.code == Some(0) && said.output.contains("already") && said.output.contains(root),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_key_file_that_is_there_is_used_and_never_overwritten() {
    let site = Site::empty().await;
    fs::write(site.kek_file(), [9; 32]).unwrap();
    fs::set_permissions(site.kek_file(), fs::Permissions::from_mode(0o600)).unwrap();
    site.json(&["init"]);
    assert_eq!(fs::read(site.kek_file()).unwrap(), [9; 32]);
    assert_eq!(site.json(&["license", "list"]), serde_json::json!([]));
}

#[tokio::test]
async fn migrate_says_what_it_applied_and_then_nothing() {
    let site = Site::empty().await;
    let migrations = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations")).unwrap().count();
    assert_eq!(site.json(&["migrate"])["applied"].as_array().unwrap().len(), migrations);
    assert_eq!(site.json(&["migrate"])["applied"], serde_json::json!([]));
    let before =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'heartbeats'::regclass AND relkind = 'r'";
    let before = before.replace("pg_inherits", "pg_inherits JOIN pg_class ON pg_class.oid = inhrelid");
    assert_eq!(
        site.database.value(&before).await,
        "7",
        "this month's partition and those of the next half year"
    );
}
