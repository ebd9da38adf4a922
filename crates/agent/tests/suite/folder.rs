//! What an agent finds in its state folder.

use std::{fs, sync::Arc};

use qubictether_agent::{Agent, Error, Settings};

use crate::{
    rig::{Rig, license_key},
    server::{ISSUER, product},
};

#[tokio::test]
async fn a_file_that_is_not_the_agents_is_named_and_never_replaced() {
    let rig = Rig::activated().await;
    let whole = fs::read_to_string(rig.file("state.json")).unwrap();
    let broken = [
        String::new(),
        "{}".into(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("\"version\":1", "\"version\":2"),
        whole.replacen("\"counter\":0", "\"counter\":9007199254740992", 1),
        whole.replacen("\"secrets\":[\"", "\"secrets\":[\"x", 1),
        whole.replacen("\"token\":\"e", "\"token\":\"f", 1),
    ];
    for text in broken {
        assert_ne!(text, whole);
        fs::write(rig.file("state.json"), &text).unwrap();
        for error in [
            rig.agent.beat().await.unwrap_err(),
            rig.activate().await.unwrap_err(),
            rig.agent.status().unwrap_err(),
            rig.agent.run(std::future::pending(), |_| ()).await.unwrap_err(),
        ] {
            let Error::Corrupt { file, .. } = &error else { panic!("{error:?}") };
            assert_eq!(*file, rig.file("state.json"));
            assert!(error.to_string().contains("move it away"));
        }
        assert_eq!(fs::read_to_string(rig.file("state.json")).unwrap(), text);
    }
}

#[tokio::test]
async fn a_token_or_a_keyset_that_was_changed_on_disk_is_not_believed() {
    let rig = Rig::activated().await;
    let record = rig.record();
    let token = record["install"]["token"].as_str().unwrap();
    let keyset = record["trust"]["keysets"][0].as_str().unwrap();
    for text in [token, keyset] {
        let changed = format!("{}AAAA", &text[..text.len() - 4]);
        let whole = fs::read_to_string(rig.file("state.json")).unwrap();
        fs::write(rig.file("state.json"), whole.replace(text, &changed)).unwrap();
        assert!(matches!(rig.agent.status(), Err(Error::Corrupt { .. })));
        fs::write(rig.file("state.json"), whole).unwrap();
    }
    rig.agent.status().unwrap();
}

#[tokio::test]
async fn the_state_of_another_server_product_or_root_is_foreign() {
    let rig = Rig::activated().await;
    let settings =
        Settings::new(ISSUER.parse().unwrap(), product(), rig.server.books().root.public().clone());
    let others = [
        Settings { issuer: "https://license.example.org".into(), ..settings.clone() },
        Settings { product: "acme-other".parse().unwrap(), ..settings.clone() },
        Settings { root_key: rig.server.books().token_key.public().clone(), ..settings },
    ];
    for settings in others {
        let agent = Agent::builder(settings).transport(rig.server.clone()).open(rig.state());
        assert!(matches!(agent.status(), Err(Error::Foreign { .. })));
        assert!(matches!(agent.activate(&license_key()).await, Err(Error::Foreign { .. })));
    }
    assert_eq!(rig.position().0, "authorized");
}

#[cfg(unix)]
#[tokio::test]
async fn an_open_folder_is_closed_if_it_is_empty_and_refused_if_it_holds_other_things() {
    use std::os::unix::fs::PermissionsExt;

    let open = |rig: &Rig| {
        fs::create_dir(rig.state()).unwrap();
        fs::set_permissions(rig.state(), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let mode = |rig: &Rig| fs::metadata(rig.state()).unwrap().permissions().mode() & 0o777;
    let rig = Rig::new();
    open(&rig);
    rig.activate().await.unwrap();
    assert_eq!(mode(&rig), 0o700);
    let rig = Rig::new();
    open(&rig);
    fs::write(rig.file("thesis.txt"), "…").unwrap();
    assert!(matches!(rig.activate().await, Err(Error::NotPrivate { .. })));
    assert_eq!(mode(&rig), 0o755);
}

#[tokio::test]
async fn processes_that_share_a_folder_never_share_a_counter() {
    let rig = Rig::activated().await;
    let agents: Vec<_> = (10..14).map(|seed| Arc::new(rig.another(seed))).collect();
    let mut beats = tokio::task::JoinSet::new();
    for agent in agents {
        beats.spawn(async move {
            for _ in 0..5 {
                agent.beat().await.unwrap();
            }
        });
    }
    beats.join_all().await;
    let proofs = rig.server.books().proofs("/v1/heartbeat");
    assert_eq!(
        proofs.iter().map(|proof| proof.counter.value()).collect::<Vec<_>>(),
        (1..=20).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_holds_is_there_for_others_to_read() {
    let rig = Rig::activated().await;
    let read =
        || serde_json::from_slice::<serde_json::Value>(&fs::read(rig.file("status.json")).unwrap()).unwrap();
    let status = read();
    let mut members: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let expected = [
        "activation_needed",
        "at",
        "entitlements",
        "install_id",
        "ladder",
        "last_contact",
        "last_error",
        "lease",
        "license_id",
        "next_heartbeat_at",
        "reason",
        "rule",
        "state",
    ];
    assert_eq!(members, expected);
    assert!(status["lease"].is_null() && status["last_error"].is_null());
    assert_eq!(status["ladder"][0][1], "grace");
    rig.server.leave();
    assert!(rig.agent.beat().await.is_err());
    assert_eq!(read()["last_error"], "the server didn't answer in time");
}
