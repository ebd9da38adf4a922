//! `audit`, and the row that each command leaves in it that changes something.

use edge::testing::{TestEdge, TestMachine};
use protocol::ambient::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::{Said, Site};

/// The log, the oldest row first.
fn log(site: &Site) -> Vec<Value> {
    let mut rows = site.json(&["audit", "list"]).as_array().unwrap().clone();
    rows.reverse();
    rows
}

/// Whoever runs the tests, as the system has him.
fn account() -> String {
    let said = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// Commands, each of which has to leave one row that says what it did.
struct Witness<'a> {
    site: &'a Site,
    account: String,
    rows: usize,
    told: Vec<String>,
}

impl<'a> Witness<'a> {
    fn of(site: &'a Site) -> Self {
        Self { site, account: account(), rows: log(site).len(), told: Vec::new() }
    }

    /// Runs a command. Gives what it said, and the row that it left, which has a `before` and an `after` as is said.
    fn sees(&mut self, arguments: &[&str], action: &str, has: (bool, bool)) -> (Value, Value) {
        let said = self.site.json(arguments);
        let rows = log(self.site);
        assert_eq!(rows.len(), self.rows + 1, "{arguments:?}: {rows:?}");
        self.rows += 1;
        let row = rows.last().unwrap().clone();
        assert_eq!((&row["actor"], &row["actor_name"]), (&json!("command_line"), &json!(self.account)));
        assert_eq!(row["action"], action, "{arguments:?}");
        let is_there = |state: &str| !row[state].is_null();
        assert_eq!((is_there("before"), is_there("after")), has, "{arguments:?}: {row}");
        assert_ne!(row["before"], row["after"], "{arguments:?}");
        self.told.extend(
            ["license_key", "api_key", "password"]
                .iter()
                .filter_map(|name| said[name].as_str().map(str::to_owned)),
        );
        // An install has a member of that name, too, which holds none.
        self.told.extend(
            said["secret"].as_str().and_then(|secret| secret.strip_prefix("whsec_")).map(str::to_owned),
        );
        (said, row)
    }

    /// Runs a command that has nothing to do any more.
    fn sees_nothing(&self, arguments: &[&str]) {
        self.site.json(arguments);
        assert_eq!(log(self.site).len(), self.rows, "{arguments:?}");
    }

    /// No secret that a command told stands in the log, and the log is whole.
    async fn ends(self) {
        let kept = self.site.database.lines("SELECT admin_audit::text FROM admin_audit").await.join("\n");
        for told in &self.told {
            let letters = told.replace('-', "");
            assert!(!kept.contains(told) && !kept.contains(&letters), "{told}");
        }
        assert_eq!(self.site.json(&["audit", "verify"])["intact"], true);
    }
}

const CHANGED: (bool, bool) = (true, true);
const MADE: (bool, bool) = (false, true);

