//! What files look like and how they are called.

use std::{fs, path::Path};

use crate::{
    assert_none, checkout,
    text::{Keep, strip},
};

/// Beyond this a file holds more than one thing; under 400 is the aim.
const MOST_LINES: usize = 600;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "helpers", "helper", "common", "misc", "stuff", "shared"];

/// What is left for later isn't done.
const UNFINISHED: [&str; 2] = ["todo!", "unimplemented!"];

/// A file of the project.
pub(crate) struct File {
    /// From the checkout on, with `/`.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

impl File {
    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.extension() == Some("rs")
    }

    fn is_program_text(&self) -> bool {
        matches!(self.extension(), Some("rs" | "sql" | "py" | "sh"))
    }

    fn extension(&self) -> Option<&str> {
        Path::new(&self.path).extension()?.to_str()
    }
}

/// Every text file in Rust, SQL, Python and shell; these checkers aside, which name what they look for.
pub(crate) fn all() -> Vec<File> {
    let mut files = Vec::new();
    for folder in ["crates", "functions", "localstack", "migrations", "tests"] {
        collect(&checkout(), folder, &mut files);
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    files.retain(|file| !file.path.starts_with("crates/xtask/tests/house/"));
    files
}

fn collect(checkout: &Path, folder: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(checkout.join(folder)).unwrap().map(Result::unwrap) {
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            if !path.ends_with("/target") {
                collect(checkout, &path, files);
            }
            continue;
        }
        let file = File { path, text: String::new() };
        if file.is_program_text() {
            files.push(File { text: fs::read_to_string(entry.path()).unwrap(), ..file });
        }
    }
}

fn violations(files: &[File]) -> Vec<String> {
    files.iter().flat_map(violations_of).collect()
}

fn violations_of(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        found.push(format!("{} has {lines} lines", file.path));
    }
    if file.path.split(['/', '.']).any(|part| EMPTY_NAMES.contains(&part)) {
        found.push(format!("{} has a name that says nothing", file.path));
    }
    if file.is_rust() && UNFINISHED.iter().any(|word| strip(&file.text, Keep::Code).contains(word)) {
        found.push(format!("{} is unfinished", file.path));
    }
    found
}

#[test]
fn files_are_short_finished_and_named_for_what_is_in_them() {
    assert_none(&violations(&all()));
}

#[test]
fn every_migration_has_a_number_of_its_own() {
    let names = fs::read_dir(checkout().join("migrations")).unwrap();
    let mut numbers: Vec<String> = names
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let number = name.split_once('_').map_or("", |(number, _)| number);
            assert!(
                number.len() == 4 && number.parse::<u16>().is_ok(),
                "{name} should begin with four digits and _"
            );
            number.to_owned()
        })
        .collect();
    numbers.sort();
    let twice = numbers.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
}

mod planted {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        violations(&[File { path: path.into(), text: text.into() }])
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(found("crates/a/src/b.rs", &"\n".repeat(601)), ["crates/a/src/b.rs has 601 lines"]);
        assert_eq!(found("crates/a/src/b.rs", &"\n".repeat(600)), [""; 0]);
    }

    #[test]
    fn an_empty_name_is_found() {
        for name in EMPTY_NAMES {
            assert_eq!(found(&format!("crates/a/src/{name}.rs"), "").len(), 1);
            assert_eq!(found(&format!("crates/{name}/src/a.rs"), "").len(), 1);
        }
        assert_eq!(found("crates/a/src/commonest.rs", ""), [""; 0]);
    }

    #[test]
    fn what_is_left_for_later_is_found() {
        assert_eq!(found("crates/a/src/b.rs", "fn f() { todo!() }"), ["crates/a/src/b.rs is unfinished"]);
        assert_eq!(found("crates/a/src/b.rs", "fn f() { unimplemented!() }").len(), 1);
        assert_eq!(found("crates/a/src/b.rs", "// todo!() is refused"), [""; 0]);
    }
}
