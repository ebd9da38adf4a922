//! Root keys in a file, for whoever keeps them away from the database: private JWKs (RFC 8037), one a line, mode 0600.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use jose_jwt::SigningKey;
use zeroize::Zeroizing;

use crate::Error;

/// More than a file of root keys can have: an agent follows sixteen successors.
const LONGEST: u64 = 64 * 1024;

/// Writes root keys to a file that wasn't there before; they are safely on disk when this returns.
pub fn write_roots(path: &Path, roots: &[SigningKey]) -> Result<(), Error> {
    let mut text = Zeroizing::new(String::with_capacity(roots.len() * 512));
    for root in roots {
        text.push_str(&root.to_jwk());
        text.push('\n');
    }
    write_new(path, text.as_bytes())
        .map_err(|source| Error::RootFileUnwritable { path: path.to_owned(), source })
}

/// Reads the root keys of such a file, whose mode must be 0600 or stricter.
pub fn read_roots(path: &Path) -> Result<Vec<SigningKey>, Error> {
    let unreadable = |source| Error::RootFileUnreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyFileMode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    let roots: Result<Vec<_>, _> =
        text.lines().filter(|line| !line.trim().is_empty()).map(SigningKey::from_jwk).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(Error::RootFileContent { path: path.to_owned() }),
    }
}

/// Writes a secret to a file of mode 0600 that wasn't there before.
pub(crate) fn write_new(path: &Path, secret: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(secret).and_then(|()| file.sync_all()).and_then(|()| {
        // The name too has to outlive a power cut.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    if written.is_err() {
        // Half a key is worse than none; that it couldn't be written is what the caller has to hear of.
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn roots_are_read_back_in_their_order_by_their_owner_alone() {
        let folder = folder();
        let path = folder.path().join("roots");
        let roots = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]));
        write_roots(&path, &roots).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let read = read_roots(&path).unwrap();
        assert!(read.iter().map(SigningKey::kid).eq(roots.iter().map(SigningKey::kid)));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_roots(&path), Err(Error::KeyFileMode { mode: 0o640, .. })));
    }

    #[test]
    fn a_file_that_is_there_is_left_as_it_is() {
        let folder = folder();
        let path = folder.path().join("roots");
        fs::write(&path, "mine").unwrap();
        let root = SigningKey::from_seed(&[1; 32]);
        assert!(matches!(write_roots(&path, &[root]), Err(Error::RootFileUnwritable { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_file_of_anything_else_is_refused_and_not_quoted() {
        let folder = folder();
        let path = folder.path().join("roots");
        for text in ["", "\n\n", "secret", r#"{"kty":"OKP"}"#] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let refused = read_roots(&path).unwrap_err();
            assert!(matches!(&refused, Error::RootFileContent { .. }), "{text}: {refused}");
            assert!(text.is_empty() || !format!("{refused:?}").contains("secret"));
        }
        let missing = read_roots(&folder.path().join("none"));
        assert!(matches!(missing, Err(Error::RootFileUnreadable { .. })));
    }
}
