//! Every knob's range, at its bounds; its default; and what is said of one that is refused.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use policy::{CloneAction, Knobs, MinMatch, Pace, RequireApproval, State};

fn pointers(json: &str) -> Vec<String> {
    Knobs::parse(json).err().unwrap_or_default().into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn what_is_left_out_has_its_default() {
    let knobs = Knobs::parse("{}").unwrap();
    assert_eq!(knobs, Knobs::default());
    let judging = &knobs.judging;
    assert_eq!((knobs.require_approval, knobs.learn_drift), (RequireApproval::No, false));
    assert_eq!((knobs.reactivations_per_month, knobs.lease_max_outstanding), (Some(10), None));
    assert_eq!((knobs.lease_max_seconds, knobs.release_silent_after), (604_800, None));
    assert_eq!((judging.min_match.thousandths(), judging.weights.len()), (600, 0));
    assert_eq!((judging.clone_action, &judging.min_agent_version), (CloneAction::Warn, &None));
    assert_eq!((judging.silence_tolerance, judging.max_clock_skew), (3600, 300));
    let windows = [
        judging.silence_grace,
        judging.silence_degraded,
        judging.expiry_grace,
        judging.expiry_degraded,
        judging.overage_grace,
        judging.overage_degraded,
    ];
    assert_eq!(windows, [604_800; 6]);
    let paces = State::ALL.iter().map(|state| {
        let Pace { interval, token_ttl } = judging.cadence.pace(*state);
        (interval, token_ttl)
    });
    let expected = [
        (300, 900),
        (120, 600),
        (3600, 7200),
        (300, 900),
        (600, 1800),
        (60, 300),
        (900, 1800),
        (300, 900),
        (900, 1800),
        (86_400, 172_800),
    ];
    assert!(paces.eq(expected));
}

#[test]
fn a_knob_is_taken_at_its_bounds_and_refused_beyond_them() {
    let whole = |least: i64, most: i64| {
        let taken = vec![least.to_string(), most.to_string()];
        let refused =
            [(least - 1).to_string(), (most + 1).to_string(), "1.5".into(), "\"1\"".into(), "true".into()];
        (taken, refused.to_vec())
    };
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let or_null = |(mut taken, refused): (Vec<String>, Vec<String>)| {
        taken.push("null".to_owned());
        (taken, refused)
    };
    let not_null = |(taken, mut refused): (Vec<String>, Vec<String>)| {
        refused.push("null".to_owned());
        (taken, refused)
    };
    let decade = || not_null(whole(0, 316_224_000));
    let cases = [
        ("silence_grace", decade()),
        ("silence_degraded", decade()),
        ("expiry_grace", decade()),
        ("expiry_degraded", decade()),
        ("overage_grace", decade()),
        ("overage_degraded", decade()),
        ("max_clock_skew", not_null(whole(0, 31_622_400))),
        ("lease_max_seconds", not_null(whole(0, 31_622_400))),
        ("reactivations_per_month", or_null(whole(0, 1000))),
        ("lease_max_outstanding", or_null(whole(0, 1_000_000))),
        (
            "release_silent_after",
            or_null((text(&["3601", "316224000"]), text(&["3600", "316224001", "\"x\""]))),
        ),
        ("silence_tolerance", (text(&["661", "31622400"]), text(&["660", "5", "31622401", "null", "1e3"]))),
        (
            "min_match",
            (text(&["0", "1", "0.125", "5e-1"]), text(&["-0.1", "1.001", "0.1234", "\"0.5\"", "null"])),
        ),
        ("learn_drift", (text(&["true", "false"]), text(&["0", "null", "\"true\""]))),
        (
            "clone_action",
            (text(&["\"quarantine\"", "\"warn\"", "\"ignore\""]), text(&["\"Warn\"", "null", "1"])),
        ),
        ("min_agent_version", (text(&["null", "\"1.0.0-rc.1\""]), text(&["\"1.0\"", "\"\"", "1"]))),
        (
            "require_approval",
            (
                text(&["\"no\"", "\"yes\"", "{\"after_first\": 1}", "{\"after_first\": 1000000}"]),
                text(&[
                    "\"maybe\"",
                    "true",
                    "{}",
                    "{\"after_first\": 0}",
                    "{\"after_first\": 1000001}",
                    "{\"x\": 1}",
                ]),
            ),
        ),
        (
            "weights",
            (
                text(&["{}", "{\"mac\": 0, \"b\": 1000000}"]),
                text(&["[]", "{\"mac\": -1}", "{\"mac\": 1000001}"]),
            ),
        ),
        (
            "cadence",
            (
                text(&[
                    "{}",
                    "{\"locked\": {\"interval\": 5, \"token_ttl\": 5}}",
                    "{\"revoked\": {\"interval\": 604800, \"token_ttl\": 1209600}}",
                ]),
                text(&[
                    "null",
                    "{\"asleep\": {\"interval\": 5, \"token_ttl\": 5}}",
                    "{\"locked\": {\"interval\": 4, \"token_ttl\": 5}}",
                    "{\"locked\": {\"interval\": 604801, \"token_ttl\": 604801}}",
                    "{\"locked\": {\"interval\": 60, \"token_ttl\": 59}}",
                    "{\"locked\": {\"interval\": 60, \"token_ttl\": 1209601}}",
                    "{\"locked\": {\"interval\": 60}}",
                    "{\"locked\": {\"interval\": 60, \"token_ttl\": 60, \"x\": 1}}",
                    "{\"locked\": 60}",
                ]),
            ),
        ),
    ];
    for (name, (taken, refused)) in cases {
        for value in taken {
            let json = format!("{{\"{name}\": {value}}}");
            let knobs = Knobs::parse(&json).unwrap_or_else(|faults| panic!("{json}: {faults:?}"));
            assert_eq!(Knobs::parse(&knobs.to_json()).unwrap(), knobs, "{json} prints back");
        }
        for value in refused {
            let json = format!("{{\"{name}\": {value}}}");
            let pointers = pointers(&json);
            assert!(
                !pointers.is_empty() && pointers.iter().all(|at| at.starts_with(&format!("/{name}"))),
                "{json}: {pointers:?}"
            );
        }
    }
}

#[test]
fn what_is_taken_is_what_was_said() {
    let knobs = Knobs::parse(
        r#"{"require_approval": {"after_first": 3}, "min_match": 0.25, "weights": {"mac": 7}, "learn_drift": true,
            "clone_action": "quarantine", "reactivations_per_month": 2, "silence_tolerance": 7200, "silence_grace": 1,
            "silence_degraded": 2, "expiry_grace": 3, "expiry_degraded": 4, "overage_grace": 5, "overage_degraded": 6,
            "max_clock_skew": 8, "min_agent_version": "1.2.3", "lease_max_seconds": 9, "lease_max_outstanding": 10,
            "release_silent_after": 7201, "cadence": {"grace": {"interval": 11, "token_ttl": 12}}}"#,
    )
    .unwrap();
    let judging = &knobs.judging;
    assert_eq!(knobs.require_approval, RequireApproval::AfterFirst(3));
    assert_eq!((judging.min_match, judging.weights["mac"]), (MinMatch::parse("0.25").unwrap(), 7));
    assert_eq!((knobs.learn_drift, judging.clone_action), (true, CloneAction::Quarantine));
    assert_eq!((knobs.reactivations_per_month, judging.silence_tolerance), (Some(2), 7200));
    let windows = [
        judging.silence_grace,
        judging.silence_degraded,
        judging.expiry_grace,
        judging.expiry_degraded,
        judging.overage_grace,
        judging.overage_degraded,
    ];
    assert_eq!(windows, [1, 2, 3, 4, 5, 6]);
    assert_eq!((judging.max_clock_skew, judging.min_agent_version.as_deref()), (8, Some("1.2.3")));
    assert_eq!((knobs.lease_max_seconds, knobs.lease_max_outstanding), (9, Some(10)));
    assert_eq!(knobs.release_silent_after, Some(7201));
    assert_eq!(judging.cadence.pace(State::Grace), Pace { interval: 11, token_ttl: 12 });
}

