//! What the agent on a machine says while its operator, its server and its network change.

use crate::agent::Agent;
use crate::site::{Site, fixed_address, terminate};

/// A profile whose whole ladder takes ten seconds.
const SECONDS: &str = r#"{
    "silence_tolerance": 6, "silence_grace": 2, "silence_degraded": 2,
    "cadence": {
        "authorized": {"interval": 5, "token_ttl": 5}, "warned": {"interval": 5, "token_ttl": 5},
        "grace": {"interval": 5, "token_ttl": 5}, "degraded": {"interval": 5, "token_ttl": 5},
        "locked": {"interval": 5, "token_ttl": 5}
    }
}"#;

#[tokio::test]
async fn an_agent_obeys_its_operator_at_the_next_beat() {
    let site = Site::new().await;
    let server = site.serve().await;
    let key = site.license("{}", 5).await;
    let agent = Agent::activate(&site, &server, &key, "machine").await;
    assert_eq!(agent.status().await.word(), "0 authorized ok");
    assert_eq!(agent.does("beat").await.word(), "0 authorized ok");
    let status = agent.status().await.status();
    let install = status["install_id"].as_str().unwrap();

    let listed = site.operate(&["install", "list"]).await.to_string();
    assert!(listed.contains(install), "{listed}");
    site.operate(&["install", "suspend", install]).await;
    assert_eq!(agent.status().await.word(), "0 authorized ok", "nobody has told it yet");
    assert_eq!(agent.does("beat").await.word(), "25 suspended install_suspended");
    assert_eq!(agent.status().await.word(), "25 suspended install_suspended");
    site.operate(&["install", "resume", install]).await;
    assert_eq!(agent.does("beat").await.word(), "0 authorized ok");

    let rekeyed = agent.does("rekey").await;
    assert_eq!(rekeyed.code, Some(0), "{rekeyed:?}");
    assert_eq!(agent.does("beat").await.word(), "0 authorized ok");

    site.operate(&["install", "revoke", install]).await;
    assert_eq!(agent.does("beat").await.word(), "26 revoked install_revoked");
    assert_eq!(agent.status().await.word(), "26 revoked install_revoked");
}

#[tokio::test]
async fn an_agent_that_is_not_heard_keeps_what_it_was_told() {
    let site = Site::new().await;
    let server = site.serve().await;
    let key = site.license("{}", 5).await;
    let agent = Agent::activate(&site, &server, &key, "machine").await;
    server.kill().await;
    assert_eq!(agent.does("beat").await.word(), "4 authorized ok");
    assert_eq!(agent.status().await.word(), "0 authorized ok");
}

#[tokio::test]
async fn a_running_agent_walks_down_its_ladder_in_silence_and_is_back_at_the_first_word() {
    let site = Site::new().await;
    let server = site.serve_at(fixed_address()).await;
    let key = site.license(SECONDS, 5).await;
    let agent = Agent::activate(&site, &server, &key, &Agent::fingerprint_file(&site)).await;
    let mut running = agent.run();
    assert_eq!(running.next_other_than("").await, "authorized ok");
    let address = server.address;
    server.kill().await;
    assert_eq!(running.next_other_than("authorized ok").await, "grace out_of_contact");
    assert_eq!(running.next_other_than("grace out_of_contact").await, "degraded out_of_contact");
    assert_eq!(running.next_other_than("degraded out_of_contact").await, "locked out_of_contact");
    assert_eq!(agent.status().await.word(), "23 locked out_of_contact");
    let _server = site.serve_at(address).await;
    assert_eq!(running.next_other_than("locked out_of_contact").await, "authorized ok");
    assert!(terminate(&mut running.child).await.success());
}
