//! Installs as lists find them: in the order in which they were made, a part at a time.
//!
//! A part looks at so many installs and no more, however few of them it shows: the next one goes on where it has come to. The
//! filter by which the fewest are left has an index in the order of ids; what the others leave out is looked at.

use policy::State;
use protocol::admin::InstallStatus;
use protocol::{InstallId, LicenseId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::install::InstallRow;
use crate::sql::{Timestamp, column, rows, statements};
use crate::words::Words;
use crate::{Error, Store};

/// So many installs one part looks at.
const LOOKED_AT: i64 = 10_000;

/// So many where names are read for words.
const READ: i64 = 5_000;

/// A word that stands in fewer than one of so many names is rare.
const RARE: i64 = 100;

statements! {
    /// Of the next $9 installs after $1 those that all filters leave, $2 at most; where that are fewer, a last row says how far
    /// it has looked, unless that is to the end. Planned for the parameters that it comes with, the inner conditions are what
    /// one of the indexes of `install_states` is for. Each install is read by its id, whatever the planner thinks of that.
    /// Finding a word's letters is quick; whether they are a word, is not.
    WALK (
        UUID, INT8, UUID, TEXT, TEXT, BOOL, TEXT, TEXT, INT8, TIMESTAMPTZ, TEXT, TEXT_ARRAY
    ) "-- install_list.walk
WITH found AS MATERIALIZED (
    SELECT i.id, i.name, i.version, s.state
    FROM (SELECT install_id, state, status FROM install_states
          WHERE install_id > $1 AND ($3::uuid IS NULL OR license_id = $3) AND ($4::text IS NULL OR state = $4)
            AND ($5::text IS NULL OR status = $5) AND (NOT $6::bool OR silent_since IS NOT NULL)
          ORDER BY install_id LIMIT $9) s
    CROSS JOIN LATERAL (SELECT id, name, version, last_contact FROM installs WHERE id = s.install_id OFFSET 0) i
    WHERE ($7::text IS NULL OR s.state = $7) AND ($8::text IS NULL OR s.status = $8)
      AND ($10::timestamptz IS NULL OR i.last_contact <= $10)
      AND ($11::text IS NULL OR (lower(i.name) LIKE ALL (ARRAY(SELECT lower(p) FROM unnest($12::text[]) p))
                                 AND to_tsvector('simple', i.name) @@ to_tsquery('simple', $11)) IS TRUE)
    ORDER BY s.install_id LIMIT $2
)
SELECT id, name, version, state, NULL::uuid AS looked_to FROM found
UNION ALL
SELECT NULL, NULL, NULL, NULL, install_id
FROM (SELECT install_id FROM install_states
      WHERE install_id > $1 AND ($3::uuid IS NULL OR license_id = $3) AND ($4::text IS NULL OR state = $4)
        AND ($5::text IS NULL OR status = $5) AND (NOT $6::bool OR silent_since IS NOT NULL)
      ORDER BY install_id OFFSET $9 - 1 LIMIT 1) e
WHERE (SELECT count(*) FROM found) < $2"

    /// Of about a thousand installs, wherever they are, in how many names each word stands.
    SAMPLE (TEXT_ARRAY) "-- install_list.sample
WITH names AS MATERIALIZED (
    SELECT to_tsvector('simple', coalesce(name, '')) AS words
    FROM installs TABLESAMPLE SYSTEM ((SELECT least(100, 100000 / greatest(reltuples, 1)) FROM pg_class
                                       WHERE oid = 'installs'::regclass)) REPEATABLE (1)
)
SELECT q.word, count(*) FILTER (WHERE n.words @@ to_tsquery('simple', q.word)) AS having, count(n.words) AS names
FROM unnest($1::text[]) q(word) LEFT JOIN names n ON true GROUP BY q.word"

    /// Those in whose names rare words stand ($7), and all words ($8), wherever they are: by the words' index. What is costly by
    /// the planner's estimate is done outside, or it starts other processes for it, which takes longer than they save.
    RARE_WORDS (UUID, INT8, UUID, TEXT, TEXT, TIMESTAMPTZ, TEXT, TEXT, TEXT_ARRAY) "-- install_list.rare_words
WITH found AS MATERIALIZED (
    SELECT id, name, version, last_contact FROM installs
    WHERE name IS NOT NULL AND to_tsvector('simple', name) @@ to_tsquery('simple', $7)
)
SELECT f.id, f.name, f.version, s.state, NULL::uuid AS looked_to
FROM (SELECT * FROM found
      WHERE id > $1 AND ($6::timestamptz IS NULL OR last_contact <= $6)
        AND lower(name) LIKE ALL (ARRAY(SELECT lower(p) FROM unnest($9::text[]) p))
        AND to_tsvector('simple', name) @@ to_tsquery('simple', $8)
      ORDER BY id) f
CROSS JOIN LATERAL (SELECT license_id, state, status FROM install_states WHERE install_id = f.id OFFSET 0) s
WHERE ($3::uuid IS NULL OR s.license_id = $3) AND ($4::text IS NULL OR s.state = $4)
  AND ($5::text IS NULL OR s.status = $5)
ORDER BY f.id LIMIT $2"
}

/// Which installs are listed: those with all that is named here.
#[derive(Debug, Clone, Default)]
pub struct InstallFilter {
    /// Whose they are.
    pub license_id: Option<LicenseId>,
    /// What the engine said of them a minute ago at most.
    pub state: Option<State>,
    /// What has become of them.
    pub status: Option<InstallStatus>,
    /// They weren't heard of since this instant.
    pub silent_since: Option<i64>,
    /// Words, or beginnings of words, all of which stand in their names.
    pub words: Option<Words>,
}

/// A part of a list.
#[derive(Debug)]
pub struct Part<T> {
    /// What it shows.
    pub items: Vec<T>,
    /// After which install the next part begins, if there is one.
    pub next: Option<InstallId>,
}

/// By what the next installs are found that are looked at: of the filters those that leave the fewest, for which there is an
/// index.
struct Found<'a> {
    license: Option<&'a Uuid>,
    state: Option<&'static str>,
    status: Option<&'static str>,
    is_silent: bool,
}

