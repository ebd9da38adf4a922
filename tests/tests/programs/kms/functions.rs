//! The functions' binaries in the emulated AWS, behind its function URLs, with keys that its KMS wraps.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::{Wrapped, code, emulator};
use crate::agent::Agent;
use crate::conformance::{Base, Bases, Front, run};

const FUNCTIONS: [&str; 4] = ["heartbeat", "lease", "auth", "admin"];

/// Deploys a site's functions; their URLs.
fn deploy(wrapped: &Wrapped) -> HashMap<&'static str, String> {
    static DEPLOYED: AtomicU32 = AtomicU32::new(0);
    let number = DEPLOYED.fetch_add(1, Ordering::Relaxed);
    let environment: HashMap<_, _> = wrapped.site.settings().into_iter().collect();
    // Lambda gives credentials and region itself.
    let is_given = |name: &str| name.starts_with("AWS_") && name != "AWS_ENDPOINT_URL";
    let environment: HashMap<_, _> = environment.into_iter().filter(|(name, _)| !is_given(name)).collect();
    let deploy = |name: &'static str| {
        let url =
            emulator().deploy(&format!("{name}-{number}"), &code(&wrapped.site, name), &json!(environment));
        (name, url)
    };
    FUNCTIONS.map(deploy).into()
}

fn base(url: &str) -> Base {
    Base::new(url).at(emulator().address())
}

#[tokio::test]
async fn a_function_that_starts_asks_kms_once_a_key_and_serves_the_protocol_from_then_on() {
    let wrapped = Wrapped::new().await;
    let urls = deploy(&wrapped);
    wrapped.way.calls();
    for name in FUNCTIONS {
        let base = base(&urls[name]);
        for _ in 0..2 {
            assert_eq!(base.call("GET", "/healthz", &[], b"").await.status, 200, "{name}");
        }
        assert_eq!(wrapped.way.calls(), ["Decrypt"; 2], "{name}");
    }
    let [heartbeat, lease, auth, admin] = FUNCTIONS.map(|name| base(&urls[name]));
    run(Bases { heartbeat, lease, auth, admin }, Front::Faithful, wrapped.site).await;
}

#[tokio::test]
async fn a_function_that_starts_without_kms_refuses_until_it_is_back() {
    let wrapped = Wrapped::new().await;
    let urls = deploy(&wrapped);
    let auth = base(&urls["auth"]);
    wrapped.way.set_open(false);
    let refused = auth.call("GET", "/v1/keyset", &[], b"").await;
    assert_eq!(refused.word(), "503 unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    wrapped.way.set_open(true);
    assert_eq!(auth.call("GET", "/v1/keyset", &[], b"").await.status, 200);

    wrapped.way.set_open(false);
    let ready = auth.call("GET", "/readyz", &[], b"").await;
    assert_eq!((ready.status, &ready.json()["warnings"]), (200, &json!(["kms_unavailable"])));
    assert_eq!(auth.call("GET", "/v1/keyset", &[], b"").await.status, 200, "what is warm serves");
}

#[tokio::test]
async fn an_agent_lives_by_four_functions_behind_one_origin() {
    let wrapped = Wrapped::new().await;
    let origin = emulator().serve_origin(&json!(deploy(&wrapped)));
    let site = &wrapped.site;
    let license = site.license(r#"{"lease_max_seconds": 3600}"#, 1).await;
    let agent = Agent::activate_at(site, &origin, &license, &Agent::fingerprint_file(site)).await;
    let beat = async || agent.does("beat").await.status()["state"].as_str().unwrap().to_owned();
    assert_eq!(beat().await, "authorized");
    let install = agent.status().await.status()["install_id"].as_str().unwrap().to_owned();
    site.operate(&["install", "suspend", &install]).await;
    assert_eq!(beat().await, "suspended");
    site.operate(&["install", "resume", &install]).await;
    assert_eq!(beat().await, "authorized");
    let taken = agent.lease(&["take", "--for", "10m"]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    assert_eq!(agent.lease(&["return"]).await.code, Some(0));
    assert_eq!(agent.does("deactivate").await.code, Some(0));
}