#[test]
fn the_tolerance_outlasts_the_late_beats_of_every_state_that_should_be_heard_of() {
    for state in ["authorized", "warned", "grace", "degraded"] {
        let knobs = |tolerance| {
            format!(
                r#"{{"silence_tolerance": {tolerance}, "cadence": {{"authorized": {{"interval": 5, "token_ttl": 5}},
                    "warned": {{"interval": 5, "token_ttl": 5}}, "grace": {{"interval": 5, "token_ttl": 5}},
                    "degraded": {{"interval": 5, "token_ttl": 5}}}}}}"#
            )
            .replace(&format!("\"{state}\": {{\"interval\": 5, \"token_ttl\": 5}}"), &format!("\"{state}\": {{\"interval\": 100, \"token_ttl\": 100}}"))
        };
        assert_eq!(pointers(&knobs(110)), ["/silence_tolerance"], "{state}");
        assert!(Knobs::parse(&knobs(111)).is_ok(), "{state}");
    }
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let json = r#"{"nonsense": 1, "min_match": 2, "weights": {"mac": -1, "b": 1}, "learn_drift": true, "learn_drift": 3,
                   "cadence": {"grace": {"interval": 1, "token_ttl": 900}}}"#;
    assert_eq!(
        pointers(json),
        [
            "/nonsense",
            "/min_match",
            "/weights/mac",
            "/learn_drift",
            "/learn_drift",
            "/cadence/grace/interval"
        ]
    );
    for json in ["", "[]", "null", "{", "{\"a\": 1,}", "1"] {
        assert_eq!(pointers(json), [""], "{json:?}");
    }
}

