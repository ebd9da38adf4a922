//! The wrapped keys, moved under a server that runs.

use serde_json::json;

use super::{Wrapped, emulator, environment};
use crate::connection::Connection;
use crate::site::Site;
use crate::{activate, heartbeat};

/// Moves the keys by a site's settings, twice; what wraps them then.
async fn moved(site: &Site, target: &[&str]) -> String {
    let rewrap = [&["keys", "rewrap", "--to"], target].concat();
    let done = site.operate(&rewrap).await;
    let by = done["wrapped_by"].as_str().unwrap().to_owned();
    assert_eq!(done, json!({ "rewrapped": 2, "already": 0, "wrapped_by": by }));
    let again = site.operate(&rewrap).await;
    assert_eq!(again, json!({ "rewrapped": 0, "already": 2, "wrapped_by": by }));
    assert_eq!(site.database.value("SELECT DISTINCT wrapped_by FROM wrapped_keys").await, by);
    by
}

#[tokio::test]
async fn keys_move_from_a_file_to_kms_to_another_key_and_back_under_a_server_that_runs() {
    let Wrapped { mut site, way, key } = Wrapped::without_keys().await;
    let kms = std::mem::take(&mut site.besides);
    let file = vec![];
    // The file's settings, but with a way to KMS for whoever needs one.
    let on_the_way: Vec<_> = kms.iter().filter(|(name, _)| name.starts_with("AWS_")).cloned().collect();
    site.besides.clone_from(&on_the_way);
    site.operate(&["init"]).await;
    let license = site.license("{}", 10).await;
    let server = site.serve().await;
    let mut connection = server.connect().await;
    let mut agent = activate(&mut connection, &license, 0).await;
    let mut number = 0;
    let mut goes_on = async |connection: &mut Connection| {
        let (proof, body) = heartbeat(&mut agent);
        assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
        number += 1;
        activate(connection, &license, number).await;
    };

    assert_eq!(moved(&site, &["kms", "--to-key", &key]).await, key);
    goes_on(&mut connection).await;
    site.besides.clone_from(&kms);
    goes_on(&mut site.serve().await.connect().await).await;

    let other = emulator().make_key();
    assert_eq!(moved(&site, &["kms", "--to-key", &other]).await, other);
    goes_on(&mut connection).await;
    site.besides = environment(&other, way.url());
    goes_on(&mut site.serve().await.connect().await).await;
    emulator().kms("disable_key", &json!({ "KeyId": key }));
    goes_on(&mut site.serve().await.connect().await).await;

    assert!(moved(&site, &["local"]).await.starts_with("local-"));
    goes_on(&mut connection).await;
    site.besides = file;
    way.set_open(false);
    goes_on(&mut site.serve().await.connect().await).await;
}

#[tokio::test]
async fn keys_do_not_move_to_a_key_that_can_not_be_used() {
    let Wrapped { site, way, key } = Wrapped::new().await;
    let other = emulator().make_key();
    emulator().kms("disable_key", &json!({ "KeyId": other }));
    let rewrap = ["keys", "rewrap", "--to", "kms", "--to-key", &other];
    let output = site.operator().args(rewrap).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains(&format!("KMS key {other} is disabled")), "{said}");
    assert_eq!(site.database.value("SELECT DISTINCT wrapped_by FROM wrapped_keys").await, key);

    emulator().kms("enable_key", &json!({ "KeyId": other }));
    way.set_open(false);
    let output = site.operator().args(rewrap).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && said.contains("can't be reached"), "{said}");
    way.set_open(true);
    site.serve().await;
}
