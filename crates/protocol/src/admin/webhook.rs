//! Webhooks: who is told of changes, and what became of the telling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Time, versioned};
use crate::json::Reader;
use crate::{DeliveryId, Expected, WebhookId};

/// What may be listened to.
const EVENTS: &str = "an event: install.state_changed, install.clone_suspected, license.created, license.changed, \
                      license.suspended, license.resumed, license.revoked, license.ended, signing_key.rotated, \
                      signing_key.tainted, or * for all of them";

// A word is a `tt`: within a `literal`'s invisible group the derive of the schema doesn't see it.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $expected:expr => { $($(#[$word_doc:meta])* $word:ident = $text:tt,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] $word,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Expected;

            fn from_str(text: &str) -> Result<Self, Expected> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(Expected($expected))
            }
        }
    };
}

words! {
    /// What a webhook may be told of.
    EventType, EVENTS => {
        /// The engine says something else of an install: another state, rule, reason or status.
        InstallStateChanged = "install.state_changed",
        /// A second holder of an install's secret has shown itself.
        InstallCloneSuspected = "install.clone_suspected",
        /// A license was made.
        LicenseCreated = "license.created",
        /// A license's terms are others.
        LicenseChanged = "license.changed",
        /// A license was suspended.
        LicenseSuspended = "license.suspended",
        /// A license's suspension was ended.
        LicenseResumed = "license.resumed",
        /// A license was revoked.
        LicenseRevoked = "license.revoked",
        /// A license's term is over.
        LicenseEnded = "license.ended",
        /// Another key signs.
        SigningKeyRotated = "signing_key.rotated",
        /// A key is trusted no more.
        SigningKeyTainted = "signing_key.tainted",
        /// Nothing has changed: an operator tries a webhook out. It goes to that one, whatever it listens to.
        WebhookPing = "webhook.ping",
    }
}

impl EventType {
    /// What stands for all of them.
    pub const EVERYTHING: &str = "*";
}

words! {
    /// What has become of a delivery.
    DeliveryStatus, "pending, delivered or failed" => {
        /// It is to be attempted, for the first time or again.
        Pending = "pending",
        /// The target has taken it.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

words! {
    /// Why an attempt failed.
    DeliveryFault, "a fault of a delivery" => {
        /// The target's name doesn't resolve.
        NameNotResolved = "name_not_resolved",
        /// The name resolves to an address that nothing is sent to: a private one, this machine's own, and the like.
        AddressRefused = "address_refused",
        /// Nothing listens at the address, or nothing of it is heard.
        NotReached = "not_reached",
        /// The target's certificate isn't believed, or TLS fails otherwise.
        TlsFailed = "tls_failed",
        /// There was no answer in time.
        TimedOut = "timed_out",
        /// The connection ended before there was an answer, or that was none of HTTP.
        NoAnswer = "no_answer",
        /// The answer was a redirect, which isn't followed.
        Redirected = "redirected",
        /// The answer was another than 2xx.
        Refused = "refused",
        /// The answer was 410: the target is gone for good, which disables the webhook.
        Gone = "gone",
        /// The webhook was disabled before this was attempted again.
        Disabled = "disabled",
    }
}

/// Somebody who is told of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where it is told.
    pub url: String,
    /// Of what: names of events, or `*` for all of them.
    pub events: Vec<String>,
    /// Since when nothing is sent there any more, because its target answered 410; null: it is told.
    pub disabled_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
    /// Moves with every change.
    pub version: i64,
}

/// A webhook that was just made, with its secret: the only time that it is told.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub row: Webhook,
    /// By which its messages are signed, `whsec_…` (Standard Webhooks).
    pub secret: String,
}

/// What a webhook is to be: `POST /v1/admin/webhooks`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewWebhook {
    /// Where it is told: `https`, on the open Internet unless `QT_WEBHOOK_PRIVATE_TARGETS` says otherwise.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 2000))]
    pub url: String,
    /// Of what: names of events, or `*` for all of them.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 20))]
    pub events: Vec<String>,
}

impl NewWebhook {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let url = root.member("url").text(1..=2000);
        let events = root.member("events");
        let named: Vec<Option<String>> = match events.elements() {
            Some(elements) if (1..=20).contains(&elements.len()) => elements.map(event).collect(),
            Some(_) => return events.fail("1 to 20 names of events, or \"*\""),
            None => return None,
        };
        let mut named: Vec<String> = named.into_iter().collect::<Option<_>>()?;
        if named.iter().any(|name| name == EventType::EVERYTHING) {
            named = vec![EventType::EVERYTHING.to_owned()];
        }
        named.sort_unstable();
        named.dedup();
        Some(Self { url: url?.to_owned(), events: named })
    }
}

/// The name of an event that one may listen to.
fn event(name: Reader<'_>) -> Option<String> {
    let text = name.string()?;
    let is_known = text == EventType::EVERYTHING
        || text.parse::<EventType>().is_ok_and(|event| event != EventType::WebhookPing);
    if is_known { Some(text.to_owned()) } else { name.fail(EVENTS) }
}

/// What was told to a webhook, or is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// The message's id, which is its `webhook-id`: the same at each attempt, and for each webhook that is told.
    pub id: DeliveryId,
    /// Whom.
    pub webhook_id: WebhookId,
    /// Of what.
    pub event: EventType,
    /// What has become of it.
    pub status: DeliveryStatus,
    /// How often it was attempted.
    pub attempts: i32,
    /// When what it tells of happened.
    pub created_at: Time,
    /// When it was last attempted.
    pub attempted_at: Option<Time>,
    /// When it is attempted next; null: it isn't.
    pub next_attempt_at: Option<Time>,
    /// When it was delivered, or given up.
    pub ended_at: Option<Time>,
    /// What the target answered last; null: nothing yet, or nothing at all.
    pub status_code: Option<i32>,
    /// Why the last attempt failed; null: it didn't.
    pub error: Option<DeliveryFault>,
    /// The message's body, letter by letter as it is signed.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub payload: Box<RawValue>,
}

versioned!(Webhook);

impl super::Versioned for CreatedWebhook {
    fn version(&self) -> i64 {
        self.row.version
    }
}
