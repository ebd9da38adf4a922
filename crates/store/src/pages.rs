//! Every list, with every filter, over a fleet: none reads much more than it shows.

use serde_json::Value;

use crate::fleet::Fleet;
use crate::plans::statements;
use crate::testing::{START, TestDatabase};

/// Large enough for whoever reads a table from end to end to be told from whoever doesn't.
const FLEET: Fleet = Fleet { installs: 20_000, heartbeats: 60_000, weeks: 8 };

/// How many rows a page may look at, and a page that is deep inside, too. An index that is combined with another one
/// looks at all that it is for.
const MOST_ROWS: f64 = 10_000.0;

/// How many installs a part looks at here, the last of them twice: so that even that is told from all.
const LOOKED_AT: &str = "1500";

/// How many rows a plan's scans have looked at, those too that they left out.
fn rows_read(plan: &Value) -> f64 {
    let number = |member: &str| plan[member].as_f64().unwrap_or_default();
    let below: f64 = plan["Plans"].as_array().into_iter().flatten().map(rows_read).sum();
    let is_scan = plan["Node Type"].as_str().is_some_and(|kind| kind.contains("Scan"));
    let left_out = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    below + if is_scan { (number("Actual Rows") + left_out) * number("Actual Loops") } else { 0.0 }
}

/// What a statement reads for these parameters, written as SQL has them.
async fn read(database: &TestDatabase, name: &str, parameters: &str) -> (f64, String) {
    let sql = statements().find(|sql| sql.name() == name).unwrap();
    let types: Vec<_> = sql.types.iter().map(tokio_postgres::types::Type::name).collect();
    let (types, parameters) = if types.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("({})", types.join(", ")), format!("({parameters})"))
    };
    // As on a large table: nobody reads one of those from end to end because it is small.
    let script = format!(
        "SET enable_seqscan = off; PREPARE s{types} AS {}; EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE s{parameters}",
        sql.text
    );
    let plan = database.lines(&script).await.concat();
    let json: Value = serde_json::from_str(&plan).unwrap();
    (rows_read(&json[0]["Plan"]), plan)
}

/// The filters of a list: what stands in the place of each parameter that is named, with NULL in all others.
fn filters(count: usize, first: &[&str], named: &[&[(usize, &str)]]) -> Vec<String> {
    let all = named.iter().map(|named| {
        let mut parameters = vec!["NULL".to_owned(); count];
        first.iter().enumerate().for_each(|(place, text)| (*text).clone_into(&mut parameters[place]));
        named.iter().for_each(|(place, text)| (*text).clone_into(&mut parameters[place - 1]));
        parameters.join(", ")
    });
    all.collect()
}

/// The smallest id.
const NIL: &str = "'00000000-0000-0000-0000-000000000000'";

