//! The two files of the air gap: what a machine asks that is never online, and what it gets.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use jose_jwt::{
    base64url, jwe,
    x25519::{PublicKey, SecretKey},
};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    Expected, Fingerprint, InstallId, InstanceId, LeaseId, LicenseId, LicenseKey, MAX_INTEGER, Nonce, Secret,
    json::{self, Json, Reader, Value},
    problem::FieldError,
    request::AgentInfo,
    response::CompactJose,
    token::TokenError,
};

/// The member `qt` of a request: what it is, and of which version.
pub const FORM: &str = "offline-request/1";

/// The `typ` of a reply.
pub const REPLY_TYP: &str = "qt-offline-reply+jwe";

/// A request that is older isn't answered, in seconds.
const MAX_AGE: i64 = 30 * 86_400;

/// A request from further ahead isn't answered, in seconds.
const MAX_AHEAD: i64 = 300;

/// What finds a license key without saying it: SHA-256 of `qt1:license-key LF` and the key's 30 characters. A key
/// has 140 random bits, which can't be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &LicenseKey) -> Self {
        let mut hash = Sha256::new_with_prefix("qt1:license-key\n");
        hash.update(key.canonical());
        Self(hash.finalize().into())
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for KeyDigest {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        read_digest(text).map(Self)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base64url::encode(&self.0))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn read_digest(text: &str) -> Result<[u8; 32], Expected> {
    base64url::decode_array(text).map_err(|_| Expected("base64url of 32 bytes"))
}

/// What a machine asks that is never online: an activation, the keys and a lease.
///
/// Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfflineRequest {
    /// Which license key it is made with.
    pub key_digest: KeyDigest,
    /// Tells requests apart; the answer is bound to it.
    pub nonce: Nonce,
    /// The process that asks.
    pub instance_id: InstanceId,
    /// The machine.
    pub fingerprint: Fingerprint,
    /// The program.
    pub agent: AgentInfo,
    /// When it was made, Unix seconds, by the machine's own clock.
    pub iat: i64,
    /// For how long a lease is asked, in seconds, 1 to 2^53 − 1.
    pub duration_seconds: i64,
    /// Whom the answer is encrypted to.
    pub reply_to: PublicKey,
}

impl OfflineRequest {
    /// The JSON of this request, with the `mac` that only who has the license key can make.
    #[must_use]
    pub fn sign(&self, key: &LicenseKey) -> String {
        let unsigned = serde_json::to_string(&Form { qt: FORM, request: self, mac: None });
        let unsigned = unsigned.expect("a request is a struct of plain values");
        let canonical = json::parse(unsigned.as_bytes()).ok().and_then(|json| json.canonical());
        let digest =
            Sha256::digest(canonical.expect("what was just written is JSON, its numbers are integers"));
        let mac = Some(base64url::encode(&mac(key, &digest).finalize().into_bytes()));
        serde_json::to_string(&Form { qt: FORM, request: self, mac })
            .expect("a request is a struct of plain values")
    }

    /// The last instant at which it may be answered, by its own time.
    #[must_use]
    pub const fn answered_until(&self) -> i64 {
        self.iat.saturating_add(MAX_AGE)
    }

    /// Refuses a request that is more than 30 days old or more than 5 minutes ahead.
    pub fn check_age(&self, now: i64) -> Result<(), FieldError> {
        if (now.saturating_sub(MAX_AGE)..=now.saturating_add(MAX_AHEAD)).contains(&self.iat) {
            return Ok(());
        }
        let detail =
            "expected an instant, at most 30 days ago and 5 minutes ahead: make the request again".into();
        Err(FieldError { pointer: "/iat".into(), detail })
    }
}

/// The members in the order in which they are written.
#[derive(Serialize)]
struct Form<'a> {
    qt: &'a str,
    #[serde(flatten)]
    request: &'a OfflineRequest,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

