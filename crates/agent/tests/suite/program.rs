//! The program, against a server on this machine.

use std::fs;

use jose_jwt::SigningKey;
use policy::{Reason, State};
use serde_json::Value;

use crate::{
    server::{ISSUER, LICENSE_KEY},
    site::{Site, json, said, terminate},
};

#[test]
fn an_activation_keeps_the_settings_so_that_later_commands_need_only_the_state() {
    let site = Site::new();
    let before = site.run(&["status", "--json"]);
    assert_eq!((before.status.code(), json(&before)["state"].clone()), (Some(3), Value::Null));
    let activated = site.activate(&["--license-key-file", "-"], &format!("{LICENSE_KEY}\n"));
    assert_eq!((activated.status.code(), json(&activated)["state"].clone()), (Some(0), "authorized".into()));
    assert!(said(&activated).contains("activated"));
    for arguments in [["status", "--json"].as_slice(), &["beat"]] {
        let output = site.run(arguments);
        assert_eq!((output.status.code(), json(&output)["rule"].clone()), (Some(0), 14.into()));
    }
    assert!(
        str::from_utf8(&site.run(&["status"]).stdout)
            .unwrap()
            .starts_with("authorized (rule 14, ok) at 17900")
    );
    assert_eq!(site.run(&["rekey"]).status.code(), Some(0));
    assert_eq!(site.run(&["beat"]).status.code(), Some(0));
    assert_eq!(site.run(&["deactivate"]).status.code(), Some(0));
    assert_eq!(site.run(&["status"]).status.code(), Some(3));
    let again = site.command(&["activate"]).env("QT_AGENT_LICENSE_KEY", LICENSE_KEY).output().unwrap();
    assert_eq!(again.status.code(), Some(0));
    assert!(!site.file("license.key").exists());
}

#[test]
fn a_root_key_may_begin_with_a_hyphen() {
    let site = Site::new();
    let keys = (0..=u8::MAX).map(|seed| SigningKey::from_seed(&[seed; 32]));
    let root = keys.into_iter().find(|key| key.public().to_string().starts_with('-')).unwrap();
    site.server.books().root = root;
    let activated = site.activate(&["--license-key-file", &site.path("license.txt")], "");
    assert_eq!(activated.status.code(), Some(0), "{activated:?}");
}

#[test]
fn every_state_has_its_exit_status() {
    let site = Site::activated();
    for (state, code) in [
        (State::Warned, 0),
        (State::Leased, 0),
        (State::Grace, 20),
        (State::Degraded, 21),
        (State::Pending, 22),
        (State::Locked, 23),
        (State::Quarantined, 24),
        (State::Suspended, 25),
        (State::Revoked, 26),
        (State::Authorized, 0),
    ] {
        site.server.books().decide(state, 14, Reason::Ok);
        let beat = site.run(&["beat"]);
        assert_eq!((beat.status.code(), json(&beat)["state"].clone()), (Some(code), state.as_str().into()));
        assert_eq!(site.run(&["status"]).status.code(), Some(code));
    }
}

#[test]
fn a_server_that_is_away_or_not_believed_is_4_and_one_that_forgot_the_install_is_3() {
    let site = Site::activated();
    site.server.leave();
    let away = site.run(&["beat"]);
    assert_eq!((away.status.code(), json(&away)["state"].clone()), (Some(4), "authorized".into()));
    assert!(json(&away)["last_error"].is_string() && said(&away).contains("try again"));
    site.server.behave();
    site.server.edit(|claims| claims.aud = "acme-other".parse().unwrap());
    let refused = site.run(&["beat"]);
    assert_eq!((refused.status.code(), json(&refused)["state"].clone()), (Some(4), "authorized".into()));
    site.server.behave();
    site.server.books().secrets.clear();
    for arguments in [["beat"].as_slice(), &["status", "--json"]] {
        let forgotten = site.run(arguments);
        assert_eq!(
            (forgotten.status.code(), json(&forgotten)["activation_needed"].clone()),
            (Some(3), true.into())
        );
    }
    assert_eq!(site.run(&["rekey"]).status.code(), Some(3));
}

