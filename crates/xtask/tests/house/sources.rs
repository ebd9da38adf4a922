//! Who reads the environment, the clock and the random generator.

use crate::{
    assert_none,
    files::{File, all},
    text::{Keep, strip, strip_sql},
};

/// What reads the environment when the program runs.
const ENVIRONMENT: [&str; 3] = ["env::var(", "env::var_os(", "env::vars"];

/// What reads the wall clock: the standard library's way, and other crates'.
const WALL_CLOCK: [&str; 9] = [
    "SystemTime::now",
    "UNIX_EPOCH.elapsed",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "now_utc(",
    "now_v7(",
    "ClockId::Realtime",
];

/// What makes random bytes: the operating system's way, and other crates'.
const RANDOM: [&str; 9] = [
    "getrandom::",
    "rand::",
    "rand_core::",
    "fastrand::",
    "OsRng",
    "SysRng",
    "RandomState",
    "Uuid::new_v4(",
    "/dev/urandom",
];

/// What SQL may not say: times are bound from the injected clock, random values from the injected generator.
const IN_SQL: [&str; 12] = [
    "now()",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "random()",
    "gen_random_uuid",
];

/// Programs for whoever develops, which hold no license and judge nobody: `cluster` makes a password before there is
/// anything to make it with, and needs nothing of the product for it.
const FOR_DEVELOPERS: [&str; 2] = ["crates/cluster/", "crates/xtask/"];

/// Whether a file is for tests and measurements only.
fn is_for_tests(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.ends_with("/testing.rs")
}

/// The numbers of the lines that hold one of the needles.
fn lines_with(text: &str, needles: &[&str]) -> Vec<usize> {
    let has = |line: &str| needles.iter().any(|needle| begins_a_word(line, needle));
    text.lines().enumerate().filter(|(_, line)| has(line)).map(|(number, _)| number + 1).collect()
}

/// Whether the needle is there, and isn't the end of a longer name.
fn begins_a_word(line: &str, needle: &str) -> bool {
    let is_free = |at: usize| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    line.match_indices(needle).any(|(at, _)| is_free(at))
}

/// Where the environment is read outside `main.rs` and `config.rs`.
fn environment(files: &[File]) -> Vec<String> {
    let may = |path: &str| path.ends_with("/main.rs") || path.ends_with("/config.rs") || is_for_tests(path);
    let rust = files.iter().filter(|file| file.is_rust() && !may(&file.path));
    rust.flat_map(|file| {
        let code = strip(&file.text, Keep::Code);
        let mut lines = lines_with(&code, &ENVIRONMENT);
        // A program's arguments may say which variables stand in for them.
        if !file.path.ends_with("/arguments.rs") {
            lines.extend(clap_env(&code));
        }
        lines
            .into_iter()
            .map(|line| format!("{}:{line} reads the environment", file.path))
            .collect::<Vec<_>>()
    })
    .collect()
}

/// The lines on which an `#[arg(… env …)]` begins, of stripped code.
fn clap_env(code: &str) -> Vec<usize> {
    let attributes = ["#[arg(", "#[clap("].into_iter().flat_map(|opening| code.match_indices(opening));
    let with_env = attributes.filter(|(at, _)| {
        let body = code[*at..].split_once(")]").map_or("", |(body, _)| body);
        body.split(|character: char| !character.is_alphanumeric() && character != '_')
            .any(|word| word == "env")
    });
    with_env.map(|(at, _)| code[..at].lines().count() + 1).collect()
}

/// Where the product does what only one line in it may do.
fn uses(files: &[File], needles: &[&str]) -> Vec<String> {
    let is_product =
        |path: &str| !is_for_tests(path) && !FOR_DEVELOPERS.iter().any(|folder| path.starts_with(folder));
    let rust = files.iter().filter(|file| file.is_rust() && is_product(&file.path));
    rust.flat_map(|file| {
        let text = strip(&file.text, Keep::CodeAndLiterals);
        lines_with(&text, needles).into_iter().map(|line| format!("{}:{line}", file.path)).collect::<Vec<_>>()
    })
    .collect()
}