/// The `mac`, before it is finished: HMAC-SHA-256 under the key's 30 characters over the digest of a request.
fn mac(key: &LicenseKey, digest: &[u8]) -> Hmac<Sha256> {
    let key = key.canonical().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(digest);
    mac
}

/// A request as somebody presents it: whether its `mac` fits is to be looked at, once its license key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedRequest {
    request: OfflineRequest,
    /// Of the request without its `mac`, whatever else stands in it.
    digest: [u8; 32],
    mac: [u8; 32],
}

impl PresentedRequest {
    /// Reads a request, or finds everything that is wrong with it.
    pub fn read(body: &Json<'_>) -> Result<Self, Vec<FieldError>> {
        json::read(body, Self::at)
    }

    fn at(root: Reader<'_>) -> Option<Self> {
        let document = root.object()?;
        let qt = root.member("qt");
        let form = qt.string().and_then(|form| if form == FORM { Some(()) } else { qt.fail(FORM) });
        let key_digest = root.member("key_digest").parse();
        let nonce = root.member("nonce").parse();
        let instance_id = root.member("instance_id").parse();
        let fingerprint = Fingerprint::read(root.member("fingerprint"));
        let agent = AgentInfo::at(root.member("agent"));
        let iat = root.member("iat").integer(0..=MAX_INTEGER);
        let duration_seconds = root.member("duration_seconds").integer(1..=MAX_INTEGER);
        let reply_to = read_key(root.member("reply_to"));
        let member = root.member("mac");
        let mac = member
            .string()
            .and_then(|text| read_digest(text).map_or_else(|Expected(what)| member.fail(what), Some));
        let digest = digest_without_mac(document).or_else(|| root.fail("numbers that a double holds"));
        form?;
        let request = OfflineRequest {
            key_digest: key_digest?,
            nonce: nonce?,
            instance_id: instance_id?,
            fingerprint: fingerprint?,
            agent: agent?,
            iat: iat?,
            duration_seconds: duration_seconds?,
            reply_to: reply_to?,
        };
        Some(Self { request, digest: digest?, mac: mac? })
    }

    /// What is asked. It is to be believed only if [`is_made_with`](Self::is_made_with) says so.
    #[must_use]
    pub const fn request(&self) -> &OfflineRequest {
        &self.request
    }

    /// Whether who made it had this license key. Takes the same time for every key.
    #[must_use]
    pub fn is_made_with(&self, key: &LicenseKey) -> bool {
        let digest = KeyDigest::of(key).0.ct_eq(&self.request.key_digest.0);
        let mac = <[u8; 32]>::from(mac(key, &self.digest).finalize().into_bytes());
        (digest & mac.ct_eq(&self.mac)).into()
    }
}

/// Reads an X25519 JWK.
fn read_key(reader: Reader<'_>) -> Option<PublicKey> {
    let json = reader.object()?;
    let key = serde_json::from_str(json.text).ok();
    key.or_else(|| reader.fail("an X25519 JWK: kty OKP, crv X25519, and x, which isn't of low order"))
}

/// SHA-256 of the RFC 8785 text of a document without its member `mac`.
fn digest_without_mac(document: &Json<'_>) -> Option<[u8; 32]> {
    let Value::Object(members) = &document.value else { return None };
    let members = members.iter().filter(|(name, _)| name != "mac").cloned().collect();
    let unsigned = Json { text: document.text, value: Value::Object(members) };
    Some(Sha256::digest(unsigned.canonical()?).into())
}

/// What a machine gets that is never online: an activation, the keys and a lease in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineReply {
    /// The nonce of the request that this answers.
    pub request: Nonce,
    /// Who this machine is from now on.
    pub install_id: InstallId,
    /// The license that the key was of.
    pub license_id: LicenseId,
    /// What proofs are made with, should the machine ever be online, and what opens the artifact.
    pub secret: Secret,
    /// 0: the first attempt is number 1.
    pub counter: u64,
    /// The keyset, signed.
    pub keyset: CompactJose,
    /// The decision, signed: with the request's nonce and counter 0.
    pub token: CompactJose,
    /// The lease.
    pub lease_id: LeaseId,
    /// The lease as a compact JWE, which the secret opens.
    pub artifact: CompactJose,
}

