//! `backup`.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::ambient::{Clock, SystemClock};

use crate::Site;

/// Two licenses, and 30 installs with secrets.
async fn fill(site: &Site) {
    for number in 1..=2 {
        let license = site.database.license(number, "{}", 100).await;
        let store = site.database.store(number).await;
        store.make_installs(license.id, 15, SystemClock.unix_seconds()).await;
    }
}

/// What `pg_dump` writes of a site's database.
fn dump(site: &Site, name: &str, arguments: &[&str]) -> PathBuf {
    let file = site.folder.path().join(name);
    let mut command = Command::new(cluster::programs().unwrap().join("pg_dump"));
    command.args(arguments).arg("--file").arg(&file).arg(&site.database.url);
    assert!(command.status().unwrap().success());
    file
}

fn check(site: &Site, file: &Path) -> crate::Said {
    site.says(&["backup", "check", file.to_str().unwrap()])
}

#[tokio::test]
async fn a_dump_of_every_format_is_restored_aside_and_all_that_is_sealed_in_it_opened() {
    let site = Site::new().await;
    fill(&site).await;
    let formats = [
        ("plain.sql", &["--format=plain"][..]),
        ("custom", &["--format=custom"]),
        ("tar", &["--format=tar"]),
        ("folder", &["--format=directory"]),
    ];
    for (name, arguments) in formats {
        let file = dump(&site, name, arguments);
        let said = site.says(&["backup", "check", file.to_str().unwrap(), "--json"]);
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
        let found: serde_json::Value = serde_json::from_str(&said.output).unwrap();
        assert_eq!(found["opens"], true);
        let column = |table: &str| {
            let columns = found["columns"].as_array().unwrap();
            let column = columns.iter().find(|column| column["table"] == table).unwrap();
            (column["rows"].clone(), column["opened"].clone(), column["closed"].clone())
        };
        let sealed: Vec<_> =
            found["columns"].as_array().unwrap().iter().map(|column| &column["table"]).collect();
        assert_eq!(
            sealed,
            ["root_keys", "signing_keys", "users", "idempotency_keys", "webhooks", "licenses", "installs"]
        );
        assert_eq!(column("licenses"), (2.into(), 2.into(), 0.into()));
        assert_eq!(column("installs"), (30.into(), 30.into(), 0.into()));
        assert_eq!(found["audit"]["intact"], true);
    }
    // The database itself, which stays as it is.
    let before = dump(&site, "before.sql", &[]);
    let said = site.says(&["backup", "check"]);
    assert!(said.code == Some(0) && said.output.contains("everything in it opens"), "{said:?}");
    let [before, after] =
        [before, dump(&site, "after.sql", &[])].map(|file| std::fs::read_to_string(file).unwrap());
    // What pg_dump makes up for each dump stands in two lines of it.
    let rows = |dump: &str| {
        dump.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows(&before), rows(&after));
}

