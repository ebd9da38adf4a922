//! `profile`.

use std::fs;
use std::path::Path;
use std::process::Command;

use edge::testing::{TestEdge, TestMachine};

use crate::{Said, Site};

#[tokio::test]
async fn a_profile_is_made_published_anew_and_found_by_id_or_name() {
    let site = Site::new().await;
    let made = site.json(&["profile", "create", "--name", "standard"]);
    assert_eq!((&made["name"], &made["active_number"]), (&"standard".into(), &1.into()));
    assert_eq!(made["knobs"]["silence_tolerance"], 3600, "every knob is written out");

    let file = site.folder.path().join("knobs.json");
    fs::write(&file, r#"{"silence_tolerance": 7200}"#).unwrap();
    let id = made["id"].as_str().unwrap();
    let published = site.json(&["profile", "publish", id, "--knobs-file", file.to_str().unwrap()]);
    assert_eq!((&published["active_number"], &published["version"]), (&2.into(), &2.into()));

    let shown = site.json(&["profile", "show", "standard"]);
    assert_eq!(shown, published);
    let versions: Vec<_> =
        shown["versions"].as_array().unwrap().iter().map(|version| &version["number"]).collect();
    assert_eq!(versions, [2, 1]);
    assert_eq!(shown["versions"][1]["knobs"]["silence_tolerance"], 3600, "what was published stays");
    let listed = site.json(&["profile", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &id.into()));
    assert!(site.says(&["profile", "list"]).output.contains("standard"));
    assert_eq!(site.says(&["profile", "create", "--name", "standard"]).code, Some(4));
}

#[tokio::test]
async fn a_version_is_drafted_tried_published_to_some_and_to_all_and_rolled_back() {
    let site = Site::new().await;
    let license = site.database.license(1, "{}", 5).await;
    let server = TestEdge::new(&site.database, 1, |_| auth::router()).await;
    for machine in 0..3 {
        TestMachine::new(machine).activate(&server, &license.key).await.unwrap();
    }
    let drafted = site.says(&["profile", "draft", "test-1", "--knobs", r#"{"min_agent_version": "9.0.0"}"#]);
    assert!(drafted.output.starts_with("version 2 of profile test-1 is a draft"), "{drafted:?}");
    let dry_run = ["profile", "dry-run", "test-1", "--version", "2"];
    // The program's clock is today's: all have been silent since the test's own.
    let told = site.json(&dry_run);
    assert_eq!((&told["installs"], &told["number"]), (&3.into(), &2.into()), "{told}");
    let told = site.says(&dry_run);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.output.contains("version 2 of profile test-1, judged as of"), "{told:?}");
    assert!(told.output.contains("3 installs: "), "{told:?}");
    let published = site.json(&["profile", "publish", "test-1", "--version", "2", "--percent", "40"]);
    assert_eq!(
        [&published["active_number"], &published["percent"], &published["previous_number"]],
        [2, 40, 1]
    );
    let shown = site.says(&["profile", "show", "test-1"]).output;
    assert!(shown.contains("version 2 judges 40 installs in a hundred, version 1 the rest"), "{shown}");
    assert_eq!(site.json(&["profile", "publish", "test-1", "--version", "2"])["percent"], 100);
    assert_eq!(site.json(&["profile", "rollback", "test-1"])["active_number"], 1);
    let next = site.json(&["profile", "publish", "test-1", "--percent", "5"]);
    assert_eq!([&next["active_number"], &next["percent"], &next["previous_number"]], [3, 5, 1]);
    for (arguments, code) in [
        (&["profile", "dry-run", "test-1", "--version", "9"][..], 3),
        (&["profile", "dry-run", "nobodys", "--version", "1"], 3),
        (&["profile", "dry-run", "test-1", "--version", "1", "--at", "soon"], 2),
        (&["profile", "dry-run", "test-1", "--version", "1", "--at", "2020-01-01T00:00:00Z"], 2),
        (&["profile", "publish", "test-1", "--version", "2", "--percent", "0"], 2),
        (&["profile", "publish", "test-1", "--version", "2", "--knobs", "{}"], 2),
        (&["profile", "publish", "test-1", "--version", "9"], 3),
    ] {
        assert_eq!(site.says(arguments).code, Some(code), "{arguments:?}");
    }
}

#[tokio::test]
async fn the_page_on_changing_a_profile_safely_can_be_followed_to_the_letter() {
    let site = Site::new().await;
    site.json(&["profile", "create", "--name", "standard"]);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md")).unwrap();
    let section = page.split_once("## Changing a profile safely").unwrap().1;
    let commands = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let program = Path::new(env!("CARGO_BIN_EXE_qubictether")).parent().unwrap().display().to_string();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let said: Vec<String> = commands
        .lines()
        .map(|line| {
            let mut shell = Command::new("sh");
            shell.args(["-euc", line]).current_dir(site.folder.path()).env("PATH", &path);
            shell.env("QT_DATABASE_URL", &site.database.url).env("QT_KEK_FILE", site.kek_file());
            let said = Said::of(shell.output().unwrap());
            assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{line}");
            said.output
        })
        .collect();
    for (said, part) in said.iter().zip([
        "",
        "version 2 of profile standard is a draft",
        "0 installs: 0 would be in a worse state",
        "version 2 judges 5 installs in a hundred, version 1 the rest",
        "version 2 judges\n",
        "version 1 judges\n",
    ]) {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.len(), 6);
}