impl<'a> Found<'a> {
    fn by(filter: &'a InstallFilter, notes_silence: bool) -> Self {
        let license = filter.license_id.as_ref().map(LicenseId::as_uuid);
        let (state, status) = (filter.state.map(State::as_str), filter.status.map(InstallStatus::as_str));
        let none = Self { license: None, state: None, status: None, is_silent: false };
        if license.is_some() {
            Self { license, state, ..none }
        } else if notes_silence {
            Self { state, is_silent: true, ..none }
        } else if state.is_none() || filter.status.is_some_and(|status| status != InstallStatus::Active) {
            Self { status, ..none }
        } else {
            Self { state, ..none }
        }
    }
}

impl Store {
    /// At most `limit` installs after `after`, in the order in which they were made. It may be fewer, even none, though there
    /// are more.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn list_installs(
        &self,
        filter: &InstallFilter,
        after: Option<InstallId>,
        limit: i64,
    ) -> Result<Part<InstallRow>, Error> {
        let looked_at = if filter.words.is_some() { READ } else { LOOKED_AT };
        self.list_installs_among(filter, after, limit, looked_at).await
    }

    async fn list_installs_among(
        &self,
        filter: &InstallFilter,
        after: Option<InstallId>,
        limit: i64,
        looked_at: i64,
    ) -> Result<Part<InstallRow>, Error> {
        if filter.words.as_ref().is_some_and(Words::are_none) {
            return Ok(Part { items: Vec::new(), next: None });
        }
        let client = self.client().await?;
        let after = after.map_or(Uuid::nil(), |id| *id.as_uuid());
        // One more says that there are more.
        let most = limit.saturating_add(1);
        let walked = self.walk_installs(&**client, filter, &after, most, looked_at).await?;
        let (mut found, looked_to) = split(walked)?;
        let mut next = looked_to;
        if let (Some(words), Some(_)) = (&filter.words, looked_to)
            && let Some(rare) = rare(&**client, words).await?
        {
            found = by_rare_words(&**client, filter, words, &rare, &after, most).await?;
            next = None;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if found.len() > limit {
            found.truncate(limit);
            next = found.last().map(|row| column(row, "id")).transpose()?;
        }
        let items = self.with_subjects(&**client, &found).await?;
        Ok(Part { items, next: next.map(InstallId::from_uuid) })
    }

    async fn walk_installs(
        &self,
        client: &impl GenericClient,
        filter: &InstallFilter,
        after: &Uuid,
        most: i64,
        looked_at: i64,
    ) -> Result<Vec<Row>, Error> {
        let notes_silence = match filter.silent_since {
            Some(since) => self.notes_silence(client, since).await?,
            None => false,
        };
        let by = Found::by(filter, notes_silence);
        let state = filter.state.map(State::as_str).filter(|_| by.state.is_none());
        let status = filter.status.map(InstallStatus::as_str).filter(|_| by.status.is_none());
        let silent = filter.silent_since.map(Timestamp);
        let words = filter.words.as_ref();
        let (query, patterns) = (words.map(Words::as_query), words.map(Words::patterns));
        let params: [&(dyn ToSql + Sync); 12] = [
            after,
            &most,
            &by.license,
            &by.state,
            &by.status,
            &by.is_silent,
            &state,
            &status,
            &looked_at,
            &silent,
            &query,
            &patterns,
        ];
        rows(client, &WALK, &params).await
    }
}

