//! Signatures of manifests: Ed25519. As a manifest has the hashes of everything else, who signs it
//! signs all of a version.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Error;

const KEY_BYTES: usize = 32;
/// A key file is one line: PKCS #8 in base64.
const FILE_BYTES_MAX: u64 = 256;
/// Longest signature as it is stored.
pub(crate) const SIGNATURE_BYTES_MAX: u64 = 256;

/// A key that tells who signed, in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or("a public key has 32 bytes in base64, as `tandem model keygen` shows it")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Makes one and writes it to `path`, which only its owner can read. Fails where a file is there
    /// already. Blocking.
    pub fn create(path: &Path) -> Result<PublicKey, Error> {
        let made = || -> io::Result<PublicKey> {
            let pair = Ed25519KeyPair::generate().map_err(io::Error::other)?;
            let secret = pair.to_pkcs8v1().map_err(io::Error::other)?;
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(format!("{}\n", STANDARD.encode(secret)).as_bytes())?;
            file.sync_all()?;
            Ok(Self(pair).public())
        };
        made().map_err(|problem| {
            crate::pull::Error::Unwritable { path: path.to_owned(), problem }.into()
        })
    }

    /// Reads the one in `path`. Blocking.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |problem| Error::Unreadable { path: path.to_owned(), problem };
        let no_key = || {
            let text = "is no signing key; make one with `tandem model keygen FILE`";
            Error::Unusable(format!("{} {text}", path.display()))
        };
        let facts = fs::metadata(path).map_err(unreadable)?;
        if !facts.is_file() || facts.len() > FILE_BYTES_MAX {
            return Err(no_key());
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let secret = STANDARD.decode(text.trim()).map_err(|_| no_key())?;
        Ed25519KeyPair::from_pkcs8(&secret).map(Self).map_err(|_| no_key())
    }

    /// What others check signatures with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        for (byte, known) in key.iter_mut().zip(self.0.public_key().as_ref()) {
            *byte = *known;
        }
        PublicKey(key)
    }

    /// The signature of a manifest, as it is stored.
    pub(crate) fn sign(&self, manifest: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.try_sign(manifest);
        let signature =
            signature.map_err(|_| Error::Unusable("the key signs nothing".to_owned()))?;
        Ok(format!("{}\n", STANDARD.encode(signature.as_ref())).into_bytes())
    }
}

/// Whose versions are let in. Without any, everybody's are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// These keys, as they are written.
    pub fn parse(keys: &[String]) -> Result<Self, Error> {
        let keys = keys.iter().map(|key| {
            let wrong = |problem| Error::Unusable(format!("models.trusted_keys: {problem}"));
            key.parse().map_err(wrong)
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a signature is wanted at all.
    #[must_use]
    pub fn are_given(&self) -> bool {
        !self.0.is_empty()
    }

    /// That the manifest of `what` may be believed.
    pub(crate) fn check(
        &self,
        what: &str,
        manifest: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<(), Error> {
        if !self.are_given() {
            return Ok(());
        }
        let Some(signature) = signature else {
            return Err(Error::Unsigned { what: what.to_owned() });
        };
        let signature = STANDARD.decode(signature.trim_ascii()).unwrap_or_default();
        let signed = |key: &PublicKey| {
            UnparsedPublicKey::new(&ED25519, key.0).verify(manifest, &signature).is_ok()
        };
        if self.0.iter().any(signed) {
            return Ok(());
        }
        Err(Error::Untrusted { what: what.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_a_trusted_key_signed_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["a", "b"].map(|name| {
            let path = folder.path().join(name);
            let public = SigningKey::create(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let key = SigningKey::read(&path).unwrap();
            assert_eq!(key.public(), public);
            key
        });
        let trusted = TrustedKeys::parse(&[keys[0].public().to_string()]).unwrap();
        let signature = keys[0].sign(b"manifest").unwrap();
        trusted.check("m", b"manifest", Some(&signature)).unwrap();
        let other = keys[1].sign(b"manifest").unwrap();
        for (manifest, signature) in [(b"manifesT", &signature), (b"manifest", &other)] {
            let refused = trusted.check("m", manifest, Some(signature)).unwrap_err();
            assert!(matches!(refused, Error::Untrusted { .. }), "{refused}");
        }
        let refused = trusted.check("m", b"manifest", None).unwrap_err();
        assert!(matches!(refused, Error::Unsigned { .. }), "{refused}");
        TrustedKeys::default().check("m", b"anything", None).unwrap();
    }

    #[test]
    fn a_key_is_never_overwritten_and_no_other_file_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "not a key").unwrap();
        assert!(SigningKey::create(&path).is_err());
        assert!(SigningKey::read(&path).unwrap_err().to_string().contains("keygen"));
        assert!(TrustedKeys::parse(&["short".to_owned()]).is_err());
    }
}
