//! Enforcement profiles: a name, and versions that never change once they are published.

use protocol::{InstallId, ProfileId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sql::{column, execute, instant, instant_or_null, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// A profile whose version 1 follows in the same transaction.
    INSERT (UUID, TEXT, TIMESTAMPTZ) "-- profile.insert
INSERT INTO profiles (id, name, active_number, created_at, updated_at) VALUES ($1, $2, 1, $3, $3)
ON CONFLICT (name) DO NOTHING"

    /// A version; published where there is a time.
    INSERT_VERSION (UUID, INT4, TEXT, TIMESTAMPTZ, TIMESTAMPTZ) "-- profile.insert_version
INSERT INTO profile_versions (profile_id, number, knobs, created_at, published_at) VALUES ($1, $2, $3::json, $4, $5)"

    /// The number after the last.
    NEXT_NUMBER (UUID) "-- profile.next_number
SELECT coalesce(max(number), 0) + 1 AS number FROM profile_versions WHERE profile_id = $1"

    /// A version is published once.
    PUBLISH (UUID, INT4, TIMESTAMPTZ) "-- profile.publish
UPDATE profile_versions SET published_at = $3 WHERE profile_id = $1 AND number = $2 AND published_at IS NULL"

    /// Who is judged by what.
    JUDGE_BY (UUID, INT4, INT4, INT4, TIMESTAMPTZ) "-- profile.judge_by
UPDATE profiles SET active_number = $2, percent = $3, previous_number = $4, version = version + 1, updated_at = $5
WHERE id = $1"

    /// A new version alone.
    TOUCH (UUID, TIMESTAMPTZ) "-- profile.touch
UPDATE profiles SET version = version + 1, updated_at = $2 WHERE id = $1"

    /// Profiles after one, by name.
    LIST (TEXT, INT8) "-- profile.list
SELECT p.id, p.name, p.version, p.percent, p.previous_number, p.created_at, p.updated_at, v.number, v.knobs::text AS knobs
FROM profiles p JOIN profile_versions v ON v.profile_id = p.id AND v.number = p.active_number
WHERE p.name > $1 ORDER BY p.name LIMIT $2"

    /// A profile by its id or its name.
    FIND (UUID, TEXT) "-- profile.find
SELECT p.id, p.name, p.version, p.percent, p.previous_number, p.created_at, p.updated_at, v.number, v.knobs::text AS knobs
FROM profiles p JOIN profile_versions v ON v.profile_id = p.id AND v.number = p.active_number
WHERE p.id = $1 OR p.name = $2"

    /// Locks a profile. A statement of its own: the next one sees what whoever held the lock has published.
    LOCK (UUID) "-- profile.lock
SELECT id FROM profiles WHERE id = $1 FOR UPDATE"

    /// A profile's versions before one, the newest first.
    VERSIONS (UUID, INT4, INT8) "-- profile.versions
SELECT number, knobs::text AS knobs, published_at FROM profile_versions
WHERE profile_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3"

    /// One version.
    VERSION (UUID, INT4) "-- profile.version
SELECT number, knobs::text AS knobs, published_at FROM profile_versions WHERE profile_id = $1 AND number = $2"

    /// The published version before one.
    BEFORE (UUID, INT4) "-- profile.before
SELECT number, knobs::text AS knobs, published_at FROM profile_versions
WHERE profile_id = $1 AND number < $2 AND published_at IS NOT NULL ORDER BY number DESC LIMIT 1"
}

/// A profile and the version that judges.
#[derive(Debug, Clone)]
pub struct ProfileRow {
    /// Its id.
    pub id: ProfileId,
    /// Its name.
    pub name: String,
    /// The number of the version that judges.
    pub active_number: i32,
    /// That version's knobs, JSON.
    pub knobs: String,
    /// Of how many installs in a hundred that version judges.
    pub percent: i32,
    /// The version that judges the rest.
    pub previous_number: Option<i32>,
    /// Moves with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

impl ProfileRow {
    /// The version that judges an install.
    pub fn judging(&self, install: InstallId) -> i32 {
        let is_among = is_among(self.percent, install);
        self.previous_number.filter(|_| !is_among).unwrap_or(self.active_number)
    }
}

/// Whether an install is among so many in a hundred: always the same ones, by the random end of their ids. As
/// `contact.load` has it.
pub fn is_among(percent: i32, install: InstallId) -> bool {
    let [.., high, low] = *install.as_uuid().as_bytes();
    i32::from(u16::from_be_bytes([high, low]) % 100) < percent
}

/// A version.
#[derive(Debug, Clone)]
pub struct ProfileVersionRow {
    /// From 1.
    pub number: i32,
    /// Its knobs, JSON.
    pub knobs: String,
    /// When it was published first; none: it is a draft.
    pub published_at: Option<i64>,
}

impl Store {
    /// At most `limit` profiles after the one named `after`, by name.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_profiles(&self, after: &str, limit: i64) -> Result<Vec<ProfileRow>, Error> {
        rows(&**self.client().await?, &LIST, &[&after, &limit]).await?.iter().map(profile).collect()
    }

    /// A profile by its id or its name.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_profile(&self, id_or_name: &str) -> Result<Option<ProfileRow>, Error> {
        let id = id_or_name.parse().ok().map(|id: ProfileId| *id.as_uuid());
        let found = row(&**self.client().await?, &FIND, &[&id, &id_or_name]).await?;
        found.as_ref().map(profile).transpose()
    }

    /// At most `limit` versions of a profile before `before`, the newest first.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_profile_versions(
        &self,
        id: ProfileId,
        before: Option<i32>,
        limit: i64,
    ) -> Result<Vec<ProfileVersionRow>, Error> {
        let before = before.unwrap_or(i32::MAX);
        let client = self.client().await?;
        let found = rows(&**client, &VERSIONS, &[id.as_uuid(), &before, &limit]).await?;
        found.iter().map(version).collect()
    }
}

