//! A change by an operator: what he does, and the row of the audit log that says so, in one transaction.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use keyring::Keyring;

use crate::activation::Connection;
use crate::audit::{self, Actor, Changed};
use crate::event::{self, Event};
use crate::{Error, Store};

/// A transaction of an operator's. Nothing of it stays unless it is committed.
pub struct Change<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tx: Transaction<'a>,
    /// What seals in it.
    pub(crate) keyring: Arc<Keyring>,
}

impl Store {
    /// Begins a change.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn begin_change<'a>(&'a self, connection: &'a mut Connection) -> Result<Change<'a>, Error> {
        let keyring = connection.keyring.clone();
        let tx = connection.client.transaction().await.map_err(Error::from_connection)?;
        Ok(Change { store: self, tx, keyring })
    }
}

impl Change<'_> {
    /// The store that this changes.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// Writes to the audit log who changed what, and queues what webhooks are told of it. It should come last: until the
    /// commit nobody else's row can follow.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn record(&self, actor: &Actor, changed: &Changed) -> Result<(), Error> {
        self.record_all(actor, std::slice::from_ref(changed)).await
    }

    /// Writes several rows, in their order, as [`record`](Self::record) does one.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn record_all(&self, actor: &Actor, all: &[Changed]) -> Result<(), Error> {
        let now = self.store.clock().unix_seconds();
        let events: Vec<_> = all.iter().filter_map(|changed| Event::of_action(changed, now)).collect();
        event::tell(self.store, &*self.tx, &events).await?;
        let rows: Vec<_> = all.iter().map(|changed| (self.store.new_id(), changed)).collect();
        audit::insert_all(&*self.tx, now, actor, &rows).await
    }

    /// Makes it so.
    ///
    /// # Errors
    /// When the database isn't available; then it isn't known whether it was.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await.map_err(Error::from_connection)
    }
}