/// A statement, and the parameters that it is asked with.
type Asked = Vec<(&'static str, Vec<String>)>;

/// What is asked for, as SQL has it.
struct Known {
    /// The license with the most installs.
    license: String,
    /// The install with the most leases.
    install: String,
    middle: String,
    middle_lease: String,
    profile: String,
    customer: String,
    actor: String,
    thing: String,
}

impl Known {
    async fn of(database: &TestDatabase) -> Self {
        let one = async |query: &str| format!("'{}'", database.value(query).await);
        Self {
            license: one("SELECT license_id FROM installs GROUP BY 1 ORDER BY count(*) DESC LIMIT 1").await,
            install: one("SELECT install_id FROM leases GROUP BY 1 ORDER BY count(*) DESC LIMIT 1").await,
            middle: one("SELECT id FROM installs ORDER BY id OFFSET 10000 LIMIT 1").await,
            middle_lease: one("SELECT id FROM leases ORDER BY id OFFSET 9000 LIMIT 1").await,
            profile: one("SELECT id FROM profiles ORDER BY id LIMIT 1").await,
            customer: one("SELECT customer FROM licenses ORDER BY id LIMIT 1").await,
            actor: one("SELECT actor_id FROM admin_audit LIMIT 1").await,
            thing: one("SELECT resource_id FROM admin_audit LIMIT 1").await,
        }
    }
}

/// So many seconds ago.
fn ago(seconds: i64) -> String {
    format!("to_timestamp({})", START - seconds)
}

fn installs(known: &Known) -> Asked {
    let (license, day_ago) = (known.license.as_str(), &ago(86_400));
    // What one of the indexes is for, then what is looked at besides.
    let mut found: Vec<Vec<(usize, &str)>> = vec![vec![], vec![(3, license)], vec![(6, "true")]];
    let states = ["'authorized'", "'warned'", "'grace'", "'locked'", "'revoked'", "'leased'"];
    found.extend(
        states
            .iter()
            .flat_map(|is| [vec![(4, *is)], vec![(3, license), (4, is)], vec![(4, is), (6, "true")]]),
    );
    found.extend(["'active'", "'pending'", "'deactivated'"].map(|is| vec![(5, is)]));
    let words = |query: &'static str, patterns: &'static str| vec![(11, query), (12, patterns)];
    let besides: Vec<Vec<(usize, &str)>> = vec![
        vec![],
        vec![(10, day_ago)],
        vec![(7, "'suspended'")],
        vec![(8, "'pending'")],
        words("$q$'node':*$q$", "'{%node%}'"),
        words("$q$'nowhere':*$q$", "'{%nowhere%}'"),
        [words("$q$'oslo':* & '1':*$q$", "'{%oslo%,%1%}'"), vec![(10, day_ago)]].concat(),
    ];
    let walks: Vec<Vec<(usize, &str)>> = found
        .iter()
        .flat_map(|found| besides.iter().map(|besides| [found.as_slice(), besides].concat()))
        .map(|named| [vec![(6, "false"), (9, LOOKED_AT)], named].concat())
        .collect();
    let walks: Vec<&[_]> = walks.iter().map(Vec::as_slice).collect();
    let rare = [(7, "$q$'77':*$q$"), (8, "$q$'node':* & '77':*$q$"), (9, "'{%node%,%77%}'")];
    let rare: Vec<Vec<(usize, &str)>> =
        [vec![], vec![(3, license)], vec![(4, "'locked'")], vec![(5, "'active'"), (6, day_ago)]]
            .map(|besides| [rare.as_slice(), &besides].concat())
            .into();
    let rare: Vec<&[_]> = rare.iter().map(Vec::as_slice).collect();
    let pages = [NIL, &known.middle].map(|after| {
        [
            ("install_list.walk", filters(12, &[after, "51"], &walks)),
            ("install_list.rare_words", filters(9, &[after, "51"], &rare)),
        ]
    });
    let sample = ("install_list.sample", vec!["$q${'oslo':*,'77':*}$q$".to_owned()]);
    pages.into_iter().flatten().chain([sample]).collect()
}

fn leases(known: &Known) -> Asked {
    let (license, install, now) = (known.license.as_str(), known.install.as_str(), &ago(0));
    let mut named: Vec<Vec<(usize, &str)>> =
        vec![vec![(6, now)], vec![(3, license), (6, now)], vec![(4, install), (6, now)]];
    let statuses = ["'renewed'", "'returned'", "'revoked'", "'ended'"];
    named.extend(
        statuses
            .iter()
            .flat_map(|is| [vec![(5, *is), (6, now.as_str())], vec![(3, license), (5, is), (6, now)]]),
    );
    let named: Vec<&[_]> = named.iter().map(Vec::as_slice).collect();
    let live: [&[(usize, &str)]; 3] = [&[(5, now)], &[(3, license), (5, now)], &[(4, install), (5, now)]];
    let pages = [NIL, &known.middle_lease].map(|after| {
        [
            ("leases.list", filters(6, &[after, "51"], &named)),
            ("leases.list_live", filters(5, &[after, "51"], &live)),
        ]
    });
    pages.into_iter().flatten().collect()
}

fn licenses(known: &Known) -> Asked {
    let named: [&[(usize, &str)]; 9] = [
        &[],
        &[(3, "'acme.cad'")],
        &[(4, &known.customer)],
        &[(5, "'active'")],
        &[(5, "'suspended'")],
        &[(5, "'revoked'")],
        &[(6, &known.profile)],
        &[(3, "'acme.cad'"), (5, "'revoked'")],
        &[(4, &known.customer), (5, "'suspended'")],
    ];
    let words: [&[_]; 3] =
        [&[(7, "$q$'ltd':*$q$")], &[(7, "$q$'blue':* & 'maps':*$q$")], &[(7, "$q$'nobody':*$q$")]];
    vec![
        ("license.list", filters(6, &[NIL, "51"], &named)),
        ("license.list_found", filters(7, &[NIL, "51"], &words)),
    ]
}

fn contacts(known: &Known) -> Asked {
    let (license, install) = (known.license.as_str(), known.install.as_str());
    let (half, later) = (&ago(2_419_200), &ago(2_400_000));
    let named: [&[(usize, &str)]; 16] = [
        &[],
        &[(4, install)],
        &[(5, license)],
        &[(6, "'authorized'")],
        &[(6, "'locked'")],
        &[(6, "'quarantined'")],
        &[(7, "9")],
        &[(7, "8")],
        &[(8, "'accepted'")],
        &[(8, "'clone'")],
        &[(9, half), (10, later)],
        &[(10, half)],
        &[(5, license), (6, "'locked'")],
        &[(5, license), (6, "'quarantined'")],
        &[(5, license), (8, "'clone'")],
        &[(4, install), (6, "'locked'")],
    ];
    let pages =
        ["NULL", half].map(|before| ("heartbeat_log.list", filters(10, &[before, NIL, "51"], &named)));
    pages.into()
}

fn audit(known: &Known) -> Asked {
    let (half, later) = (&ago(2_419_200), &ago(2_400_000));
    let named: [&[(usize, &str)]; 9] = [
        &[],
        &[(3, "'user'")],
        &[(3, "'command_line'")],
        &[(4, &known.actor)],
        &[(5, "'license.suspend'")],
        &[(5, "'nothing'")],
        &[(6, "'license'"), (7, &known.thing)],
        &[(7, &known.thing)],
        &[(8, half), (9, later)],
    ];
    vec![("audit.list", filters(9, &["9223372036854775807", "51"], &named))]
}

fn overview() -> Asked {
    let window = vec![format!("{}, {}, 10", ago(0), ago(-2_592_000))];
    let counted = vec![format!("{}, NULL", ago(0)), format!("{0}, {0}", ago(60))];
    vec![
        ("overview.ending", window.clone()),
        ("overview.falling", window),
        ("heartbeat_counts.by_hour", counted.clone()),
        ("heartbeat_counts.by_rule", counted),
    ]
}

#[tokio::test]
async fn no_page_reads_much_more_than_it_shows_whatever_it_is_filtered_by() {
    let database = TestDatabase::new().await;
    let store = database.store(1).await;
    store.make_fleet(FLEET, &[]).await.unwrap();
    store.sweep().await.unwrap();
    database.run("ANALYZE").await;
    let known = Known::of(&database).await;
    let asked =
        [installs(&known), leases(&known), licenses(&known), contacts(&known), audit(&known), overview()];
    let mut many = Vec::new();
    for (name, all) in asked.iter().flatten() {
        for parameters in all {
            let (rows, plan) = read(&database, name, parameters).await;
            if rows > MOST_ROWS {
                many.push(format!("{name}({parameters}) reads {rows} rows:\n{plan}"));
            }
        }
    }
    assert!(many.is_empty(), "{}", many.join("\n"));

    // There are too few of these for that bound to show it.
    let nothing: [&[_]; 2] = [&[(7, "'nothing'")], &[(6, "'license'"), (7, "'nothing'")]];
    for parameters in filters(9, &["9223372036854775807", "51"], &nothing) {
        let (rows, plan) = read(&database, "audit.list", &parameters).await;
        assert!(rows < 10.0, "what was done to a thing is found by its id: {plan}");
    }
}

#[test]
fn a_page_that_reads_a_table_from_end_to_end_is_found_out() {
    let plan = r#"{"Node Type": "Limit", "Actual Rows": 0, "Actual Loops": 1, "Plans": [{"Node Type": "Index Scan",
        "Actual Rows": 1, "Actual Loops": 1, "Rows Removed by Filter": 19999}]}"#;
    assert!(rows_read(&serde_json::from_str(plan).unwrap()) > MOST_ROWS);
}
