//! Failed attempts to sign in: of an account, known or not, and of an address. Each makes the next one wait longer.

use crate::sql::{Timestamp, execute, rows, statements};
use crate::{Error, Store};

/// What is forgotten after so long without a failure, seconds.
const MEMORY: i64 = 86_400;

/// How many failures of an account cost no wait: people mistype.
const FREE_OF_ACCOUNT: i32 = 4;

/// How many failures of an address cost no wait: many people may share one.
const FREE_OF_ADDRESS: i32 = 20;

statements! {
    /// Counts an attempt as failed before it is looked at, so that many at once count too. After the free ones each
    /// doubles the wait: 1 s, 2 s, 4 s …, 15 min at most. Returns those that didn't have to wait. What is older than $4
    /// counts no more.
    TAKE (BYTEA_ARRAY, INT4_ARRAY, TIMESTAMPTZ, TIMESTAMPTZ) "-- sign_in.take
INSERT INTO sign_in_failures AS f (subject, failures, blocked_until, failed_at)
SELECT g.subject, 1, $3, $3 FROM unnest($1) AS g(subject) ORDER BY g.subject
ON CONFLICT (subject) DO UPDATE
SET failures = CASE WHEN f.failed_at <= $4 THEN 1 ELSE f.failures + 1 END, failed_at = $3,
    blocked_until = CASE WHEN f.failed_at <= $4 THEN $3 ELSE (
        SELECT $3 + make_interval(secs => least(900, floor(power(2, least(f.failures - g.free, 20)))))
        FROM unnest($1, $2) AS g(subject, free) WHERE g.subject = f.subject) END
WHERE f.blocked_until <= $3
RETURNING f.subject"

    /// It didn't fail: the account starts anew, the address has one failure less.
    FORGIVE (BYTEA, BYTEA) "-- sign_in.forgive
WITH account AS (DELETE FROM sign_in_failures WHERE subject = $1)
UPDATE sign_in_failures SET failures = greatest(failures - 1, 0) WHERE subject = $2"

    /// How long the longer of the waits still is.
    WAIT (BYTEA_ARRAY, TIMESTAMPTZ) "-- sign_in.wait
SELECT coalesce(max(ceil(extract(epoch FROM blocked_until - $2)))::int8, 1) AS seconds
FROM sign_in_failures WHERE subject = ANY ($1)"

    /// Forgets what counts no more.
    FORGET (TIMESTAMPTZ) "-- sign_in.forget
DELETE FROM sign_in_failures WHERE failed_at <= $1"
}

/// Who tries to sign in, by hashes.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The account, whether there is one or not.
    pub account: [u8; 32],
    /// Where the request comes from.
    pub address: [u8; 32],
}

impl Attempt {
    fn subjects(&self) -> [&[u8]; 2] {
        [&self.account, &self.address]
    }
}

impl Store {
    /// Counts an attempt to sign in as failed, until it is [forgiven](Self::forgive_sign_in). Returns after how many
    /// seconds the next one is looked at, when this one isn't.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn take_sign_in(&self, attempt: &Attempt) -> Result<Option<i64>, Error> {
        let now = self.clock().unix_seconds();
        let (subjects, free) = (attempt.subjects(), [FREE_OF_ACCOUNT, FREE_OF_ADDRESS]);
        let (subjects, free) = (subjects.as_slice(), free.as_slice());
        let client = self.client().await?;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&subjects, &free, &Timestamp(now), &Timestamp(now - MEMORY)];
        if rows(&**client, &TAKE, &params).await?.len() == subjects.len() {
            return Ok(None);
        }
        let wait = rows(&**client, &WAIT, &[&subjects, &Timestamp(now)]).await?;
        let seconds = wait.first().map(|row| crate::sql::column(row, "seconds")).transpose()?;
        Ok(Some(seconds.unwrap_or(1).max(1)))
    }

    /// Takes back what [`take_sign_in`](Self::take_sign_in) counted: whoever it was knows the password.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forgive_sign_in(&self, attempt: &Attempt) -> Result<(), Error> {
        let [account, address] = attempt.subjects();
        execute(&**self.client().await?, &FORGIVE, &[&account, &address]).await.map(drop)
    }

    /// Forgets failures that count no more. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_sign_in_failures(&self) -> Result<u64, Error> {
        let before = Timestamp(self.clock().unix_seconds() - MEMORY);
        execute(&**self.client().await?, &FORGET, &[&before]).await
    }
}
