//! The program's arguments; each setting can stand in the environment, too.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand};
use jose_jwt::PublicKey;
use protocol::ProductCode;
use qubictether_agent::{ServerUrl, fingerprint::Source};

/// Keeps a licensed machine activated, and tells what holds.
#[derive(Parser)]
#[command(name = "qubictether-agent", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) settings: SettingArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct SettingArguments {
    /// Folder of the agent's own, mode 0700 [default: /var/lib/qubictether; for who isn't root
    /// `$XDG_STATE_HOME/qubictether`]
    #[arg(long, env = "QT_AGENT_STATE", global = true, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// Base URL of the server
    #[arg(long, env = "QT_AGENT_SERVER", global = true, value_name = "URL")]
    pub(crate) server: Option<ServerUrl>,
    /// The `iss` to expect, if it isn't the server's URL
    #[arg(long, env = "QT_AGENT_ISSUER", global = true, value_name = "URL")]
    pub(crate) issuer: Option<ServerUrl>,
    /// Product code
    #[arg(long, env = "QT_AGENT_PRODUCT", global = true, value_name = "CODE")]
    pub(crate) product: Option<ProductCode>,
    /// The pinned root's public key, base64url of 32 bytes
    // One in 64 keys begins with a hyphen.
    #[arg(
        long,
        env = "QT_AGENT_ROOT_KEY",
        global = true,
        value_name = "KEY",
        allow_hyphen_values = true,
        value_parser = root_key
    )]
    pub(crate) root_key: Option<PublicKey>,
    /// `machine`, `container`, or a JSON file {"name": "raw value", …} [default: machine]
    #[arg(long, env = "QT_AGENT_FINGERPRINT", global = true, value_name = "SOURCE")]
    pub(crate) fingerprint: Option<Source>,
}

fn root_key(text: &str) -> Result<PublicKey, &'static str> {
    let expected =
        "expected the root's public key, 43 characters of base64url, as `qubictether init` prints it";
    text.parse().map_err(|_| expected)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Activate this machine with a license key, and keep the settings
    Activate(KeyArguments),
    /// Beat until SIGTERM; a line of JSON for every answer and every change of state
    Run(KeyArguments),
    /// Beat once, now
    Beat,
    /// What holds now, from the state folder alone
    Status {
        /// As a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Offline leases: what holds while the server is away
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Get a new secret
    Rekey,
    /// Give the seat back
    Deactivate,
}

impl Command {
    /// Whether it is for a machine that is never online.
    pub(crate) const fn is_by_file(&self) -> bool {
        matches!(self, Self::Lease(LeaseCommand::Request { .. } | LeaseCommand::Import { .. }))
    }
}

#[derive(Subcommand)]
pub(crate) enum LeaseCommand {
    /// Take a lease, or renew the one that is held
    Take(TermArguments),
    /// Which lease is held, from the state folder alone
    Status {
        /// Taken for symmetry: it is JSON in any case
        #[arg(long, hide = true)]
        json: bool,
    },
    /// Give the lease back before its end
    Return,
    /// On a machine that is never online: ask for an activation and a lease by file
    Request {
        /// Where the request is written, `-` for standard output
        file: PathBuf,
        #[command(flatten)]
        term: TermArguments,
        #[command(flatten)]
        key: KeyArguments,
    },
    /// On a machine that is never online: take the answer to a request
    Import {
        /// The answer, `-` for standard input
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct TermArguments {
    /// For how long: a number of seconds, or of `m`inutes, `h`ours, `d`ays or `w`eeks. The server may grant less
    #[arg(long = "for", value_name = "TERM", default_value = "7d")]
    pub(crate) term: Term,
}

/// For how long a lease is asked, in seconds; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term(pub(crate) u64);

impl FromStr for Term {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a whole number of seconds, or one with s, m, h, d or w: 7d";
        let (number, unit) = match text.trim_end_matches(|last: char| last.is_ascii_lowercase()) {
            number if number.len() + 1 >= text.len() => text.split_at(number.len()),
            _ => return Err(EXPECTED),
        };
        let seconds = match unit {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(EXPECTED),
        };
        let count = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let count = count.and_then(|number| number.parse().ok()).filter(|count: &u64| *count > 0);
        count.and_then(|count| count.checked_mul(seconds)).map(Self).ok_or(EXPECTED)
    }
}

#[derive(Args)]
pub(crate) struct KeyArguments {
    /// File with the license key, `-` for standard input; otherwise `QT_AGENT_LICENSE_KEY`
    #[arg(long, value_name = "FILE")]
    pub(crate) license_key_file: Option<PathBuf>,
    /// Keep the license key in the state folder, to activate again without being asked
    #[arg(long)]
    pub(crate) keep_key: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_a_number_of_seconds_or_of_larger_units() {
        for (text, seconds) in
            [("1", 1), ("90s", 90), ("5m", 300), ("12h", 43_200), ("7d", 604_800), ("52w", 31_449_600)]
        {
            assert_eq!(text.parse(), Ok(Term(seconds)), "{text}");
        }
        for other in [
            "",
            "0",
            "0d",
            "d",
            "7 d",
            "7D",
            "-7d",
            "+7d",
            "1.5h",
            "7dd",
            "7days",
            "99999999999999999999",
            "9999999999999999999w",
        ] {
            assert!(other.parse::<Term>().is_err(), "{other}");
        }
    }
}
