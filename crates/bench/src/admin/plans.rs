//! What PostgreSQL says of the statements that a page took: by `auto_explain`, in the cluster's log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde_json::Value;

use crate::error::Error;

/// Has every statement explained, in sessions that begin after it.
pub(crate) const EXPLAIN: [(&str, &str); 5] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_format", "json"),
];

/// By what a session is known that does what a server does by itself, whoever asks for what.
const BACKGROUND: [&str; 3] = ["restate.lock", "restate.count", "heartbeat_counts.lock"];

/// The cluster's log, from where it was looked at last.
pub(crate) struct Log {
    path: PathBuf,
    at: u64,
}

/// A statement that was run.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    /// Its name.
    pub(crate) name: String,
    pub(crate) milliseconds: f64,
    /// Its plan, from the top down: kinds of nodes, with what each reads.
    pub(crate) nodes: Vec<String>,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, at: 0 }
    }

    /// What was run since it was looked at last, by whoever asked for something.
    pub(crate) fn read(&mut self) -> Result<Vec<Explained>, Error> {
        let failed = |source| Error::File { path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.at)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        self.at += bytes.len() as u64;
        Ok(explained(&String::from_utf8_lossy(&bytes)))
    }
}

/// The plans of a log; those of a session that swept meanwhile aside.
fn explained(text: &str) -> Vec<Explained> {
    let mut sessions: BTreeMap<&str, Vec<Explained>> = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((head, rest)) = line.split_once("LOG:  duration: ") else { continue };
        let session = head.split(['[', ']']).nth(1).unwrap_or_default();
        let milliseconds = rest.split_once(" ms  plan:").and_then(|(number, _)| number.parse().ok());
        let mut json = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
            json.push_str(more);
        }
        let plan: Option<Value> = serde_json::from_str(&json).ok();
        let (Some(milliseconds), Some(plan)) = (milliseconds, plan) else { continue };
        let name = plan["Query Text"].as_str().and_then(|text| text.lines().next()?.strip_prefix("-- "));
        let mut nodes = Vec::new();
        collect(&plan["Plan"], &mut nodes);
        let name = name.unwrap_or("unnamed").to_owned();
        sessions.entry(session).or_default().push(Explained { name, milliseconds, nodes });
    }
    let is_background = |statement: &Explained| BACKGROUND.contains(&statement.name.as_str());
    let asked = |statements: &Vec<Explained>| !statements.iter().any(is_background);
    sessions.into_values().filter(asked).flatten().collect()
}

fn collect(plan: &Value, nodes: &mut Vec<String>) {
    let text = |member: &str| plan[member].as_str();
    let mut node = text("Node Type").unwrap_or("?").to_owned();
    if let Some(what) = text("Index Name").or(text("Relation Name")) {
        node = format!("{node} {what}");
    }
    let removed = plan["Rows Removed by Filter"].as_f64().unwrap_or_default();
    if removed > 0.0 {
        node = format!("{node} (-{removed})");
    }
    // What was never run, and who reads a table in which there is nothing, says nothing: other partitions, mostly.
    let is_empty =
        node.starts_with("Seq Scan") && removed + plan["Actual Rows"].as_f64().unwrap_or(1.0) == 0.0;
    if plan["Actual Loops"].as_f64() != Some(0.0) && !is_empty {
        nodes.push(node);
        plan["Plans"].as_array().into_iter().flatten().for_each(|plan| collect(plan, nodes));
    }
}

/// The large tables that plans read from end to end.
pub(crate) fn scanned<'a>(statements: impl Iterator<Item = &'a Explained>) -> BTreeSet<String> {
    const LARGE: [&str; 6] =
        ["install_states", "licenses", "installs", "leases", "heartbeats", "admin_audit"];
    let nodes = statements.flat_map(|statement| &statement.nodes);
    let tables = nodes.filter_map(|node| node.strip_prefix("Seq Scan ")?.split(' ').next());
    tables
        .filter(|table| {
            LARGE.iter().any(|large| {
                table.strip_prefix(large).is_some_and(|rest| rest.is_empty() || rest.starts_with("_2"))
            })
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_what_was_run_and_how() {
        let entry = |session: u32, name: &str| {
            format!(
                "2026-01-01 00:00:00.000 UTC [{session}] LOG:  duration: 1.250 ms  plan:\n\t{{\n\t  \"Query Text\": \
                 \"-- {name}\\nSELECT 1\",\n\t  \"Plan\": {{\"Node Type\": \"Limit\", \"Plans\": [{{\"Node Type\": \
                 \"Seq Scan\", \"Relation Name\": \"heartbeats_2026_01\", \"Rows Removed by Filter\": 7}}, \
                 {{\"Node Type\": \"Index Scan\", \"Actual Loops\": 0}}, {{\"Node Type\": \"Seq Scan\", \
                 \"Actual Rows\": 0}}]}}\n\t}}\n"
            )
        };
        let text = [
            entry(7, "license.list"),
            "2026-01-01 00:00:00.000 UTC [9] LOG:  checkpoint starting\n".to_owned(),
            entry(8, "restate.lock"),
            entry(8, "contact.load"),
        ];
        let found = explained(&text.concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].milliseconds), ("license.list", 1.25));
        assert_eq!(found[0].nodes, ["Limit", "Seq Scan heartbeats_2026_01 (-7)"]);
        assert_eq!(scanned(found.iter()).into_iter().collect::<Vec<_>>(), ["heartbeats_2026_01"]);
    }
}
