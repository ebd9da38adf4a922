//! What holds of any bytes whatever: nothing panics, and what reads prints back to itself.

use std::sync::LazyLock;

use jose_jwt::{PublicKey, jwe, jws, x25519::SecretKey};
use protocol::{
    Fingerprint, InstallId, LeaseId, LicenseKey, ProductCode, Secret,
    json::{self, Value},
    keyset::{self, Keyset},
    lease,
    offline::{OfflineReply, PresentedRequest},
    proof::{Operation, ProofHeader},
    request::{ActivateRequest, EmptyRequest, HeartbeatRequest, LeaseRequest},
    token::{self, Expect},
};

const NOW: i64 = 1_790_000_123;
const ISSUER: &str = "https://license.example.com";

/// The published examples, which the corpora began with.
struct Examples {
    product: ProductCode,
    install: InstallId,
    lease: LeaseId,
    secret: Secret,
    key: LicenseKey,
    root: PublicKey,
    keyset: Keyset,
    /// What their keys have signed or sealed. Nothing else may verify or open.
    signed: [String; 3],
    sealed: String,
}

static EXAMPLES: LazyLock<Examples> = LazyLock::new(|| {
    let vectors = include_str!("../../crates/protocol/tests/vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).expect("the examples are JSON");
    let text = |pointer: &str| {
        vectors.pointer(pointer).and_then(|value| value.as_str()).expect("the examples have it")
    };
    let root = text("/keys/root/jwk/x").parse().expect("the root is a key");
    let keyset = Keyset::verify(text("/keyset/jws"), &root, ISSUER).expect("the keyset verifies");
    Examples {
        product: text("/product").parse().expect("the product is one"),
        install: text("/install_id").parse().expect("the install is one"),
        lease: text("/lease_id").parse().expect("the lease is one"),
        secret: text("/install_secret").parse().expect("the secret is one"),
        key: LicenseKey::parse(text("/license_key/printed")).expect("the key is one"),
        root,
        keyset,
        signed: ["/token/jws", "/keyset/jws", "/lease/jws"].map(|pointer| text(pointer).to_owned()),
        sealed: text("/lease/artifact").to_owned(),
    }
});

/// The value of the header `Authorization`.
pub fn proof_header(bytes: &[u8]) {
    if let Ok(header) = ProofHeader::parse(bytes) {
        assert_eq!(header.to_string().as_bytes(), bytes);
        let forged = header.verify(&Secret::from_bytes([0; 32]), &Operation::Heartbeat, &[0; 32], NOW);
        assert!(!forged, "nobody signs with that");
    }
}

/// Every body that agents send.
pub fn bodies(bytes: &[u8]) {
    let Ok(document) = json::parse(bytes) else { return };
    assert!(
        serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok(),
        "what is taken here is JSON to others"
    );
    let requests =
        (ActivateRequest::read(&document), LeaseRequest::read(&document), EmptyRequest::read(&document));
    assert_eq!(requests.2.is_ok(), matches!(document.value, Value::Object(_)));
    if let Ok(activation) = requests.0 {
        let text = serde_json::to_string(&activation).expect("a request is JSON");
        let again = json::parse(text.as_bytes()).expect("a request is JSON");
        assert_eq!(ActivateRequest::read(&again), Ok(activation));
    }
    if let Ok(beat) = HeartbeatRequest::read(&document) {
        let text = serde_json::to_string(&beat).expect("a request is JSON");
        let again = json::parse(text.as_bytes()).expect("a request is JSON");
        assert_eq!(HeartbeatRequest::read(&again), Ok(beat));
    }
}

/// What a machine asks that is never online, and any document's canonical text.
pub fn offline_request(bytes: &[u8]) {
    let Ok(document) = json::parse(bytes) else { return };
    if let Some(text) = document.canonical() {
        let again = json::parse(text.as_bytes()).expect("a canonical text is JSON");
        assert_eq!(again.canonical().as_ref(), Some(&text), "it is its own");
    }
    if let Ok(presented) = PresentedRequest::read(&document) {
        let forged = presented.is_made_with(&LicenseKey::generate([0; 18]));
        assert!(!forged, "nobody signs with that");
        let text = presented.request().sign(&EXAMPLES.key);
        let again = json::parse(text.as_bytes()).expect("a request is JSON");
        let again = PresentedRequest::read(&again).expect("a request reads back");
        assert_eq!(again.request(), presented.request());
    }
}

/// Everything signed.
pub fn jws(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Examples { product, install, root, keyset, signed, .. } = &*EXAMPLES;
    let expect =
        Expect { iss: ISSUER, aud: product, sub: *install, now: Some(NOW), request: None, newest: None };
    let believed = token::verify_decision(text, keyset, &expect).is_ok()
        || token::verify_lease(text, keyset, &expect).is_ok()
        || Keyset::verify(text, root, ISSUER).is_ok()
        || keyset::verify_successor(text, root, ISSUER).is_ok();
    assert_eq!(believed, signed.iter().any(|own| own == text), "nobody else can sign");
    if let Ok(compact) = jws::Compact::parse(text) {
        assert!(compact.verify(root).is_err() || text == signed[1]);
    }
}

/// Everything encrypted.
pub fn jwe(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Examples { secret, lease, sealed, .. } = &*EXAMPLES;
    assert_eq!(lease::open(text, secret, *lease).is_ok(), text == sealed, "nobody else has the key");
    assert!(jwe::decrypt_dir(text, &[0; 32], lease::TYP).is_err());
    assert!(OfflineReply::open(text, &SecretKey::from_bytes(&[0; 32])).is_err());
}

/// What someone says is a license key.
pub fn license_key(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(key) = LicenseKey::parse(text) {
        assert_eq!(LicenseKey::parse(&key.printed()), Ok(key.clone()));
        assert_eq!(key.printed().replace('-', "").strip_prefix("QT1"), Some(key.canonical()));
    }
}

/// A fingerprint, as lines and as JSON.
pub fn fingerprint(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(fingerprint) = Fingerprint::parse_lines(text) {
        assert_eq!(fingerprint.lines(), text);
    }
    if let Ok(document) = json::parse(bytes)
        && let Ok(fingerprint) = json::read(&document, Fingerprint::read)
    {
        assert_eq!(Fingerprint::parse_lines(&fingerprint.lines()), Ok(fingerprint.clone()));
        assert_eq!(serde_json::from_str(text).ok(), Some(fingerprint), "both ways of reading agree");
    }
}
