//! `backup`.

use crate::Site;

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
