//! Which crate may use which.

use std::process::Command;

use serde_json::Value;

use crate::{assert_none, checkout};

/// Of every crate, which others of the workspace it may use.
const MAY_USE: [(&str, &[&str]); 19] = [
    ("policy", &[]),
    ("jose-jwt", &[]),
    ("cluster", &[]),
    ("lambda-emulator", &[]),
    ("lambda-hello", &[]),
    ("protocol", &["policy", "jose-jwt"]),
    ("keyring", &["protocol", "jose-jwt"]),
    ("store", &["keyring", "protocol", "policy", "jose-jwt"]),
    ("edge", EDGE),
    ("heartbeat", FUNCTION),
    ("auth", FUNCTION),
    ("lease", FUNCTION),
    ("admin", FUNCTION),
    (
        "qubictether",
        &[
            "heartbeat",
            "auth",
            "lease",
            "admin",
            "edge",
            "store",
            "keyring",
            "protocol",
            "policy",
            "jose-jwt",
            "cluster",
        ],
    ),
    ("qubictether-agent", &["protocol", "jose-jwt", "policy"]),
    // It measures what opening a sealed secret costs, and fills databases.
    (
        "qubictether-bench",
        &[
            "qubictether-agent",
            "store",
            "keyring",
            "protocol",
            "jose-jwt",
            "policy",
            "cluster",
            "lambda-emulator",
        ],
    ),
    ("xtask", &["cluster"]),
    // Both sides of the protocol, as far as they are pure.
    ("model", &["qubictether-agent", "protocol", "policy", "jose-jwt"]),
    // It looks at the whole.
    (
        "conformance",
        &[
            "heartbeat",
            "auth",
            "lease",
            "admin",
            "edge",
            "store",
            "keyring",
            "protocol",
            "policy",
            "jose-jwt",
            "cluster",
            "lambda-emulator",
            "qubictether-agent",
        ],
    ),
];
const EDGE: &[&str] = &["store", "keyring", "protocol", "policy", "jose-jwt"];
const FUNCTION: &[&str] = &["edge", "store", "keyring", "protocol", "policy", "jose-jwt"];

/// What tests may use besides: a database to run against, and what makes one. Never another function.
const TESTS_MAY_USE: &[&str] = &["cluster", "edge", "store", "keyring", "protocol", "policy", "jose-jwt"];

/// What of other people's crates only one of ours may name: by a prefix of their names.
const ONLY: [(&str, &str); 6] = [
    ("tokio-postgres", "store"),
    ("deadpool", "store"),
    ("refinery", "store"),
    ("postgres", "store"),
    ("aws-", "keyring"),
    ("lambda_", "edge"),
];

/// Every direct dependency that breaks a rule, by the packages of `cargo metadata`.
fn violations(metadata: &Value) -> Vec<String> {
    let packages: Vec<&Value> = metadata["packages"].as_array().unwrap().iter().collect();
    let names: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
    let mut found = Vec::new();
    for package in &packages {
        let name = text(package, "name");
        let Some((_, may_use)) = MAY_USE.iter().find(|(ours, _)| *ours == name) else {
            found.push(format!("{name} has no rule in {}", file!()));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            // The crate's own name, whatever it is renamed to here.
            let used = text(dependency, "name");
            let for_tests = dependency["kind"] == "dev";
            let is_ours = names.contains(&used);
            // A crate names itself to turn on a feature for its own tests.
            let is_allowed = used == name && for_tests
                || may_use.contains(&used)
                || for_tests && TESTS_MAY_USE.contains(&used) && name != "policy" && name != "jose-jwt";
            if is_ours && !is_allowed {
                found.push(format!("{name} may not use {used}"));
            }
            let owner = ONLY.iter().find(|(prefix, _)| used.starts_with(prefix)).map(|(_, owner)| *owner);
            let looks_from_outside = for_tests || ["conformance", "lambda-hello"].contains(&name);
            if !is_ours && owner.is_some_and(|owner| owner != name) && !looks_from_outside {
                found.push(format!("only {} may use {used}, not {name}", owner.unwrap()));
            }
        }
    }
    found
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap()
}

#[test]
fn every_crate_uses_only_what_lies_below_it() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(checkout()).args(["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(metadata["packages"].as_array().unwrap().len() > 10);
    assert_none(&violations(&metadata));
}

mod planted {
    use serde_json::json;

    use super::*;

    /// What is found when `package` has a dependency.
    fn found(package: &str, dependency: &Value) -> Vec<String> {
        let packages = MAY_USE.map(|(name, _)| {
            let dependencies = if name == package { vec![dependency.clone()] } else { vec![] };
            json!({ "name": name, "dependencies": dependencies })
        });
        violations(&json!({ "packages": packages }))
    }

    fn normal(name: &str) -> Value {
        json!({ "name": name, "kind": null, "rename": null })
    }

    #[test]
    fn every_upward_or_sideways_use_is_found() {
        for (package, used) in [
            ("policy", "protocol"),
            ("jose-jwt", "policy"),
            ("protocol", "store"),
            ("keyring", "store"),
            ("store", "edge"),
            ("edge", "heartbeat"),
            ("heartbeat", "auth"),
            ("auth", "lease"),
            ("lease", "admin"),
            ("qubictether-agent", "store"),
            ("store", "cluster"),
        ] {
            assert_eq!(found(package, &normal(used)), [format!("{package} may not use {used}")]);
        }
        assert_eq!(found("store", &normal("keyring")), [""; 0]);
    }

    #[test]
    fn a_new_name_hides_nothing() {
        let renamed = json!({ "name": "store", "kind": null, "rename": "harmless" });
        assert_eq!(found("qubictether-agent", &renamed), ["qubictether-agent may not use store"]);
    }

    #[test]
    fn tests_may_use_a_database_but_no_other_function() {
        let dev = |name: &str| json!({ "name": name, "kind": "dev", "rename": null });
        assert_eq!(found("store", &dev("cluster")), [""; 0]);
        assert_eq!(found("store", &dev("store")), [""; 0]);
        assert_eq!(found("heartbeat", &dev("auth")), ["heartbeat may not use auth"]);
        assert_eq!(found("policy", &dev("protocol")), ["policy may not use protocol"]);
    }

    #[test]
    fn sql_aws_and_lambda_have_one_owner_each() {
        for used in ["tokio-postgres", "deadpool-postgres", "refinery", "tokio-postgres-rustls", "postgres"] {
            assert_eq!(found("edge", &normal(used)), [format!("only store may use {used}, not edge")]);
            assert_eq!(found("store", &normal(used)), [""; 0]);
        }
        assert_eq!(found("store", &normal("aws-sdk-kms")), ["only keyring may use aws-sdk-kms, not store"]);
        assert_eq!(found("keyring", &normal("aws-sdk-kms")), [""; 0]);
        assert_eq!(found("auth", &normal("lambda_http")), ["only edge may use lambda_http, not auth"]);
        assert_eq!(found("edge", &normal("lambda_http")), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_rule_is_found() {
        let packages = json!({ "packages": [{ "name": "stranger", "dependencies": [] }] });
        assert_eq!(violations(&packages), [format!("stranger has no rule in {}", file!())]);
    }
}
