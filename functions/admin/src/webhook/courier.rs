//! Delivers what is due: each webhook on its own, so that one that is slow or dead holds up nobody but itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use edge::Edge;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use protocol::WebhookId;
use protocol::admin::DeliveryFault;
use protocol::ambient::Random;
use protocol::jitter;
use store::{Attempted, TakenDelivery};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use super::send::{Answer, Sender};

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many messages are under way to one webhook at once.
const AT_ONCE: i64 = 8;

/// How often a delivery is attempted before it is given up.
const TRIES: i32 = 10;

/// How long the second attempt waits after the first one, seconds; each further one three times as long as that before
/// it: ten attempts within about 27 hours.
const FIRST_WAIT: u64 = 10;

/// For how long a target may put the next attempt off by `Retry-After`, seconds.
const LONGEST_PUT_OFF: i64 = 86_400;

/// Delivers what becomes due, until `stop` says so; then finishes what is under way.
pub async fn deliver(edge: Arc<Edge>, sender: Arc<Sender>, mut stop: watch::Receiver<bool>) {
    let mut courier = Courier::new(edge, sender, stop.clone());
    let mut times = tokio::time::interval(LOOK_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => {
                if let Err(error) = courier.look().await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "it can't be seen what is due to webhooks");
                }
            }
            Some(done) = courier.at_work.join_next_with_id() => courier.note(done.map(|(id, ())| id)),
            () = stopped(&mut stop) => break,
        }
    }
    courier.finish().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that says it, too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Delivers what is due now, until `stop` says so; then finishes what is under way.
///
/// # Errors
/// When the database isn't available.
pub async fn deliver_due(
    edge: Arc<Edge>,
    sender: Arc<Sender>,
    stop: watch::Receiver<bool>,
) -> Result<(), store::Error> {
    let mut courier = Courier::new(edge, sender, stop);
    courier.look().await?;
    courier.finish().await;
    Ok(())
}

/// What is under way.
struct Courier {
    edge: Arc<Edge>,
    sender: Arc<Sender>,
    stop: watch::Receiver<bool>,
    at_work: JoinSet<()>,
    /// Whose messages each task delivers.
    busy: HashMap<Id, WebhookId>,
}

impl Courier {
    fn new(edge: Arc<Edge>, sender: Arc<Sender>, stop: watch::Receiver<bool>) -> Self {
        Self { edge, sender, stop, at_work: JoinSet::new(), busy: HashMap::new() }
    }

    /// Begins to deliver to each webhook that something is due for, unless that is under way already.
    async fn look(&mut self) -> Result<(), store::Error> {
        for webhook in self.edge.store.list_due_webhooks().await? {
            if self.busy.values().all(|busy| *busy != webhook) {
                let (edge, sender, stop) = (self.edge.clone(), self.sender.clone(), self.stop.clone());
                let task = self.at_work.spawn(async move {
                    if let Err(error) = deliver_to(&edge, &sender, webhook, &stop).await {
                        tracing::warn!(%webhook, error = &error as &dyn std::error::Error, "a webhook isn't told");
                    }
                });
                self.busy.insert(task.id(), webhook);
            }
        }
        Ok(())
    }

    fn note(&mut self, done: Result<Id, JoinError>) {
        self.busy.remove(&done.unwrap_or_else(|failed| failed.id()));
    }

    async fn finish(mut self) {
        while self.at_work.join_next().await.is_some() {}
    }
}

/// Delivers what is due of one webhook, some at once, until nothing is.
async fn deliver_to(
    edge: &Edge,
    sender: &Sender,
    webhook: WebhookId,
    stop: &watch::Receiver<bool>,
) -> Result<(), store::Error> {
    while !*stop.borrow() {
        let taken = edge.store.take_deliveries(webhook, AT_ONCE).await?;
        if taken.is_empty() {
            break;
        }
        let send = async |message| (message, sender.send(message, edge.now()).await);
        let mut sending: FuturesUnordered<_> = taken.iter().map(send).collect();
        // One after another: however many are sent at once, a webhook takes one connection to the database.
        while let Some((message, answered)) = sending.next().await {
            settle(edge, message, answered).await?;
        }
    }
    Ok(())
}

