//! An agent with an offline lease: granted by the real server, held while it is away.

use std::fs;

use serde_json::Value;

use crate::agent::Agent;
use crate::site::{Site, fixed_address, terminate};

/// A profile under which silence is noticed after six seconds, and then walked through in four.
const SECONDS: &str = r#"{
    "silence_tolerance": 6, "silence_grace": 2, "silence_degraded": 2,
    "cadence": {
        "authorized": {"interval": 5, "token_ttl": 5}, "warned": {"interval": 5, "token_ttl": 5},
        "leased": {"interval": 5, "token_ttl": 5}, "grace": {"interval": 5, "token_ttl": 5},
        "degraded": {"interval": 5, "token_ttl": 5}, "locked": {"interval": 5, "token_ttl": 5}
    }
}"#;

#[tokio::test]
async fn a_running_agent_is_leased_while_its_server_is_away_to_the_leases_end_and_no_longer() {
    let site = Site::new().await;
    let server = site.serve_at(fixed_address()).await;
    let key = site.license(SECONDS, 5).await;
    let agent = Agent::activate(&site, &server, &key, &Agent::fingerprint_file(&site)).await;
    let taken = agent.lease(&["take", "--for", "15s"]).await;
    assert_eq!(taken.word(), "0 authorized ok", "{taken:?}");
    let until = taken.status()["lease"]["until"].as_i64().unwrap();
    let address = server.address;
    server.kill().await;

    let mut running = agent.run();
    assert_eq!(running.next_other_than("authorized ok").await, "leased offline_lease");
    let leased = agent.status().await;
    assert_eq!(leased.word(), "0 leased offline_lease");
    assert_eq!(leased.status()["lease"]["until"], until);
    assert_eq!(running.next_other_than("leased offline_lease").await, "grace out_of_contact");
    let over = agent.lease(&["status"]).await;
    assert_eq!((over.code, over.status()["lease"].clone()), (Some(0), Value::Null), "{over:?}");
    assert!(over.status()["at"].as_i64().unwrap() >= until);
    let _server = site.serve_at(address).await;
    let back = "authorized ok";
    let mut word = running.next_other_than("grace out_of_contact").await;
    while word != back {
        word = running.next_other_than(&word).await;
    }
    assert!(terminate(&mut running.child).await.success());
}

