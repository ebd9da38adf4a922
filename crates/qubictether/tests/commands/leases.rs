//! `lease`.

use std::fs;

use edge::testing::{TestEdge, TestMachine};
use jose_jwt::x25519::SecretKey;
use protocol::InstanceId;
use protocol::ambient::{Clock, SystemClock};
use protocol::offline::{KeyDigest, OfflineReply, OfflineRequest};
use protocol::request::AgentInfo;
use serde_json::json;
use store::testing::TestLicense;

use crate::Site;

/// A site with a license whose machines may be on leases, and an agent that is on one.
async fn with_lease() -> (Site, TestLicense, String) {
    let site = Site::new().await;
    let license = site.database.license(1, "{}", 5).await;
    site.database.clock.set(SystemClock.unix_seconds());
    let server = TestEdge::new(&site.database, 1, |_| auth::router().merge(lease::router())).await;
    let mut agent = TestMachine::new(1).activate(&server, &license.key).await.unwrap();
    let lease = agent.take_lease(&server, 3600).await;
    (site, license, lease.id.to_string())
}

/// A machine's request file, and what reads the reply.
fn request(license: &TestLicense) -> (String, SecretKey) {
    let machine = TestMachine::new(2);
    let recipient = SecretKey::from_bytes(&[3; 32]);
    let request = OfflineRequest {
        key_digest: KeyDigest::of(&license.key),
        nonce: machine.nonce(),
        instance_id: InstanceId::from_bytes([6; 16]),
        fingerprint: machine.fingerprint,
        agent: AgentInfo { version: "1.4.2".into(), platform: "linux-x86_64".into() },
        iat: SystemClock.unix_seconds(),
        duration_seconds: 3600,
        reply_to: recipient.public(),
    };
    (request.sign(&license.key), recipient)
}