/// The installs that a walk has found, and how far it has looked if that is not to the end.
fn split(mut walked: Vec<Row>) -> Result<(Vec<Row>, Option<Uuid>), Error> {
    let looked_to = walked.last().map(|row| column(row, "looked_to")).transpose()?.flatten();
    if looked_to.is_some() {
        walked.pop();
    }
    Ok((walked, looked_to))
}

/// Those of the words that few names have, as a query; none, where many have each of them.
async fn rare(client: &impl GenericClient, words: &Words) -> Result<Option<String>, Error> {
    let mut rare = Vec::new();
    for row in rows(client, &SAMPLE, &[&words.queries()]).await? {
        let (having, names): (i64, i64) = (column(&row, "having")?, column(&row, "names")?);
        if having * RARE <= names {
            rare.push(column::<String>(&row, "word")?);
        }
    }
    Ok((!rare.is_empty()).then(|| rare.join(" & ")))
}

async fn by_rare_words(
    client: &impl GenericClient,
    filter: &InstallFilter,
    words: &Words,
    rare: &str,
    after: &Uuid,
    most: i64,
) -> Result<Vec<Row>, Error> {
    let license = filter.license_id.as_ref().map(LicenseId::as_uuid);
    let (state, status) = (filter.state.map(State::as_str), filter.status.map(InstallStatus::as_str));
    let (silent, patterns) = (filter.silent_since.map(Timestamp), words.patterns());
    let params: [&(dyn ToSql + Sync); 9] =
        [after, &most, &license, &state, &status, &silent, &rare, &words.as_query(), &patterns];
    rows(client, &RARE_WORDS, &params).await
}

#[cfg(test)]
mod tests {
    use super::{InstallFilter, Part};
    use crate::Store;
    use crate::fleet::Fleet;
    use crate::testing::{START, TestDatabase};
    use crate::words::Words;

    const FLEET: Fleet = Fleet { installs: 1_500, heartbeats: 0, weeks: 1 };

    /// What a filter means, read from the installs themselves.
    async fn meant(database: &TestDatabase, filter: &InstallFilter) -> Vec<String> {
        let mut conditions = vec!["true".to_owned()];
        conditions.extend(filter.license_id.map(|id| format!("i.license_id = '{id}'")));
        conditions.extend(filter.state.map(|state| format!("split_part(i.shown, ' ', 1) = '{state}'")));
        conditions.extend(filter.status.map(|status| format!("split_part(i.shown, ' ', 4) = '{status}'")));
        conditions
            .extend(filter.silent_since.map(|since| format!("i.last_contact <= to_timestamp({since})")));
        conditions.extend(
            filter
                .words
                .iter()
                .flat_map(Words::queries)
                .map(|word| format!("to_tsvector('simple', i.name) @@ to_tsquery('simple', $q${word}$q$)")),
        );
        let conditions = conditions.join(" AND ");
        database.lines(&format!("SELECT i.id FROM installs i WHERE {conditions} ORDER BY i.id")).await
    }

