//! `profile`.

use std::fs;

use crate::Site;

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
