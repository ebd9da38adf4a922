//! The operator's settings, by the names under which they stand in the environment.
//!
//! Each is read from one place: [`Settings::read`] asks a lookup for it, which is the environment for a Lambda function
//! and flags over the environment for `serve`. A bad one stops the program, and says its name.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use keyring::KmsKeyId;
use keyring::signing::Pace;
use protocol::rate::Quota;
use store::{KeyTerms, KeysetTerms};

/// A setting that is missing or wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name}: {problem}")]
pub struct SettingsError {
    /// The setting.
    pub name: &'static str,
    /// What is wrong with it, and what it should be.
    pub problem: String,
}

/// What wraps the data keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProvider {
    /// A file of 32 bytes on this machine.
    Local {
        /// `QT_KEK_FILE`.
        file: PathBuf,
    },
    /// A key of AWS KMS.
    Kms {
        /// `QT_KMS_KEY_ID`.
        key_id: KmsKeyId,
    },
}

impl KeyProvider {
    /// Reads `QT_KEY_PROVIDER` and what belongs to it.
    ///
    /// # Errors
    /// The first that is missing or wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        match read(&lookup, "QT_KEY_PROVIDER")?.as_str() {
            "local" => Ok(Self::Local { file: read(&lookup, "QT_KEK_FILE")?.into() }),
            "kms" => {
                let text = read(&lookup, "QT_KMS_KEY_ID")?;
                let wrong = |cause: keyring::Error| error("QT_KMS_KEY_ID", format!("is {text:?}, {cause}"));
                Ok(Self::Kms { key_id: text.parse().map_err(wrong)? })
            }
            other => Err(error("QT_KEY_PROVIDER", format!("is {other:?}; it can be local or kms"))),
        }
    }
}

/// How the database lets this program in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseAuth {
    /// By what the URL says.
    Password,
    /// By a token of IAM for each connection, as RDS knows them.
    Iam,
}

/// The operator's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `QT_DATABASE_URL`. Never printed: it may hold a password.
    pub database_url: String,
    /// `QT_DATABASE_AUTH`.
    pub database_auth: DatabaseAuth,
    /// `QT_DATABASE_CONNECTIONS`: how many connections a process holds at most.
    pub database_connections: usize,
    /// `QT_KEY_PROVIDER` and what belongs to it.
    pub key_provider: KeyProvider,
    /// `QT_PUBLIC_URL`: the `iss` of everything signed, without a slash at its end.
    pub public_url: String,
    /// The origins that browsers may call the admin API from: that of `QT_PUBLIC_URL`, and those of `QT_ADMIN_ORIGINS`.
    pub admin_origins: Vec<String>,
    /// `QT_KEYSET_SECONDS`: how long a keyset lives.
    pub keyset_seconds: i64,
    /// `QT_KEY_LEAD_SECONDS`: how long a key is published before it signs.
    pub key_lead_seconds: i64,
    /// `QT_KEY_ROTATE_SECONDS`: how old a key that signs gets before the next one does.
    pub key_rotate_seconds: i64,
    /// `QT_RETENTION_DAYS`: how long rows of the audit log are kept.
    pub retention_days: u32,
    /// `QT_ACTIVATIONS_PER_ADDRESS`: how often an address may activate.
    pub activations_per_address: Quota,
    /// `QT_ACTIVATIONS_PER_KEY`: how often a license key may activate.
    pub activations_per_key: Quota,
    /// `QT_QUEUE`: how many heartbeats may wait; one more is refused at once.
    pub queue: usize,
    /// `QT_WEBHOOK_PRIVATE_TARGETS`: whether webhooks may have targets that aren't on the open Internet, by `http` too.
    pub webhook_private_targets: bool,
}

