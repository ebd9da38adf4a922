//! `hold`.

use protocol::admin::parse_time;
use protocol::ambient::{Clock, SystemClock};
use serde_json::Value;

use crate::Site;

#[tokio::test]
async fn a_hold_is_set_for_a_while_or_until_a_time_shown_and_ended() {
    let site = Site::new().await;
    assert_eq!(site.says(&["hold", "show"]).output, "no hold is on\n");
    let before = SystemClock.unix_seconds();
    let set = site.json(&["hold", "set", "--for", "24h", "--reason", "the line is down"]);
    let began = parse_time(set["until"].as_str().unwrap()).unwrap() - 86_400;
    assert!((before..=SystemClock.unix_seconds()).contains(&began), "{set}");
    assert_eq!(site.json(&["hold", "show"]), set);
    assert_eq!(set["reason"], "the line is down");
    let shown = site.says(&["hold", "show"]).output;
    assert!(shown.contains("no breach takes any install below grace"), "{shown}");
    let until = protocol::admin::Time(before + 3_600).to_string();
    assert_eq!(
        site.json(&["hold", "set", "--until", &until, "--reason", "shorter"])["until"],
        until.as_str()
    );
    for _ in 0..2 {
        assert_eq!(site.json(&["hold", "end"])["until"], Value::Null, "done twice is done");
    }
    assert_eq!(site.says(&["hold", "show"]).output, "no hold is on\n");
}

#[tokio::test]
async fn a_hold_without_an_end_or_a_reason_or_with_a_wrong_one_is_not_set() {
    let site = Site::new().await;
    for (arguments, said) in [
        (&["--for", "24h"][..], "--reason"),
        (&["--reason", "r"], "--for"),
        (&["--for", "24h", "--until", "2027-01-01T00:00:00Z", "--reason", "r"], "cannot be used with"),
        (&["--for", "soon", "--reason", "r"], "90m"),
        (&["--for", "0", "--reason", "r"], "/until has to be later than now"),
        (&["--for", "91d", "--reason", "r"], "/until has to be later than now"),
        (&["--for", "1h", "--reason", ""], "/reason"),
    ] {
        let refused = site.says(&[&["hold", "set"], arguments].concat());
        assert!(refused.code == Some(2) && refused.error.contains(said), "{arguments:?}: {refused:?}");
    }
    assert_eq!(site.json(&["hold", "show"])["until"], Value::Null);
}
