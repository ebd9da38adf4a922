//! A key-encryption key in KMS, before a KMS that says what each test wants. What a real one's emulator says is looked
//! at in the package `conformance`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod fake;

use std::{
    error::Error as _,
    fmt::Write as _,
    io,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use keyring::{Context, Error, KeyEncryption, KmsFault, KmsKeyId, KmsProvider, Purpose};
use serde_json::json;

use fake::{Answer, FakeKms, KEY, REGION, SESSION_TOKEN, refusal, sdk};

const CONTEXT: Context = Context { purpose: Purpose::DataKey, version: 3 };
const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/0f1e2d3c-1234-5678-9abc-def012345678";

/// A key whose bytes, in any spelling, are nowhere else.
const SECRET: [u8; 32] = *b"SECRETSECRETSECRETSECRETSECRETSE";

fn encrypted() -> Answer {
    (200, json!({ "CiphertextBlob": BASE64_STANDARD.encode("wrapped"), "KeyId": ARN }))
}

fn decrypted(key: &[u8]) -> Answer {
    (200, json!({ "Plaintext": BASE64_STANDARD.encode(key), "KeyId": ARN }))
}

/// What is wrong, by an error, and all that it says.
fn fault(error: &Error) -> (KmsFault, String) {
    let Error::Kms { key, fault, .. } = error else { panic!("{error:?}") };
    assert_eq!(key, KEY);
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    (*fault, format!("{error}{source}"))
}

#[tokio::test]
async fn a_key_is_wrapped_and_unwrapped_by_one_call_each_that_names_purpose_and_version() {
    let kms = FakeKms::answering([encrypted(), decrypted(&SECRET)]);
    let provider = kms.provider().await;
    assert_eq!(provider.id(), KEY);
    let wrapped = provider.wrap(&CONTEXT, &SECRET).await.unwrap();
    assert_eq!((&*wrapped.bytes, &*wrapped.by), (&b"wrapped"[..], ARN));
    assert_eq!(*provider.unwrap(&CONTEXT, &wrapped.bytes).await.unwrap(), SECRET);

    let context = json!({ "purpose": "data-key", "version": "3" });
    let encrypt =
        json!({ "KeyId": KEY, "Plaintext": BASE64_STANDARD.encode(SECRET), "EncryptionContext": context });
    let decrypt = json!({ "KeyId": KEY, "CiphertextBlob": BASE64_STANDARD.encode("wrapped"), "EncryptionContext": context });
    let asked = kms.asked();
    let asked: Vec<_> = asked.iter().map(|asked| (&*asked.action, &asked.body)).collect();
    assert_eq!(asked, [("Encrypt", &encrypt), ("Decrypt", &decrypt)]);
}

#[tokio::test]
async fn what_kms_has_against_a_key_is_said_with_the_keys_name_and_the_remedy() {
    for (code, message, expected, remedy) in [
        ("DisabledException", "x is disabled.", KmsFault::Disabled, "enable it in KMS"),
        (
            "KMSInvalidStateException",
            "x is pending deletion.",
            KmsFault::PendingDeletion,
            "cancel the deletion",
        ),
        ("KMSInvalidStateException", "x is pending import.", KmsFault::State, "the key's page in KMS"),
        ("NotFoundException", "Key 'x' does not exist", KmsFault::NotFound, "QT_KMS_KEY_ID"),
        ("IncorrectKeyException", "The key ID does not", KmsFault::OtherKey, "keys rewrap"),
        ("AccessDeniedException", "User: x is not authorized", KmsFault::Denied, "kms:Decrypt"),
        ("InvalidKeyUsageException", "x key usage is SIGN_VERIFY", KmsFault::Usage, "SYMMETRIC_DEFAULT"),
        ("UnrecognizedClientException", "The token is invalid.", KmsFault::BadCredentials, "renew them"),
        ("UnsupportedOperationException", "x", KmsFault::Refused, "KMS"),
    ] {
        let kms = FakeKms::answering([refusal(code, message)]);
        let provider = kms.provider().await;
        let refused =
            [provider.unwrap(&CONTEXT, b"wrapped").await.err(), provider.wrap(&CONTEXT, &SECRET).await.err()];
        for error in refused {
            let (fault, text) = fault(&error.unwrap());
            assert_eq!(fault, expected, "{code}");
            assert!(text.contains(KEY) && text.contains(remedy) && text.contains(message), "{text}");
            assert!(!fault.is_transient(), "{code}");
        }
        assert_eq!(kms.asked().len(), 2, "{code} isn't asked again");
    }
}

#[tokio::test]
async fn what_was_wrapped_for_another_context_or_is_no_key_does_not_unwrap() {
    let odd = [refusal("InvalidCiphertextException", ""), decrypted(b"short"), decrypted(&[7; 33])];
    for answer in odd {
        let kms = FakeKms::answering([answer]);
        let error = kms.provider().await.unwrap(&CONTEXT, b"wrapped").await.unwrap_err();
        assert!(matches!(error, Error::Unwrap { context: CONTEXT, .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("key-encryption key {KEY} doesn't unwrap data-key 3"));
    }
}

#[tokio::test]
async fn what_is_throttled_or_failed_is_tried_again() {
    let throttled = || refusal("ThrottlingException", "Rate exceeded");
    let failed = refusal("KMSInternalException", "");
    let kms = FakeKms::answering([throttled(), failed, throttled(), decrypted(&SECRET)]);
    assert_eq!(*kms.provider().await.unwrap(&CONTEXT, b"wrapped").await.unwrap(), SECRET);
    assert_eq!(kms.asked().len(), 4);
}

#[tokio::test]
async fn what_stays_throttled_is_said_after_five_attempts() {
    let kms = FakeKms::answering([refusal("ThrottlingException", "Rate exceeded")]);
    let error = kms.provider().await.unwrap(&CONTEXT, b"wrapped").await.unwrap_err();
    let (fault, text) = fault(&error);
    assert!(fault == KmsFault::Throttled && fault.is_transient(), "{text}");
    assert_eq!(kms.asked().len(), 5);
}

#[tokio::test]
async fn nobody_where_kms_should_be_is_said() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = KmsProvider::over(sdk(&format!("http://{closed}")), KEY.parse().unwrap()).await.unwrap();
    let (fault, text) = fault(&provider.unwrap(&CONTEXT, b"wrapped").await.unwrap_err());
    assert!(
        fault == KmsFault::Unreachable && fault.is_transient() && text.contains("AWS_ENDPOINT_URL"),
        "{text}"
    );
}

/// Time runs ahead whenever there is nothing to do but wait.
#[tokio::test(start_paused = true)]
async fn a_kms_that_never_answers_is_waited_for_eight_seconds_at_most() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let provider = KmsProvider::over(sdk(&url), KEY.parse().unwrap()).await.unwrap();
    let begin = tokio::time::Instant::now();
    let (fault, text) = fault(&provider.unwrap(&CONTEXT, b"wrapped").await.unwrap_err());
    assert_eq!(fault, KmsFault::Unreachable, "{text}");
    let waited = begin.elapsed();
    assert!((Duration::from_secs(2)..=Duration::from_millis(8_100)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn what_answers_in_kmss_place_is_said_to_be_another() {
    for answer in [(200, json!({ "status": "up" })), (404, json!({ "error": "no such page" }))] {
        let kms = FakeKms::answering([answer]);
        let (fault, text) = fault(&kms.provider().await.unwrap(&CONTEXT, b"wrapped").await.unwrap_err());
        assert!(fault == KmsFault::Answer && text.contains("AWS_ENDPOINT_URL"), "{text}");
    }
}

/// What a machine without a role gives.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no providers in chain")))
    }
}

#[tokio::test]
async fn a_process_without_credentials_is_told_so_without_a_call() {
    let kms = FakeKms::answering([decrypted(&SECRET)]);
    let sdk = sdk(kms.url()).credentials_provider(Nobody);
    let provider = KmsProvider::over(sdk, KEY.parse().unwrap()).await.unwrap();
    let (fault, text) = fault(&provider.unwrap(&CONTEXT, b"wrapped").await.unwrap_err());
    assert!(fault == KmsFault::NoCredentials && text.contains("AWS_ACCESS_KEY_ID"), "{text}");
    assert_eq!(kms.asked().len(), 0);
}

#[tokio::test]
async fn a_key_named_by_its_arn_is_asked_for_in_the_arns_region() {
    for (key, region) in [
        (KEY, REGION),
        ("arn:aws:kms:us-west-2:111122223333:alias/qubictether", "us-west-2"),
        ("arn:aws-cn:kms:cn-north-1:111122223333:key/mrk-0f1e2d3c", "cn-north-1"),
    ] {
        let kms = FakeKms::answering([decrypted(&SECRET)]);
        kms.provider_of(key).await.unwrap().unwrap(&CONTEXT, b"wrapped").await.unwrap();
        let asked = &kms.asked()[0];
        assert_eq!(asked.body["KeyId"], key);
        assert!(
            asked.authorization.contains(&format!("/{region}/kms/aws4_request")),
            "{}",
            asked.authorization
        );
    }
}

#[test]
fn keys_are_named_by_id_arn_or_alias_and_by_nothing_else() {
    let id = "0f1e2d3c-1234-5678-9abc-def012345678";
    for right in [id, "mrk-0f1e2d3c12345678", "alias/prod/license_keys", ARN] {
        assert_eq!(right.parse::<KmsKeyId>().unwrap().to_string(), right);
    }
    let other_service = ARN.replace(":kms:", ":s3:");
    let long = "a".repeat(2049);
    for wrong in [
        "",
        "alias/",
        "key/0f1e",
        "my key",
        "alias/sp ace",
        "arn:aws:kms:eu-central-1:111122223333",
        "arn:aws:kms::111122223333:key/0f1e",
        "arn:aws:kms:eu-central-1:111122223333:grant/0f1e",
        &other_service,
        &long,
    ] {
        let refused = wrong.parse::<KmsKeyId>().unwrap_err();
        assert!(refused.to_string().contains("alias/"), "{wrong}: {refused}");
    }
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_keys_nor_credentials_are_logged_or_printed() {
    let log = Log::default();
    let writer = log.clone();
    let everything =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // For every thread: of a place in the code that another test's thread reached first, nothing would be heard.
    tracing::subscriber::set_global_default(everything.finish()).unwrap();
    // A key in an answer that can't be read, too.
    let broken = (200, json!({ "Plaintext": BASE64_STANDARD.encode(SECRET), "KeyId": 5 }));
    let kms = FakeKms::answering([encrypted(), decrypted(&SECRET), decrypted(&SECRET[1..]), broken]);
    let provider = kms.provider().await;
    provider.wrap(&CONTEXT, &SECRET).await.unwrap();
    provider.unwrap(&CONTEXT, b"wrapped").await.unwrap();
    let mut printed = format!("{provider:?}");
    for _ in 0..2 {
        let error = provider.unwrap(&CONTEXT, b"wrapped").await.unwrap_err();
        write!(printed, "{error} {error:?} {:?}", error.source()).unwrap();
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("transmitting request"), "the SDK is heard: {logged}");
    let encoded = BASE64_STANDARD.encode(SECRET);
    for text in [&printed, &logged] {
        for needle in ["SECRET", "83, 69, 67", &encoded[4..20], SESSION_TOKEN] {
            assert!(!text.contains(needle), "{text}");
        }
    }
}
