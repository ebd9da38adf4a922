//! What fails says so in one line, with what to do, and by its exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::{Said, Site, program};

const NOBODY: &str = "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50";

/// The one line of a failure with this status.
fn line_of(command: &mut Command, code: i32) -> String {
    let said = Said::of(command.output().unwrap());
    assert_eq!((said.code, said.output.as_str()), (Some(code), ""), "{said:?}");
    assert_eq!(said.error.lines().count(), 1, "{said:?}");
    assert!(said.error.starts_with("qubictether: "), "{said:?}");
    said.error
}

#[tokio::test]
async fn every_failure_has_its_status_and_its_remedy() {
    let site = Site::new().await;
    for (arguments, code, remedy) in [
        (
            &["license", "create", "--product", "A", "--customer", "", "--max-installs", "1"][..],
            2,
            "/product",
        ),
        (
            &["license", "create", "--product", "a", "--customer", "b", "--max-installs", "1"],
            2,
            "make one first",
        ),
        (&["profile", "create", "--name", "p", "--knobs", r#"{"min_match": 2}"#], 2, "/knobs/min_match"),
        (&["profile", "create", "--name", "p", "--knobs-file", "/nonexistent"], 1, "/nonexistent"),
        (&["license", "show", NOBODY], 3, "there is no license"),
        (&["license", "suspend", NOBODY], 3, "there is no license"),
        (&["install", "reset", NOBODY], 3, "there is no install"),
        (&["profile", "publish", "nobody's"], 3, "there is no profile"),
        (&["--dev-dir", "/nonexistent", "license", "list"], 2, "serve --dev"),
    ] {
        let line = line_of(&mut site.operator(arguments), code);
        assert!(line.contains(remedy), "{arguments:?}: {line}");
    }
}

#[tokio::test]
async fn what_is_not_available_has_a_status_of_its_own() {
    let site = Site::new().await;
    let list = || site.operator(&["license", "list"]);
    let away = "postgres://op:geheim@127.0.0.1:1/nothing";
    let line = line_of(list().env("QT_DATABASE_URL", away), 5);
    assert!(line.contains("QT_DATABASE_URL") && !line.contains("geheim"), "{line}");
    let line = line_of(list().env("QT_KEK_FILE", "/nonexistent"), 5);
    assert!(line.contains("/nonexistent") && line.contains("qubictether init"), "{line}");

    fs::write(site.kek_file(), [8; 32]).unwrap();
    let line = line_of(&mut list(), 5);
    assert!(line.contains("QT_KEK_FILE"), "another key opens nothing: {line}");
    fs::set_permissions(site.kek_file(), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(line_of(&mut list(), 5).contains("chmod 600"));
}

#[tokio::test]
async fn a_database_that_is_not_set_up_is_told_from_one_that_is_away() {
    let site = Site::empty().await;
    fs::write(site.kek_file(), [8; 32]).unwrap();
    fs::set_permissions(site.kek_file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(line_of(&mut site.operator(&["license", "list"]), 5).contains("qubictether migrate"));
    site.json(&["migrate"]);
    for arguments in [&["license", "list"][..], &["serve"]] {
        let line = line_of(site.operator(arguments).env("QT_LOG", "off"), 5);
        assert!(line.contains("qubictether init"), "{line}");
    }
}

#[test]
fn a_setting_that_is_missing_or_wrong_is_named() {
    assert!(line_of(program().args(["license", "list"]), 2).contains("QT_KEK_FILE"));
    let mut command = program();
    command.env("QT_KEK_FILE", "/k").args(["license", "list"]);
    assert!(line_of(&mut command, 2).contains("QT_DATABASE_URL"));
    let wrong = line_of(command.env("QT_DATABASE_URL", "postgres://h/d").args(["--queue", "none"]), 2);
    assert!(wrong.contains("QT_QUEUE"), "{wrong}");
}

#[test]
fn usage_is_explained_with_status_2() {
    for arguments in
        [&[][..], &["licence"], &["license", "show"], &["license", "show", "x"], &["init", "--jsn"]]
    {
        let said = Said::of(program().args(arguments).output().unwrap());
        assert_eq!((said.code, said.output.as_str()), (Some(2), ""), "{arguments:?}: {said:?}");
    }
    let help = Said::of(program().arg("--help").output().unwrap());
    assert!(help.code == Some(0) && help.output.contains("Exit status: 0 done, 1 failed"), "{help:?}");
}

#[tokio::test]
async fn a_flag_comes_before_the_variable_of_the_same_name() {
    let site = Site::new().await;
    let mut command = site.operator(&["license", "list", "--json", "--database-url", &site.database.url]);
    let said = Said::of(command.env("QT_DATABASE_URL", "postgres://127.0.0.1:1/nothing").output().unwrap());
    assert_eq!(said.json(), serde_json::json!([]));
}
