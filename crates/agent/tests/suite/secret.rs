use protocol::problem::Code;
use qubictether_agent::{Error, transport::Answer};

use crate::{
    rig::Rig,
    server::{NOW, refusal, respond, text},
};

#[tokio::test]
async fn a_new_secret_is_used_and_kills_the_one_before_it() {
    let rig = Rig::activated().await;
    let old = rig.secrets();
    rig.agent.rekey().await.unwrap();
    assert_eq!(rig.secrets()[1], old[0], "until the new one has served");
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.secrets().len(), 1);
    assert_ne!(rig.secrets(), old);
    assert_eq!(rig.server.books().secrets.len(), 1);
    let last =
        rig.server.books().requests.iter().rfind(|request| request.path == "/v1/rekey").cloned().unwrap();
    assert!(last.body.is_none());
}

#[tokio::test]
async fn a_lost_answer_to_a_rekey_strands_nobody() {
    let rig = Rig::activated().await;
    rig.server.leave();
    assert!(rig.agent.rekey().await.is_err());
    rig.server.behave();
    rig.agent.beat().await.unwrap();
    rig.agent.rekey().await.unwrap();
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.secrets().len(), 1);
}

#[tokio::test]
async fn a_secret_that_somebody_else_made_up_does_not_cost_the_true_one() {
    let rig = Rig::activated().await;
    let old = rig.secrets();
    rig.server.tamper(|request, answer| match request.path.as_str() {
        "/v1/rekey" => {
            let mut json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            json["secret"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".into();
            Ok(respond(200, &json))
        }
        _ => Ok(answer),
    });
    rig.agent.rekey().await.unwrap();
    // The server's own new secret never came; the old one serves.
    let status = rig.agent.beat().await.unwrap();
    assert!(!status.activation_needed);
    assert_eq!(rig.secrets(), old);
    assert_eq!(
        rig.server.books().count("/v1/heartbeat"),
        3,
        "the new secret, with the time set, the old one"
    );
}

#[tokio::test]
async fn an_answer_to_another_rekey_is_refused() {
    let rig = Rig::activated().await;
    let before = rig.secrets();
    rig.server.tamper(|_, answer| {
        let mut json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        json["counter"] = 77.into();
        Ok(respond(200, &json))
    });
    assert!(matches!(rig.agent.rekey().await, Err(Error::Token(_))));
    for answer in
        [text(200, "{}".into()), text(200, String::new()), Answer { status: 204, ..Answer::default() }]
    {
        rig.server.tamper(move |_, _| Ok(answer.clone()));
        assert!(rig.agent.rekey().await.unwrap_err().is_no_contact());
    }
    assert_eq!(rig.secrets(), before);
}

#[tokio::test]
async fn a_refused_deactivation_changes_nothing() {
    let rig = Rig::activated().await;
    let (before, known) = (rig.secrets(), rig.server.books().secrets.clone());
    rig.server.tamper(|_, _| Ok(refusal(Code::Forbidden, NOW)));
    assert!(rig.agent.deactivate().await.unwrap_err().is_no_contact());
    assert_eq!(rig.secrets(), before);
    rig.server.behave();
    rig.server.books().secrets = known;
    rig.agent.deactivate().await.unwrap();
    assert!(rig.server.books().secrets.is_empty());
    assert_eq!(rig.agent.token().unwrap(), None);
}