    /// What all parts show, and how many there were.
    async fn listed(
        store: &Store,
        filter: &InstallFilter,
        limit: i64,
        looked_at: i64,
    ) -> (Vec<String>, usize) {
        let (mut all, mut after, mut parts) = (Vec::new(), None, 0);
        loop {
            let part = store.list_installs_among(filter, after, limit, looked_at).await.unwrap();
            let Part { items, next } = part;
            assert!(i64::try_from(items.len()).unwrap() <= limit);
            all.extend(items.iter().map(|install| install.subject.id.to_string()));
            parts += 1;
            assert!(next.is_none() || next > after, "it goes on");
            after = next;
            if after.is_none() {
                return (all, parts);
            }
        }
    }

    async fn filters(database: &TestDatabase) -> Vec<InstallFilter> {
        let license = "SELECT license_id FROM installs GROUP BY 1 ORDER BY count(*) DESC LIMIT 1";
        let license = database.value(license).await.parse().ok();
        let mut all = vec![InstallFilter::default()];
        let cross = |all: &mut Vec<InstallFilter>, with: &dyn Fn(InstallFilter) -> Vec<InstallFilter>| {
            let more: Vec<_> = all.iter().cloned().flat_map(with).collect();
            all.extend(more);
        };
        cross(&mut all, &|is| vec![InstallFilter { license_id: license, ..is }]);
        cross(&mut all, &|is| {
            let states = ["authorized", "grace", "suspended"];
            states.map(|state| InstallFilter { state: state.parse().ok(), ..is.clone() }).into()
        });
        cross(&mut all, &|is| {
            let statuses = ["active", "suspended"];
            statuses.map(|status| InstallFilter { status: status.parse().ok(), ..is.clone() }).into()
        });
        cross(&mut all, &|is| {
            let ago = [60, 7_200, 500_000];
            ago.map(|ago| InstallFilter { silent_since: Some(START + 900 - ago), ..is.clone() }).into()
        });
        let with_words: Vec<_> = ["oslo", "node 1", "77 render", "1400", "nowhere", "\u{130}stanbul", "ACME"]
            .iter()
            .zip(all.iter().cycle().step_by(5))
            .cycle()
            .take(50)
            .map(|(words, is)| InstallFilter { words: Some(Words::parse(words)), ..is.clone() })
            .collect();
        all.into_iter().chain(with_words).collect()
    }

    #[tokio::test]
    async fn however_little_a_part_looks_at_all_parts_show_what_every_filter_means() {
        let database = TestDatabase::new().await;
        let store = database.store(1).await;
        store.make_fleet(FLEET, &[]).await.unwrap();
        database.run("UPDATE installs SET name = 'srv.acme.local ' || right(id::text, 2) || ' \u{130}stanbul' WHERE right(id::text, 1) = '3'").await;
        store.sweep().await.unwrap();
        // Some are heard of after a round came by, and some have gone silent since.
        database.clock.advance(900);
        store.sweep().await.unwrap();
        let heard = format!(
            "UPDATE installs SET last_contact = to_timestamp({START} + 890) WHERE right(id::text, 1) IN ('7', 'a')"
        );
        database.run(&heard).await;
        let mut shown = 0;
        for filter in filters(&database).await {
            let meant = meant(&database, &filter).await;
            shown += meant.len();
            for (limit, looked_at) in [(20, 150), (200, 10_000)] {
                let (listed, parts) = listed(&store, &filter, limit, looked_at).await;
                assert_eq!(listed, meant, "{filter:?}, {looked_at} at once");
                assert!(parts <= 2 + meant.len() / 20 + 1_500 / 150, "{filter:?}: {parts} parts");
            }
        }
        assert!(shown > 5_000, "{shown}");
    }
}
