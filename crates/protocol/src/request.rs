//! The bodies that agents send.

use std::{fmt, ops::Deref};

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{
    Fingerprint, InstanceId, LicenseKey, MAX_INTEGER, Nonce,
    json::{self, Json, Reader},
    problem::FieldError,
};

/// `POST /v1/activate`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActivateRequest {
    /// Whatever was given as a license key; one that can't be is refused like one that isn't known.
    pub license_key: PresentedKey,
    /// Tells a retry from a second activation, and answers are bound to it.
    pub nonce: Nonce,
    /// The process that asks.
    pub instance_id: InstanceId,
    /// What people call the machine, 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The machine.
    pub fingerprint: Fingerprint,
    /// The program.
    pub agent: AgentInfo,
}

impl ActivateRequest {
    /// Reads a body, or finds everything that is wrong with it.
    pub fn read(body: &Json<'_>) -> Result<Self, Vec<FieldError>> {
        json::read(body, Self::at)
    }

    fn at(root: Reader<'_>) -> Option<Self> {
        root.object()?;
        let license_key = root.member("license_key").string();
        let nonce = root.member("nonce").parse();
        let instance_id = root.member("instance_id").parse();
        let name = root.member("name").or_missing(|name| name.text(1..=128));
        let fingerprint = Fingerprint::read(root.member("fingerprint"));
        let agent = AgentInfo::at(root.member("agent"));
        Some(Self {
            license_key: PresentedKey::new(license_key?),
            nonce: nonce?,
            instance_id: instance_id?,
            name: name?.map(str::to_owned),
            fingerprint: fingerprint?,
            agent: agent?,
        })
    }
}

/// What someone says is a license key. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedKey(Zeroizing<String>);

impl PresentedKey {
    /// Keeps a text as it was given.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl Deref for PresentedKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&LicenseKey> for PresentedKey {
    fn from(key: &LicenseKey) -> Self {
        Self(key.printed())
    }
}

impl Serialize for PresentedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedKey(..)")
    }
}

/// `POST /v1/heartbeat`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeartbeatRequest {
    /// The process that asks.
    pub instance_id: InstanceId,
    /// The machine.
    pub fingerprint: Fingerprint,
    /// The program.
    pub agent: AgentInfo,
    /// The machine's clocks.
    pub clock: Clock,
}

impl HeartbeatRequest {
    /// Reads a body, or finds everything that is wrong with it.
    pub fn read(body: &Json<'_>) -> Result<Self, Vec<FieldError>> {
        json::read(body, Self::at)
    }

    fn at(root: Reader<'_>) -> Option<Self> {
        root.object()?;
        let instance_id = root.member("instance_id").parse();
        let fingerprint = Fingerprint::read(root.member("fingerprint"));
        let agent = AgentInfo::at(root.member("agent"));
        let clock = Clock::at(root.member("clock"));
        Some(Self { instance_id: instance_id?, fingerprint: fingerprint?, agent: agent?, clock: clock? })
    }
}

/// `POST /v1/leases`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseRequest {
    /// What a heartbeat says.
    #[serde(flatten)]
    pub heartbeat: HeartbeatRequest,
    /// For how long a lease is asked, in seconds, 1 to 2^53 − 1.
    pub duration_seconds: i64,
}

impl LeaseRequest {
    /// Reads a body, or finds everything that is wrong with it.
    pub fn read(body: &Json<'_>) -> Result<Self, Vec<FieldError>> {
        json::read(body, Self::at)
    }

    fn at(root: Reader<'_>) -> Option<Self> {
        root.object()?;
        let heartbeat = HeartbeatRequest::at(root);
        let duration_seconds = root.member("duration_seconds").integer(1..=MAX_INTEGER);
        Some(Self { heartbeat: heartbeat?, duration_seconds: duration_seconds? })
    }
}

/// The program that speaks for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentInfo {
    /// Its version, one of `SemVer` if the profile is to compare it, 1 to 64 characters.
    pub version: String,
    /// What it was built for, 1 to 64 characters.
    pub platform: String,
}

impl AgentInfo {
    pub(crate) fn at(reader: Reader<'_>) -> Option<Self> {
        reader.object()?;
        let version = reader.member("version").text(1..=64);
        let platform = reader.member("platform").text(1..=64);
        Some(Self { version: version?.to_owned(), platform: platform?.to_owned() })
    }
}

