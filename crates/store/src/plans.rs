//! Every statement's plan, looked at: none reads a large table from end to end.

use std::fmt::Write as _;

use crate::sql::Sql;
use crate::testing::TestDatabase;

/// Tables that grow with the number of licenses, installs or heartbeats.
const LARGE: [&str; 13] = [
    "install_states",
    "licenses",
    "installs",
    "leases",
    "offline_requests",
    "heartbeats",
    "activation_rates",
    "admin_audit",
    "sessions",
    "sign_in_failures",
    "idempotency_keys",
    "imports",
    "webhook_deliveries",
];

pub(crate) fn statements() -> impl Iterator<Item = &'static Sql> {
    [
        crate::activation::STATEMENTS,
        crate::api_keys::STATEMENTS,
        crate::audit::STATEMENTS,
        crate::contact::STATEMENTS,
        crate::dry_run::STATEMENTS,
        crate::event::STATEMENTS,
        crate::heartbeat::STATEMENTS,
        crate::heartbeat_counts::STATEMENTS,
        crate::heartbeat_log::STATEMENTS,
        crate::hold::STATEMENTS,
        crate::idempotency::STATEMENTS,
        crate::import::STATEMENTS,
        crate::install::STATEMENTS,
        crate::install_list::STATEMENTS,
        crate::keys::STATEMENTS,
        crate::keys_change::STATEMENTS,
        crate::keys_keyset::STATEMENTS,
        crate::keys_open::STATEMENTS,
        crate::keys_rewrap::STATEMENTS,
        crate::keys_root::STATEMENTS,
        crate::keys_sealed::STATEMENTS,
        crate::keys_signing::STATEMENTS,
        crate::keys_wrapped::STATEMENTS,
        crate::lease::STATEMENTS,
        crate::leases::STATEMENTS,
        crate::license::STATEMENTS,
        crate::license_change::STATEMENTS,
        crate::license_end::STATEMENTS,
        crate::overview::STATEMENTS,
        crate::offline::STATEMENTS,
        crate::profile::STATEMENTS,
        crate::rates::STATEMENTS,
        crate::restate::STATEMENTS,
        crate::restore::STATEMENTS,
        crate::round::STATEMENTS,
        crate::seats::STATEMENTS,
        crate::sessions::STATEMENTS,
        crate::sign_in::STATEMENTS,
        crate::users::STATEMENTS,
        crate::webhook::STATEMENTS,
        crate::webhook_delivery::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// A script that explains a statement for whatever parameters, as if every table were large.
fn explain(sql: &Sql) -> String {
    let types: Vec<_> = sql.types.iter().map(tokio_postgres::types::Type::name).collect();
    let nulls = vec!["NULL"; types.len()].join(", ");
    let (types, nulls) = if types.is_empty() {
        (String::new(), nulls)
    } else {
        (format!("({})", types.join(", ")), format!("({nulls})"))
    };
    format!(
        "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; PREPARE s{types} AS {}; EXPLAIN EXECUTE s{nulls}",
        sql.text
    )
}

async fn plan(database: &TestDatabase, sql: &Sql) -> String {
    database.lines(&explain(sql)).await.iter().fold(String::new(), |mut plan, line| {
        let _ = writeln!(plan, "{line}");
        plan
    })
}

fn scanned(plan: &str) -> Option<&str> {
    LARGE.into_iter().find(|table| {
        plan.lines().any(|line| {
            line.split_once("Seq Scan on ").is_some_and(|(_, rest)| {
                rest.split_whitespace().next().is_some_and(|name| name.starts_with(table))
            })
        })
    })
}

#[tokio::test]
async fn no_statement_scans_a_large_table() {
    let database = TestDatabase::new().await;
    for sql in statements() {
        let plan = plan(&database, sql).await;
        assert_eq!(scanned(&plan), None, "{} scans it:\n{plan}", sql.name());
    }
}

#[tokio::test]
async fn a_statement_without_an_index_is_found_out() {
    let database = TestDatabase::new().await;
    let careless = Sql { text: "SELECT id FROM installs WHERE agent_platform = 'x'", types: &[] };
    assert_eq!(scanned(&plan(&database, &careless).await), Some("installs"));
}

#[test]
fn every_statement_has_a_name_of_its_own_after_its_file() {
    let mut names: Vec<_> = statements().map(Sql::name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert!(names.len() == count && names.iter().all(|name| name.contains('.')), "{names:?}");
}

#[test]
fn every_file_with_statements_is_looked_at() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let with_statements = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .filter(|text| text.contains("\nstatements! {"))
        .count();
    let listed = include_str!("plans.rs").lines().filter(|line| line.ends_with("::STATEMENTS,")).count();
    assert_eq!(with_statements, listed);
}
