//! `keys`: what signs, rotated and tainted by operators.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use jose_jwt::PublicKey;
use protocol::keyset::{Keyset, verify_successor};
use serde_json::Value;

use crate::{Said, Site};

const ISSUER: &str = "https://license.example.com";

/// A site whose keys were made just now.
async fn site() -> Site {
    let site = Site::empty().await;
    site.json(&["init", "--public-url", ISSUER]);
    site
}

/// The kids of a use and status, by what `keys` printed.
fn kids(keys: &Value, key_use: &str, status: &str) -> Vec<String> {
    let is_wanted = |key: &&Value| key["use"] == key_use && key["status"] == status;
    let found = keys["signing_keys"].as_array().unwrap().iter().filter(is_wanted);
    found.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(keys: &Value, key_use: &str, status: &str) -> String {
    let found = kids(keys, key_use, status);
    assert_eq!(found.len(), 1, "{status} {key_use} keys in {keys}");
    found[0].clone()
}

/// The newest keyset, verified under the root that `keys` names.
async fn keyset(site: &Site, keys: &Value, issuer: &str) -> Keyset {
    let jws = site.database.value("SELECT jws FROM keysets ORDER BY version DESC LIMIT 1").await;
    let root: PublicKey =
        keys["roots"].as_array().unwrap().last().unwrap()["public_key"].as_str().unwrap().parse().unwrap();
    Keyset::verify(&jws, &root, issuer).unwrap()
}

fn refused(said: &Said, code: i32, about: &[&str]) {
    assert_eq!((said.code, said.output.as_str()), (Some(code), ""), "{said:?}");
    assert_eq!(said.error.lines().count(), 1, "{said:?}");
    assert!(about.iter().all(|part| said.error.contains(part)), "{said:?}");
}

#[tokio::test]
async fn a_key_is_rotated_when_its_lead_is_over_and_before_that_the_operator_hears_when() {
    let site = site().await;
    let before = site.json(&["keys", "list"]);
    for key_use in ["token", "lease"] {
        kid(&before, key_use, "active");
    }
    let next = kid(&before, "token", "prepared");
    let early = site.says(&["keys", "rotate", "--use", "token"]);
    let ready = before["signing_keys"].as_array().unwrap().iter().find(|key| key["kid"] == *next).unwrap();
    refused(&early, 4, &[&next, ready["ready_at"].as_str().unwrap(), "taint"]);
    assert_eq!(site.json(&["keys", "list"]), before);

    let after = site.json(&["keys", "rotate", "--use", "token", "--key-lead-seconds", "0"]);
    assert_eq!(kid(&after, "token", "active"), next);
    assert_eq!(kid(&after, "token", "retiring"), kid(&before, "token", "active"));
    kid(&after, "token", "prepared");
    assert_eq!(kid(&after, "lease", "active"), kid(&before, "lease", "active"));
    assert_eq!(after["keyset"]["version"], 2);
    assert_eq!(keyset(&site, &after, ISSUER).await.claims().keys.len(), 5);

    let both = site.json(&["keys", "rotate", "--key-lead-seconds", "0"]);
    assert_eq!(kid(&both, "lease", "active"), kid(&before, "lease", "prepared"));
    assert_eq!(kids(&both, "token", "retiring").len(), 2);
    assert_eq!(both["warnings"], serde_json::json!([]));
    let said = site.says(&["keys", "list"]);
    assert!(
        said.code == Some(0) && said.output.contains(&next) && !said.output.contains("warning"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_tainted_key_is_replaced_at_once_and_what_is_unknown_is_said_to_be() {
    let site = site().await;
    let before = site.json(&["keys", "list"]);
    let (bad, next) = (kid(&before, "token", "active"), kid(&before, "token", "prepared"));
    let after = site.json(&["keys", "taint", &bad]);
    assert_eq!(kid(&after, "token", "active"), next);
    assert_eq!(kid(&after, "token", "tainted"), bad);
    assert!(keyset(&site, &after, ISSUER).await.key(&bad, protocol::claims::Use::Token).is_none());
    assert_eq!(site.json(&["keys", "taint", &bad]), after, "done twice is done");
    refused(&site.says(&["keys", "taint", "nobody's"]), 3, &["there is no signing key nobody's"]);

    let retire = "UPDATE signing_keys SET verify_until = sign_from, sign_until = sign_from WHERE kid = ";
    site.json(&["keys", "rotate", "--use", "token", "--key-lead-seconds", "0"]);
    site.database.run(&format!("{retire} '{next}'")).await;
    refused(&site.says(&["keys", "taint", &next]), 4, &[&next, "retired"]);
}

#[tokio::test]
async fn an_exported_root_signs_from_its_file_and_nobody_without_it() {
    let site = site().await;
    let file = site.folder.path().join("root");
    let path = file.to_str().unwrap();
    fs::write(&file, "mine").unwrap();
    refused(&site.says(&["keys", "export-root", "--out", path]), 2, &[path]);
    assert_eq!(site.json(&["keys", "list"])["roots"][0]["in_database"], true);
    fs::remove_file(&file).unwrap();

    let exported = site.json(&["keys", "export-root", "--out", path]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let keys = site.json(&["keys", "list"]);
    assert_eq!(
        (&exported["kids"][0], &false.into()),
        (&keys["roots"][0]["kid"], &keys["roots"][0]["in_database"])
    );
    let again = site.folder.path().join("again");
    refused(&site.says(&["keys", "export-root", "--out", again.to_str().unwrap()]), 4, &["before"]);
    assert!(!again.exists());

    let bad = kid(&keys, "token", "active");
    for arguments in [
        &["keys", "rotate"][..],
        &["keys", "taint", &bad],
        &["keys", "sign-keyset"],
        &["keys", "rotate", "--root"],
    ] {
        let arguments = [arguments, &["--key-lead-seconds", "0"]].concat();
        refused(&site.says(&arguments), 4, &["--root-key FILE"]);
        let signed = site.json(&[&arguments[..], &["--root-key", path]].concat());
        let version = signed["keyset"]["version"].as_u64().unwrap();
        assert_eq!(keyset(&site, &signed, ISSUER).await.version(), version);
    }
    assert_eq!(site.json(&["keys", "list"])["keyset"]["version"], 5);
}

#[tokio::test]
async fn a_file_that_holds_another_root_or_none_is_refused() {
    let (site, other) = (site().await, site().await);
    let path = |site: &Site| site.folder.path().join("root").to_str().unwrap().to_owned();
    site.json(&["keys", "export-root", "--out", &path(&site)]);
    other.json(&["keys", "export-root", "--out", &path(&other)]);
    let sign = |path: &str| site.says(&["keys", "sign-keyset", "--root-key", path]);
    refused(&sign(&path(&other)), 4, &["--root-key FILE"]);
    refused(&sign("/nonexistent"), 2, &["/nonexistent"]);
    let kek = site.kek_file().to_str().unwrap().to_owned();
    refused(&sign(&kek), 2, &[&kek]);
    fs::set_permissions(path(&site), fs::Permissions::from_mode(0o644)).unwrap();
    refused(&sign(&path(&site)), 5, &["chmod 600"]);
}

#[tokio::test]
async fn an_operator_whose_root_is_offline_is_warned_before_the_keyset_ends() {
    let site = site().await;
    let file: PathBuf = site.folder.path().join("root");
    site.json(&["keys", "export-root", "--out", file.to_str().unwrap()]);
    assert_eq!(site.json(&["keys", "list"])["warnings"], serde_json::json!([]));
    let age = "UPDATE keysets SET issued_at = issued_at - interval '11 days', expires_at = expires_at - interval '11 days'";
    site.database.run(age).await;
    let warned = site.says(&["keys", "list"]);
    assert!(
        warned.output.starts_with("warning: the keyset ends at ") && warned.output.contains("sign-keyset"),
        "{warned:?}"
    );
    let signed = site.json(&["keys", "sign-keyset", "--root-key", file.to_str().unwrap()]);
    assert_eq!(signed["warnings"], serde_json::json!([]));
    let claims = keyset(&site, &signed, ISSUER).await.claims().clone();
    assert_eq!(claims.exp - claims.iat, 2_592_000, "as long as the one before");
}

#[tokio::test]
async fn a_new_root_is_vouched_for_by_the_one_before() {
    let site = site().await;
    let root = |keys: &Value, at: usize| -> PublicKey {
        keys["roots"][at]["public_key"].as_str().unwrap().parse().unwrap()
    };
    let first = root(&site.json(&["keys", "list"]), 0);
    let after = site.json(&["keys", "rotate", "--root"]);
    let said = site.database.value("SELECT successor FROM root_keys WHERE successor IS NOT NULL").await;
    assert_eq!(verify_successor(&said, &first, ISSUER).unwrap(), root(&after, 1));
    assert_eq!(
        (&after["roots"][0]["status"], &after["roots"][1]["status"]),
        (&"replaced".into(), &"active".into())
    );
    assert_eq!(keyset(&site, &after, ISSUER).await.version(), 2);
    assert_eq!(
        site.json(&["init"])["root_public_key"],
        after["roots"][1]["public_key"],
        "what new agents are shipped with"
    );

    let file = site.folder.path().join("roots");
    let exported = site.json(&["keys", "export-root", "--out", file.to_str().unwrap()]);
    assert_eq!(
        exported["kids"],
        serde_json::json!([root(&after, 1).kid(), first.kid()]),
        "the one that signs first"
    );
}

#[tokio::test]
async fn keysets_stay_for_the_same_issuer_unless_one_is_signed_for_another() {
    let site = site().await;
    let issuer = |keys: Value| keys["keyset"]["issuer"].as_str().unwrap().to_owned();
    let moved = "https://elsewhere.example.com";
    let rotated = site.json(&["keys", "rotate", "--key-lead-seconds", "0", "--public-url", moved]);
    assert_eq!(issuer(rotated), ISSUER);
    assert_eq!(issuer(site.json(&["keys", "sign-keyset"])), ISSUER);
    let signed = site.json(&["keys", "sign-keyset", "--public-url", moved]);
    keyset(&site, &signed, moved).await;
    assert_eq!(issuer(signed), moved);
}

/// Versions and statuses of a purpose's keys.
fn wrapped(listed: &Value, purpose: &str) -> Vec<String> {
    let keys = listed["wrapped_keys"].as_array().unwrap();
    let of = keys.iter().filter(|key| key["purpose"] == purpose);
    of.map(|key| format!("{} {}", key["version"], key["status"].as_str().unwrap())).collect()
}

/// What would otherwise take two minutes.
const SETTLE: &str =
    "UPDATE wrapped_keys SET replaced_at = replaced_at - interval '3 minutes' WHERE replaced_at IS NOT NULL";

#[tokio::test]
async fn a_data_key_is_rotated_by_as_many_runs_as_it_takes_and_shows_what_is_left() {
    let site = site().await;
    site.json(&["profile", "create", "--name", "standard"]);
    let create =
        ["license", "create", "--product", "acme-render", "--customer", "Example", "--max-installs", "1"];
    site.json(&create);
    let run = || {
        let said = site.says(&["keys", "rotate", "--data", "--no-wait", "--json"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        (serde_json::from_str::<Value>(&said.output).unwrap(), said.error)
    };
    let (first, said) = run();
    assert_eq!((&first["version"], &first["is_over"]), (&2.into(), &false.into()));
    assert!(first["renewed"].as_u64().unwrap() >= 6, "a license, four signing keys, a root: {first}");
    assert!(said.contains("data-key 2 is active"), "{said}");
    let listed = site.json(&["keys", "list"]);
    assert_eq!(wrapped(&listed, "data-key"), ["1 replaced", "2 active"]);
    assert_eq!(listed["wrapped_keys"][0]["left"], 0);
    assert!(listed["warnings"][0].as_str().unwrap().contains("--data goes on"), "{listed}");
    refused(&site.says(&["keys", "destroy", "--data", "1"]), 4, &["data-key 1", "retired"]);

    let (again, said) = run();
    assert_eq!((&again["version"], &again["renewed"]), (&2.into(), &0.into()));
    assert!(said.contains("going on"), "{said}");
    site.database.run(SETTLE).await;
    assert_eq!(run().0["is_over"], true);
    let listed = site.json(&["keys", "list"]);
    assert_eq!(wrapped(&listed, "data-key"), ["1 retired", "2 active"]);
    assert_eq!(listed["warnings"], serde_json::json!([]));

    let destroyed = site.json(&["keys", "destroy", "--data", "1"]);
    assert_eq!(destroyed[0]["status"], "destroyed");
    assert_eq!(site.json(&["keys", "destroy", "--data", "1"]), destroyed, "done twice is done");
    refused(&site.says(&["keys", "destroy", "--data", "9"]), 3, &["data-key 9"]);
    refused(&site.says(&["keys", "destroy", "--data", "2"]), 4, &["data-key 2"]);
    assert_eq!(site.says(&["keys", "destroy"]).code, Some(2));
    site.json(&create);
}

#[tokio::test]
async fn a_lookup_key_is_rotated_likewise() {
    let site = site().await;
    site.json(&["profile", "create", "--name", "standard"]);
    site.json(&[
        "license",
        "create",
        "--product",
        "acme-render",
        "--customer",
        "Example",
        "--max-installs",
        "1",
    ]);
    let run = || {
        let said = site.says(&["keys", "rotate", "--lookup", "--no-wait", "--json"]);
        serde_json::from_str::<Value>(&said.output).unwrap_or_else(|_| panic!("{said:?}"))
    };
    assert_eq!((&run()["renewed"], &run()["version"]), (&1.into(), &2.into()));
    site.database.run(SETTLE).await;
    assert_eq!(run()["is_over"], true);
    assert_eq!(wrapped(&site.json(&["keys", "list"]), "lookup-key"), ["1 retired", "2 active"]);
    for both in
        [&["keys", "rotate", "--lookup", "--data"][..], &["keys", "rotate", "--root", "--use", "token"]]
    {
        assert_eq!(site.says(both).code, Some(2), "{both:?}");
    }
}

#[tokio::test]
async fn a_kid_that_begins_with_a_hyphen_is_a_kid() {
    let site = Site::new().await;
    for kid in ["-uPDqfLHFLDWZJUeBTCdNKnkUJgbJMGRyOcGR5VbCPc", "--PDqfLHFLDWZJUeBTCdNKnkUJgbJMGRyOcGR5VbCPc"]
    {
        for arguments in [
            &["keys", "taint", kid][..],
            &["keys", "taint", "--json", kid],
            &["keys", "taint", kid, "--json"],
        ] {
            let said = site.says(arguments);
            assert_eq!((said.code, said.output.as_str()), (Some(3), ""), "{said:?}");
            assert!(said.error.contains(kid), "{said:?}");
        }
    }
    for help in ["-h", "--help"] {
        assert_eq!(site.says(&["keys", "taint", help]).code, Some(0), "{help}");
    }
}

#[tokio::test]
async fn a_data_key_that_is_used_up_is_said_to_be_with_what_to_do() {
    let site = Site::new().await;
    let license = site.database.license(1, "{}", 5).await;
    site.database.run("UPDATE wrapped_keys SET seals_reserved = 2147483648 WHERE purpose = 'data-key'").await;
    let rotate_key = || site.says(&["license", "rotate-key", &license.id.to_string()]);
    let refused = rotate_key();
    assert!(
        refused.code == Some(5) && refused.error.contains("`qubictether keys rotate --data`"),
        "{refused:?}"
    );
    assert_eq!(site.says(&["keys", "rotate", "--data", "--no-wait"]).code, Some(0));
    assert_eq!(rotate_key().code, Some(0));
}