/// What a machine's clocks show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// The wall clock in Unix seconds, its absolute value at most 2^53 − 1: a clock that is badly set may be
    /// before 1970.
    pub unix: i64,
    /// The monotonic clock in milliseconds, 0 to 2^53 − 1.
    pub monotonic_ms: i64,
    /// What tells one start of the machine from the next: `[A-Za-z0-9-]{1,64}`.
    pub boot_id: String,
}

impl Clock {
    fn at(reader: Reader<'_>) -> Option<Self> {
        reader.object()?;
        let unix = reader.member("unix").integer(-MAX_INTEGER..=MAX_INTEGER);
        let monotonic_ms = reader.member("monotonic_ms").integer(0..=MAX_INTEGER);
        let boot_id = read_boot_id(reader.member("boot_id"));
        Some(Self { unix: unix?, monotonic_ms: monotonic_ms?, boot_id: boot_id?.to_owned() })
    }
}

fn read_boot_id(reader: Reader<'_>) -> Option<&str> {
    let text = reader.string()?;
    let valid = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid { Some(text) } else { reader.fail("[A-Za-z0-9-]{1,64}") }
}

/// The body of `rekey`, `deactivate` and `lease-return`: none, or an object of which nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyRequest;

impl EmptyRequest {
    /// Reads a body that isn't empty.
    pub fn read(body: &Json<'_>) -> Result<Self, Vec<FieldError>> {
        json::read(body, |root| root.object().map(|_| Self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "aZg_ksMnnLv6t_AcpsEgXaP99StljQkJG6lZhqA5t0w";

    fn heartbeat() -> Value {
        json!({
            "instance_id": "AAAAAAAAAAAAAAAAAAAAAA",
            "fingerprint": { "machine_id": DIGEST },
            "agent": { "version": "1.4.2", "platform": "linux-x86_64" },
            "clock": { "unix": 1_790_000_000, "monotonic_ms": 86_400_123, "boot_id": "5c9b2a0e-1111" },
        })
    }

    fn activate() -> Value {
        json!({
            "license_key": "QT1-DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4",
            "nonce": "oKGio6SlpqeoqaqrrK2ur7CxsrO0tba3",
            "instance_id": "AAAAAAAAAAAAAAAAAAAAAA",
            "name": "build-host-7",
            "fingerprint": { "machine_id": DIGEST },
            "agent": { "version": "1.4.2", "platform": "linux-x86_64" },
        })
    }

    /// The pointers of what is wrong with a document.
    fn faults<T>(read: fn(&Json<'_>) -> Result<T, Vec<FieldError>>, document: &Value) -> Vec<String> {
        let text = document.to_string();
        let errors = read(&json::parse(text.as_bytes()).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    /// A document with another value at a pointer; `None` takes the member away.
    fn with(mut document: Value, pointer: &str, value: Option<Value>) -> Value {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let members = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
        document
    }

    #[test]
    fn what_is_sent_reads_back() {
        let text = heartbeat().to_string();
        let beat = HeartbeatRequest::read(&json::parse(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&beat).unwrap(), heartbeat());
        for document in [activate(), with(activate(), "/name", None)] {
            let text = document.to_string();
            let request = ActivateRequest::read(&json::parse(text.as_bytes()).unwrap()).unwrap();
            assert_eq!(serde_json::to_value(&request).unwrap(), document);
            assert!(LicenseKey::parse(&request.license_key).is_ok());
            assert!(!format!("{request:?}").contains("DQSGN8"));
        }
    }

    #[test]
    fn every_member_is_required_and_of_its_type() {
        for pointer in [
            "/instance_id",
            "/fingerprint",
            "/agent",
            "/agent/version",
            "/agent/platform",
            "/clock",
            "/clock/unix",
            "/clock/monotonic_ms",
            "/clock/boot_id",
        ] {
            for value in [None, Some(Value::Null), Some(json!([])), Some(json!(true)), Some(json!(1.5))] {
                assert_eq!(faults(HeartbeatRequest::read, &with(heartbeat(), pointer, value)), [pointer]);
            }
        }
        for pointer in ["/license_key", "/nonce", "/instance_id", "/fingerprint", "/agent"] {
            for value in [None, Some(Value::Null), Some(json!([])), Some(json!(7))] {
                assert_eq!(faults(ActivateRequest::read, &with(activate(), pointer, value)), [pointer]);
            }
        }
        assert_eq!(faults(ActivateRequest::read, &with(activate(), "/name", Some(Value::Null))), ["/name"]);
        assert_eq!(faults(HeartbeatRequest::read, &json!([])), [""]);
    }

    #[test]
    fn all_that_is_wrong_is_listed_at_once() {
        let expected = ["/license_key", "/nonce", "/instance_id", "/fingerprint", "/agent"];
        assert_eq!(faults(ActivateRequest::read, &json!({})), expected);
    }

    #[test]
    fn unknown_members_are_ignored() {
        for pointer in ["/more", "/agent/more", "/clock/more"] {
            let document = with(heartbeat(), pointer, Some(json!({ "any": [1, null] })));
            assert!(faults(HeartbeatRequest::read, &document).is_empty());
        }
    }

    #[test]
    fn bounds_hold() {
        let max = MAX_INTEGER;
        let cases = [
            ("/clock/unix", json!(-max), true),
            ("/clock/unix", json!(-max - 1), false),
            ("/clock/unix", json!(max), true),
            ("/clock/unix", json!(max + 1), false),
            ("/clock/unix", json!(1.0), false),
            ("/clock/monotonic_ms", json!(0), true),
            ("/clock/monotonic_ms", json!(max), true),
            ("/clock/monotonic_ms", json!(max + 1), false),
            ("/clock/monotonic_ms", json!(-1), false),
            ("/clock/boot_id", json!("a"), true),
            ("/clock/boot_id", json!("Z-9".repeat(21)), true),
            ("/clock/boot_id", json!("a".repeat(65)), false),
            ("/clock/boot_id", json!(""), false),
            ("/clock/boot_id", json!("a_b"), false),
            ("/agent/version", json!("é".repeat(64)), true),
            ("/agent/version", json!("é".repeat(65)), false),
            ("/agent/version", json!(""), false),
            ("/agent/platform", json!("😀".repeat(64)), true),
            ("/agent/platform", json!("a\0b"), false),
        ];
        for (pointer, value, valid) in cases {
            let found = faults(HeartbeatRequest::read, &with(heartbeat(), pointer, Some(value.clone())));
            assert_eq!(found.is_empty(), valid, "{pointer} {value}");
        }
        for (name, valid) in [("", false), ("x", true), (&"😀".repeat(128), true), (&"x".repeat(129), false)]
        {
            let found = faults(ActivateRequest::read, &with(activate(), "/name", Some(json!(name))));
            assert_eq!(found.is_empty(), valid, "{name}");
        }
        // Any text is a key that may be refused like an unknown one.
        assert!(faults(ActivateRequest::read, &with(activate(), "/license_key", Some(json!("")))).is_empty());
    }

    #[test]
    fn a_lease_is_asked_for_at_least_a_second() {
        for (seconds, valid) in
            [(json!(1), true), (json!(MAX_INTEGER), true), (json!(0), false), (json!(-1), false)]
        {
            let found = faults(LeaseRequest::read, &with(heartbeat(), "/duration_seconds", Some(seconds)));
            assert_eq!(found.is_empty(), valid);
        }
        assert_eq!(faults(LeaseRequest::read, &heartbeat()), ["/duration_seconds"]);
    }

    #[test]
    fn an_empty_request_is_an_object() {
        assert!(faults(EmptyRequest::read, &json!({})).is_empty());
        assert!(faults(EmptyRequest::read, &json!({ "any": 1 })).is_empty());
        for other in [json!([]), json!(null), json!(""), json!(0)] {
            assert_eq!(faults(EmptyRequest::read, &other), [""]);
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(text in "[{}\\[\\]:,\"a-z_0-9. -]{0,60}", at in 0_usize..400, with in "[{}\\[\\]:,\"0-9e.-]{0,3}") {
            let mut document = heartbeat().to_string();
            let at = at.min(document.len());
            document.replace_range(at..(at + with.len()).min(document.len()), &with);
            for text in [text, document] {
                if let Ok(json) = json::parse(text.as_bytes()) {
                    let _requests = (
                        ActivateRequest::read(&json).is_ok(),
                        LeaseRequest::read(&json).is_ok(),
                        EmptyRequest::read(&json).is_ok(),
                    );
                    if let Ok(read) = HeartbeatRequest::read(&json) {
                        let written = serde_json::to_string(&read).unwrap();
                        let again = HeartbeatRequest::read(&json::parse(written.as_bytes()).unwrap());
                        prop_assert_eq!(again, Ok(read));
                    }
                }
            }
        }
    }
}
