//! The key that everything else is derived from: named in the settings, else a file of our own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::Key;
use chacha20poly1305::aead::Generate as _;
use sha2::{Digest as _, Sha256};
use tandem_config::Secret;

/// Name of the file in the data folder.
const FILE: &str = "store.key";
/// Shortest key in bytes. Whoever has the files can try as many as they like.
const BYTES_MIN: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyProblem {
    #[error("security.store_key: {0}")]
    Secret(#[from] tandem_config::Error),
    #[error(
        "security.store_key has {0} bytes; make one of at least {BYTES_MIN}: openssl rand -hex 32"
    )]
    Short(usize),
    #[error(
        "others may read the key {0}; run chmod 600 on it, or remove it to begin with a new one"
    )]
    Open(PathBuf),
    #[error("the key {0} cannot be used: {1}; check disk space and permissions")]
    Io(PathBuf, io::Error),
}

/// The key. Neither shown nor written but to its own file.
pub(super) struct StoreKey([u8; 32]);

impl StoreKey {
    /// The key that the settings name, else that of `folder`, which is made when there is none.
    pub(super) fn load(named: Option<&Secret>, folder: &Path) -> Result<Self, KeyProblem> {
        let Some(secret) = named else { return Self::own(&folder.join(FILE)) };
        let text = secret.read()?;
        if text.len() < BYTES_MIN {
            Err(KeyProblem::Short(text.len()))
        } else {
            Ok(Self::of(&text))
        }
    }

    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::new().chain_update("tandem store key\0").chain_update(text).finalize().into())
    }

    /// A key for one use of one cache.
    pub(super) fn derive(&self, cache: &str, purpose: &str) -> [u8; 32] {
        let derived = Sha256::new().chain_update(self.0).chain_update(cache).chain_update("\0");
        derived.chain_update(purpose).finalize().into()
    }

    fn own(path: &Path) -> Result<Self, KeyProblem> {
        let failed = |error| KeyProblem::Io(path.to_owned(), error);
        if !path.exists() {
            make(path).map_err(failed)?;
        }
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyProblem::Open(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let text = text.trim();
        if text.len() < BYTES_MIN { Err(KeyProblem::Short(text.len())) } else { Ok(Self::of(text)) }
    }
}

/// Writes 32 random bytes, as hexadecimal digits. The file has its name once it is whole.
fn make(path: &Path) -> io::Result<()> {
    let key = Key::generate();
    let digits = key.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    let unnamed = path.with_extension("key.new");
    let _ = fs::remove_file(&unnamed);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
    writeln!(file, "{digits}")?;
    file.sync_all()?;
    fs::rename(&unnamed, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = StoreKey::load(None, folder.path()).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().trim().len(), 64);
        assert_eq!(StoreKey::load(None, folder.path()).unwrap().0, first.0);
        fs::remove_file(&path).unwrap();
        assert_ne!(StoreKey::load(None, folder.path()).unwrap().0, first.0);
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        StoreKey::load(None, folder.path()).unwrap();
        let path = folder.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let problem = StoreKey::load(None, folder.path()).err().unwrap().to_string();
        assert!(problem.contains("chmod 600"), "{problem}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "abc").unwrap();
        assert!(matches!(StoreKey::load(None, folder.path()), Err(KeyProblem::Short(3))));
    }

    #[test]
    fn a_named_key_is_read_where_it_is_and_must_be_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        let secret = Secret::File(path.clone());
        let problem = StoreKey::load(Some(&secret), folder.path()).err().unwrap().to_string();
        assert!(problem.contains("security.store_key") && problem.contains("mine"), "{problem}");
        fs::write(&path, "x".repeat(31)).unwrap();
        assert!(matches!(StoreKey::load(Some(&secret), folder.path()), Err(KeyProblem::Short(31))));
        fs::write(&path, "x".repeat(32)).unwrap();
        let key = StoreKey::load(Some(&secret), folder.path()).unwrap();
        assert_eq!(key.0, StoreKey::of(&"x".repeat(32)).0);
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let key = StoreKey::of("k");
        let derived =
            [("a", "b"), ("a", "c"), ("b", "b")].map(|(cache, use_)| key.derive(cache, use_));
        assert!(derived[0] != derived[1] && derived[0] != derived[2] && derived[1] != derived[2]);
    }
}