#[test]
fn what_is_used_wrongly_is_2_and_a_refused_license_3() {
    let site = Site::new();
    for arguments in
        [["--license-key"].as_slice(), &["--license-key-file", "/nowhere"], &[], &["--server", "nowhere"]]
    {
        assert_eq!(site.activate(arguments, "").status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(site.activate(&["--license-key-file", "-"], "QT1-DQSGN8-DJS3C2").status.code(), Some(2));
    assert_eq!(site.run(&["activate"]).status.code(), Some(2));
    assert_eq!(site.run(&["dance"]).status.code(), Some(2));
    let refused = site.activate(&["--license-key-file", "-"], "QT1-000000-000000-000000-000000-0000EY");
    let stranger = protocol::LicenseKey::generate([9; 18]);
    assert_eq!(refused.status.code(), Some(2), "its checksum is wrong");
    let refused = site.activate(&["--license-key-file", "-"], &stranger.printed());
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        said(&refused).contains("License refused") && !said(&refused).contains(&stranger.printed()[4..10])
    );
    for arguments in ["beat", "run", "rekey", "deactivate"] {
        let output = site.run(&[arguments]);
        assert_eq!(output.status.code(), Some(3), "{arguments}");
        assert!(said(&output).contains("activate"), "{arguments}");
    }
}

#[test]
fn a_state_file_that_cannot_be_read_is_1_and_named() {
    let site = Site::activated();
    fs::write(site.file("state.json"), "{}").unwrap();
    for command in ["status", "run", "rekey"] {
        let output = site.run(&[command]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(said(&output).contains("state.json") && said(&output).contains("move it away"));
    }
}

#[test]
fn a_run_prints_lines_until_sigterm_and_lets_others_beat() {
    let site = Site::activated();
    site.server.books().interval = 1;
    let (child, mut line) = site.start(&["run"]);
    assert_eq!(line()["state"], "authorized");
    assert_eq!(site.run(&["run"]).status.code(), Some(1), "one at a time");
    site.server.books().decide(State::Suspended, 4, Reason::InstallSuspended);
    assert_eq!(site.run(&["beat"]).status.code(), Some(25));
    while line()["state"] != "suspended" {}
    assert_eq!(terminate(child), Some(0));
}

#[test]
fn a_run_activates_first_with_a_key_that_it_is_given() {
    let site = Site::activated();
    site.run(&["deactivate"]);
    let (child, mut line) =
        site.start(&["run", "--license-key-file", &site.path("license.txt"), "--keep-key"]);
    assert_eq!(line()["state"], "authorized");
    assert!(site.file("license.key").exists());
    assert_eq!(terminate(child), Some(0));
}

#[test]
fn plain_http_to_elsewhere_is_warned_of() {
    let site = Site::activated();
    let output = site.run(&["status", "--server", "http://license.example.com", "--issuer", ISSUER]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("plain http"));
}

#[test]
fn a_setting_that_cannot_be_is_named_and_an_issuer_is_a_url_with_or_without_a_slash() {
    let site = Site::activated();
    for (setting, value) in [
        ("--issuer", ""),
        ("--issuer", "license.example.com"),
        ("--server", "ftp://license.example.com"),
        ("--product", "Acme"),
        ("--root-key", "AAAA"),
    ] {
        let refused = site.run(&["status", setting, value]);
        assert_eq!(refused.status.code(), Some(2), "{setting} {value}");
        assert!(str::from_utf8(&refused.stderr).unwrap().contains(setting), "{setting} {value}");
    }
    let refused = site.run(&["status", "--root-key", "AAAA"]);
    assert!(
        str::from_utf8(&refused.stderr).unwrap().contains("43 characters of base64url"),
        "what it has to be"
    );
    assert_eq!(site.run(&["status", "--issuer", &format!("{ISSUER}/")]).status.code(), Some(0));
    let other = site.run(&["status", "--issuer", "https://license.example.org"]);
    assert_eq!(other.status.code(), Some(1), "another issuer's folder");
}
