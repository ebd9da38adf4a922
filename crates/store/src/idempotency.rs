//! What was answered to a request that made something, for when the same request comes again.

use keyring::Place;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sql::{Timestamp, column, execute, row, statements};
use crate::{Error, Store};

/// How long an answer is kept, seconds.
const KEPT: i64 = 86_400;

statements! {
    /// Claims a key that nobody has claimed, or whose answer is no longer kept. Of two at once the second waits for the
    /// first one's end.
    CLAIM (UUID, BYTEA, BYTEA, TIMESTAMPTZ, TIMESTAMPTZ) "-- idempotency.claim
INSERT INTO idempotency_keys AS k (id, key_hash, body_hash, expires_at) VALUES ($1, $2, $3, $5)
ON CONFLICT (key_hash) DO UPDATE SET id = $1, body_hash = $3, answer = NULL, expires_at = $5 WHERE k.expires_at <= $4
RETURNING id"

    /// What was answered.
    FIND (BYTEA) "-- idempotency.find
SELECT id, body_hash, answer FROM idempotency_keys WHERE key_hash = $1"

    /// What is answered.
    ANSWER (UUID, BYTEA) "-- idempotency.answer
UPDATE idempotency_keys SET answer = $2 WHERE id = $1"

    /// Forgets answers that are kept no longer.
    FORGET (TIMESTAMPTZ) "-- idempotency.forget
DELETE FROM idempotency_keys WHERE expires_at <= $1"
}

/// A request that is to be done once, however often it comes.
#[derive(Debug, Clone)]
pub struct Once {
    /// Who asks, for what, and the key that he chose.
    pub key: String,
    /// Hash of the request's body.
    pub body: [u8; 32],
}

/// What a request that is to be done once comes to.
#[derive(Debug)]
pub enum Claim {
    /// It is done for the first time, under this id.
    First(Uuid),
    /// It was done, and this was the answer: JSON.
    Done(String),
    /// Another request came under this key.
    Another,
}

fn place(id: Uuid) -> Place<'static> {
    Place { table: "idempotency_keys", column: "answer", row: *id.as_bytes() }
}

impl Change<'_> {
    /// Claims a request's key until this change's end, and for a day after it if it is committed.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn claim(&self, once: &Once) -> Result<Claim, Error> {
        let (id, now) = (self.store.new_id(), self.store.clock().unix_seconds());
        let key: [u8; 32] = Sha256::digest(&once.key).into();
        // Keyed, so that whoever has the database alone can't try passwords on it.
        let body =
            once.body.iter().fold(String::from("idempotency "), |text, byte| format!("{text}{byte:02x}"));
        let bodies = self.keyring.lookups(&body);
        let body = self.keyring.lookup(&body);
        let (now, expires) = (Timestamp(now), Timestamp(now + KEPT));
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&id, &key.as_slice(), &body.as_slice(), &now, &expires];
        if row(&*self.tx, &CLAIM, &params).await?.is_some() {
            return Ok(Claim::First(id));
        }
        let found = row(&*self.tx, &FIND, &[&key.as_slice()]).await?;
        let found = found.ok_or_else(|| corrupt("idempotency_keys")("the row is gone"))?;
        // It may have been claimed under the lookup key before.
        let claimed: &[u8] = column(&found, "body_hash")?;
        if !bodies.iter().any(|body| body == claimed) {
            return Ok(Claim::Another);
        }
        let sealed: &[u8] = column(&found, "answer")?;
        let place = place(column(&found, "id")?);
        let answer = self.store.opening(&*self.tx, |keyring| Ok(keyring.open(place, sealed)?)).await?;
        Ok(Claim::Done(String::from_utf8(answer.to_vec()).map_err(corrupt("answer"))?))
    }

    /// Keeps what is answered to a request, sealed.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn keep_answer(&self, id: Uuid, answer: &str) -> Result<(), Error> {
        let sealed = self.keyring.seal(place(id), answer.as_bytes(), self.store.random())?;
        execute(&*self.tx, &ANSWER, &[&id, &sealed]).await.map(drop)
    }
}

impl Store {
    /// Forgets answers that are kept no longer. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_answers(&self) -> Result<u64, Error> {
        let now = Timestamp(self.clock().unix_seconds());
        execute(&**self.client().await?, &FORGET, &[&now]).await
    }
}
