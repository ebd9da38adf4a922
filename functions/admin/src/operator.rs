//! Whoever wants something done, and how it is done once.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Actor, Change, Changed, Claim, Connection, Once, Store};
use uuid::Uuid;

use crate::error::Error;

/// Whoever wants something done.
pub struct Operator<'a> {
    /// Where it is done.
    pub store: &'a Store,
    /// Who it is, for the audit log.
    pub actor: Actor,
    /// What he makes is made once, however often he asks.
    pub once: Option<Once>,
}

impl<'a> Operator<'a> {
    /// Whoever runs the operator's program.
    pub fn at_the_command_line(store: &'a Store) -> Self {
        Self { store, actor: Actor::command_line(), once: None }
    }

    /// A connection for one change.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        Ok(self.store.connection().await?)
    }

    /// Begins a change.
    pub(crate) async fn begin<'c>(&'c self, connection: &'c mut Connection) -> Result<Change<'c>, Error> {
        Ok(self.store.begin_change(connection).await?)
    }

    /// Begins to make something, unless the same was asked for before: then that is answered again.
    pub(crate) async fn begin_making<'c, T: DeserializeOwned>(
        &'c self,
        connection: &'c mut Connection,
    ) -> Result<Making<'c, T>, Error> {
        let change = self.begin(connection).await?;
        let Some(once) = &self.once else { return Ok(Making::New(Draft { change, claim: None })) };
        match change.claim(once).await? {
            Claim::First(id) => Ok(Making::New(Draft { change, claim: Some(id) })),
            Claim::Done(answer) => Ok(Making::Done(read(&answer)?)),
            Claim::Another => {
                let what = "this Idempotency-Key came before with another request: take a new one";
                Err(Error::Conflict(what.to_owned()))
            }
        }
    }

    /// Writes down what was done and makes it so.
    pub(crate) async fn finish(
        &self,
        change: Change<'_>,
        action: &'static str,
        id: impl fmt::Display,
        states: States,
    ) -> Result<(), Error> {
        change.record(&self.actor, &states.of(action, id)).await?;
        Ok(change.commit().await?)
    }

    /// Keeps what is answered, writes down what was made, and makes it so.
    pub(crate) async fn finish_making(
        &self,
        draft: Draft<'_>,
        action: &'static str,
        id: impl fmt::Display,
        states: States,
        answer: &impl Serialize,
    ) -> Result<(), Error> {
        if let Some(claim) = draft.claim {
            draft.change.keep_answer(claim, &json(answer)?).await?;
        }
        self.finish(draft.change, action, id, states).await
    }
}

/// What begins when something is to be made.
pub(crate) enum Making<'a, T> {
    /// It was made before, and this was answered.
    Done(T),
    /// It is to be made.
    New(Draft<'a>),
}

/// A change that makes something.
pub(crate) struct Draft<'a> {
    pub(crate) change: Change<'a>,
    claim: Option<Uuid>,
}

/// How something was and is, for the audit log. Never a secret.
#[derive(Default)]
pub(crate) struct States {
    before: Option<String>,
    after: Option<String>,
}

impl States {
    pub(crate) fn made(after: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { before: None, after: Some(json(after)?) })
    }

    pub(crate) fn changed(before: &impl Serialize, after: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { before: Some(json(before)?), after: Some(json(after)?) })
    }

    /// What was done, by them.
    pub(crate) fn of(self, action: &'static str, id: impl fmt::Display) -> Changed {
        let resource = action.split_once('.').map_or(action, |(resource, _)| resource);
        let Self { before, after } = self;
        Changed { action, resource, id: id.to_string(), before, after }
    }

    pub(crate) fn removed(before: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { before: Some(json(before)?), after: None })
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(Error::Json)
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(Error::Json)
}

/// The versions that a resource may have for a change to be made: what `If-Match` says.
#[derive(Debug, Clone, Default)]
pub struct Expected(Option<Vec<i64>>);

impl Expected {
    /// Whatever it has.
    pub const ANY: Self = Self(None);

    /// One of these.
    pub fn one_of(versions: Vec<i64>) -> Self {
        Self(Some(versions))
    }

    /// # Errors
    /// When it has another.
    pub(crate) fn check(&self, version: i64) -> Result<(), Error> {
        match &self.0 {
            Some(versions) if !versions.contains(&version) => Err(Error::Stale),
            _ => Ok(()),
        }
    }
}
