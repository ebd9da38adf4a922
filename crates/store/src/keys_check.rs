//! Everything that is sealed, opened once: whether a copy of the database is worth something.

use keyring::{Context, Place, Purpose};
use uuid::Uuid;

use crate::keys_sealed::{SEALED, SealedColumn, window};
use crate::{Error, Store};

/// Above every version: whatever is sealed is looked at.
const ALL: Context = Context { purpose: Purpose::DataKey, version: u32::MAX };

/// What became of a sealed column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnCheck {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
    /// Rows of the table.
    pub rows: u64,
    /// Values that open.
    pub opened: u64,
    /// Values that don't.
    pub closed: u64,
    /// The first of those, and why.
    pub first_closed: Option<String>,
}

impl Store {
    /// Opens every sealed value, in constant memory, and changes nothing. `watch` is told how many were tried so far.
    ///
    /// # Errors
    /// When the database, or what wraps its keys, isn't available. Values that don't open are no error: they are counted.
    pub async fn check_sealed(&self, mut watch: impl FnMut(u64)) -> Result<Vec<ColumnCheck>, Error> {
        let (mut checks, mut tried) = (Vec::new(), 0);
        for column in &SEALED {
            let check = self.check_column(column, |values| {
                tried += values;
                watch(tried);
            });
            checks.push(check.await?);
        }
        Ok(checks)
    }

    async fn check_column(
        &self,
        column: &SealedColumn,
        mut watch: impl FnMut(u64),
    ) -> Result<ColumnCheck, Error> {
        let client = self.client().await?;
        let SealedColumn { table, column: name, .. } = *column;
        let mut check =
            ColumnCheck { table, column: name, rows: 0, opened: 0, closed: 0, first_closed: None };
        let mut after = Uuid::nil();
        while let Some(window) = window(&**client, column, ALL, after).await? {
            after = window.last;
            check.rows += window.seen;
            watch(window.values.len() as u64);
            for (id, value) in window.values {
                let place = Place { table, column: name, row: *id.as_bytes() };
                match self.opening(&**client, |keyring| Ok(keyring.open(place, &value)?)).await {
                    Ok(_) => check.opened += 1,
                    Err(Error::Keyring(cause @ keyring::Error::Kms { .. })) => return Err(cause.into()),
                    Err(Error::Keyring(cause)) => {
                        check.closed += 1;
                        check.first_closed.get_or_insert_with(|| format!("{table}.{name} of {id}: {cause}"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(check)
    }
}
