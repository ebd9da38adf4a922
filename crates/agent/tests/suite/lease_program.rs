//! `qubictether-agent lease …`, against a server on this machine.

use std::{fs, io::Write, process::Stdio};

use jose_jwt::x25519::SecretKey;
use serde_json::Value;

use crate::{
    server::{ISSUER, LICENSE_KEY, NOW, PRODUCT},
    site::{Site, json, said},
};

#[test]
fn a_lease_is_taken_shown_renewed_and_returned() {
    let site = Site::activated();
    let taken = site.run(&["lease", "take"]);
    assert_eq!(
        (taken.status.code(), json(&taken)["lease"]["until"].clone()),
        (Some(0), (NOW + 604_800).into())
    );
    assert!(
        said(&taken).contains("leased: ") && said(&taken).contains("(in 7 d 0 h 0 min)"),
        "{}",
        said(&taken)
    );
    for arguments in [["lease", "status"].as_slice(), &["lease", "status", "--json"], &["status", "--json"]] {
        let shown = site.run(arguments);
        assert_eq!(
            (shown.status.code(), json(&shown)["lease"].clone()),
            (Some(0), json(&taken)["lease"].clone())
        );
    }
    let people = site.run(&["status"]);
    assert!(str::from_utf8(&people.stdout).unwrap().contains("\nlease: "), "{people:?}");

    let renewed = site.run(&["lease", "take", "--for", "90m"]);
    assert_eq!(json(&renewed)["lease"]["until"], NOW + 5400);
    assert_ne!(json(&renewed)["lease"]["id"], json(&taken)["lease"]["id"]);

    let returned = site.run(&["lease", "return"]);
    assert_eq!((returned.status.code(), json(&returned)["lease"].clone()), (Some(0), Value::Null));
    assert!(said(&returned).contains("returned"));
    let none = site.run(&["lease", "status"]);
    assert_eq!((none.status.code(), json(&none)["lease"].clone()), (Some(0), Value::Null));
    assert!(said(&none).contains("no lease is in force"));
    let again = site.run(&["lease", "return"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("holds no lease; take one"));
}

#[test]
fn what_is_wrong_with_a_lease_is_said_with_its_remedy() {
    let site = Site::new();
    for command in ["take", "status", "return"] {
        let output = site.run(&["lease", command]);
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert!(said(&output).contains("activate"), "{command}");
    }
    for term in ["0", "-1", "7 days", "1y", "99999999999999999999d"] {
        assert_eq!(site.run(&["lease", "take", "--for", term]).status.code(), Some(2), "{term}");
    }
    assert_eq!(site.run(&["lease"]).status.code(), Some(2));
    let site = Site::activated();
    site.server.books().leasing.refusal = Some("lease_limit".into());
    let refused = site.run(&["lease", "take"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(said(&refused).contains("grants no lease: lease_limit; return the lease of another machine"));
    site.server.books().leasing.refusal = None;
    site.run(&["lease", "take"]);
    site.server.books().leasing.live = None;
    let unknown = site.run(&["lease", "return"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("knows no such lease"));
    site.server.leave();
    for command in ["take", "return"] {
        let away = site.run(&["lease", command]);
        assert_eq!(away.status.code(), Some(4), "{command}");
        assert!(said(&away).contains("try again"), "{command}");
    }
    assert_eq!(site.run(&["lease", "status"]).status.code(), Some(0));
    site.server.behave();
    site.server.books().secrets.clear();
    assert_eq!(site.run(&["lease", "take"]).status.code(), Some(3));
}

/// A request by file, and the operator's answer to it.
fn exchange(site: &Site, arguments: &[&str]) -> String {
    let file = site.path("request.json");
    let mut all = vec!["lease", "request", &file];
    all.extend(arguments);
    let requested = site.run(&all);
    assert_eq!((requested.status.code(), requested.stdout.len()), (Some(0), 0), "{requested:?}");
    assert!(said(&requested).contains("lease import FILE"));
    let request = fs::read_to_string(file).unwrap();
    let (reply, presented) = site.server.books().answer_by_file(request.trim());
    let sealed = reply.seal(&presented.request().reply_to, &SecretKey::from_bytes(&[8; 32]), [1; 12]);
    fs::write(site.path("reply.txt"), format!("{}\n", sealed.as_str())).unwrap();
    site.path("reply.txt")
}

#[test]
fn a_machine_that_is_never_online_is_leased_by_two_files_and_renewed_by_two_more() {
    let site = Site::new();
    let root_key = site.server.books().root.public().to_string();
    let (key, components) = (site.path("license.txt"), site.path("components.json"));
    let settings =
        ["--issuer", ISSUER, "--product", PRODUCT, "--root-key", &root_key, "--fingerprint", &components];
    let reply = exchange(
        &site,
        &[settings.as_slice(), &["--license-key-file", &key, "--keep-key", "--for", "3d"]].concat(),
    );
    assert_eq!(site.run(&["status"]).status.code(), Some(3), "not yet");
    let imported = site.run(&["lease", "import", &reply]);
    assert_eq!(
        (imported.status.code(), json(&imported)["lease"]["until"].clone()),
        (Some(0), (NOW + 259_200).into())
    );
    assert!(said(&imported).contains("imported: "));
    assert_eq!(site.server.books().requests.len(), 0);

    let again = site.run(&["lease", "import", &reply]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(4), 0));
    assert!(said(&again).contains("was imported before; nothing was changed; ask again"), "{}", said(&again));

    let renewed = site.run(&["lease", "import", &exchange(&site, &[])]);
    assert_eq!(json(&renewed)["lease"]["until"], NOW + 604_800);
    assert_eq!(json(&renewed)["install_id"], json(&imported)["install_id"]);
    assert_eq!(site.run(&["status"]).status.code(), Some(0));
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_its_remedy() {
    let site = Site::new();
    let request = site.path("request.json");
    let lacking = site.run(&["lease", "request", &request]);
    assert_eq!(lacking.status.code(), Some(2));
    assert!(said(&lacking).contains("--server, --product and --root-key"));
    let nothing = site.run(&["lease", "import", &site.path("license.txt")]);
    assert_eq!(nothing.status.code(), Some(4));
    assert!(said(&nothing).contains("lease request FILE"));
    assert!(!site.file("").exists(), "nothing is made where nothing was asked");

    let root_key = site.server.books().root.public().to_string();
    let settings = ["--server", "https://license.example.com", "--product", PRODUCT, "--root-key", &root_key];
    let components = site.path("components.json");
    let settings = [settings.as_slice(), &["--fingerprint", &components]].concat();
    let keyless = site.run(&[["lease", "request", &request].as_slice(), &settings].concat());
    assert_eq!(keyless.status.code(), Some(2));
    assert!(said(&keyless).contains("--license-key-file"));
    let reply =
        exchange(&site, &[settings.as_slice(), &["--license-key-file", &site.path("license.txt")]].concat());
    let text = fs::read_to_string(&reply).unwrap();
    for broken in ["", "not a reply", &text.replacen('e', "f", 1), &text[..text.len() / 2]] {
        fs::write(&reply, broken).unwrap();
        let refused = site.run(&["lease", "import", &reply]);
        assert_eq!(refused.status.code(), Some(4), "{broken}");
        assert!(said(&refused).contains("nothing was changed"), "{broken}");
    }
    assert_eq!(site.run(&["lease", "import", &site.path("nowhere")]).status.code(), Some(2));
    fs::write(&reply, [0xff, 0xfe]).unwrap();
    assert_eq!(site.run(&["lease", "import", &reply]).status.code(), Some(2));
    let unwritable = site.run(&[
        "lease",
        "request",
        "/nowhere/request.json",
        "--license-key-file",
        &site.path("license.txt"),
    ]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(said(&unwritable).contains("/nowhere/request.json can't be written"));
    // Nothing was lost by all that: the reply still fits. By standard input, too.
    let mut child = site.command(&["lease", "import", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let imported = child.wait_with_output().unwrap();
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    let shown =
        site.command(&["lease", "request", "-"]).env("QT_AGENT_LICENSE_KEY", LICENSE_KEY).output().unwrap();
    assert_eq!(json(&shown)["qt"], "offline-request/1");
}