impl Change<'_> {
    /// Makes a profile whose first version is published.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken.
    pub async fn insert_profile(&self, name: &str, knobs: &str) -> Result<ProfileRow, Error> {
        let (id, now) = (self.store.new_id(), self.now());
        if execute(&*self.tx, &INSERT, &[&id, &name, &now]).await? == 0 {
            return Err(Error::Exists { what: "profile", name: name.to_owned() });
        }
        execute(&*self.tx, &INSERT_VERSION, &[&id, &1_i32, &knobs, &now, &Some(now)]).await?;
        self.load_profile(&id).await
    }

    /// A profile, locked until the change's end: its versions are numbered under that.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_profile(&self, id: ProfileId) -> Result<Option<ProfileRow>, Error> {
        execute(&*self.tx, &LOCK, &[id.as_uuid()]).await?;
        row(&*self.tx, &FIND, &[id.as_uuid(), &None::<&str>]).await?.as_ref().map(profile).transpose()
    }

    /// Makes a draft of a profile's next version. The profile is locked.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn insert_draft(&self, id: ProfileId, knobs: &str) -> Result<ProfileVersionRow, Error> {
        let now = self.now();
        let found = row(&*self.tx, &NEXT_NUMBER, &[id.as_uuid()]).await?;
        let number: i32 = found.map_or(Ok(1), |row| column(&row, "number"))?;
        let params: [&(dyn ToSql + Sync); 5] =
            [id.as_uuid(), &number, &knobs, &now, &None::<crate::sql::Timestamp>];
        execute(&*self.tx, &INSERT_VERSION, &params).await?;
        self.find_version(id, number).await?.ok_or_else(|| corrupt("version")("it is gone"))
    }

    /// Moves a profile's version, for whoever relies on what versions there are.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn touch_profile(&self, id: ProfileId) -> Result<(), Error> {
        execute(&*self.tx, &TOUCH, &[id.as_uuid(), &self.now()]).await.map(drop)
    }

    /// A version.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_version(&self, id: ProfileId, number: i32) -> Result<Option<ProfileVersionRow>, Error> {
        row(&*self.tx, &VERSION, &[id.as_uuid(), &number]).await?.as_ref().map(version).transpose()
    }

    /// The published version before one.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_version_before(
        &self,
        id: ProfileId,
        number: i32,
    ) -> Result<Option<ProfileVersionRow>, Error> {
        row(&*self.tx, &BEFORE, &[id.as_uuid(), &number]).await?.as_ref().map(version).transpose()
    }

    /// Has a version judge so many installs in a hundred, and another one the rest; publishes it, if it is a draft. The
    /// profile is locked.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn judge_by(
        &self,
        id: ProfileId,
        number: i32,
        percent: i32,
        rest: Option<i32>,
    ) -> Result<ProfileRow, Error> {
        let now = self.now();
        execute(&*self.tx, &PUBLISH, &[id.as_uuid(), &number, &now]).await?;
        execute(&*self.tx, &JUDGE_BY, &[id.as_uuid(), &number, &percent, &rest, &now]).await?;
        self.restate_profile(id).await?;
        self.load_profile(id.as_uuid()).await
    }

    async fn load_profile(&self, id: &Uuid) -> Result<ProfileRow, Error> {
        load(&*self.tx, id).await
    }
}

/// A profile that there is.
pub(crate) async fn load(client: &impl GenericClient, id: &Uuid) -> Result<ProfileRow, Error> {
    let found = row(client, &FIND, &[id, &None::<&str>]).await?;
    profile(&found.ok_or_else(|| corrupt("profile")("it is gone"))?)
}

fn version(row: &Row) -> Result<ProfileVersionRow, Error> {
    Ok(ProfileVersionRow {
        number: column(row, "number")?,
        knobs: column(row, "knobs")?,
        published_at: instant_or_null(row, "published_at")?,
    })
}

fn profile(row: &Row) -> Result<ProfileRow, Error> {
    Ok(ProfileRow {
        id: ProfileId::from_uuid(column(row, "id")?),
        name: column(row, "name")?,
        active_number: column(row, "number")?,
        knobs: column(row, "knobs")?,
        percent: column(row, "percent")?,
        previous_number: column(row, "previous_number")?,
        version: column(row, "version")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use protocol::InstallId;
    use protocol::ambient::{SeededRandom, array};

    use super::is_among;

    #[test]
    fn so_many_in_a_hundred_are_about_so_many_and_whoever_is_in_stays_in() {
        let random = SeededRandom::new(7);
        let installs: Vec<InstallId> = (0..20_000_u32)
            .map(|_| InstallId::from_uuid(protocol::id::v7(1_790_000_123_000, array::<10>(&random))))
            .collect();
        for percent in 1..100 {
            let among: Vec<_> = installs.iter().filter(|install| is_among(percent, **install)).collect();
            let off = i32::try_from(among.len()).unwrap() - percent * 200;
            assert!(off.abs() < 300, "{percent}: {off}");
            assert!(among.into_iter().all(|install| is_among(percent + 1, *install)), "{percent}");
        }
        assert!(installs.iter().all(|install| is_among(100, *install)));
    }
}