#[tokio::test]
async fn each_command_that_changes_something_leaves_one_row_and_done_twice_leaves_no_other() {
    let site = Site::new().await;
    let license = site.database.license(1, r#"{"require_approval": "yes"}"#, 5).await;
    site.database.clock.set(SystemClock.unix_seconds());
    let server = TestEdge::new(&site.database, 1, |_| auth::router().merge(lease::router())).await;
    let mut agent = TestMachine::new(1).activate(&server, &license.key).await.unwrap();
    let install = agent.install.to_string();
    let mut witness = Witness::of(&site);

    witness.sees(&["profile", "create", "--name", "n"], "profile.create", MADE);
    let knobs = r#"{"learn_drift": true}"#;
    witness.sees(&["profile", "publish", "n", "--knobs", knobs], "profile.publish", CHANGED);
    let create = [
        "license",
        "create",
        "--product",
        "p",
        "--customer",
        "c",
        "--profile-id",
        "n",
        "--max-installs",
        "2",
    ];
    let (made, _) = witness.sees(&create, "license.create", MADE);
    let id = made["id"].as_str().unwrap();
    let (_, row) = witness.sees(&["license", "change", id, "--max-installs", "3"], "license.change", CHANGED);
    assert_eq!((&row["before"]["max_installs"], &row["after"]["max_installs"]), (&json!(2), &json!(3)));
    witness.sees_nothing(&["license", "change", id, "--max-installs", "3"]);
    for action in ["suspend", "resume", "revoke"] {
        witness.sees(&["license", action, id], &format!("license.{action}"), CHANGED);
        witness.sees_nothing(&["license", action, id]);
    }

    for action in ["approve", "suspend", "resume"] {
        witness.sees(&["install", action, &install], &format!("install.{action}"), CHANGED);
        witness.sees_nothing(&["install", action, &install]);
    }
    let lease = agent.take_lease(&server, 3600).await.id.to_string();
    witness.sees(&["lease", "revoke", &lease], "lease.revoke", CHANGED);
    witness.sees_nothing(&["lease", "revoke", &lease]);
    let other = json!(TestMachine::new(2).fingerprint).to_string();
    witness.sees(&["install", "rebind", &install, "--fingerprint", &other], "install.rebind", CHANGED);
    witness.sees_nothing(&["install", "rebind", &install, "--fingerprint", &other]);
    for action in ["reset", "revoke"] {
        witness.sees(&["install", action, &install], &format!("install.{action}"), CHANGED);
        witness.sees_nothing(&["install", action, &install]);
    }

    let hold = ["hold", "set", "--until"];
    let until = protocol::admin::Time(SystemClock.unix_seconds() + 3_600).to_string();
    let hold = [&hold[..], &[&until, "--reason", "r"]].concat();
    let (_, row) = witness.sees(&hold, "hold.set", MADE);
    assert_eq!(row["after"]["set_by"], json!(witness.account));
    witness.sees_nothing(&hold);
    witness.sees(&["hold", "end"], "hold.end", (true, false));
    witness.sees_nothing(&["hold", "end"]);

    witness.sees(&["user", "add", "--email", "a@example.com", "--role", "viewer"], "user.create", MADE);
    witness.sees(&["api-key", "create", "--role", "viewer"], "api_key.create", MADE);
    let create = ["webhook", "create", "--url", "https://hooks.example.com"];
    let (webhook, _) = witness.sees(&create, "webhook.create", MADE);
    let webhook = webhook["id"].as_str().unwrap();
    let (ping, _) = witness.sees(&["webhook", "ping", webhook], "webhook.ping", MADE);
    witness.sees_nothing(&["webhook", "resend", webhook, ping["id"].as_str().unwrap()]);
    witness.sees(&["webhook", "delete", webhook], "webhook.remove", (true, false));
    witness.sees(&["backup", "restored"], "backup.restored", MADE);
    assert_eq!(witness.told.len(), 4);
    witness.ends().await;
}

#[tokio::test]
async fn each_command_on_keys_leaves_one_row() {
    let site = Site::empty().await;
    site.json(&["init"]);
    let mut witness = Witness::of(&site);
    witness.sees(&["keys", "rotate", "--key-lead-seconds", "0"], "signing_key.rotate", CHANGED);
    let keys = site.json(&["keys", "list"]);
    let active =
        keys["signing_keys"].as_array().unwrap().iter().find(|key| key["status"] == "active").unwrap();
    let kid = active["kid"].as_str().unwrap();
    witness.sees(&["keys", "taint", kid], "signing_key.taint", CHANGED);
    witness.sees_nothing(&["keys", "taint", kid]);
    witness.sees(&["keys", "sign-keyset"], "keyset.sign", CHANGED);
    let rotated = witness.sees(&["keys", "rotate", "--root"], "root_key.rotate", CHANGED).1;
    assert_eq!(rotated["after"]["kid"], rotated["resource_id"]);
    let said =
        Said::of(site.operator(&["keys", "rotate", "--data", "--no-wait", "--json"]).output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let row = log(&site).pop().unwrap();
    assert_eq!(
        (&row["action"], &row["before"]["active"], &row["after"]["active"]),
        (&json!("wrapped_key.rotate"), &json!(1), &json!(2))
    );
    witness.rows += 1;
    let kek = site.folder.path().join("other");
    let rewrap = ["keys", "rewrap", "--to", "local", "--to-key", kek.to_str().unwrap()];
    // The settings name the key that wrapped them before: from here on only the database itself tells.
    let last = "SELECT seq || ' ' || action || ' ' || resource_id || ' ' || actor_name FROM admin_audit
                WHERE before::text <> after::text ORDER BY seq DESC LIMIT 1";
    for _ in 0..2 {
        site.json(&rewrap);
        let row = format!("{} wrapped_key.rewrap all {}", witness.rows + 1, witness.account);
        assert_eq!(site.database.value(last).await, row);
    }
}

#[tokio::test]
async fn the_log_is_listed_for_people_and_narrowed() {
    let site = Site::new().await;
    assert_eq!(site.says(&["audit", "list"]).output, "nothing was changed yet\n");
    for name in ["one", "two"] {
        site.json(&["profile", "create", "--name", name]);
    }
    site.json(&["api-key", "create", "--role", "viewer"]);
    let listed = site.says(&["audit", "list"]).output;
    let by = format!("{} (command_line)", account());
    assert!(
        listed.lines().nth(1).is_some_and(|line| line.contains("api_key.create") && line.ends_with(&by)),
        "{listed}"
    );
    let seqs = |arguments: &[&str]| -> Vec<i64> {
        let rows = site.json(&[&["audit", "list"], arguments].concat());
        rows.as_array().unwrap().iter().map(|row| row["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(seqs(&["--action", "profile.create"]), [2, 1]);
    assert_eq!(seqs(&["--resource", "api_key", "--actor", "command_line"]), [3]);
    assert_eq!(seqs(&["--actor", "user"]), [0; 0]);
    assert_eq!((seqs(&["--limit", "1"]), seqs(&["--limit", "1", "--before", "3"])), (vec![3], vec![2]));
    assert_eq!(seqs(&["--to", "2020-01-01T00:00:00Z"]), [0; 0]);
    assert_eq!(site.says(&["audit", "list", "--actor", "somebody"]).code, Some(2));
}

#[tokio::test]
async fn a_log_that_was_tampered_with_is_found() {
    let site = Site::new().await;
    site.json(&["api-key", "create", "--role", "viewer"]);
    let whole = site.json(&["audit", "verify"]);
    assert_eq!((&whole["intact"], &whole["rows"]), (&true.into(), &1.into()));
    let forge = "SET session_replication_role = replica; UPDATE admin_audit SET actor_name = 'nobody'";
    site.database.run(forge).await;
    let said = site.says(&["audit", "verify"]);
    assert!(said.code == Some(1) && said.error.contains("row 1"), "{said:?}");
}
