//! `license`.

use std::fs::OpenOptions;

use protocol::LicenseKey;
use protocol::ambient::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::{Said, Site};

const CREATE: [&str; 8] =
    ["license", "create", "--product", "acme-render", "--customer", "Example Ltd", "--max-installs", "5"];

async fn with_profile() -> Site {
    let site = Site::new().await;
    site.json(&["profile", "create", "--name", "standard"]);
    site
}

fn create(site: &Site, more: &[&str]) -> Value {
    site.json(&[&CREATE, more].concat())
}

#[tokio::test]
async fn a_license_has_the_terms_that_it_was_given_and_its_key_is_told_once() {
    let site = with_profile().await;
    let more = ["--starts-at", "2026-01-01T00:00:00Z", "--expires-at", "2027-01-01T01:00:00+01:00"];
    let more =
        [&more[..], &["--entitlements", r#"{"b": 1.50, "a": []}"#, "--lease-max-seconds", "60"]].concat();
    let made = create(&site, &more);
    for (member, value) in [
        ("product", json!("acme-render")),
        ("customer", json!("Example Ltd")),
        ("max_installs", json!(5)),
        ("status", json!("active")),
        ("starts_at", json!("2026-01-01T00:00:00Z")),
        ("expires_at", json!("2027-01-01T00:00:00Z")),
        ("lease_max_seconds", json!(60)),
        ("metadata", json!({})),
        ("version", json!(1)),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
    let key = made["license_key"].as_str().unwrap();
    assert!(LicenseKey::parse(key).is_ok());
    let id = made["id"].as_str().unwrap();
    let shown = site.says(&["license", "show", id, "--json"]).output;
    assert!(shown.contains(r#""entitlements":{"b": 1.50, "a": []}"#), "as they were written: {shown}");
    for command in [&["license", "show", id][..], &["license", "list"]] {
        assert!(!site.says(command).output.contains(key), "{command:?}");
    }
    assert!(site.says(&["license", "show", id]).output.contains("acme-render for Example Ltd, 5 seats"));
}

#[tokio::test]
async fn a_term_may_end_in_days_from_now() {
    let site = with_profile().await;
    let before = SystemClock.unix_seconds();
    let made = create(&site, &["--expires-at", "30d"]);
    let end = protocol::admin::parse_time(made["expires_at"].as_str().unwrap()).unwrap() - 30 * 86_400;
    assert!((before..=SystemClock.unix_seconds()).contains(&end), "{made}");
    assert_eq!(create(&site, &[])["expires_at"], Value::Null, "left out, it has no end");
    for wrong in ["30", "d", "99999d", "tomorrow", "2027-01-01"] {
        let said = site.says(&[&CREATE, &["--expires-at", wrong][..]].concat());
        assert!(said.code == Some(2) && said.error.contains("30d"), "{said:?}");
    }
}

#[tokio::test]
async fn the_profile_may_be_left_out_only_where_there_is_one() {
    let site = with_profile().await;
    let other = site.json(&["profile", "create", "--name", "other"]);
    let said = site.says(&CREATE);
    assert_eq!(said.code, Some(2));
    assert!(said.error.contains("/profile_id") && said.error.contains("other, standard"), "{said:?}");
    for named in ["other", other["id"].as_str().unwrap()] {
        assert_eq!(create(&site, &["--profile-id", named])["profile_id"], other["id"]);
    }
}

#[tokio::test]
async fn a_license_is_suspended_resumed_and_revoked_and_done_twice_is_done() {
    let site = with_profile().await;
    let made = create(&site, &[]);
    let id = made["id"].as_str().unwrap();
    for (action, status) in [("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")] {
        let once = site.json(&["license", action, id]);
        assert_eq!(once["status"], status, "{action}");
        assert_eq!(site.json(&["license", action, id]), once, "{action}");
    }
    for action in ["suspend", "resume"] {
        let said = site.says(&["license", action, id]);
        assert!(said.code == Some(4) && said.error.contains("is revoked, and that is final"), "{said:?}");
    }
}

#[tokio::test]
async fn a_list_goes_on_where_the_one_before_it_ended() {
    let site = with_profile().await;
    let made: Vec<_> = (0..5).map(|_| create(&site, &[])["id"].as_str().unwrap().to_owned()).collect();
    let mut seen = Vec::new();
    let mut after = "00000000-0000-0000-0000-000000000000".to_owned();
    loop {
        let page = site.json(&["license", "list", "--limit", "2", "--after", &after]);
        let Some(last) = page.as_array().unwrap().last() else { break };
        after = last["id"].as_str().unwrap().to_owned();
        seen.extend(
            page.as_array().unwrap().iter().map(|license| license["id"].as_str().unwrap().to_owned()),
        );
    }
    seen.sort();
    let mut expected = made;
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_list_is_narrowed_by_product_customer_and_status() {
    let site = with_profile().await;
    let other = ["license", "create", "--product", "acme-plan", "--customer", "Other", "--max-installs", "1"];
    let (plan, render) = (site.json(&other), create(&site, &[]));
    let suspended = create(&site, &[]);
    site.json(&["license", "suspend", suspended["id"].as_str().unwrap()]);
    for (filter, expected) in [
        (&["--product", "acme-plan"][..], &[&plan][..]),
        (&["--customer", "Example Ltd"], &[&render, &suspended]),
        (&["--customer", "Example Ltd", "--status", "active"], &[&render]),
        (&["--status", "suspended"], &[&suspended]),
        (&["--status", "revoked"], &[]),
        (&["--customer", "Other", "--product", "acme-render"], &[]),
    ] {
        let found = site.json(&[&["license", "list"], filter].concat());
        let mut found: Vec<_> =
            found.as_array().unwrap().iter().map(|license| license["id"].clone()).collect();
        let mut expected: Vec<_> = expected.iter().map(|license| license["id"].clone()).collect();
        found.sort_by_key(Value::to_string);
        expected.sort_by_key(Value::to_string);
        assert_eq!(found, expected, "{filter:?}");
    }
    assert_eq!(site.says(&["license", "list", "--status", "lost"]).code, Some(2));
}

#[tokio::test]
async fn a_key_that_nobody_took_is_no_success() {
    let site = with_profile().await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = Said::of(site.operator(&CREATE).stdout(full).output().unwrap());
    assert!(said.code == Some(1) && said.error.contains("standard output"), "{said:?}");
}

#[tokio::test]
async fn a_license_is_changed_in_what_is_named() {
    let site = with_profile().await;
    let made = create(&site, &["--lease-max-seconds", "60", "--expires-at", "30d"]);
    let id = made["id"].as_str().unwrap();
    let changed = site.json(&["license", "change", id, "--max-installs", "2", "--lease-max-seconds", "none"]);
    assert_eq!((&changed["max_installs"], &changed["lease_max_seconds"]), (&json!(2), &Value::Null));
    assert_eq!((&changed["customer"], &changed["expires_at"]), (&made["customer"], &made["expires_at"]));
    assert_eq!(site.json(&["license", "change", id, "--expires-at", "never"])["expires_at"], Value::Null);
    let code = |arguments: &[&str]| site.says(&[&["license", "change", id], arguments].concat()).code;
    assert_eq!(code(&[]), Some(2), "nothing is named");
    assert_eq!(code(&["--max-installs", "-1"]), Some(2));
    assert_eq!(code(&["--profile-id", "none such"]), Some(3));
    assert_eq!(site.json(&["license", "show", id])["version"], 3);
    site.json(&["license", "revoke", id]);
    assert_eq!(code(&["--max-installs", "3"]), Some(4));
}
