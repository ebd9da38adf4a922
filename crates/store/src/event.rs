//! Events: what webhooks are told of, queued for each that listens in the transaction of the change itself. What isn't
//! committed wasn't told, and what is committed will be.
//!
//! A change that tells of nothing doesn't come here, and what a contact tells goes out with the statement that writes it
//! (`contact.rs`): beats cost no round trip more, whatever they change and whoever listens.

use keyring::signing::Step;
use protocol::admin::{EventType, License, Time};
use serde_json::{Value, json};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::audit::Changed;
use crate::contact::corrupt;
use crate::sql::{Timestamp, execute, statements};
use crate::subject::{Contact, Subject};
use crate::{Error, Store, restate};

statements! {
    /// Queues events for the webhooks that listen to them.
    TELL (UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TIMESTAMPTZ_ARRAY) "-- event.tell
INSERT INTO webhook_deliveries (webhook_id, id, event, body, created_at, due_at)
SELECT w.id, e.id, e.event, e.body::json, e.at, e.at
FROM unnest($1, $2, $3, $4) AS e(id, event, body, at)
JOIN webhooks w ON w.disabled_at IS NULL AND w.events && ARRAY[e.event, '*']"
}

/// Something that has changed.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    kind: EventType,
    at: i64,
    /// JSON.
    data: String,
}

impl Event {
    fn new(kind: EventType, at: i64, data: &Value) -> Self {
        Self { kind, at, data: data.to_string() }
    }

    /// That an operator tries a webhook out.
    pub(crate) fn ping(at: i64) -> Self {
        Self::new(EventType::WebhookPing, at, &json!({}))
    }

    /// That the engine says something else of an install than what is `shown` of it; nothing where it doesn't.
    pub(crate) fn of_install(subject: &Subject, shown: &str, at: i64) -> Option<Self> {
        let data = || {
            json!({ "install_id": subject.id, "license_id": subject.license_id, "from": told(&subject.shown),
                    "to": told(shown) })
        };
        (subject.shown != shown).then(|| Self::new(EventType::InstallStateChanged, at, &data()))
    }

    /// What a contact has changed.
    pub(crate) fn of_contact(contact: &Contact) -> Vec<Self> {
        let (subject, Some(audit)) = (&contact.subject, contact.audit.last()) else { return Vec::new() };
        let suspected = subject.clone_suspected_at.filter(|_| !subject.was_suspected).map(|at| {
            let data = json!({ "install_id": subject.id, "license_id": subject.license_id });
            Self::new(EventType::InstallCloneSuspected, at, &data)
        });
        let shown = restate::shown(&audit.decision, subject.status());
        suspected.into_iter().chain(Self::of_install(subject, &shown, audit.at)).collect()
    }

    /// What an operator has changed; nothing where that is nobody's business.
    pub(crate) fn of_action(changed: &Changed, at: i64) -> Option<Self> {
        let kind = match changed.action {
            "license.create" | "license.import" => EventType::LicenseCreated,
            "license.change" => EventType::LicenseChanged,
            "license.suspend" => EventType::LicenseSuspended,
            "license.resume" => EventType::LicenseResumed,
            "license.revoke" => EventType::LicenseRevoked,
            _ => return None,
        };
        let after = changed.after.as_deref()?;
        Some(Self { kind, at, data: format!(r#"{{"license":{after}}}"#) })
    }

    /// That a license's term is over.
    pub(crate) fn license_ended(license: &License, at: i64) -> Result<Self, Error> {
        let license = serde_json::to_string(license).map_err(corrupt("license"))?;
        Ok(Self { kind: EventType::LicenseEnded, at, data: format!(r#"{{"license":{license}}}"#) })
    }

    /// What a step has changed of the signing keys at `now`, told by the keyset of this version.
    pub(crate) fn of_step(step: &Step, keyset: i64, now: i64) -> Vec<Self> {
        let event = |record: &keyring::signing::KeyRecord| {
            let kind = match (record.tainted_at, record.sign_from, record.sign_until) {
                (Some(_), ..) => EventType::SigningKeyTainted,
                (None, Some(_), None) => EventType::SigningKeyRotated,
                _ => return None,
            };
            let data = json!({ "kid": record.kid(), "use": record.key_use.as_str(), "keyset": keyset });
            Some(Self::new(kind, now, &data))
        };
        step.changed.iter().filter_map(event).collect()
    }

    /// The event's name, and the message that tells of it.
    pub(crate) fn message(&self) -> (&'static str, String) {
        let (name, at, data) = (self.kind.as_str(), Time(self.at), &self.data);
        (name, format!(r#"{{"type":"{name}","timestamp":"{at}","data":{data}}}"#))
    }
}

/// What `installs.shown` says, as events tell it; of an install that is new, nothing.
fn told(shown: &str) -> Value {
    let words: Vec<&str> = shown.split(' ').collect();
    let [state, rule, reason, status] = words[..] else { return Value::Null };
    json!({ "state": state, "rule": rule.parse::<u8>().ok(), "reason": reason, "status": status })
}

/// Events as columns, a message each.
pub(crate) struct Messages {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) names: Vec<&'static str>,
    pub(crate) bodies: Vec<String>,
    pub(crate) times: Vec<Timestamp>,
}

impl Messages {
    pub(crate) fn of(store: &Store, events: &[Event]) -> Self {
        let (names, bodies) = events.iter().map(Event::message).unzip();
        let times = events.iter().map(|event| Timestamp(event.at)).collect();
        Self { ids: events.iter().map(|_| store.new_id()).collect(), names, bodies, times }
    }
}

/// Queues events, in the transaction of what they tell of.
pub(crate) async fn tell(store: &Store, client: &impl GenericClient, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let Messages { ids, names, bodies, times } = Messages::of(store, events);
    execute(client, &TELL, &[&ids, &names, &bodies, &times]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told;

    #[test]
    fn what_is_shown_is_told_in_members() {
        let to = json!({ "state": "grace", "rule": 11, "reason": "out_of_contact", "status": "active" });
        assert_eq!(told("grace 11 out_of_contact active"), to);
        assert_eq!(told(""), json!(null));
    }
}