/// Where SQL reads the database's clock or its random generator.
fn sql(files: &[File]) -> Vec<String> {
    let text = |file: &File| match file.path.split('/').next() {
        Some("migrations") => Some(strip_sql(&file.text)),
        Some("crates") if file.path.starts_with("crates/store/src/") && !is_for_tests(&file.path) => {
            Some(strip(&file.text, Keep::Literals))
        }
        _ => None,
    };
    let texts = files.iter().filter_map(|file| Some((file, text(file)?.to_lowercase())));
    texts
        .flat_map(|(file, text)| {
            let lines = lines_with(&text, &IN_SQL).into_iter();
            lines
                .map(|line| format!("{}:{line} asks the database for time or chance", file.path))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn only_main_and_config_read_the_environment() {
    assert_none(&environment(&all()));
}

#[test]
fn one_line_reads_the_wall_clock() {
    let found = uses(&all(), &WALL_CLOCK);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("crates/protocol/src/ambient.rs:"), "{found:?}");
}

#[test]
fn one_line_asks_the_random_generator() {
    let found = uses(&all(), &RANDOM);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("crates/protocol/src/ambient.rs:"), "{found:?}");
}

#[test]
fn sql_asks_for_neither_time_nor_chance() {
    assert_none(&sql(&all()));
}

mod planted {
    use super::*;

    fn file(path: &str, text: &str) -> [File; 1] {
        [File { path: path.into(), text: text.into() }]
    }

    #[test]
    fn a_read_of_the_environment_is_found_unless_it_is_where_it_belongs() {
        for text in [
            "fn f() { std::env::var(\"A\"); }",
            "use std::env;\nfn f() { env::var_os(\"A\"); }",
            "#[arg(long, env)] a: String",
            "#[arg(\n    long,\n    env = \"A\",\n)]\na: String",
        ] {
            assert_eq!(environment(&file("crates/store/src/a.rs", text)).len(), 1, "{text}");
            for place in
                ["crates/a/src/main.rs", "crates/a/src/config.rs", "crates/a/tests/b.rs", "tests/src/a.rs"]
            {
                assert_eq!(environment(&file(place, text)), [""; 0], "{place}");
            }
        }
        let harmless =
            "// env::var(\"A\")\nconst A: &str = \"env::var(\"; env!(\"B\"); #[arg(long = \"env\")] b: u8";
        assert_eq!(environment(&file("crates/store/src/a.rs", harmless)), [""; 0]);
    }

    #[test]
    fn every_way_to_the_clock_and_to_chance_is_found() {
        for needle in WALL_CLOCK {
            let text = format!("fn f() {{\n    let t = x::{needle}();\n}}");
            assert_eq!(uses(&file("crates/edge/src/a.rs", &text), &WALL_CLOCK), ["crates/edge/src/a.rs:2"]);
        }
        for needle in RANDOM {
            let text = format!("fn f() {{\n    let r = {needle}fill();\n}}");
            assert_eq!(uses(&file("functions/auth/src/a.rs", &text), &RANDOM), ["functions/auth/src/a.rs:2"]);
            assert_eq!(uses(&file("functions/auth/tests/a.rs", &text), &RANDOM), [""; 0]);
        }
        let harmless = "// getrandom::fill\nlet operand::<u8> = 1;\n#[cfg(test)]\nmod tests { fn f() { rand::random() } }";
        assert_eq!(uses(&file("crates/edge/src/a.rs", harmless), &RANDOM), [""; 0]);
    }

    #[test]
    fn sql_that_tells_the_time_is_found_in_migrations_and_in_strings() {
        for function in IN_SQL {
            let statement = format!("SELECT {}", function.to_uppercase());
            assert_eq!(sql(&file("migrations/0001_a.sql", &statement)).len(), 1, "{function}");
            let rust = format!("const A: &str = \"{statement}\";");
            assert_eq!(sql(&file("crates/store/src/a.rs", &rust)).len(), 1, "{function}");
        }
        assert_eq!(sql(&file("migrations/0001_a.sql", "-- never now()\nSELECT known()")), [""; 0]);
        assert_eq!(sql(&file("crates/store/src/a.rs", "fn f(a: &A) { a.random(); clock.now(); }")), [""; 0]);
    }
}