#[tokio::test]
async fn a_value_that_was_moved_to_another_row_is_found_and_named() {
    let site = Site::new().await;
    fill(&site).await;
    let moved = "UPDATE installs SET secrets = (SELECT secrets FROM installs ORDER BY id DESC LIMIT 1)
                 WHERE id = (SELECT id FROM installs ORDER BY id LIMIT 1)";
    site.database.run(moved).await;
    let first = site.database.value("SELECT id FROM installs ORDER BY id LIMIT 1").await;
    let file = dump(&site, "copy", &["--format=custom"]);
    let said = check(&site, &file);
    assert_eq!(said.code, Some(1));
    let named = format!("1 sealed values don't open; the first is installs.secrets of {first}");
    assert!(said.error.contains(&named), "{said:?}");
    assert!(!said.output.contains("everything"), "{said:?}");
    let said = site.says(&["backup", "check", file.to_str().unwrap(), "--json"]);
    assert!(said.code == Some(1) && said.output.contains(r#""opens":false"#), "{said:?}");
}

#[tokio::test]
async fn a_row_of_the_audit_log_that_was_changed_is_found_in_a_dump_too() {
    let site = Site::new().await;
    for name in ["one", "two", "three"] {
        site.json(&["profile", "create", "--name", name]);
    }
    // Whoever may do anything to the database needs no grant, and no trigger stops him.
    let tampered =
        "SET session_replication_role = replica; UPDATE admin_audit SET actor_name = 'nobody' WHERE seq = 2";
    site.database.run(tampered).await;
    let said = check(&site, &dump(&site, "copy", &["--format=custom"]));
    assert!(said.code == Some(1) && said.error.contains("row 2"), "{said:?}");
    assert!(!said.output.contains("everything"), "{said:?}");
}

#[tokio::test]
async fn a_dump_of_a_newer_server_is_refused_and_not_guessed_at() {
    let site = Site::new().await;
    let newer = "INSERT INTO schema_history SELECT 9999, 'of_tomorrow', applied_on, checksum FROM schema_history LIMIT 1";
    site.database.run(newer).await;
    let said = check(&site, &dump(&site, "copy", &["--format=custom"]));
    assert!(said.code == Some(1) && said.error.contains("of_tomorrow"), "{said:?}");
    assert!(said.error.contains("a newer server's: use that version"), "{said:?}");
}

#[tokio::test]
async fn another_sites_key_opens_no_dump_and_that_is_said_with_the_remedy() {
    let site = Site::new().await;
    fill(&site).await;
    let file = dump(&site, "copy", &["--format=custom"]);
    std::fs::write(site.kek_file(), [8; 32]).unwrap();
    let said = check(&site, &file);
    assert_eq!(said.code, Some(5));
    assert!(said.error.contains("QT_KEK_FILE"), "{said:?}");
    std::fs::remove_file(site.kek_file()).unwrap();
    let said = check(&site, &file);
    assert!(said.code == Some(5) && !said.error.contains("restoring"), "{said:?}");
}

#[tokio::test]
async fn what_is_no_dump_of_this_server_is_named() {
    let site = Site::new().await;
    let file = site.folder.path().join("other.sql");
    for (text, code, wanted) in [
        (&b"CREATE TABLE cats (name text);"[..], 2, "holds no tables of qubictether's"),
        (b"CREATE TABL cats (name text);", 1, "can't be restored"),
        (b"PGDMP no dump", 1, "can't be restored"),
        (b"\x1f\x8bpacked", 2, "unpack it first"),
        (b"", 2, "holds no tables of qubictether's"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = check(&site, &file);
        assert!(said.code == Some(code) && said.error.contains(wanted), "{said:?}");
    }
    let said = check(&site, Path::new("/nowhere/at/all"));
    assert!(said.code == Some(1) && said.error.contains("/nowhere/at/all"), "{said:?}");
}

#[tokio::test]
async fn a_restore_is_noted_and_says_from_when_on_proofs_are_taken() {
    let site = Site::new().await;
    for _ in 0..2 {
        let said = site.json(&["backup", "restored"]);
        let instant = |name: &str| said[name].as_str().and_then(protocol::admin::parse_time).unwrap();
        let (restored, proofs) = (instant("restored_at"), instant("proofs_from"));
        assert!(proofs % 300 == 0 && (1..=300).contains(&(proofs - restored)), "{said}");
        let stored =
            site.database.value("SELECT extract(epoch FROM max(restored_at))::bigint FROM restores").await;
        assert_eq!(stored, restored.to_string());
    }
    let said = site.says(&["backup", "restored"]);
    assert!(said.code == Some(0) && said.output.contains("proofs are taken from"), "{said:?}");
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_up_first() {
    // The oldest there is.
    let site = Site::empty().await;
    site.json(&["backup", "restored"]);
    assert_eq!(site.database.value("SELECT count(*) FROM restores").await, "1");
}
