//! A machine's state, copied to a second one.

use crate::agent::Agent;
use crate::site::Site;

const SUSPECTED: &str = "0 warned clone_suspected";

#[tokio::test]
async fn a_copied_folder_is_flagged_when_the_copy_is_behind_and_a_reset_clears_it() {
    let site = Site::new().await;
    let (server, key) = (site.serve().await, site.license("{}", 5).await);
    let fingerprint = Agent::fingerprint_file(&site);
    let agent = Agent::activate(&site, &server, &key, &fingerprint).await;
    let copy = agent.copied_to("copy");
    assert_eq!(agent.does("beat").await.word(), "0 authorized ok");
    assert_eq!(copy.does("beat").await.word(), SUSPECTED, "at its first beat");
    assert_eq!(agent.does("beat").await.word(), SUSPECTED, "nobody can tell which is which");

    site.operate(&["install", "reset", &install(&agent).await]).await;
    let unknown = agent.does("beat").await;
    assert_eq!((unknown.code, unknown.status()["activation_needed"].as_bool()), (Some(3), Some(true)));
    let again = agent.activate_again(&site, &server, &key, &fingerprint).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(agent.does("beat").await.word(), "0 authorized ok");
    assert_eq!(copy.does("beat").await.code, Some(3), "its secret has died");
    assert_eq!(site.database.value("SELECT count(*) FROM installs").await, "1");
}

#[tokio::test]
async fn a_copied_folder_is_flagged_when_the_first_is_behind_and_a_rebind_clears_it() {
    let site = Site::new().await;
    let (server, key) = (site.serve().await, site.license("{}", 5).await);
    let agent = Agent::activate(&site, &server, &key, &Agent::fingerprint_file(&site)).await;
    let copy = agent.copied_to("copy");
    assert_eq!(copy.does("beat").await.word(), "0 authorized ok");
    assert_eq!(agent.does("beat").await.word(), SUSPECTED, "at its first beat");

    site.operate(&["install", "rebind", &install(&agent).await]).await;
    assert_eq!(agent.does("beat").await.word(), "0 authorized ok");
    assert_eq!(copy.does("beat").await.word(), SUSPECTED, "two that live can't both stay ahead");
}

async fn install(agent: &Agent) -> String {
    agent.status().await.status()["install_id"].as_str().unwrap().to_owned()
}
