//! `/heartbeats`: the audit log of contacts, in pages, or the whole of what is asked for as CSV.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use edge::{Edge, Refusal};
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use policy::{Rule, State};
use protocol::InstallId;
use protocol::admin::Heartbeat;
use store::HeartbeatFilter;
use uuid::Uuid;

use super::call::Call;
use super::query::Query;
use super::route::{Kind, Parameter};
use crate::{Error, heartbeat};

/// How many rows of a table are in memory at once, however long it is.
const STRIDE: i64 = 1_000;

const OUTCOMES: [&str; 3] = ["accepted", "clone", "refused"];

const COLUMNS: &str = "at,id,install_id,license_id,operation,outcome,counter,state,rule,reason,profile_id,profile_number,\
                       clock_skew,agent_version\r\n";

pub(super) const FILTERS: [Parameter; 7] = [
    Parameter { name: "install_id", kind: Kind::Id, about: "Only this install's" },
    Parameter { name: "license_id", kind: Kind::Id, about: "Only those of this license's installs" },
    Parameter {
        name: "state",
        kind: Kind::Word(|| State::ALL.iter().map(|state| state.as_str()).collect()),
        about: "Only those that were given this state",
    },
    Parameter { name: "rule", kind: Kind::Number(1, 14), about: "Only those that this rule decided" },
    Parameter {
        name: "outcome",
        kind: Kind::Word(|| OUTCOMES.to_vec()),
        about: "Only those with this outcome",
    },
    Parameter { name: "from", kind: Kind::Time, about: "Only from this time on" },
    Parameter { name: "to", kind: Kind::Time, about: "Only before this time" },
];

/// Those of one install, which stands in the path.
pub(super) const OF_INSTALL: [Parameter; 5] = [FILTERS[2], FILTERS[3], FILTERS[4], FILTERS[5], FILTERS[6]];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let filter = HeartbeatFilter {
        install_id: call.query.parsed("install_id", "a UUID"),
        license_id: call.query.parsed("license_id", "a UUID"),
        ..filter(&call.query)
    };
    answer(call, filter, None).await
}

pub(super) async fn of_install(call: Call) -> Result<Response, Refusal> {
    let id = call.id()?;
    let filter = HeartbeatFilter { install_id: Some(id), ..filter(&call.query) };
    answer(call, filter, Some(id)).await
}

fn filter(query: &Query) -> HeartbeatFilter {
    HeartbeatFilter {
        install_id: None,
        license_id: None,
        state: query.parsed("state", "one of the ten states"),
        rule: query.number("rule", 1, 14).and_then(|number| Rule::new(u8::try_from(number).ok()?)),
        outcome: query.word("outcome", &OUTCOMES),
        from: query.time("from"),
        to: query.time("to"),
    }
}

async fn answer(call: Call, filter: HeartbeatFilter, of: Option<InstallId>) -> Result<Response, Refusal> {
    let asked = call.query.page::<(i64, Uuid)>();
    call.query.finish()?;
    if let Some(id) = of {
        let found = call.edge.store.find_install(id).await.map_err(Error::from)?;
        found.ok_or_else(|| Error::not_found("install", &id))?;
    }
    if wants_table(&call.headers) {
        return Ok(table(call.edge.clone(), filter));
    }
    let rows = heartbeat::list(&call.edge.store, &filter, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, rows, |row| (row.at.0, *row.id.as_uuid())))
}

/// Whether `Accept` names `text/csv`, and wants JSON no more than that (RFC 9110 section 12.5.1).
fn wants_table(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        let texts = headers.get_all(ACCEPT).iter().filter_map(|header| header.to_str().ok());
        texts.flat_map(|text| text.split(',')).find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_wanted = parts.next()?.eq_ignore_ascii_case(wanted);
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            is_wanted.then(|| weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(1.0)))
        })
    };
    let json = ["application/json", "application/*", "*/*"].into_iter().find_map(quality);
    quality("text/csv").is_some_and(|table| table > 0.0 && table >= json.unwrap_or_default())
}

/// Everything that is asked for, read and sent a stride at a time (RFC 4180). It breaks off where the database does.
fn table(edge: Arc<Edge>, filter: HeartbeatFilter) -> Response {
    enum Next {
        Heading,
        After(Option<(i64, Uuid)>),
        Nothing,
    }
    let strides = stream::try_unfold((edge, filter, Next::Heading), |(edge, filter, next)| async move {
        let after = match next {
            Next::Nothing => return Ok::<_, Error>(None),
            Next::Heading => return Ok(Some((COLUMNS.to_owned(), (edge, filter, Next::After(None))))),
            Next::After(after) => after,
        };
        let rows = heartbeat::list(&edge.store, &filter, after, STRIDE).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(STRIDE) < STRIDE;
        let next = match rows.last() {
            Some(last) if !is_last => Next::After(Some((last.at.0, *last.id.as_uuid()))),
            _ => Next::Nothing,
        };
        let lines = rows.iter().fold(String::new(), |mut lines, row| {
            line(&mut lines, row);
            lines
        });
        Ok(Some((lines, (edge, filter, next))))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (CONTENT_DISPOSITION, "attachment; filename=\"heartbeats.csv\""),
    ];
    (StatusCode::OK, headers, Body::from_stream(strides)).into_response()
}

fn line(lines: &mut String, row: &Heartbeat) {
    let Heartbeat { id, at, install_id, license_id, operation, outcome, counter, .. } = row;
    let Heartbeat { state, rule, reason, profile_id, profile_number, .. } = row;
    let skew = row.clock_skew.map(|skew| skew.to_string()).unwrap_or_default();
    let version = field(&row.agent_version);
    // Writing to a string can't fail.
    let _ = write!(
        lines,
        "{at},{id},{install_id},{license_id},{operation},{outcome},{counter},{state},{rule},{reason},{profile_id},\
         {profile_number},{skew},{version}\r\n"
    );
}

/// A text that an agent chose: quoted, and no formula of a spreadsheet's.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::ACCEPT;

    use super::{field, wants_table};

    #[test]
    fn a_table_is_wanted_where_it_is_named_and_json_is_wanted_no_more() {
        for (accept, is_table) in [
            (vec!["text/csv"], true),
            (vec!["TEXT/CSV; charset=utf-8; q=0.2"], true),
            (vec!["application/json;q=0.5", "text/csv"], true),
            (vec!["text/csv, */*"], true),
            (vec!["text/csv, application/json"], true),
            (vec![], false),
            (vec!["*/*"], false),
            (vec!["text/csv;q=0"], false),
            (vec!["application/json, text/csv;q=0.5"], false),
            (vec!["text/csv;q=0.5, application/*;q=0.8"], false),
            (vec!["text/csv;q=0.9, */*"], false),
        ] {
            let headers: HeaderMap = accept.iter().map(|text| (ACCEPT, text.parse().unwrap())).collect();
            assert_eq!(wants_table(&headers), is_table, "{accept:?}");
        }
    }

    #[test]
    fn what_an_agent_chose_is_neither_a_column_nor_a_formula() {
        for (text, written) in [
            ("1.4.2", "\"1.4.2\""),
            ("a,\"b\"\r\nc", "\"a,\"\"b\"\"\r\nc\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("@x", "\"'@x\""),
        ] {
            assert_eq!(field(text), written, "{text}");
        }
    }
}