/// Every setting's name, its default, and what it is: for `--help` and the documents.
pub const SETTINGS: &[(&str, &str, &str)] = &[
    ("QT_DATABASE_URL", "", "PostgreSQL, postgres://user:password@host/database"),
    ("QT_DATABASE_AUTH", "password", "how the database lets this in: password (in the URL) or iam (RDS)"),
    ("QT_DATABASE_CONNECTIONS", "16", "connections to PostgreSQL that a process holds at most"),
    ("QT_KEY_PROVIDER", "local", "what wraps the data keys: local or kms"),
    ("QT_KEK_FILE", "", "local: file of the key-encryption key, 32 bytes, mode 0600"),
    ("QT_KMS_KEY_ID", "", "kms: the key's id, its ARN, or an alias"),
    ("QT_PUBLIC_URL", "http://127.0.0.1:8080", "the issuer of everything signed"),
    ("QT_ADMIN_ORIGINS", "none", "more origins from which the admin site may call, with commas between"),
    ("QT_KEYSET_SECONDS", "2592000", "how long a keyset lives"),
    ("QT_KEY_LEAD_SECONDS", "86400", "how long a key is published before it signs"),
    ("QT_KEY_ROTATE_SECONDS", "7776000", "how old a key that signs gets before the next one does"),
    ("QT_RETENTION_DAYS", "400", "heartbeats older than that are dropped, a month at a time"),
    ("QT_ACTIVATIONS_PER_ADDRESS", "50/s burst 3000", "how often an address may activate"),
    ("QT_ACTIVATIONS_PER_KEY", "10/s burst 1000", "how often a license key may activate"),
    ("QT_QUEUE", "2048", "heartbeats that may wait before more are refused"),
    (
        "QT_WEBHOOK_PRIVATE_TARGETS",
        "refuse",
        "webhooks to private addresses and this machine's own, by http too: refuse or allow",
    ),
];

impl Settings {
    /// Reads every setting; `lookup` gives a setting's text, if it is set.
    ///
    /// # Errors
    /// The first that is missing or wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = |name| read(&lookup, name);
        let key_provider = KeyProvider::read(&lookup)?;
        let public_url = public_url(&read("QT_PUBLIC_URL")?)?;
        Ok(Self {
            database_url: read("QT_DATABASE_URL")?,
            database_auth: match read("QT_DATABASE_AUTH")?.as_str() {
                "password" => DatabaseAuth::Password,
                "iam" => DatabaseAuth::Iam,
                other => {
                    return Err(error(
                        "QT_DATABASE_AUTH",
                        format!("is {other:?}; it can be password or iam"),
                    ));
                }
            },
            database_connections: number(
                "QT_DATABASE_CONNECTIONS",
                &read("QT_DATABASE_CONNECTIONS")?,
                1..=1000,
            )?,
            key_provider,
            admin_origins: admin_origins(&public_url, &read("QT_ADMIN_ORIGINS")?)?,
            public_url,
            keyset_seconds: number("QT_KEYSET_SECONDS", &read("QT_KEYSET_SECONDS")?, 3600..=31_622_400)?,
            key_lead_seconds: number("QT_KEY_LEAD_SECONDS", &read("QT_KEY_LEAD_SECONDS")?, 0..=31_622_400)?,
            key_rotate_seconds: number(
                "QT_KEY_ROTATE_SECONDS",
                &read("QT_KEY_ROTATE_SECONDS")?,
                1..=316_224_000,
            )?,
            retention_days: number("QT_RETENTION_DAYS", &read("QT_RETENTION_DAYS")?, 1..=36_600)?,
            activations_per_address: quota(
                "QT_ACTIVATIONS_PER_ADDRESS",
                &read("QT_ACTIVATIONS_PER_ADDRESS")?,
            )?,
            activations_per_key: quota("QT_ACTIVATIONS_PER_KEY", &read("QT_ACTIVATIONS_PER_KEY")?)?,
            queue: number("QT_QUEUE", &read("QT_QUEUE")?, 1..=1_000_000)?,
            webhook_private_targets: match read("QT_WEBHOOK_PRIVATE_TARGETS")?.as_str() {
                "refuse" => false,
                "allow" => true,
                other => {
                    let problem = format!("is {other:?}; it can be refuse or allow");
                    return Err(error("QT_WEBHOOK_PRIVATE_TARGETS", problem));
                }
            },
        })
    }
}

