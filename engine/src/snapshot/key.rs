//! What a snapshot is valid for.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::llama::{ContextSettings, ModelSettings};

/// What [`crate::llama::Context::new`] decides by itself. llama.cpp checks the same once more when
/// it restores a state.
const CACHE: &str = "unified, keys f16, values f16";

/// The same where `quantized_kv` is set.
const QUANTIZED_CACHE: &str = "unified, keys q8_0, values q8_0";

/// The same where `exact` is set.
const EXACT_CACHE: &str = "unified, keys bf16, values f16";

/// Bytes of the model file that are looked at, at either end. The first hold its metadata, rope
/// settings among them, and the names and types of its tensors.
const END_BYTES: u64 = 1 << 20;

/// Names everything that a state depends on: model file, build, and settings. A state is restored
/// only under the key that it was saved under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// What a model file is known by.
#[derive(Debug, Clone)]
pub struct ModelFile(Sha256);

impl ModelFile {
    /// Looks at the file at `path`. To be done before the model is loaded: a file replaced meanwhile
    /// then has a new key the next time.
    ///
    /// The path says nothing about a file and reading all of it takes as long as loading it, so the
    /// file is known by its size, its two ends, and the time of its last change, for the tensors
    /// between. A copy with a new time only starts without snapshots.
    pub fn look(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let facts = file.metadata()?;
        let changed = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(facts.len().to_le_bytes());
        hash.update(changed.as_nanos().to_le_bytes());
        hash.update(end(&mut file)?);
        file.seek(SeekFrom::Start(facts.len().saturating_sub(END_BYTES)))?;
        hash.update(end(&mut file)?);
        Ok(Self(hash))
    }
}

impl Key {
    /// The key of a model, used by engine `build` with these settings, which are those that it was
    /// loaded with in the end.
    ///
    /// All settings of the context count. Some change the state (flash attention its layout, the
    /// number of tokens the rope factors of models trained for long contexts), others only the
    /// rounding (threads, batches, kernels); none changes often enough to be worth the distinction.
    pub fn new(
        file: ModelFile,
        build: &str,
        model: ModelSettings,
        context: &ContextSettings,
    ) -> Self {
        let ModelFile(mut hash) = file;
        let cache = match (context.exact, context.quantized_kv) {
            (true, _) => EXACT_CACHE,
            (false, true) => QUANTIZED_CACHE,
            (false, false) => CACHE,
        };
        let how = format!("{cache}, {model:?}, {context:?}");
        for text in [build, how.as_str()] {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }

    /// The key as it is stored.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn of(name: &str) -> Self {
        Self(Sha256::digest(name).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", hex(&self.0))
    }
}

/// Bytes as file names have them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Hash of the next bytes of a file.
fn end(file: &mut File) -> io::Result<[u8; 32]> {
    let mut bytes = Vec::new();
    file.take(END_BYTES).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs;
    use std::time::{Duration, SystemTime};

    const SETTINGS: ContextSettings = ContextSettings {
        tokens: 4096,
        sequences: 8,
        spare_sequences: 0,
        spare_rows: 0,
        batch: 512,
        threads: 2,
        flash_attention: true,
        exact: false,
        quantized_kv: false,
    };

    const MODEL: ModelSettings = ModelSettings { use_extra_bufts: true, gpu_layers: 0 };

    fn key(path: &Path) -> Key {
        Key::new(ModelFile::look(path).unwrap(), "build", MODEL, &SETTINGS)
    }

    #[test]
    fn another_build_or_setting_is_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        fs::write(&path, "model").unwrap();
        let original = key(&path);
        assert_eq!(key(&path), original);
        let file = || ModelFile::look(&path).unwrap();
        let without = ModelSettings { use_extra_bufts: false, ..MODEL };
        let offloaded = ModelSettings { gpu_layers: 7, ..MODEL };
        let keys = [
            Key::new(file(), "build 2", MODEL, &SETTINGS),
            Key::new(file(), "build", without, &SETTINGS),
            Key::new(file(), "build", offloaded, &SETTINGS),
            Key::new(file(), "build", MODEL, &ContextSettings { tokens: 8192, ..SETTINGS }),
            Key::new(
                file(),
                "build",
                MODEL,
                &ContextSettings { flash_attention: false, ..SETTINGS },
            ),
            Key::new(file(), "build", MODEL, &ContextSettings { exact: true, ..SETTINGS }),
            Key::new(file(), "build", MODEL, &ContextSettings { quantized_kv: true, ..SETTINGS }),
        ];
        for (index, key) in keys.into_iter().enumerate() {
            assert_ne!(key, original, "{index}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_size_ends_and_time_and_not_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let write = |name: &str, bytes: &[u8], time| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
            key(&path)
        };
        let mut bytes = vec![7; 3 << 20];
        let original = write("a.gguf", &bytes, time);
        assert_eq!(write("b.gguf", &bytes, time), original);
        assert_ne!(write("a.gguf", &bytes, time + Duration::from_nanos(1)), original);
        assert_ne!(write("a.gguf", &bytes[1..], time), original);
        for place in [0, bytes.len() - 1] {
            bytes[place] ^= 1;
            assert_ne!(write("a.gguf", &bytes, time), original, "byte {place}");
            bytes[place] ^= 1;
        }
    }

    #[test]
    fn a_missing_file_has_no_key() {
        assert!(ModelFile::look(Path::new("/no/such/file")).is_err());
    }
}
