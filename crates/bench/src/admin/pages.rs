//! Pages of the admin API, and what they take.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use super::{
    plans::{Explained, Log, scanned},
    site::Site,
};
use crate::{error::Error, target::Session};

/// How long a page's statements may take, all together, milliseconds.
pub(crate) const GOAL_MS: f64 = 50.0;

/// A page, and what it took.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) items: usize,
    pub(crate) http_ms: Spread,
    /// All its statements together, as PostgreSQL took their time.
    pub(crate) query_ms: Spread,
    /// The one of them that took longest.
    pub(crate) statement: String,
    /// Its plan.
    pub(crate) nodes: Vec<String>,
}

/// Of some calls.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) worst: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        Self { median: at(values.len() / 2), worst: at(values.len().saturating_sub(1)) }
    }
}

/// Asks the admin API.
pub(crate) struct Caller<'a> {
    pub(crate) session: Session,
    key: HeaderValue,
    pub(super) site: &'a Site,
    log: Log,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(site: &'a Site, log: Log) -> Result<Self, Error> {
        let key = HeaderValue::from_str(&format!("Bearer {}", site.api_key));
        let key = key.map_err(|_| Error::Usage("the API key is no header".to_owned()))?;
        Ok(Self { session: Session::new(&site.target), key, site, log })
    }

    /// Calls a page once.
    pub(crate) async fn call(&mut self, path: &str) -> Result<(Value, Duration), Error> {
        let failed = |what: String| Error::Page { path: path.to_owned(), what };
        let begin = Instant::now();
        let uri = self.site.target.path(&format!("/v1/admin{path}"));
        let answer = self.session.fetch_as(uri, self.key.clone()).await;
        let answer = answer.map_err(|failure| failed(format!("{failure:?}")))?;
        let elapsed = begin.elapsed();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() { Ok((body, elapsed)) } else { Err(failed(body.to_string())) }
    }

    /// Posts a JSON body to a page.
    pub(crate) async fn post(&mut self, path: &str, body: &'static str) -> Result<Value, Error> {
        let failed = |what: String| Error::Page { path: path.to_owned(), what };
        let uri = self.site.target.path(&format!("/v1/admin{path}"));
        let answer =
            self.session.post(uri, Some(self.key.clone()), Bytes::from_static(body.as_bytes())).await;
        let answer = answer.map_err(|failure| failed(format!("{failure:?}")))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() { Ok(body) } else { Err(failed(body.to_string())) }
    }

    /// Streams a page as a table; gives its lines, its bytes and the seconds it took.
    pub(crate) async fn table(&mut self, path: &str) -> Result<(u64, u64, f64), Error> {
        let failed = |what: String| Error::Page { path: path.to_owned(), what };
        let begin = Instant::now();
        let uri = self.site.target.path(&format!("/v1/admin{path}"));
        let counted = self.session.count_table(uri, self.key.clone()).await;
        let (lines, bytes) = counted.map_err(|failure| failed(format!("{failure:?}")))?;
        Ok((lines, bytes, begin.elapsed().as_secs_f64()))
    }

    /// Calls a page so often.
    pub(crate) async fn measure(&mut self, path: String, calls: usize) -> Result<Page, Error> {
        // What isn't in memory yet is another measurement's.
        let (body, _) = self.call(&path).await?;
        self.log.read()?;
        let (mut http, mut queries, mut slowest) = (Vec::new(), Vec::new(), None::<Explained>);
        for _ in 0..calls {
            let (_, elapsed) = self.call(&path).await?;
            http.push(elapsed.as_secs_f64() * 1e3);
            let run = self.log.read()?;
            queries.push(run.iter().map(|statement| statement.milliseconds).sum());
            for statement in run {
                if slowest.as_ref().is_none_or(|slowest| slowest.milliseconds < statement.milliseconds) {
                    slowest = Some(statement);
                }
            }
        }
        let (statement, nodes) = slowest.map(|slowest| (slowest.name, slowest.nodes)).unwrap_or_default();
        let items = body["items"].as_array().map_or(0, Vec::len);
        Ok(Page { path, items, http_ms: Spread::of(http), query_ms: Spread::of(queries), statement, nodes })
    }
}

/// Pages whose statements read a large table from end to end.
pub(crate) fn scanning(pages: &[Page]) -> Vec<&str> {
    let scans = |page: &&Page| {
        let statement = Explained { name: String::new(), milliseconds: 0.0, nodes: page.nodes.clone() };
        !scanned([statement].iter()).is_empty()
    };
    pages.iter().filter(scans).map(|page| page.path.as_str()).collect()
}
