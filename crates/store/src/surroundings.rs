//! What an install's own page says of what is around it: the profile that judges, and the seats of its license.

use protocol::admin::SeatPlace;
use tokio_postgres::GenericClient;

use crate::change::Change;
use crate::{Error, ProfileRow, Store, Subject, profile, seats};

/// What is around an install.
#[derive(Debug)]
pub struct Surroundings {
    /// The profile whose version judges it.
    pub profile: ProfileRow,
    /// Its place among those that hold a seat.
    pub seat: SeatPlace,
}

impl Store {
    /// What is around an install at `now`.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn surroundings(&self, subject: &Subject, now: i64) -> Result<Surroundings, Error> {
        around(&**self.client().await?, subject, now).await
    }
}

impl Change<'_> {
    /// The same within a change.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn surroundings(&self, subject: &Subject, now: i64) -> Result<Surroundings, Error> {
        around(&*self.tx, subject, now).await
    }
}

async fn around(client: &impl GenericClient, subject: &Subject, now: i64) -> Result<Surroundings, Error> {
    let profile = profile::load(client, subject.profile.id.as_uuid()).await?;
    Ok(Surroundings { profile, seat: seats::place(client, subject, now).await? })
}