#[tokio::test]
async fn leases_are_listed_by_license_install_and_status_and_revoked() {
    let (site, license, id) = with_lease().await;
    let all = site.json(&["lease", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(
        (&all[0]["id"], &all[0]["status"], &all[0]["in_force"]),
        (&json!(id), &json!("live"), &json!(true))
    );
    let install = all[0]["install_id"].as_str().unwrap();
    let license = license.id.to_string();
    for (filter, found) in [
        (&["--license-id", &license][..], 1),
        (&["--license-id", install], 0),
        (&["--install-id", install, "--status", "live"], 1),
        (&["--status", "revoked"], 0),
        (&["--after", &id], 0),
    ] {
        let list = site.json(&[&["lease", "list"], filter].concat());
        assert_eq!(list.as_array().unwrap().len(), found, "{filter:?}");
    }
    assert!(site.says(&["lease", "list"]).output.contains("live"));
    assert_eq!(site.says(&["lease", "list", "--status", "lost"]).code, Some(2));
    for _ in 0..2 {
        let revoked = site.json(&["lease", "revoke", &id]);
        assert_eq!((&revoked["status"], &revoked["in_force"]), (&json!("revoked"), &json!(true)));
    }
    assert!(site.says(&["lease", "revoke", &id]).output.contains("keeps it until it calls"));
    for status in ["live", "revoked"] {
        let found = site.json(&["lease", "list", "--status", status]);
        assert_eq!(found.as_array().unwrap().len(), usize::from(status == "revoked"), "{status}");
    }
    let shown = site.json(&["install", "show", install]);
    assert_eq!(shown["lease"]["id"], json!(id));
    assert!(!shown["lease"]["revoked_at"].is_null());
    let nobodys = site.says(&["lease", "revoke", install]);
    assert!(nobodys.code == Some(3) && nobodys.error.contains("there is no lease"), "{nobodys:?}");
}

#[tokio::test]
async fn a_lease_that_is_over_is_not_revoked() {
    let (site, _, id) = with_lease().await;
    site.database.run("UPDATE leases SET renewed_at = granted_at; UPDATE installs SET lease_id = NULL, lease_ends_at = NULL").await;
    let said = site.says(&["lease", "revoke", &id]);
    assert!(said.code == Some(4) && said.error.contains("was renewed"), "{said:?}");
}

#[tokio::test]
async fn a_request_file_is_answered_once_into_a_file_or_onto_standard_output() {
    let (site, license, _) = with_lease().await;
    let path = |name: &str| site.folder.path().join(name).to_str().unwrap().to_owned();
    let (text, recipient) = request(&license);
    fs::write(path("request"), &text).unwrap();
    fs::write(path("there"), "kept").unwrap();
    let taken = site.says(&["lease", "answer", &path("request"), "--out", &path("there")]);
    assert!(taken.code == Some(1) && taken.error.contains("name a file that isn't there yet"), "{taken:?}");
    assert_eq!(fs::read_to_string(path("there")).unwrap(), "kept");
    let answered = site.json(&["lease", "answer", &path("request"), "--out", &path("reply")]);
    let written = fs::read_to_string(path("reply")).unwrap();
    assert_eq!(written.trim_end(), answered["reply"].as_str().unwrap());
    let reply = OfflineReply::open(written.trim_end(), &recipient).unwrap();
    assert_eq!(json!(reply.install_id), answered["install_id"]);
    let keyset = site.database.value("SELECT jws FROM keysets ORDER BY version DESC LIMIT 1").await;
    assert_eq!(reply.keyset.as_str(), keyset, "the server's own, for whatever issuer this was run");
    let again = site.says(&["lease", "answer", &path("request"), "--out", &path("again")]);
    assert!(again.code == Some(4) && again.error.contains("nonce_replayed"), "{again:?}");
    assert!(!fs::exists(path("again")).unwrap(), "no empty file stays");
    let (text, recipient) = request(&license);
    let mut piped = site.operator(&["lease", "answer", "-", "--public-url", "https://other.example.com"]);
    let said = crate::fed(&mut piped, text.as_bytes());
    assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{said:?}");
    let reply = OfflineReply::open(said.output.trim_end(), &recipient).unwrap();
    assert_eq!(reply.keyset.as_str(), keyset);
}

#[tokio::test]
async fn a_request_that_is_refused_says_why_and_what_to_do() {
    let (site, license, _) = with_lease().await;
    let file = site.folder.path().join("request");
    let answer = || site.says(&["lease", "answer", file.to_str().unwrap()]);
    let missing = answer();
    assert!(missing.code == Some(1) && missing.error.contains("request"), "{missing:?}");
    let old = request(&license).0.replace("\"iat\":", "\"iat\":1,\"was\":");
    for (text, code, why) in [
        ("nonsense".to_owned(), 2, "malformed"),
        ("{}".to_owned(), 2, "/key_digest"),
        ("[]".to_owned(), 2, "qubictether: expected an object"),
        (old, 2, "/iat"),
        ("x".repeat(16 * 1024 + 1), 2, "no offline request"),
        (request(&license).0.replace("3600", "3601"), 4, "license_refused"),
        (request(&license).0.replace("3600", "3601"), 4, "`license reveal-key`"),
    ] {
        fs::write(&file, text).unwrap();
        let said = answer();
        assert!(said.code == Some(code) && said.error.contains(why), "{why}: {said:?}");
    }
    fs::write(&file, request(&license).0).unwrap();
    for (change, why, remedy) in [
        ("lease_max_seconds = 0", "lease_refused (lease_not_allowed)", "--lease-max-seconds"),
        ("suspended_at = starts_at", "lease_refused (license_suspended)", "`license show`"),
        ("max_installs = 1", "seats_exhausted", "--max-installs"),
    ] {
        let reset = "lease_max_seconds = NULL, suspended_at = NULL, max_installs = 5";
        site.database.run(&format!("UPDATE licenses SET {reset}; UPDATE licenses SET {change}")).await;
        let said = answer();
        assert!(said.code == Some(4) && said.error.contains(why) && said.error.contains(remedy), "{said:?}");
    }
}
