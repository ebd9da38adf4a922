//! How a cluster is to be run.

use std::fmt::Write as _;

/// How a cluster is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether what was committed outlives a crash of the machine. Without, tests run several times faster.
    pub durable: bool,
    /// The port on 127.0.0.1; `None`: a free one, and that one again as long as it stays free.
    pub port: Option<u16>,
    /// More settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// For data that is to stay: PostgreSQL's own defaults.
    #[must_use]
    pub fn durable() -> Self {
        Self { durable: true, port: None, settings: Vec::new() }
    }

    /// For tests: many connections, and nothing waits for the disk.
    #[must_use]
    pub fn throwaway() -> Self {
        Self { durable: false, port: None, settings: vec![("max_connections".into(), "300".into())] }
    }

    /// One more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The text of a configuration file.
    pub(crate) fn file(&self, port: u16) -> String {
        // No socket file: its path is bounded to 107 bytes, and every client can reach the loopback.
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("password_encryption", "scram-sha-256"),
        ];
        if !self.durable {
            settings.extend([("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")]);
        }
        settings.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        settings.into_iter().fold(format!("port = {port}\n"), |mut text, (name, value)| {
            let value = value.replace('\'', "''");
            writeln!(text, "{name} = '{value}'").expect("writing to a string doesn't fail");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_win_and_quotes_stay_inside() {
        let text = Options::throwaway().set("fsync", "on").set("application_name", "o'clock").file(5433);
        assert!(text.starts_with("port = 5433\n"));
        assert!(text.find("fsync = 'off'") < text.find("fsync = 'on'"));
        assert!(text.ends_with("application_name = 'o''clock'\n"));
    }

    #[test]
    fn a_durable_cluster_waits_for_the_disk() {
        assert!(!Options::durable().file(1).contains("fsync"));
    }
}