#[test]
fn a_components_name_has_1_to_32_characters_of_a_to_z_0_to_9_and_underscore() {
    let weights = |name: &str| pointers(&format!(r#"{{"weights": {{"{name}": 1}}}}"#));
    for name in ["a", "z9_", "_", "0", &"a".repeat(32)] {
        assert_eq!(weights(name), [""; 0], "{name}");
    }
    for name in ["", "A", "a-b", "a b", "é", "a.b", &"a".repeat(33)] {
        assert_eq!(weights(name), [format!("/weights/{name}")], "{name}");
    }
}

#[test]
fn an_approval_is_one_of_two_words_or_an_object() {
    for value in ["3", "true", "null", r#""maybe""#, "[]"] {
        let faults = Knobs::parse(&format!(r#"{{"require_approval": {value}}}"#)).unwrap_err();
        assert_eq!(faults[0].detail, r#"has to be "no", "yes" or {"after_first": n}"#, "{value}");
    }
}

#[test]
fn a_word_may_be_spelled_with_escapes() {
    let knobs = Knobs::parse(r#"{"clone_action": "w\u0061rn", "require_approval": "y\u0065s"}"#).unwrap();
    assert_eq!(
        (knobs.judging.clone_action, knobs.require_approval),
        (CloneAction::Warn, RequireApproval::Yes)
    );
    assert_eq!(pointers(r#"{"clone_action": "warn\\"}"#), ["/clone_action"]);
}

#[test]
fn what_is_no_number_is_no_least_score() {
    for text in [
        "",
        ".",
        ".5",
        "x",
        "1x",
        "0.x",
        "x.5",
        "0.5x",
        "-",
        "0x1",
        "1e",
        "0e",
        "0ex",
        "+1",
        "1ex",
        "1e1x",
        "e1",
        "0. 5",
        "1234567891",
        "12345",
        "1e30",
        "1e-30",
        "0.0001",
        "1.001",
        "100000",
    ] {
        assert_eq!(MinMatch::parse(text), None, "{text}");
    }
}

#[test]
fn nothing_but_zero_in_whatever_spelling_is_zero() {
    for (text, is_zero) in [("0", true), ("0.000", true), ("0e7", true), ("0.001", false), ("1", false)] {
        assert_eq!(MinMatch::parse(text).unwrap().is_zero(), is_zero, "{text}");
    }
}

#[test]
fn a_least_score_is_written_as_the_number_it_is() {
    for text in ["0.0", "0.001", "0.25", "0.6", "1.0"] {
        assert_eq!(serde_json::to_string(&MinMatch::parse(text).unwrap()).unwrap(), text);
    }
}
