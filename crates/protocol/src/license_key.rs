//! What a customer is given to activate machines with.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Expected;

const PREFIX: &str = "QT1";
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters that carry randomness, five bits each.
const RANDOM_LENGTH: usize = 28;
const LENGTH: usize = RANDOM_LENGTH + 2;
const GROUP_LENGTH: usize = 6;

/// What a customer is given: `QT1-` and five groups of six Crockford base32 characters, 140 random bits and
/// 10 bits of checksum.
///
/// Wiped when dropped, compared in constant time, never printed by `Debug`.
///
/// ```
/// use protocol::LicenseKey;
///
/// let key = LicenseKey::parse("QT1-DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4")?;
/// assert_eq!(LicenseKey::parse(" qtl dqsgn8 djs3c2 wzdkgs ey84oa 45hyw4\n")?, key);
/// assert_eq!(key.canonical(), "DQSGN8DJS3C2WZDKGSEY840A45HYW4");
/// # Ok::<(), protocol::Expected>(())
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LicenseKey([u8; LENGTH]);

impl LicenseKey {
    /// A new key from the first 140 of these 144 random bits.
    #[must_use]
    pub fn generate(random: [u8; 18]) -> Self {
        let random = Zeroizing::new(random);
        let mut characters = [0; LENGTH];
        for (index, character) in characters[..RANDOM_LENGTH].iter_mut().enumerate() {
            *character = five_bits(&*random, index);
        }
        let checksum = checksum(&characters);
        characters[RANDOM_LENGTH..].copy_from_slice(&checksum);
        Self(characters)
    }

    /// Reads a key as people write it: in any case, with hyphens and white space (space, tab, CR, LF) anywhere
    /// or nowhere, O for 0, I and L for 1, in the prefix too.
    pub fn parse(text: &str) -> Result<Self, Expected> {
        Self::read(text).ok_or(Expected("a license key: QT1- and five groups of six characters"))
    }

    fn read(text: &str) -> Option<Self> {
        let mut written = text.bytes().filter(|byte| !b"- \t\r\n".contains(byte)).map(|byte| {
            match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                upper => upper,
            }
        });
        if !PREFIX.bytes().all(|expected| written.next() == Some(expected)) {
            return None;
        }
        let mut key = Self([0; LENGTH]);
        for character in &mut key.0 {
            *character = written.next().filter(|byte| ALPHABET.contains(byte))?;
        }
        (written.next().is_none() && checksum(&key.0) == key.0[RANDOM_LENGTH..]).then_some(key)
    }

    /// The 30 characters: upper case, without prefix and hyphens.
    #[must_use]
    pub fn canonical(&self) -> &str {
        str::from_utf8(&self.0).expect("every character is from the alphabet, which is ASCII")
    }

    /// The key as it is shown to people.
    #[must_use]
    pub fn printed(&self) -> Zeroizing<String> {
        let mut printed =
            Zeroizing::new(String::with_capacity(PREFIX.len() + LENGTH + LENGTH / GROUP_LENGTH));
        printed.push_str(PREFIX);
        for (index, character) in self.canonical().chars().enumerate() {
            if index.is_multiple_of(GROUP_LENGTH) {
                printed.push('-');
            }
            printed.push(character);
        }
        printed
    }
}

/// The character for the `index`th five bits, the most significant first.
fn five_bits(bytes: &[u8], index: usize) -> u8 {
    let (byte, shift) = (index * 5 / 8, index * 5 % 8);
    let pair = u16::from_be_bytes([bytes[byte], bytes.get(byte + 1).copied().unwrap_or(0)]);
    ALPHABET[usize::from(pair >> (11 - shift)) & 31]
}

/// The first 10 bits of SHA-256 over the random characters, as two characters.
fn checksum(characters: &[u8; LENGTH]) -> [u8; 2] {
    let hash = Sha256::digest(&characters[..RANDOM_LENGTH]);
    [five_bits(&hash, 0), five_bits(&hash, 1)]
}

impl PartialEq for LicenseKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for LicenseKey {}

impl fmt::Debug for LicenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LicenseKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_is_four_ascii_characters_and_hyphens_one() {
        let key = "QT1-DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4";
        let spread = "\tq\rT-1\n D-QSGN8--DJS3C2-WZDKGS-EY840A-45HYW4\r\n";
        assert_eq!(LicenseKey::parse(spread), LicenseKey::parse(key));
        assert!(LicenseKey::parse(key).is_ok());
        for other in ["\u{b}", "\u{c}", "\0", "\u{a0}", "\u{2003}", "\u{2010}", "_", ".", "\u{ff11}"] {
            assert!(LicenseKey::parse(&format!("{key}{other}")).is_err(), "{other:?}");
        }
        assert!(LicenseKey::parse("DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4").is_err(), "the prefix belongs to it");
    }

    #[test]
    fn all_of_the_first_140_bits_count_and_the_last_four_do_not() {
        let all = |byte| LicenseKey::generate([byte; 18]);
        assert!(all(0).canonical().starts_with(&"0".repeat(28)));
        assert!(all(0xff).canonical().starts_with(&"Z".repeat(28)));
        for bit in 0..144_usize {
            let mut random = [0; 18];
            random[bit / 8] = 0x80 >> (bit % 8);
            let same = LicenseKey::generate(random) == all(0);
            assert_eq!(same, bit >= 140, "bit {bit}");
        }
    }

    #[test]
    fn a_key_is_never_printed_by_debug() {
        let key = LicenseKey::generate([7; 18]);
        assert_eq!(format!("{key:?}"), "LicenseKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_generated_is_read_back(random: [u8; 18]) {
            let key = LicenseKey::generate(random);
            prop_assert_eq!(LicenseKey::parse(&key.printed()).unwrap(), key.clone());
            prop_assert_eq!(LicenseKey::parse(&key.printed().to_lowercase()).unwrap(), key.clone());
            prop_assert_eq!(LicenseKey::parse(&format!("qtl{}", key.canonical())).unwrap(), key);
        }

        #[test]
        fn no_text_panics_and_what_is_read_prints_back(text in "\\PC*|[qQtTlLiI1oO0 -]*[0-9A-Za-z-]{30,40}") {
            if let Ok(key) = LicenseKey::parse(&text) {
                prop_assert_eq!(LicenseKey::parse(&key.printed()).unwrap(), key);
            }
        }
    }
}
