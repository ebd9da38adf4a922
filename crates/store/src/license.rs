//! Licenses as operators see them: listed, searched.

use protocol::admin::{License, LicenseStatus, Time};
use protocol::{LicenseId, ProductCode, ProfileId};
use serde_json::value::RawValue;
use tokio_postgres::Row;

use crate::sql::{column, instant, instant_or_null, row, rows, statements};
use crate::words::Words;
use crate::{Error, Store};

statements! {
    /// Licenses after one, by id: in the order in which they were made. Planned for the parameters that it comes with,
    /// each filter leaves what one of the indexes is for.
    LIST (UUID, INT8, TEXT, TEXT, TEXT, UUID) "-- license.list
SELECT id, product, customer, profile_id, max_installs, starts_at, expires_at, entitlements::text AS entitlements,
       lease_max_seconds, metadata::text AS metadata, suspended_at, revoked_at, version, created_at, updated_at
FROM licenses
WHERE id > $1 AND ($3::text IS NULL OR product = $3) AND ($4::text IS NULL OR customer = $4)
  AND ($5::text IS DISTINCT FROM 'active' OR (suspended_at IS NULL AND revoked_at IS NULL))
  AND ($5::text IS DISTINCT FROM 'suspended' OR (suspended_at IS NOT NULL AND revoked_at IS NULL))
  AND ($5::text IS DISTINCT FROM 'revoked' OR revoked_at IS NOT NULL)
  AND ($6::uuid IS NULL OR profile_id = $6)
ORDER BY id LIMIT $2"

    /// The same with words in them, by the words' index: the planner can't tell how rare they are.
    LIST_FOUND (UUID, INT8, TEXT, TEXT, TEXT, UUID, TEXT) "-- license.list_found
WITH found AS MATERIALIZED (
    SELECT id FROM licenses WHERE to_tsvector('simple', customer || ' ' || product) @@ to_tsquery('simple', $7)
)
SELECT l.id, product, customer, profile_id, max_installs, starts_at, expires_at, entitlements::text AS entitlements,
       lease_max_seconds, metadata::text AS metadata, suspended_at, revoked_at, version, created_at, updated_at
FROM found f JOIN licenses l ON l.id = f.id
WHERE f.id > $1 AND l.id > $1 AND ($3::text IS NULL OR product = $3) AND ($4::text IS NULL OR customer = $4)
  AND ($5::text IS DISTINCT FROM 'active' OR (suspended_at IS NULL AND revoked_at IS NULL))
  AND ($5::text IS DISTINCT FROM 'suspended' OR (suspended_at IS NOT NULL AND revoked_at IS NULL))
  AND ($5::text IS DISTINCT FROM 'revoked' OR revoked_at IS NOT NULL)
  AND ($6::uuid IS NULL OR profile_id = $6)
ORDER BY f.id LIMIT $2"

    /// One license.
    FIND (UUID) "-- license.find
SELECT id, product, customer, profile_id, max_installs, starts_at, expires_at, entitlements::text AS entitlements,
       lease_max_seconds, metadata::text AS metadata, suspended_at, revoked_at, version, created_at, updated_at
FROM licenses WHERE id = $1"
}

/// What a license is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLicense {
    /// What it is for.
    pub product: ProductCode,
    /// Whose it is.
    pub customer: String,
    /// What judges its installs.
    pub profile_id: ProfileId,
    /// How many installs may hold a seat.
    pub max_installs: i32,
    /// First instant of its term.
    pub starts_at: i64,
    /// End of its term; none: it has no end.
    pub expires_at: Option<i64>,
    /// A JSON object that tokens carry.
    pub entitlements: String,
    /// Its own cap on leases, seconds; none: no cap of its own.
    pub lease_max_seconds: Option<i64>,
    /// A JSON object of the operator's.
    pub metadata: String,
}

