//! `webhook`: made, listed, tried out, sent again, removed.

use serde_json::{Value, json};

use crate::Site;

#[tokio::test]
async fn a_webhook_is_made_with_its_secret_printed_once_tried_out_and_removed() {
    let site = Site::new().await;
    let create = ["webhook", "create", "--url", "https://hooks.example.com/qt"];
    let some = ["--event", "license.revoked", "--event", "license.created"];
    let made = site.json(&[&create[..], &some].concat());
    assert_eq!(made["events"], json!(["license.revoked", "license.created"]));
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let all = site.says(&create);
    assert!(all.output.contains("whsec_") && all.code == Some(0), "{all:?}");
    let listed = site.json(&["webhook", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[1]["events"]), (2, &json!(["*"])));
    assert!(!listed.to_string().contains("whsec_"));

    let id = made["id"].as_str().unwrap();
    let ping = site.json(&["webhook", "ping", id]);
    assert_eq!((&ping["event"], &ping["status"]), (&json!("webhook.ping"), &json!("pending")));
    let rows = site.json(&["webhook", "deliveries", id, "--status", "pending"]);
    assert_eq!(rows, json!([ping]));
    assert_eq!(site.json(&["webhook", "deliveries", id, "--status", "failed"]), json!([]));
    assert_eq!(site.json(&["webhook", "resend", id, ping["id"].as_str().unwrap()])["id"], ping["id"]);
    let table = site.says(&["webhook", "deliveries", id]);
    assert!(table.output.contains("NEXT ATTEMPT") && table.output.contains("webhook.ping"), "{table:?}");
    assert_eq!(site.json(&["webhook", "delete", id])["id"], id);
    assert_eq!(site.says(&["webhook", "delete", id]).code, Some(3));
    assert_eq!(site.says(&["webhook", "ping", id]).code, Some(3));
    assert_eq!(site.json(&["webhook", "list"]).as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_nothing_may_be_sent_to_is_refused_unless_the_setting_allows_it() {
    let site = Site::new().await;
    for url in [
        "http://hooks.example.com",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://u:geheim@a.example",
    ] {
        let said = site.says(&["webhook", "create", "--url", url]);
        assert!(said.code == Some(2) && said.error.contains("/url"), "{url}: {said:?}");
        assert!(!said.error.contains("geheim"), "{said:?}");
    }
    let unknown = site.says(&["webhook", "create", "--url", "https://a.example", "--event", "license.eaten"]);
    assert!(unknown.code == Some(2) && unknown.error.contains("license.revoked"), "{unknown:?}");
    let allowed = ["webhook", "create", "--url", "http://127.0.0.1:9/", "--webhook-private-targets", "allow"];
    assert_eq!(site.json(&allowed)["url"], "http://127.0.0.1:9/");
    let wrong = site.says(&["webhook", "list", "--webhook-private-targets", "perhaps"]);
    assert!(wrong.code == Some(2) && wrong.error.contains("QT_WEBHOOK_PRIVATE_TARGETS"), "{wrong:?}");
    assert_eq!(site.json(&["webhook", "list"]).as_array().map(Vec::len), Some(1));
    let _: Value = site.json(&["audit", "verify"]);
}
