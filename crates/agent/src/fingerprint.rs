//! What identifies a machine. Raw values stay here; only digests that are bound to one product leave.

mod container;
mod file;
mod machine;

use std::{
    convert::Infallible,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use protocol::{
    ProductCode,
    fingerprint::{Fingerprint, digest},
};

use crate::Error;

/// More of a file of the system's is not read: what identifies a machine is short.
const MAX_SYSTEM_FILE: u64 = 256 * 1024;

/// Where the components of a fingerprint come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The machine's own identity: its installation, board, network and disk.
    Machine,
    /// What is stable for a container's place in a deployment.
    Container,
    /// A JSON file `{"name": "raw value", …}` of components that the vendor chose, read at every request.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "machine" => Self::Machine,
            "container" => Self::Container,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.pad("machine"),
            Self::Container => f.pad("container"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A component's name and raw value. The value isn't printable.
struct Component {
    name: String,
    raw: String,
}

impl Component {
    fn new(name: &str, raw: String) -> Self {
        Self { name: name.to_owned(), raw }
    }
}

/// Observes a machine whose file system begins at `root`.
pub fn observe(source: &Source, root: &Path, product: &ProductCode) -> Result<Fingerprint, Error> {
    let components = match source {
        Source::Machine => machine::components(root),
        Source::Container => container::components(root),
        Source::File(path) => file::components(path)?,
    };
    let digests = components.into_iter().map(|Component { name, raw }| {
        let value = digest(product, &name, &raw);
        (name, value)
    });
    Fingerprint::new(digests).map_err(|_| Error::Fingerprint {
        why: "nothing identifies this machine; name a JSON file of components with --fingerprint".into(),
    })
}

/// Reads a file of the system's without the white space around it; `None` if it can't be read or is empty.
fn read_system(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_SYSTEM_FILE).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // SCSI identifiers are padded with zero bytes.
    let text = text.trim_matches(|character: char| character.is_whitespace() || character == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_prints_as_it_is_read() {
        for text in ["machine", "container", "/etc/acme/fingerprint.json"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn raw_values_become_digests_bound_to_the_product() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("components.json");
        fs::write(&path, r#"{"machine_id": "b5f6c1d2e3f4a5b6c7d8e9f0a1b2c3d4", "mac": "02:42:ac:11:00:02"}"#)
            .unwrap();
        let of = |product: &str| {
            let product = product.parse().unwrap();
            observe(&Source::File(path.clone()), Path::new("/"), &product).unwrap()
        };
        // The protocol's own example.
        let fingerprint = of("acme-render");
        assert_eq!(
            fingerprint.as_policy().get("machine_id"),
            Some("aZg_ksMnnLv6t_AcpsEgXaP99StljQkJG6lZhqA5t0w")
        );
        assert_eq!(fingerprint.as_policy().get("mac"), Some("PFuIl3kpCn7OfS_CwKFlutScwA6aAt3LUZxcEPSdYKk"));
        assert_ne!(of("other").as_policy().get("mac"), fingerprint.as_policy().get("mac"));
    }

    #[test]
    fn a_machine_that_shows_nothing_has_no_fingerprint() {
        let empty = tempfile::tempdir().unwrap();
        let product = "acme-render".parse().unwrap();
        for source in [Source::Machine, Source::Container] {
            assert!(matches!(observe(&source, empty.path(), &product), Err(Error::Fingerprint { .. })));
        }
    }
}
