//! Sealing: AES-256-GCM under one random key for each case; that key under the master key.
//!
//! A sealed thing is `1 | nonce (12 bytes) | ciphertext | tag (16 bytes)`. What it is, which case and which item
//! it belongs to is authenticated with it, so that nothing can be put into another's place.

use crate::{
    keys::{Keys, Purpose},
    mail::SubmissionId,
};
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, AeadInOut, Payload},
};

const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// What is sealed. The label is part of the formats on the disk: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Key,
    Face,
    Message,
    Envelope,
    Content,
    Note,
    Reply,
    Name,
}

impl What {
    fn label(self) -> &'static [u8] {
        match self {
            What::Key => b"key",
            What::Face => b"face",
            What::Message => b"message",
            What::Envelope => b"envelope",
            What::Content => b"content",
            What::Note => b"note",
            What::Reply => b"reply",
            What::Name => b"name",
        }
    }
}

/// It was not sealed under this key, for this place, or it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed record cannot be opened: it is damaged, or sealed under another key")]
pub(super) struct Unsealable;

/// Wraps and unwraps the cases' keys.
pub(super) struct Wrapper {
    cipher: Aes256Gcm,
}

impl Wrapper {
    pub fn new(keys: &Keys) -> Self {
        Self { cipher: Aes256Gcm::new(&keys.derive(Purpose::Wrap).into()) }
    }

    /// A new key for `case`, and its wrapped form for the disk.
    pub fn fresh(&self, case: SubmissionId) -> (CaseKey, Vec<u8>) {
        let key: [u8; 32] = random();
        let wrapped = seal(&self.cipher, What::Key, case, case, &key);
        (CaseKey { case, cipher: Aes256Gcm::new(&key.into()) }, wrapped)
    }

    /// The name of an account, for its own place.
    pub fn seal_name(&self, place: SubmissionId, name: &[u8]) -> Vec<u8> {
        seal(&self.cipher, What::Name, place, place, name)
    }

    pub fn open_name(&self, place: SubmissionId, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        open(&self.cipher, What::Name, place, place, sealed)
    }

    pub fn unwrap(&self, case: SubmissionId, wrapped: &[u8]) -> Result<CaseKey, Unsealable> {
        let key = open(&self.cipher, What::Key, case, case, wrapped)?;
        let key: [u8; 32] = key.try_into().map_err(|_| Unsealable)?;
        Ok(CaseKey { case, cipher: Aes256Gcm::new(&key.into()) })
    }
}

/// The key of one case. Has no `Debug`.
#[derive(Clone)]
pub(super) struct CaseKey {
    case: SubmissionId,
    cipher: Aes256Gcm,
}

impl CaseKey {
    pub fn seal(&self, what: What, clear: &[u8]) -> Vec<u8> {
        seal(&self.cipher, what, self.case, self.case, clear)
    }

    pub fn open(&self, what: What, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        open(&self.cipher, what, self.case, self.case, sealed)
    }

    /// For what there may be several of in one case: outbox items.
    pub fn seal_item(&self, what: What, item: SubmissionId, clear: &[u8]) -> Vec<u8> {
        seal(&self.cipher, what, self.case, item, clear)
    }

    pub fn open_item(&self, what: What, item: SubmissionId, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        open(&self.cipher, what, self.case, item, sealed)
    }

    /// Messages are compressed first. `bytes` long when opened.
    pub fn pack(&self, what: What, item: SubmissionId, clear: &[u8]) -> Vec<u8> {
        let packed = zstd::bulk::compress(clear, zstd::DEFAULT_COMPRESSION_LEVEL)
            .expect("zstd's own bound is the buffer's size, so nothing can be lacking");
        self.seal_item(what, item, &packed)
    }

    pub fn unpack(&self, what: What, item: SubmissionId, sealed: &[u8], bytes: usize) -> Result<Vec<u8>, Unsealable> {
        let packed = self.open_item(what, item, sealed)?;
        let clear = zstd::bulk::decompress(&packed, bytes).map_err(|_| Unsealable)?;
        if clear.len() == bytes { Ok(clear) } else { Err(Unsealable) }
    }
}

fn associated(what: What, case: SubmissionId, item: SubmissionId) -> Vec<u8> {
    [b"outgate/1 ", what.label(), b"\0", case.as_bytes().as_slice(), item.as_bytes()].concat()
}

fn seal(cipher: &Aes256Gcm, what: What, case: SubmissionId, item: SubmissionId, clear: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random();
    let mut out = Vec::with_capacity(1 + NONCE + clear.len() + TAG);
    out.push(VERSION);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(clear);
    let tag = cipher
        .encrypt_inout_detached(&nonce.into(), &associated(what, case, item), (&mut out[1 + NONCE..]).into())
        .expect("AES-GCM refuses only more than 64 GiB, and a message has at most 50 MiB");
    out.extend_from_slice(&tag);
    out
}

fn open(
    cipher: &Aes256Gcm,
    what: What,
    case: SubmissionId,
    item: SubmissionId,
    sealed: &[u8],
) -> Result<Vec<u8>, Unsealable> {
    let (&version, rest) = sealed.split_first().ok_or(Unsealable)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(Unsealable)?;
    if version != VERSION {
        return Err(Unsealable);
    }
    let aad = associated(what, case, item);
    cipher.decrypt(&(*nonce).into(), Payload { msg: rest, aad: &aad }).map_err(|_| Unsealable)
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random source does not fail once the machine has started");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_own_place() {
        let wrapper = Wrapper::new(&Keys::new(&[5; 32]));
        let (case, other) = (SubmissionId::fresh(), SubmissionId::fresh());
        let (key, wrapped) = wrapper.fresh(case);
        let sealed = key.seal(What::Face, b"a face");
        assert_eq!(key.open(What::Face, &sealed).unwrap(), b"a face");
        assert_eq!(key.open(What::Note, &sealed), Err(Unsealable));
        assert_eq!(key.open_item(What::Face, other, &sealed), Err(Unsealable));
        let again = wrapper.unwrap(case, &wrapped).unwrap();
        assert_eq!(again.open(What::Face, &sealed).unwrap(), b"a face");
        assert!(wrapper.unwrap(other, &wrapped).is_err(), "another case's key");
        assert!(Wrapper::new(&Keys::new(&[6; 32])).unwrap(case, &wrapped).is_err(), "another master key");
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key.open(What::Face, &damaged), Err(Unsealable), "byte {at}");
            assert_eq!(key.open(What::Face, &sealed[..at]), Err(Unsealable), "cut at {at}");
        }
    }

    #[test]
    fn packed_things_have_the_length_that_was_noted() {
        let id = SubmissionId::fresh();
        let (key, _) = Wrapper::new(&Keys::new(&[5; 32])).fresh(id);
        let clear = vec![b'x'; 100_000];
        let packed = key.pack(What::Message, id, &clear);
        assert!(packed.len() < 1_000);
        assert_eq!(key.unpack(What::Message, id, &packed, clear.len()).unwrap(), clear);
        assert!(key.unpack(What::Message, id, &packed, clear.len() - 1).is_err());
        assert!(key.unpack(What::Message, id, &packed, clear.len() + 1).is_err());
        assert_eq!(key.unpack(What::Message, id, &key.pack(What::Message, id, b""), 0).unwrap(), b"");
    }
}