impl Settings {
    /// How keys are changed, with no root key at hand but the database's.
    pub fn key_terms(&self) -> KeyTerms<'_> {
        KeyTerms {
            keysets: KeysetTerms { issuer: &self.public_url, life: self.keyset_seconds },
            pace: Pace { lead: self.key_lead_seconds, rotate_after: self.key_rotate_seconds },
            roots: &[],
            actor: None,
        }
    }
}

/// A setting's text, or its default.
fn read(lookup: impl Fn(&str) -> Option<String>, name: &'static str) -> Result<String, SettingsError> {
    let (_, default, what) = SETTINGS.iter().find(|(known, ..)| *known == name).copied().unwrap_or_default();
    match lookup(name).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text),
        None if default.is_empty() => Err(error(name, format!("is not set ({what})"))),
        None => Ok(default.to_owned()),
    }
}

fn error(name: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError { name, problem: problem.into() }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    name: &'static str,
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, SettingsError> {
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let (least, most) = range.into_inner();
            Err(error(name, format!("is {text:?}; it has to be a whole number from {least} to {most}")))
        }
    }
}

fn public_url(text: &str) -> Result<String, SettingsError> {
    let wrong =
        || error("QT_PUBLIC_URL", format!("is {text:?}; it has to be like https://license.example.com"));
    let url: http::Uri = text.parse().map_err(|_| wrong())?;
    let plain = url.query().is_none() && !text.contains('#') && !text.contains('@');
    if matches!(url.scheme_str(), Some("http" | "https"))
        && url.host().is_some_and(|host| !host.is_empty())
        && plain
    {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(wrong())
}

/// The public URL's own origin, and those in a list.
fn admin_origins(public_url: &str, text: &str) -> Result<Vec<String>, SettingsError> {
    let mut origins: Vec<String> = origin(public_url).into_iter().collect();
    for given in text.split(',').map(str::trim).filter(|given| !given.is_empty() && *given != "none") {
        let its_own = origin(given).filter(|own| own.eq_ignore_ascii_case(given));
        origins.push(its_own.ok_or_else(|| {
            let problem = format!("names {given:?}; an origin has to be like https://admin.example.com");
            error("QT_ADMIN_ORIGINS", problem)
        })?);
    }
    Ok(origins)
}

/// A URL's origin as browsers say it: scheme and host in lower case, and the port where it isn't the scheme's own.
fn origin(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let (scheme, host) = (url.scheme_str()?, url.host()?.to_ascii_lowercase());
    let own = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let port = url.port_u16().filter(|port| *port != own);
    Some(port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

/// `50/s burst 3000`, `30/min burst 10`, `5/h burst 5`.
fn quota(name: &'static str, text: &str) -> Result<Quota, SettingsError> {
    let read = || {
        let (rate, burst) = text.split_once(" burst ")?;
        let (count, unit) = rate.split_once('/')?;
        let count: i64 = count.parse().ok().filter(|count| (1..=1000).contains(count))?;
        let burst = burst.parse().ok().filter(|burst| (1..=1_000_000).contains(burst))?;
        let unit_ms = match unit {
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        Some(Quota { every_ms: (unit_ms / count).max(1), burst })
    };
    read().ok_or_else(|| {
        error(name, format!("is {text:?}; it has to be like 50/s burst 3000 (1 to 1000 a unit of s, min or h; burst 1 to 1000000)"))
    })
}

#[cfg(test)]
mod tests {
    use super::{KeyProvider, SETTINGS, Settings};

    fn read(set: &[(&str, &str)]) -> Result<Settings, String> {
        let base = [("QT_DATABASE_URL", "postgres://localhost/qt"), ("QT_KEK_FILE", "/etc/qt.kek")];
        Settings::read(|name| {
            set.iter().chain(&base).find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_taken_where_nothing_is_set() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.public_url, "http://127.0.0.1:8080");
        assert_eq!(
            (settings.keyset_seconds, settings.retention_days, settings.queue),
            (2_592_000, 400, 2048)
        );
        assert_eq!(
            (settings.activations_per_address.every_ms, settings.activations_per_address.burst),
            (20, 3000)
        );
    }

    #[test]
    fn a_bad_setting_names_itself() {
        for (name, text) in [
            ("QT_DATABASE_URL", ""),
            ("QT_DATABASE_AUTH", "trust"),
            ("QT_DATABASE_CONNECTIONS", "0"),
            ("QT_KEY_PROVIDER", "paper"),
            ("QT_KEK_FILE", ""),
            ("QT_PUBLIC_URL", "license.example.com"),
            ("QT_PUBLIC_URL", "ftp://license.example.com"),
            ("QT_PUBLIC_URL", "https://license.example.com/?a=1"),
            ("QT_ADMIN_ORIGINS", "admin.example.com"),
            ("QT_ADMIN_ORIGINS", "https://admin.example.com/site"),
            ("QT_KEYSET_SECONDS", "-1"),
            ("QT_KEY_LEAD_SECONDS", "soon"),
            ("QT_KEY_ROTATE_SECONDS", "0"),
            ("QT_RETENTION_DAYS", "forever"),
            ("QT_ACTIVATIONS_PER_ADDRESS", "50"),
            ("QT_ACTIVATIONS_PER_KEY", "0/s burst 1"),
            ("QT_QUEUE", "1e3"),
        ] {
            let refusal = read(&[(name, text)]).unwrap_err();
            assert!(refusal.starts_with(name), "{name}={text}: {refusal}");
        }
        for text in ["1001/s burst 1", "1/s burst 1000001", "1/day burst 1"] {
            let refusal = read(&[("QT_ACTIVATIONS_PER_KEY", text)]).unwrap_err();
            assert!(refusal.ends_with("(1 to 1000 a unit of s, min or h; burst 1 to 1000000)"), "{refusal}");
        }
    }

    #[test]
    fn a_key_of_kms_is_named_in_whatever_way_kms_knows_and_needs_no_file() {
        let set = |key| read(&[("QT_KEY_PROVIDER", "kms"), ("QT_KEK_FILE", ""), ("QT_KMS_KEY_ID", key)]);
        let key_id = "alias/qubictether".parse().unwrap();
        assert_eq!(set("alias/qubictether").unwrap().key_provider, KeyProvider::Kms { key_id });
        for (key, problem) in [("", "is not set"), ("a key", "alias/")] {
            let refusal = set(key).unwrap_err();
            assert!(refusal.starts_with("QT_KMS_KEY_ID: ") && refusal.contains(problem), "{refusal}");
        }
    }

    #[test]
    fn the_public_url_loses_the_slash_at_its_end() {
        assert_eq!(
            read(&[("QT_PUBLIC_URL", "https://a.example.com/")]).unwrap().public_url,
            "https://a.example.com"
        );
    }

    #[test]
    fn origins_are_as_browsers_say_them() {
        let read = |url: &str, more: &str| {
            read(&[("QT_PUBLIC_URL", url), ("QT_ADMIN_ORIGINS", more)]).unwrap().admin_origins
        };
        assert_eq!(read("https://A.example.com:443/x", ""), ["https://a.example.com"]);
        assert_eq!(
            read("http://127.0.0.1:8080", "https://b.example.com, http://[::1]:8081"),
            ["http://127.0.0.1:8080", "https://b.example.com", "http://[::1]:8081"]
        );
    }

    #[test]
    fn every_setting_is_listed_once() {
        let mut names: Vec<_> = SETTINGS.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SETTINGS.len());
    }
}
