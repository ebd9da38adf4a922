//! `webhook create|list|delete|deliveries|ping|resend`.

use admin::{Expected, webhook};
use clap::Subcommand;
use protocol::admin::{Delivery, DeliveryStatus, EventType, NewWebhook, Webhook};
use protocol::{DeliveryId, WebhookId};

use crate::account;
use crate::config::Flags;
use crate::error::Error;
use crate::output;
use crate::site::Site;

/// How many webhooks are listed at most.
const MANY: i64 = 10_000;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Have somebody told of changes; prints the secret that signs, which is told only now
    Create {
        /// Where: https, on the open Internet unless `QT_WEBHOOK_PRIVATE_TARGETS` says otherwise
        #[arg(long)]
        url: String,
        /// Of what, like license.revoked; can be given several times. Without it of everything
        #[arg(long = "event", value_name = "NAME", value_parser = event)]
        events: Vec<String>,
    },
    /// Every webhook, without the secrets
    List,
    /// Have somebody told no more, not even what was to be told by now
    Delete {
        /// Its id
        webhook: WebhookId,
    },
    /// What was told to a webhook and what became of it, the newest first
    Deliveries {
        /// Its id
        webhook: WebhookId,
        /// Only those that are pending, delivered or failed
        #[arg(long)]
        status: Option<DeliveryStatus>,
        /// Only those before this one
        #[arg(long, value_name = "ID")]
        before: Option<DeliveryId>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Have a webhook told, at once, that it is tried out
    Ping {
        /// Its id
        webhook: WebhookId,
    },
    /// Send a delivery again, whatever has become of it
    Resend {
        /// The webhook's id
        webhook: WebhookId,
        /// The delivery's id
        delivery: DeliveryId,
    },
}

fn event(text: &str) -> Result<String, String> {
    let is_known = |event: &EventType| *event != EventType::WebhookPing;
    match text.parse::<EventType>() {
        _ if text == EventType::EVERYTHING => Ok(text.to_owned()),
        Ok(event) if is_known(&event) => Ok(text.to_owned()),
        Ok(_) | Err(_) => {
            let known = EventType::ALL.iter().filter(|event| is_known(event)).map(|event| event.as_str());
            Err(format!("it can be * or {}", known.collect::<Vec<_>>().join(", ")))
        }
    }
}

pub(crate) async fn run(flags: &Flags, command: Command) -> Result<(), Error> {
    let json = flags.json;
    let Site { store } = Site::open(flags).await?;
    let operator = account::operator(&store);
    match command {
        Command::Create { url, events } => {
            let events = if events.is_empty() { vec![EventType::EVERYTHING.to_owned()] } else { events };
            let allows_private = flags.settings()?.webhook_private_targets;
            let created = webhook::create(&operator, NewWebhook { url, events }, allows_private).await?;
            if json {
                return output::json(&created);
            }
            output::line(&format!("made webhook {} to {}", created.row.id, created.row.url))?;
            output::line(&format!("secret, told only now: {}", created.secret))
        }
        Command::List => list(&webhook::list(&store, None, MANY).await?, json),
        Command::Delete { webhook: id } => {
            webhook::remove(&operator, id, &Expected::ANY).await?;
            if json {
                return output::json(&serde_json::json!({ "id": id }));
            }
            output::line(&format!("webhook {id} is told no more"))
        }
        Command::Deliveries { webhook: id, status, before, limit } => {
            table(&webhook::deliveries(&store, id, status, before, limit).await?, json)
        }
        Command::Ping { webhook: id } => queued(&webhook::ping(&operator, id).await?, json),
        Command::Resend { webhook: id, delivery } => {
            queued(&webhook::resend(&operator, id, delivery).await?, json)
        }
    }
}

fn queued(delivery: &Delivery, json: bool) -> Result<(), Error> {
    if json {
        return output::json(delivery);
    }
    let Delivery { id, event, webhook_id, .. } = delivery;
    output::line(&format!(
        "{event} {id} is queued for whatever serves; see `webhook deliveries {webhook_id}`"
    ))
}

fn list(webhooks: &[Webhook], json: bool) -> Result<(), Error> {
    if json {
        return output::json(&webhooks);
    }
    let row = |webhook: &Webhook| {
        let state = webhook.disabled_at.map_or_else(|| "told".to_owned(), |at| format!("gone since {at}"));
        [webhook.id.to_string(), state, webhook.events.join(" "), webhook.url.clone()]
    };
    let rows: Vec<_> = webhooks.iter().map(row).collect();
    output::table(["ID", "STATE", "EVENTS", "URL"], &rows, "no webhooks yet: qubictether webhook create …")
}

fn table(deliveries: &[Delivery], json: bool) -> Result<(), Error> {
    if json {
        return output::json(&deliveries);
    }
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |delivery: &Delivery| {
        [
            delivery.id.to_string(),
            delivery.event.to_string(),
            delivery.status.to_string(),
            delivery.attempts.to_string(),
            or_dash(delivery.attempted_at.map(|at| at.to_string())),
            or_dash(delivery.status_code.map(|code| code.to_string())),
            or_dash(delivery.error.map(|error| error.to_string())),
            or_dash(delivery.next_attempt_at.map(|at| at.to_string())),
        ]
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    let heading = ["ID", "EVENT", "STATUS", "ATTEMPTS", "LAST ATTEMPT", "ANSWER", "ERROR", "NEXT ATTEMPT"];
    output::table(heading, &rows, "nothing was told yet")
}
