//! Targets: what a webhook's URL names, read strictly. What other programs might take for an address, and this doesn't,
//! is refused rather than handed on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::address::is_public;

/// Where something is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) is_tls: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Host and port as the URL spells them.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

/// Whom a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// Reads a URL: `https`, or `http` where private targets are allowed.
    ///
    /// # Errors
    /// What is wrong with it, for whoever gave it.
    pub(super) fn parse(url: &str, allows_private: bool) -> Result<Self, &'static str> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains(['#', '\\']) {
            return Err("has to be a URL in ASCII, without a fragment");
        }
        let uri: Uri = url.parse().map_err(|_| "has to be a URL, like https://example.com/hooks")?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allows_private => false,
            _ => return Err("has to begin with https://"),
        };
        let authority = uri.authority().ok_or("has to name a host")?;
        if authority.as_str().contains('@') {
            return Err("has to be without user and password");
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if is_tls { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port != 0),
        };
        let host = Host::parse(authority.host())
            .ok_or("has to name its host by a DNS name or by an address in its usual form")?;
        if !allows_private && !host.may_be_public() {
            return Err(
                "has to be on the open Internet: private addresses and this machine's own are refused",
            );
        }
        Ok(Self {
            is_tls,
            host,
            port: port.ok_or("has to have a port from 1 to 65535")?,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

impl Host {
    /// An address in its one usual form, or a DNS name. Names that end in a number are neither: some resolvers read
    /// them as addresses (`0x7f.1`, `2130706433`).
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let name = text.to_ascii_lowercase();
        let is_label = |label: &str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
        };
        let last = name.rsplit('.').next()?;
        let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
        (name.len() <= 253 && name.split('.').all(is_label) && !is_number).then_some(Self::Name(name))
    }

    /// Whether it may be on the open Internet; of a name its resolution tells.
    fn may_be_public(&self) -> bool {
        match self {
            Self::Address(address) => is_public(*address),
            Self::Name(name) => name != "localhost" && !name.ends_with(".localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, Target};

    #[test]
    fn a_url_is_read_to_its_last_part() {
        let target = Target::parse("https://Hooks.example.com:8443/a/b?c=d", false).unwrap();
        assert_eq!(target.host, Host::Name("hooks.example.com".to_owned()));
        assert_eq!((target.is_tls, target.port), (true, 8443));
        assert_eq!((&*target.authority, &*target.path), ("Hooks.example.com:8443", "/a/b?c=d"));
        let short = Target::parse("https://8.8.8.8", false).unwrap();
        assert_eq!((short.port, &*short.path), (443, "/"));
        let private = Target::parse("http://[::1]:80/", true).unwrap();
        assert_eq!((private.is_tls, private.host), (false, Host::Address("::1".parse().unwrap())));
        assert!(Target::parse("https://[2001:4860:4860::8888]/", false).is_ok());
    }

    #[test]
    fn nothing_private_is_taken_in_whatever_form_it_comes() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://127.0.0.01/",
            "https://0/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.0.0.1:8443/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1%25eth0]/",
            "https://localhost/",
            "https://LOCALHOST:8080/",
            "https://a.localhost/",
            "https://①②⑦.0.0.1/",
        ] {
            assert!(Target::parse(url, false).is_err(), "{url}");
        }
    }

    #[test]
    fn whatever_is_no_plain_url_is_refused_with_its_reason() {
        for (url, why) in [
            ("", "a URL"),
            ("hooks.example.com", "https://"),
            ("/hooks", "https://"),
            ("ftp://example.com/", "https://"),
            ("http://example.com/", "https://"),
            ("https://user:geheim@example.com/", "user and password"),
            ("https://user@example.com/", "user and password"),
            ("https://example.com:0/", "port"),
            ("https://example.com:99999/", ""),
            ("https://example.com:/", "port"),
            ("https://example.com/#a", "fragment"),
            ("https://example.com\\@evil.example/", "ASCII"),
            ("https://exa mple.com/", "ASCII"),
            ("https://example..com/", "DNS name"),
            ("https://example.com./", "DNS name"),
            ("https://ex%61mple.com/", ""),
        ] {
            let refusal = Target::parse(url, false).unwrap_err();
            assert!(refusal.contains(why) && !refusal.contains("geheim"), "{url}: {refusal}");
        }
        assert!(Target::parse("http://127.0.0.1:9/", true).is_ok(), "where the operator allows it");
        assert!(Target::parse("http://2130706433/", true).is_err(), "in its usual form alone");
    }
}
