//! How entries are encrypted: XChaCha20-Poly1305 with a random nonce, bound to the name of the cache
//! and to the place that the entry belongs to, so that none can be passed off as another.

use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use super::key::StoreKey;

/// What an entry is found by: everything that it depends on, hashed. Never on disk.
pub(crate) type Digest = [u8; 32];
/// What stands for a digest on disk. Who has no key cannot tell which digest.
pub(super) type Id = [u8; 16];

const NONCE_BYTES: usize = size_of::<XNonce>();
const TAG_BYTES: usize = 16;
/// What encryption adds to an entry.
pub(super) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// The keys of one cache.
pub(super) struct Seal {
    cache: &'static str,
    cipher: XChaCha20Poly1305,
    ids: [u8; 32],
    /// Tells the key from others and nothing about it.
    pub(super) fingerprint: [u8; 16],
}

impl Seal {
    pub(super) fn new(cache: &'static str, key: &StoreKey) -> Self {
        let encryption = Key::from(key.derive(cache, "entries"));
        Self {
            cache,
            cipher: XChaCha20Poly1305::new(&encryption),
            ids: key.derive(cache, "names"),
            fingerprint: half(key.derive(cache, "fingerprint")),
        }
    }

    pub(super) fn id(&self, digest: &Digest) -> Id {
        half(Sha256::new().chain_update(self.ids).chain_update(digest).finalize().into())
    }

    /// Nonce, ciphertext and tag. `None` only for more than a cipher takes, some hundred gigabytes.
    pub(super) fn seal(&self, id: &Id, written_ms: u64, plain: &[u8]) -> Option<Vec<u8>> {
        let nonce = XNonce::generate();
        let bound = self.bound(id, written_ms);
        let payload = Payload { msg: plain, aad: &bound };
        let sealed = self.cipher.encrypt(&nonce, payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// What was sealed for this place; `None` when it was not, or is damaged.
    pub(super) fn open(&self, id: &Id, written_ms: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let bound = self.bound(id, written_ms);
        let payload = Payload { msg: sealed, aad: &bound };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }

    fn bound(&self, id: &Id, written_ms: u64) -> Vec<u8> {
        [self.cache.as_bytes(), &[0], id, &written_ms.to_le_bytes()].concat()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seal").field(&self.cache).finish()
    }
}

fn half(whole: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

/// Hashes parts so that no two lists of parts have the same digest.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Of things of one kind.
    pub(crate) fn of(kind: &str) -> Self {
        Self(Sha256::new()).with(kind)
    }

    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn digest(self) -> Digest {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn seal(cache: &'static str, key: &str) -> Seal {
        Seal::new(cache, &StoreKey::of(key))
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_in_its_place_and_in_no_other(
            plain: Vec<u8>, id: Id, written: u64, flip: prop::sample::Index,
        ) {
            let ours = seal("answers", "one");
            let sealed = ours.seal(&id, written, &plain).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + SEAL_BYTES);
            prop_assert_eq!(ours.open(&id, written, &sealed), Some(plain));
            let mut other = id;
            other[0] ^= 1;
            prop_assert_eq!(ours.open(&other, written, &sealed), None);
            prop_assert_eq!(ours.open(&id, written ^ 1, &sealed), None);
            prop_assert_eq!(seal("embeddings", "one").open(&id, written, &sealed), None);
            prop_assert_eq!(seal("answers", "two").open(&id, written, &sealed), None);
            let mut damaged = sealed.clone();
            damaged[flip.index(sealed.len())] ^= 0x10;
            prop_assert_eq!(ours.open(&id, written, &damaged), None);
        }

        #[test]
        fn parts_are_told_apart(a: String, b: String, c: String) {
            let of = |parts: &[&String]| {
                parts.iter().fold(Fingerprint::of("x"), Fingerprint::with).digest()
            };
            let joined = format!("{a}{b}");
            prop_assert_ne!(of(&[&a, &b, &c]), of(&[&joined, &c]));
            prop_assert_eq!(of(&[&a, &b]), of(&[&a, &b]));
        }
    }

    #[test]
    fn the_same_entry_never_looks_the_same_twice() {
        let ours = seal("answers", "one");
        assert_ne!(ours.seal(&[0; 16], 0, b"plain"), ours.seal(&[0; 16], 0, b"plain"));
    }

    #[test]
    fn what_is_too_short_is_not_opened() {
        let ours = seal("answers", "one");
        for length in 0..=SEAL_BYTES {
            assert_eq!(ours.open(&[0; 16], 0, &vec![0; length]), None);
        }
    }
}