#[tokio::test]
async fn a_lease_is_renewed_and_returned_and_its_refusal_says_why() {
    let site = Site::new().await;
    let server = site.serve().await;
    let key = site.license(r#"{"lease_max_seconds": 3600}"#, 5).await;
    let agent = Agent::activate(&site, &server, &key, "machine").await;
    let taken = agent.lease(&["take"]).await.status();
    let (at, until) = (taken["at"].as_i64().unwrap(), taken["lease"]["until"].as_i64().unwrap());
    assert!((3590..=3600).contains(&(until - at)), "no longer than the profile allows: {taken}");
    let renewed = agent.lease(&["take", "--for", "30m"]).await.status();
    assert_ne!(renewed["lease"]["id"], taken["lease"]["id"]);
    assert_eq!(agent.does("rekey").await.code, Some(0));
    let beaten = agent.does("beat").await;
    assert_eq!(
        (beaten.word(), beaten.status()["lease"].clone()),
        ("0 authorized ok".into(), renewed["lease"].clone())
    );
    let returned = agent.lease(&["return"]).await;
    assert_eq!(
        (returned.word(), returned.status()["lease"].clone()),
        ("0 authorized ok".into(), Value::Null)
    );
    let again = agent.lease(&["return"]).await;
    assert_eq!(again.code, Some(1), "{again:?}");

    let key = site.license(r#"{"lease_max_seconds": 0}"#, 5).await;
    fs::remove_dir_all(site.folder().join("agent")).unwrap();
    let agent = Agent::activate(&site, &server, &key, "machine").await;
    let refused = agent.lease(&["take"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error.contains("lease_not_allowed; "), "{refused:?}");
    assert_eq!(agent.status().await.word(), "0 authorized ok");
}

#[tokio::test]
async fn a_leased_folder_on_another_machine_is_locked() {
    let site = Site::new().await;
    let server = site.serve().await;
    let key = site.license("{}", 5).await;
    let fingerprint = Agent::fingerprint_file(&site);
    let agent = Agent::activate(&site, &server, &key, &fingerprint).await;
    assert_eq!(agent.lease(&["take"]).await.code, Some(0));
    server.kill().await;
    let components = fs::read_to_string(&fingerprint).unwrap();
    fs::write(&fingerprint, components.replace("4711", "4712")).unwrap();
    assert_eq!(agent.status().await.word(), "0 authorized ok", "two of three still fit");
    fs::write(&fingerprint, components.replace("4711", "4712").replace("Hall 3", "Hall 4")).unwrap();
    assert_eq!(agent.status().await.word(), "23 locked fingerprint_mismatch");
    fs::write(&fingerprint, components).unwrap();
    assert_eq!(agent.status().await.word(), "0 authorized ok");
}

#[tokio::test]
async fn a_machine_that_is_never_online_is_leased_by_files_each_of_which_works_once() {
    let site = Site::new().await;
    let key = site.license(r#"{"require_approval": "yes"}"#, 1).await;
    let fingerprint = Agent::fingerprint_file(&site);
    let (request, reply) = (site.folder().join("request.json"), site.folder().join("reply.txt"));
    let (request, reply) = (request.to_str().unwrap(), reply.to_str().unwrap());
    let (agent, requested) = Agent::request(&site, &key, &fingerprint, request.as_ref()).await;
    assert_eq!(requested.code, Some(0), "{requested:?}");

    let answered = site.operate(&["lease", "answer", request]).await;
    fs::write(reply, answered["reply"].as_str().unwrap()).unwrap();
    let again = site.operator().args(["lease", "answer", request]).output().await.unwrap();
    assert!(!again.status.success() && again.stdout.is_empty(), "a request is answered once");
    let imported = agent.lease(&["import", reply]).await;
    assert_eq!(imported.word(), "0 authorized ok", "{imported:?}");
    assert_eq!(imported.status()["lease"]["id"], answered["lease_id"]);
    assert_eq!(agent.lease(&["import", reply]).await.code, Some(4), "a reply is imported once");

    // The same machine renews: no second seat, and the kept settings and key suffice.
    let renewed = agent.lease(&["request", request, "--for", "1d"]).await;
    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    let answered = site.operate(&["lease", "answer", request]).await;
    fs::write(reply, answered["reply"].as_str().unwrap()).unwrap();
    let imported = agent.lease(&["import", reply]).await.status();
    assert_eq!(imported["install_id"], answered["install_id"]);
    assert_eq!(imported["lease"]["id"], answered["lease_id"]);
    assert_eq!(site.database.value("SELECT count(*) FROM installs").await, "1");

    // Should it be online one day, it beats like any other.
    let server = site.serve().await;
    let beaten = agent.beats_at(&server).await;
    assert_eq!(
        (beaten.word(), beaten.status()["lease"].clone()),
        ("0 authorized ok".into(), imported["lease"].clone())
    );
}

#[tokio::test]
async fn a_lease_that_an_operator_revoked_ends_at_the_next_beat_and_bars_another() {
    let site = Site::new().await;
    let server = site.serve().await;
    let key = site.license("{}", 5).await;
    let agent = Agent::activate(&site, &server, &key, &Agent::fingerprint_file(&site)).await;
    let taken = agent.lease(&["take"]).await.status();
    let id = taken["lease"]["id"].as_str().unwrap();
    site.operate(&["lease", "revoke", id]).await;
    assert_eq!(agent.status().await.status()["lease"]["id"], id, "nobody has told it yet");
    let beaten = agent.does("beat").await;
    assert_eq!((beaten.word(), beaten.status()["lease"].clone()), ("0 authorized ok".into(), Value::Null));
    let refused = agent.lease(&["take"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error.contains("lease_revoked; "), "{refused:?}");
}