/// Writes what has come of an attempt.
async fn settle(
    edge: &Edge,
    message: &TakenDelivery,
    answered: Result<Answer, DeliveryFault>,
) -> Result<(), store::Error> {
    let status = answered.map(|answer| answer.status);
    let attempted = match judged(status) {
        Ok(()) => Attempted::Delivered,
        Err(DeliveryFault::Gone) => Attempted::Gone,
        Err(fault) => match wait_after(message.tries, edge.store.random()) {
            Some(wait) => Attempted::Again(fault, put_off(answered.ok(), edge.now(), wait)),
            None => Attempted::GivenUp(fault),
        },
    };
    edge.metrics.attempted(judged(status).err().map_or("delivered", DeliveryFault::as_str));
    let (webhook, delivery) = (message.webhook_id, message.id);
    match attempted {
        Attempted::Delivered | Attempted::Again(..) => {}
        Attempted::GivenUp(error) => tracing::warn!(%webhook, %delivery, %error, "a delivery is given up"),
        Attempted::Gone => tracing::warn!(%webhook, "a webhook is disabled: its target answered 410"),
    }
    edge.store.settle_delivery(message, status.ok(), attempted).await
}

/// When it is attempted again: after `wait` seconds, or later where a target that has too much to do asks for it.
fn put_off(answer: Option<Answer>, now: i64, wait: i64) -> i64 {
    let busy = answer.filter(|answer| matches!(answer.status, 429 | 503));
    let not_before = busy.and_then(|answer| answer.not_before).unwrap_or(now);
    (now + wait).max(not_before.min(now + LONGEST_PUT_OFF))
}

/// What an answer means.
fn judged(answered: Result<u16, DeliveryFault>) -> Result<(), DeliveryFault> {
    match answered? {
        200..=299 => Ok(()),
        300..=399 => Err(DeliveryFault::Redirected),
        410 => Err(DeliveryFault::Gone),
        _ => Err(DeliveryFault::Refused),
    }
}

/// How many seconds are waited after so many attempts, a quarter more or less; none: it is given up.
fn wait_after(tries: i32, random: &dyn Random) -> Option<i64> {
    let grown = u32::try_from(tries).unwrap_or_default().saturating_sub(1);
    let wait = FIRST_WAIT.saturating_mul(3_u64.saturating_pow(grown));
    let spread = wait - wait / 4 + jitter::full(random, wait / 2);
    (tries < TRIES).then(|| i64::try_from(spread).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use protocol::ambient::SeededRandom;

    use super::*;

    #[test]
    fn waits_grow_to_about_a_day_in_all_and_then_it_is_given_up() {
        let random = SeededRandom::new(1);
        let waits: Vec<i64> = (1..TRIES).map(|tries| wait_after(tries, &random).unwrap()).collect();
        assert!((8..=13).contains(&waits[0]), "{waits:?}");
        assert!(waits.windows(2).all(|two| two[1] > two[0]), "{waits:?}");
        let hours = waits.iter().sum::<i64>() / 3_600;
        assert!((20..=34).contains(&hours), "{hours} h");
        assert_eq!(wait_after(TRIES, &random), None);
        assert_eq!(wait_after(i32::MAX, &random), None);
    }

    #[test]
    fn a_target_puts_the_next_attempt_off_by_a_day_at_most_and_never_brings_it_forward() {
        let at = |status, not_before| put_off(Some(Answer { status, not_before }), 1_000, 10);
        for status in [429, 503] {
            assert_eq!(at(status, None), 1_010);
            assert_eq!(at(status, Some(0)), 1_010);
            assert_eq!(at(status, Some(1_005)), 1_010);
            assert_eq!(at(status, Some(1_600)), 1_600);
            assert_eq!(at(status, Some(i64::MAX)), 1_000 + 86_400);
        }
        assert_eq!(at(500, Some(1_600)), 1_010, "another has no say");
        assert_eq!(put_off(None, 1_000, 10), 1_010);
    }

    #[test]
    fn only_2xx_is_taken_for_taken() {
        assert_eq!([200, 204, 299].map(|status| judged(Ok(status))), [Ok(()); 3]);
        for (status, fault) in [
            (301, DeliveryFault::Redirected),
            (307, DeliveryFault::Redirected),
            (404, DeliveryFault::Refused),
            (410, DeliveryFault::Gone),
            (429, DeliveryFault::Refused),
            (500, DeliveryFault::Refused),
            (101, DeliveryFault::Refused),
        ] {
            assert_eq!(judged(Ok(status)), Err(fault), "{status}");
        }
    }
}