impl OfflineReply {
    /// Encrypts the reply to whoever made the request. `ephemeral` is made for this alone, `iv` is any.
    #[must_use]
    pub fn seal(&self, to: &PublicKey, ephemeral: &SecretKey, iv: [u8; 12]) -> CompactJose {
        let json = Zeroizing::new(serde_json::to_vec(self).expect("a reply is a struct of plain values"));
        CompactJose(jwe::encrypt_ecdh_es(REPLY_TYP, to, ephemeral, iv, &json))
    }

    /// Decrypts a reply. Nothing in it is verified yet.
    pub fn open(text: &str, key: &SecretKey) -> Result<Self, TokenError> {
        let json = jwe::decrypt_ecdh_es(text, key, REPLY_TYP)?;
        let reply: Self = json::decode(&json).ok_or(TokenError::Claims)?;
        if reply.counter == 0 { Ok(reply) } else { Err(TokenError::Claims) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_123;

    fn key() -> LicenseKey {
        LicenseKey::parse("QT1-DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4").unwrap()
    }

    fn recipient() -> SecretKey {
        SecretKey::from_bytes(&[3; 32])
    }

    fn request() -> OfflineRequest {
        OfflineRequest {
            key_digest: KeyDigest::of(&key()),
            nonce: Nonce::from_bytes(&[7; 24]).unwrap(),
            instance_id: InstanceId::from_bytes([6; 16]),
            fingerprint: Fingerprint::new([("dongle", base64url::encode(&[9; 32]))]).unwrap(),
            agent: AgentInfo { version: "1.4.2".into(), platform: "linux-x86_64 ü".into() },
            iat: NOW,
            duration_seconds: 604_800,
            reply_to: recipient().public(),
        }
    }

    fn read(text: &str) -> Result<PresentedRequest, Vec<FieldError>> {
        PresentedRequest::read(&json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_request_reads_back_and_says_with_which_key_it_was_made() {
        let text = request().sign(&key());
        let presented = read(&text).unwrap();
        assert_eq!(presented.request(), &request());
        assert!(presented.is_made_with(&key()));
        assert!(!presented.is_made_with(&LicenseKey::generate([1; 18])));
        for secret in [key().canonical(), &key().printed(), "DQSGN8"] {
            assert!(!text.contains(secret));
        }
    }

    #[test]
    fn another_spelling_of_a_request_is_the_same_and_one_more_member_is_not() {
        let text = request().sign(&key());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap().replace("1790000123", "1.790000123E9");
        assert!(read(&pretty).is_err(), "an integer is spelled as one");
        let pretty = serde_json::to_string_pretty(&value).unwrap().replace("linux-", "linu\\u0078-");
        assert!(read(&pretty).unwrap().is_made_with(&key()));
        let more = text.replacen('{', "{\"more\":1,", 1);
        assert!(!read(&more).unwrap().is_made_with(&key()));
        assert!(read(&text.replacen('{', "{\"more\":1e999,", 1)).is_err());
    }

    #[test]
    fn every_changed_byte_of_a_request_is_noticed() {
        let text = request().sign(&key());
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] ^= 1;
            let presented = json::parse(&changed).ok().and_then(|json| PresentedRequest::read(&json).ok());
            assert!(!presented.is_some_and(|request| request.is_made_with(&key())), "byte {index}");
        }
    }

    #[test]
    fn every_member_of_a_request_is_required_and_of_its_type() {
        let good: serde_json::Value = serde_json::from_str(&request().sign(&key())).unwrap();
        for (name, _) in good.as_object().unwrap() {
            for value in
                [None, Some(serde_json::json!([])), Some(serde_json::json!(0)), Some(serde_json::json!("x"))]
            {
                // Each of these is another instant, and `mac` is what tells.
                if name == "iat" && value == Some(serde_json::json!(0)) {
                    continue;
                }
                let mut document = good.clone();
                match value {
                    Some(value) => document[name] = value,
                    None => drop(document.as_object_mut().unwrap().remove(name)),
                }
                let errors = read(&document.to_string()).unwrap_err();
                let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
                assert_eq!(pointers, [format!("/{name}")], "{document}");
            }
        }
        let mut low_order = good.clone();
        low_order["reply_to"]["x"] = base64url::encode(&[0; 32]).into();
        assert_eq!(read(&low_order.to_string()).unwrap_err()[0].pointer, "/reply_to");
        let mut other_form = good;
        other_form["qt"] = "offline-request/2".into();
        assert_eq!(read(&other_form.to_string()).unwrap_err()[0].pointer, "/qt");
        assert_eq!(read("{}").unwrap_err().len(), 10);
        assert_eq!(read("[]").unwrap_err()[0].pointer, "");
    }

    #[test]
    fn a_request_is_answered_for_thirty_days_and_from_five_minutes_before() {
        for (now, fits) in [
            (NOW - 301, false),
            (NOW - 300, true),
            (NOW, true),
            (NOW + 2_592_000, true),
            (NOW + 2_592_001, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(request().check_age(now).is_ok(), fits, "{now}");
        }
    }

    fn reply() -> OfflineReply {
        OfflineReply {
            request: request().nonce,
            install_id: InstallId::new(1, [1; 10]),
            license_id: LicenseId::new(1, [2; 10]),
            secret: Secret::from_bytes([5; 32]),
            counter: 0,
            keyset: CompactJose("a.b.c".into()),
            token: CompactJose("d.e.f".into()),
            lease_id: LeaseId::new(1, [3; 10]),
            artifact: CompactJose("g..h.i.j".into()),
        }
    }

    #[test]
    fn a_reply_opens_for_whoever_asked_and_for_nobody_else() {
        let sealed = reply().seal(&recipient().public(), &SecretKey::from_bytes(&[4; 32]), [1; 12]);
        assert_eq!(OfflineReply::open(sealed.as_str(), &recipient()), Ok(reply()));
        assert!(OfflineReply::open(sealed.as_str(), &SecretKey::from_bytes(&[9; 32])).is_err());
        assert!(!format!("{:?}", reply()).contains("BQUF"));
        let header = base64url::decode(sealed.as_str().split('.').next().unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        let mut members: Vec<_> = header.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "enc", "epk", "typ"]);
    }

    #[test]
    fn a_reply_is_read_strictly() {
        let good = serde_json::to_string(&reply()).unwrap();
        let opened = |json: &str, typ: &str| {
            let ephemeral = SecretKey::from_bytes(&[4; 32]);
            let sealed =
                jwe::encrypt_ecdh_es(typ, &recipient().public(), &ephemeral, [1; 12], json.as_bytes());
            OfflineReply::open(&sealed, &recipient())
        };
        assert_eq!(opened(&good, REPLY_TYP), Ok(reply()));
        assert!(opened(&good, "qt-lease+jwe").is_err());
        for other in [
            good.replace("\"counter\":0", "\"counter\":1"),
            good.replacen('{', "{\"more\":1,\"more\":1,", 1),
            good.replace("\"counter\":0,", ""),
            format!("[{good}]"),
            String::new(),
        ] {
            assert_eq!(opened(&other, REPLY_TYP), Err(TokenError::Claims), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(text in "[{}\\[\\]:,\"a-z_0-9. -]{0,60}", at in 0_usize..700, with in "[{}\\[\\]:,\"0-9e.-]{0,3}") {
            let mut document = request().sign(&key());
            let at = document.floor_char_boundary(at);
            document.replace_range(at..document.floor_char_boundary(at + with.len()), &with);
            for text in [text, document] {
                if let Ok(json) = json::parse(text.as_bytes()) {
                    let _presented = PresentedRequest::read(&json).is_ok();
                }
            }
        }
    }
}
