use std::fs;

use protocol::problem::Code;
use qubictether_agent::{Error, LicenseKey, Settings};
use serde_json::Value;

use crate::{
    rig::{Rig, license_key},
    server::{LICENSE_KEY, NOW, Server, refusal},
};

fn nonces(server: &Server) -> Vec<Value> {
    let books = server.books();
    let bodies = books.requests.iter().filter(|request| request.path == "/v1/activate");
    bodies
        .map(|request| {
            serde_json::from_slice::<Value>(request.body.as_ref().unwrap()).unwrap()["nonce"].clone()
        })
        .collect()
}

#[tokio::test]
async fn an_activation_gives_a_state_and_keeps_the_settings() {
    let rig = Rig::new();
    let before = rig.agent.status().unwrap();
    assert_eq!((before.state, before.activation_needed), (None, true));
    let status = rig.activate().await.unwrap();
    assert_eq!(rig.position(), ("authorized".into(), 14, "ok".into()));
    assert_eq!(status.install_id, Some(rig.server.books().install));
    assert_eq!(status.entitlements.unwrap().get(), "{\"edition\":  \"pro\"}");
    assert_eq!(status.ladder.len(), 3);
    assert!(!status.activation_needed && status.last_error.is_none());
    assert_eq!(rig.counter(), 0);
    assert_eq!(Settings::kept_in(&rig.state()).unwrap().unwrap().product.as_str(), "acme-render");
    assert!(!rig.file("activation.json").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_what_is_kept_and_nothing_raw_is_in_it() {
    use std::os::unix::fs::PermissionsExt;

    let rig = Rig::activated().await;
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(rig.state()), 0o700);
    for entry in fs::read_dir(rig.state()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(path.clone()), 0o600, "{}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("DQSGN8") && !text.contains("DJS3C2"), "{}", path.display());
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_its_nonce_by_the_next_process_too() {
    let rig = Rig::new();
    rig.server.leave();
    assert!(matches!(rig.activate().await, Err(Error::TimedOut)));
    rig.pass(300);
    let another = rig.another(2);
    assert!(another.activate(&license_key()).await.is_err());
    rig.pass(301);
    assert!(rig.activate().await.is_err());
    rig.server.behave();
    rig.activate().await.unwrap();
    rig.activate().await.unwrap();
    let nonces = nonces(&rig.server);
    assert_eq!(nonces[0], nonces[1]);
    assert_ne!(nonces[1], nonces[2], "ten minutes are over");
    assert_eq!(nonces[2], nonces[3]);
    assert_ne!(nonces[3], nonces[4], "that one was answered");
}

#[tokio::test]
async fn an_activation_that_a_crash_left_behind_is_forgotten_before_its_secret_is_used() {
    let rig = Rig::new();
    rig.server.leave();
    rig.activate().await.unwrap_err();
    let pending = fs::read(rig.file("activation.json")).unwrap();
    rig.server.behave();
    rig.activate().await.unwrap();
    fs::write(rig.file("activation.json"), &pending).unwrap();
    rig.activate().await.unwrap();
    fs::write(rig.file("activation.json"), &pending).unwrap();
    rig.agent.beat().await.unwrap();
    assert!(!rig.file("activation.json").exists());
    rig.activate().await.unwrap();
    let nonces = nonces(&rig.server);
    assert_eq!(nonces[..3], vec![nonces[0].clone(); 3], "nothing was sent under the secret");
    assert_ne!(nonces[3], nonces[0], "a beat was");
}

#[tokio::test]
async fn a_server_that_failed_or_put_it_off_is_asked_again_with_the_same_nonce() {
    let rig = Rig::new();
    for code in [Code::Unavailable, Code::Internal, Code::SlowDown] {
        rig.server.tamper(move |_, _| Ok(refusal(code, NOW)));
        assert!(matches!(rig.activate().await, Err(Error::Problem { code: Some(_), .. })));
    }
    rig.server.tamper(|_, _| Ok(refusal(Code::SeatsExhausted, NOW)));
    rig.activate().await.unwrap_err();
    rig.server.behave();
    rig.activate().await.unwrap();
    let nonces = nonces(&rig.server);
    assert_eq!(nonces[..4], vec![nonces[0].clone(); 4], "it may have activated");
    assert_ne!(nonces[4], nonces[0], "that one was refused");
}

#[tokio::test]
async fn a_refused_key_leaves_the_machine_as_it_was() {
    let rig = Rig::new();
    let other = LicenseKey::generate([9; 18]);
    let refused = rig.agent.activate(&other).await.unwrap_err();
    assert!(matches!(refused, Error::Problem { status: 403, code: Some(Code::LicenseRefused), .. }));
    let status = rig.agent.status().unwrap();
    assert_eq!(status.state, None);
    assert_eq!(status.last_error.unwrap(), "the server answered 403: License refused");
    assert!(Settings::kept_in(&rig.state()).unwrap().is_none());
    rig.activate().await.unwrap();
    assert_eq!(rig.agent.status().unwrap().last_error, None);
}

#[tokio::test]
async fn a_server_that_repeats_the_license_key_does_not_get_it_printed() {
    let rig = Rig::new();
    rig.server.tamper(|_, _| {
        let mut problem = crate::server::refusal(Code::Internal, crate::server::NOW);
        let text = String::from_utf8(problem.body.to_vec()).unwrap();
        problem.body =
            text.replace("\"detail\":\"\"", &format!("\"detail\":\"{LICENSE_KEY}\"")).into_bytes().into();
        Ok(problem)
    });
    let refused = rig.activate().await.unwrap_err();
    assert!(!refused.in_one_line().contains("DQSGN8") && !format!("{refused:?}").contains("DQSGN8"));
    assert!(!rig.agent.status().unwrap().to_string().contains("DQSGN8"));
}

#[tokio::test]
async fn a_key_that_is_kept_activates_again_and_goes_with_the_install() {
    let rig = Rig::with(|builder, _| builder.keep_license_key(true));
    rig.activate().await.unwrap();
    assert_eq!(fs::read_to_string(rig.file("license.key")).unwrap(), LICENSE_KEY);
    rig.server.books().secrets.clear();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.server.books().count("/v1/activate"), 2);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.counter(), 1, "the counter began anew");
    rig.agent.deactivate().await.unwrap();
    assert!(!rig.file("license.key").exists());
    assert_eq!(rig.agent.status().unwrap().state, None);
    assert!(matches!(rig.agent.beat().await, Err(Error::NotActivated)));
}

#[tokio::test]
async fn only_an_activation_sends_the_license_key() {
    let rig = Rig::with(|builder, _| builder.keep_license_key(true).license_key(license_key()));
    rig.activate().await.unwrap();
    rig.agent.beat().await.unwrap();
    rig.agent.rekey().await.unwrap();
    rig.agent.deactivate().await.unwrap();
    let books = rig.server.books();
    for request in &books.requests {
        let body = String::from_utf8(request.body.as_deref().cloned().unwrap_or_default()).unwrap();
        assert_eq!(body.contains("DQSGN8"), request.path == "/v1/activate", "{}", request.path);
    }
}

#[tokio::test]
async fn nothing_but_activate_and_status_works_before_an_activation_or_makes_a_folder() {
    let rig = Rig::new();
    assert!(matches!(rig.agent.beat().await, Err(Error::NotActivated)));
    assert!(matches!(rig.agent.rekey().await, Err(Error::NotActivated)));
    assert!(matches!(rig.agent.deactivate().await, Err(Error::NotActivated)));
    assert!(matches!(rig.agent.run(std::future::pending(), |_| ()).await, Err(Error::NotActivated)));
    assert!(!rig.state().exists());
}
