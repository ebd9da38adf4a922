//! What sessions and scripts show: 256 random bits, of which the database keeps the hash.

use jose_jwt::base64url;
use protocol::ambient::{Random, array};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What an API key begins with, so that it is known for one wherever it turns up.
const API_KEY: &str = "qt_api_";

/// A new session's cookie value and its hash.
pub(crate) fn session(random: &dyn Random) -> (Zeroizing<String>, [u8; 32]) {
    let token = Zeroizing::new(base64url::encode(&*secret(random)));
    let hash = digest(&token);
    (token, hash)
}

/// The hash of what may be a session's cookie value.
pub(crate) fn session_hash(token: &str) -> Option<[u8; 32]> {
    base64url::decode_array::<32>(token).is_ok().then(|| digest(token))
}

/// A new API key and its hash.
pub(crate) fn api_key(random: &dyn Random) -> (Zeroizing<String>, [u8; 32]) {
    let key = Zeroizing::new(format!("{API_KEY}{}", &*Zeroizing::new(base64url::encode(&*secret(random)))));
    let hash = digest(&key);
    (key, hash)
}

/// The hash of what may be an API key.
pub(crate) fn api_key_hash(key: &str) -> Option<[u8; 32]> {
    session_hash(key.strip_prefix(API_KEY)?)?;
    Some(digest(key))
}

fn secret(random: &dyn Random) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(array(random))
}

/// They are random and long, so that a plain hash is enough: nobody tries 2^256.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use protocol::ambient::SeededRandom;

    use super::{api_key, api_key_hash, session, session_hash};

    #[test]
    fn what_is_given_out_is_known_by_its_hash_and_nothing_else_is_one() {
        let random = SeededRandom::new(1);
        let (key, hash) = api_key(&random);
        assert_eq!(api_key_hash(&key), Some(hash));
        assert_eq!(key.len(), "qt_api_".len() + 43);
        let (token, hash) = session(&random);
        assert_eq!(session_hash(&token), Some(hash));
        for not in ["", "qt_api_", "qt_api_short", &key[1..], &format!("{}=", &*key)] {
            assert_eq!(api_key_hash(not), None, "{not}");
        }
    }
}
