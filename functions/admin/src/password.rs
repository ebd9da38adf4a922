//! Passwords: Argon2id, at most so many at once, and none that everybody tries first.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use protocol::ambient::{Random, array};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::error::Error;

/// How many characters a password has at least.
const SHORTEST: usize = 12;

/// How many bytes it has at most: more is hashed, but nobody types it.
const LONGEST: usize = 1024;

/// How many are hashed at once: each takes a core for some 20 ms, and 19 MiB.
const AT_ONCE: usize = 2;

/// How many may wait for that.
const WAITING: usize = 64;

/// The commonest passwords that are long enough, in lower case.
const COMMONEST: &str = include_str!("commonest_passwords.txt");

/// The hash of a password that nobody has: the work for accounts that don't exist.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password that is long enough and not among the commonest. Wiped when dropped, never printed.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password that somebody chose.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.chars().count() < SHORTEST || text.len() > LONGEST {
            return Err("has to have 12 characters at least, and 1024 bytes at most");
        }
        if COMMONEST.lines().any(|common| common == text.to_lowercase()) || is_monotonous(text) {
            return Err("is among those that everybody tries first");
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// A password that nobody chose: 120 random bits in five groups.
    pub fn generate(random: &dyn Random) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let bytes = Zeroizing::new(array::<25>(random));
        let mut text = Zeroizing::new(String::with_capacity(30));
        for (at, byte) in bytes.iter().enumerate().take(25) {
            if at > 0 && at % 5 == 0 {
                text.push('-');
            }
            text.push(char::from(LETTERS[usize::from(byte & 31)]));
        }
        Self(text)
    }

    /// The password itself, to be told once.
    pub fn told(&self) -> &str {
        &self.0
    }

    /// Its hash under a fresh salt, in the PHC string format. It takes a core for a while: not on a thread that serves.
    pub(crate) fn hash(&self, salt: [u8; 16]) -> String {
        let hash = Argon2::default().hash_password_with_salt(self.0.as_bytes(), &salt);
        hash.expect("Argon2 takes any password and 16 bytes of salt").to_string()
    }
}

/// One or two characters, over and over.
fn is_monotonous(text: &str) -> bool {
    let mut seen: Vec<char> = text.chars().collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len() <= 2
}

/// Hashes passwords beside the threads that serve.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }
}

impl Passwords {
    /// The hash of a new password.
    ///
    /// # Errors
    /// When too many wait.
    pub(crate) async fn hash(&self, password: Password, salt: [u8; 16]) -> Result<String, Error> {
        self.work(move || password.hash(salt)).await
    }

    /// Whether a text is the password of this hash. Without a hash it isn't, after the same work.
    ///
    /// # Errors
    /// When too many wait.
    pub(crate) async fn verify(&self, text: &str, hash: Option<&str>) -> Result<bool, Error> {
        let text = Zeroizing::new(text.to_owned());
        let (known, hash) = (hash.is_some(), hash.unwrap_or(NOBODYS).to_owned());
        self.work(move || {
            let hash = PasswordHash::new(&hash);
            known & hash.is_ok_and(|hash| Argon2::default().verify_password(text.as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
        let place = self.places.clone().acquire_owned().await.map_err(|_| Error::Overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.map_err(|_| Error::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ambient::SeededRandom;

    use super::{COMMONEST, NOBODYS, Password, Passwords};

    #[test]
    fn short_and_common_passwords_are_refused_and_the_list_has_none_that_is_too_short_anyway() {
        for bad in ["", "eleven char", "password1234", "PasswordPassword", "aaaaaaaaaaaaaaaa", "abababababab"]
        {
            assert!(Password::parse(bad).is_err(), "{bad}");
        }
        assert!(Password::parse(&"x y".repeat(400)).is_err());
        assert!(Password::parse("twelve chars").is_ok());
        assert!(Password::parse("\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}123").is_ok());
        for common in COMMONEST.lines() {
            assert!(common.chars().count() >= 12 && common == common.to_lowercase(), "{common}");
        }
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_nobody_has_the_one_that_stands_in() {
        let random = SeededRandom::new(1);
        let password = Password::generate(&random);
        assert_eq!((password.told().len(), Password::parse(password.told()).is_ok()), (29, true));
        let (text, hash) = (password.told().to_owned(), password.hash([7; 16]));
        let passwords = Passwords::default();
        assert!(passwords.verify(&text, Some(&hash)).await.unwrap());
        assert!(!passwords.verify("another one", Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&text, None).await.unwrap());
        // The same work.
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(&hash), cost(NOBODYS));
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODYS).is_ok());
    }
}