/// A license as it stands.
#[derive(Debug, Clone)]
pub struct LicenseRow {
    /// Its id.
    pub id: LicenseId,
    /// Its terms.
    pub terms: NewLicense,
    /// Since when it is suspended.
    pub suspended_at: Option<i64>,
    /// Since when it is revoked.
    pub revoked_at: Option<i64>,
    /// Moves with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

impl LicenseRow {
    /// What an operator has made of it.
    pub fn status(&self) -> LicenseStatus {
        match (self.revoked_at, self.suspended_at) {
            (Some(_), _) => LicenseStatus::Revoked,
            (None, Some(_)) => LicenseStatus::Suspended,
            (None, None) => LicenseStatus::Active,
        }
    }
}

/// Which licenses are listed: those with all that is named here.
#[derive(Debug, Clone, Default)]
pub struct LicenseFilter {
    /// What they are for.
    pub product: Option<ProductCode>,
    /// Whose they are.
    pub customer: Option<String>,
    /// What has become of them.
    pub status: Option<LicenseStatus>,
    /// What judges their installs.
    pub profile_id: Option<ProfileId>,
    /// Words, or beginnings of words, all of which stand in customer or product.
    pub words: Option<Words>,
}

impl Store {
    /// At most `limit` licenses after `after`, in the order in which they were made.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_licenses(
        &self,
        filter: &LicenseFilter,
        after: Option<LicenseId>,
        limit: i64,
    ) -> Result<Vec<LicenseRow>, Error> {
        let after = after.map_or(uuid::Uuid::nil(), |id| *id.as_uuid());
        let product = filter.product.as_ref().map(ProductCode::as_str);
        let status = filter.status.map(LicenseStatus::as_str);
        let client = self.client().await?;
        let profile = filter.profile_id.map(|id| *id.as_uuid());
        let words = filter.words.as_ref().map(Words::as_query);
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&after, &limit, &product, &filter.customer, &status, &profile, &words];
        let found = match words {
            None => rows(&**client, &LIST, &params[..6]).await?,
            Some(_) => rows(&**client, &LIST_FOUND, &params).await?,
        };
        found.iter().map(license).collect()
    }

    /// A license.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_license(&self, id: LicenseId) -> Result<Option<LicenseRow>, Error> {
        row(&**self.client().await?, &FIND, &[id.as_uuid()]).await?.as_ref().map(license).transpose()
    }
}

/// A license as it is told.
impl From<LicenseRow> for License {
    fn from(row: LicenseRow) -> Self {
        let raw = |json: String| RawValue::from_string(json).unwrap_or_default();
        Self {
            status: row.status(),
            id: row.id,
            product: row.terms.product,
            customer: row.terms.customer,
            profile_id: row.terms.profile_id,
            max_installs: row.terms.max_installs,
            starts_at: Time(row.terms.starts_at),
            expires_at: row.terms.expires_at.map(Time),
            entitlements: raw(row.terms.entitlements),
            lease_max_seconds: row.terms.lease_max_seconds,
            metadata: raw(row.terms.metadata),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
            version: row.version,
        }
    }
}

pub(crate) fn license(row: &Row) -> Result<LicenseRow, Error> {
    Ok(LicenseRow {
        id: LicenseId::from_uuid(column(row, "id")?),
        terms: NewLicense {
            product: column::<&str>(row, "product")?.parse().map_err(crate::contact::corrupt("product"))?,
            customer: column(row, "customer")?,
            profile_id: ProfileId::from_uuid(column(row, "profile_id")?),
            max_installs: column(row, "max_installs")?,
            starts_at: instant(row, "starts_at")?,
            expires_at: instant_or_null(row, "expires_at")?,
            entitlements: column(row, "entitlements")?,
            lease_max_seconds: column(row, "lease_max_seconds")?,
            metadata: column(row, "metadata")?,
        },
        suspended_at: instant_or_null(row, "suspended_at")?,
        revoked_at: instant_or_null(row, "revoked_at")?,
        version: column(row, "version")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}
