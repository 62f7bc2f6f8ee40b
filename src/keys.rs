//! The master key and the keys derived from it, one for each purpose (HKDF-SHA-256, RFC 5869).
//!
//! In: 32 random bytes from `store.key`. Out: keyed hashes and sub-keys. Never: the master key
//! itself, in any form. A key for one purpose is of no use for another, so a leaked look-up hash
//! says nothing about the book.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a derived key is for. The label is part of the formats on the disk: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Wraps the key of one message.
    Wrap,
    /// Look-up hashes of addresses, domains and message ids.
    Lookup,
    /// The chain of the book.
    Book,
    /// The keyed mark in our Received header.
    Mark,
    /// The pass that our own injected mail carries.
    Pass,
    /// The key of a retry record.
    Retry,
    /// The mark on the test messages of `outgate doctor`.
    Trial,
    /// What tells a message that comes in several transactions.
    Split,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::Wrap => b"outgate/1 wrap",
            Purpose::Lookup => b"outgate/1 lookup",
            Purpose::Book => b"outgate/1 book",
            Purpose::Mark => b"outgate/1 mark",
            Purpose::Pass => b"outgate/1 pass",
            Purpose::Retry => b"outgate/1 retry",
            Purpose::Trial => b"outgate/1 trial",
            Purpose::Split => b"outgate/1 split",
        }
    }
}

/// The master key. Has no `Debug`: it cannot be printed by mistake.
pub struct Keys {
    hkdf: Hkdf<Sha256>,
}

impl Keys {
    pub fn new(master: &[u8; 32]) -> Self {
        Self { hkdf: Hkdf::new(None, master) }
    }

    /// The 32-byte key for one purpose.
    pub fn derive(&self, purpose: Purpose) -> [u8; 32] {
        let mut key = [0; 32];
        // Cannot fail: HKDF-SHA-256 gives up to 8,160 bytes.
        self.hkdf.expand(purpose.label(), &mut key).expect("32 bytes is a valid HKDF length");
        key
    }

    pub fn hasher(&self, purpose: Purpose) -> KeyedHash {
        KeyedHash { key: self.derive(purpose) }
    }
}

/// HMAC-SHA-256 (RFC 2104) under one derived key.
#[derive(Clone)]
pub struct KeyedHash {
    key: [u8; 32],
}

impl KeyedHash {
    /// The MAC over all fields, each with its length in front, so that no two lists of fields give
    /// the same input.
    pub fn mac(&self, fields: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.start();
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag`, possibly truncated (at least 8 bytes), is the MAC of `fields`. Compares in
    /// constant time.
    pub fn verify(&self, fields: &[&[u8]], tag: &[u8]) -> bool {
        let mac = self.mac(fields);
        tag.len() >= 8
            && tag.len() <= mac.len()
            && mac.iter().zip(tag).fold(0u8, |differing, (a, b)| differing | (a ^ b)) == 0
    }

    fn start(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.key).expect("HMAC takes a key of any length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_fields_cannot_run_together() {
        let keys = Keys::new(&[7; 32]);
        assert_ne!(keys.derive(Purpose::Book), keys.derive(Purpose::Mark));
        let hash = keys.hasher(Purpose::Lookup);
        assert_ne!(hash.mac(&[b"ab", b"c"]), hash.mac(&[b"a", b"bc"]));
        let tag = hash.mac(&[b"ab"]);
        assert!(hash.verify(&[b"ab"], &tag));
        assert!(hash.verify(&[b"ab"], &tag[..8]));
        assert!(!hash.verify(&[b"ab"], &tag[..7]), "a tag too short to mean anything");
        assert!(!hash.verify(&[b"ac"], &tag));
    }
}
