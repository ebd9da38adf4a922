use std::{
    fmt,
    fs::File,
    future::ready,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use protocol::ambient::Random;
use zeroize::Zeroizing;

use crate::{
    Context, Error, KeyEncryption, Pending, Wrapped, cipher::Cipher, keyring::hmac_sha256,
    root_file::write_new,
};

/// A key-encryption key that lies in a file of this machine: 32 bytes, for its owner alone.
///
/// A wrapped key is `nonce(12) ‖ ciphertext(32) ‖ tag(16)`, AES-256-GCM with the context authenticated.
pub struct LocalProvider {
    cipher: Cipher,
    id: String,
    random: Arc<dyn Random>,
}

impl LocalProvider {
    /// Reads the key from its file, whose mode must be 0600 or stricter.
    pub fn open(path: &Path, random: Arc<dyn Random>) -> Result<Self, Error> {
        let unreadable = |source| Error::KeyFileUnreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Error::KeyFileMode { path: path.to_owned(), mode });
        }
        // One byte more than a key has, to see whether there is one.
        let mut buffer = Zeroizing::new([0; 33]);
        let length = read_up_to(&mut file, &mut *buffer).map_err(unreadable)?;
        match buffer.first_chunk() {
            Some(key) if length == 32 => Ok(Self::new(key, random)),
            _ => Err(Error::KeyFileLength { path: path.to_owned() }),
        }
    }

    /// Writes a new key to a file of mode 0600 that wasn't there before, safely on disk when this returns.
    pub fn create(path: &Path, key: [u8; 32], random: Arc<dyn Random>) -> Result<Self, Error> {
        let key = Zeroizing::new(key);
        write_new(path, &*key)
            .map_err(|source| Error::KeyFileUnwritable { path: path.to_owned(), source })?;
        Ok(Self::new(&key, random))
    }

    /// A key that comes from elsewhere.
    #[must_use]
    pub fn from_key(key: [u8; 32], random: Arc<dyn Random>) -> Self {
        Self::new(&Zeroizing::new(key), random)
    }

    fn new(key: &[u8; 32], random: Arc<dyn Random>) -> Self {
        // Eight bytes of a keyed hash tell two keys apart, and tell nothing of either.
        let hash = hmac_sha256(key, b"qubictether key-encryption key id");
        let id = u64::from_be_bytes(*hash.first_chunk().expect("32 bytes begin with 8"));
        let id = format!("local-{id:016x}");
        Self { cipher: Cipher::new(key), id, random }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read(&mut buffer[length..]) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl KeyEncryption for LocalProvider {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap<'a>(&'a self, context: &'a Context, key: &'a [u8; 32]) -> Pending<'a, Wrapped> {
        let mut bytes = Vec::new();
        self.cipher.seal_onto(&mut bytes, &context.associated_data(), key, &*self.random);
        Box::pin(ready(Ok(Wrapped { bytes, by: self.id.clone() })))
    }

    fn unwrap<'a>(&'a self, context: &'a Context, wrapped: &'a [u8]) -> Pending<'a, Zeroizing<[u8; 32]>> {
        let key = self
            .cipher
            .open(&context.associated_data(), wrapped)
            .and_then(|key| key.as_slice().try_into().map(Zeroizing::new).ok())
            .ok_or_else(|| Error::Unwrap { provider: self.id.clone(), context: *context });
        Box::pin(ready(key))
    }
}

impl fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalProvider").field("id", &self.id).finish_non_exhaustive()
    }
}
