//! `keys rewrap` between key files; what KMS says to it is looked at in the package `conformance`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::{Said, Site};

const BY: &str = "SELECT string_agg(DISTINCT wrapped_by, ',') FROM wrapped_keys";

#[tokio::test]
async fn the_keys_move_to_another_file_which_is_made_and_then_they_have_moved() {
    let site = Site::new().await;
    let file = site.folder.path().join("next.kek");
    let rewrap = ["keys", "rewrap", "--to", "local", "--to-key", file.to_str().unwrap()];
    let before = site.database.value(BY).await;
    let done = site.json(&rewrap);
    let count: u64 = site.database.value("SELECT count(*) FROM wrapped_keys").await.parse().unwrap();
    let by = site.database.value(BY).await;
    assert_ne!(by, before);
    assert_eq!(done, serde_json::json!({ "rewrapped": count, "already": 0, "wrapped_by": by }));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);

    let list = |kek| Said::of(site.operator(&["license", "list"]).env("QT_KEK_FILE", kek).output().unwrap());
    assert_eq!(list(&file).code, Some(0));
    let refused = list(&site.kek_file());
    assert!(refused.code == Some(5) && refused.error.contains("keys rewrap"), "{refused:?}");

    let again = site.says(&rewrap);
    assert!(again.code == Some(0) && again.output.contains("wraps the keys already"), "{again:?}");
    assert!(again.output.contains(&format!("QT_KEK_FILE={}", file.display())), "what to set: {again:?}");
    assert_eq!(site.database.value(BY).await, by);
}

#[tokio::test]
async fn a_target_that_is_none_is_refused_and_nothing_moves() {
    let site = Site::new().await;
    let before = site.database.value(BY).await;
    let open = site.folder.path().join("open.kek");
    fs::write(&open, [9; 32]).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    for (target, code, problem) in [
        (&["--to", "kms"][..], 2, "QT_KMS_KEY_ID"),
        (&["--to", "kms", "--to-key", "my key"], 2, "alias/"),
        (&["--to", "paper"], 2, "local, kms"),
        (&["--to", "local", "--to-key", open.to_str().unwrap()], 5, "chmod 600"),
        (&["--to", "local", "--to-key", "/nonexistent/kek"], 5, "/nonexistent/kek"),
    ] {
        let said = site.says(&[&["keys", "rewrap"], target].concat());
        assert!(said.code == Some(code) && said.error.contains(problem), "{target:?}: {said:?}");
        assert_eq!(site.database.value(BY).await, before, "{target:?}");
    }
}
