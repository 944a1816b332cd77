//! The stack key: what digests of secrets are keyed with, so that whoever reads a state can try no values.
//!
//! It is in no state, plan or log; those hold its name, by which another key is told. Not for reading or making it:
//! that is `ops::layout`.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A stack's key: at least 32 bytes from a file, or whatever text somebody keeps as one.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Key(bytes.to_vec())
    }

    /// What tells it from others and says nothing else of it: sixteen hexadecimal digits.
    pub fn name(&self) -> String {
        hexadecimal(&self.derived("name")[..8])
    }

    /// The keyed digest of a secret value: HMAC-SHA-256, hexadecimal.
    pub fn secret(&self, name: &str, value: &str) -> String {
        // Names hold no NUL, and no purpose does: neither can be taken for the other.
        hexadecimal(&mac(&self.0, &[name.as_bytes(), &[0], value.as_bytes()]))
    }

    /// A key for one purpose, from which neither this one nor that of another purpose can be had.
    pub fn derived(&self, purpose: &str) -> [u8; 32] {
        mac(&self.0, &[purpose.as_bytes()])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name())
    }
}

/// HMAC-SHA-256 of the parts, one after the other.
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_not_shown() {
        let (one, other) = (Key::new(&[7; 32]), Key::new(&[8; 32]));
        assert_eq!(one.name(), Key::new(&[7; 32]).name());
        assert_ne!(one.name(), other.name());
        assert_eq!(one.name().len(), 16);
        assert!(!format!("{one:?}").contains("0707") && !format!("{one:?}").contains("7, 7"), "{one:?}");
        assert_ne!(one.secret("a", "x"), other.secret("a", "x"));
        assert_ne!(one.secret("a", "x"), one.secret("b", "x"));
        assert_ne!(one.derived("charts"), one.derived("objects"));
        // Recorded in every state that knows a secret: it stays what it is.
        let digest = "fefa620f1d6f30d64aaf5e32e94639bc6ad927978676996ad6cce63967489737";
        assert_eq!(Key::new(&[7; 32]).secret("token", "hunter2"), digest);
    }
}
