//! The model that made a collection's embeddings. It is known by what is in its file, as vectors of
//! different models cannot be compared and files get other names and places.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tandem_knowledge::EmbeddingSpace;
use tandem_proto::v1::Model;

use super::blocking;
use crate::model_loader::ModelLoader;
use crate::{Error, Result};

/// Pieces of a file that its fingerprint is made of, and the bytes of each. Two models differ all over;
/// reading gigabytes would show no more.
const PIECES: u64 = 64;
const PIECE_BYTES: u64 = 64 << 10;
/// Models whose places are remembered.
const KNOWN_MAX: usize = 64;

/// What makes the embeddings of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Maker {
    /// What the index was made with. The model's name is the one that it had then.
    #[serde(flatten)]
    pub(super) space: EmbeddingSpace,
    /// Of the model's file; cards that were written without have none, and go by the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
}

/// Where models were found, by their fingerprints.
#[derive(Debug, Clone, Default)]
pub(super) struct Whereabouts(Arc<Mutex<HashMap<String, Found>>>);

#[derive(Debug, Clone)]
struct Found {
    id: String,
    path: PathBuf,
    look: Look,
}

/// What tells a file from one that took its place: device, inode, length, and when it was changed.
type Look = [u64; 5];

impl Whereabouts {
    /// The id of the model that made these embeddings, whatever it is called now.
    pub(super) async fn find(&self, loader: &ModelLoader, maker: &Maker) -> Result<String> {
        let space = &maker.space;
        let Some(wanted) = maker.fingerprint.clone() else { return Ok(space.model.clone()) };
        if let Some(id) = self.where_it_was(&wanted).await? {
            return Ok(id);
        }
        // It is most likely what it was called then.
        let hinted = loader.info(&space.model).await.ok().into_iter().collect();
        if let Some(id) = self.one_of(hinted, &wanted, space.dimensions).await? {
            return Ok(id);
        }
        let found = self.one_of(loader.list().await?, &wanted, space.dimensions).await?;
        found.ok_or_else(|| maker.gone())
    }

    async fn where_it_was(&self, wanted: &str) -> Result<Option<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(wanted).cloned();
        let Some(Found { id, path, look: before }) = known else { return Ok(None) };
        let now = blocking(move || fs::metadata(path).map(|it| look(&it))).await?;
        Ok(now.is_ok_and(|now| now == before).then_some(id))
    }

    /// Which of these models it is. One that cannot be read is not it.
    async fn one_of(
        &self,
        models: Vec<Model>,
        wanted: &str,
        dimensions: usize,
    ) -> Result<Option<String>> {
        let wanted = wanted.to_owned();
        let find = move || {
            let suits = |model: &Model| model.embedding_dimensions as usize == dimensions;
            models.into_iter().filter(suits).find_map(|Model { id, path, .. }| {
                let path = PathBuf::from(path);
                let look = look(&fs::metadata(&path).ok()?);
                let it_is = fingerprint(&path).is_ok_and(|it| it == wanted);
                it_is.then_some((wanted.clone(), Found { id, path, look }))
            })
        };
        let Some((wanted, found)) = blocking(find).await? else { return Ok(None) };
        let id = found.id.clone();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(wanted, found);
        Ok(Some(id))
    }
}

impl Maker {
    /// The model in this file, which makes embeddings of this space.
    pub(super) async fn of(space: EmbeddingSpace, path: &str) -> Result<Self> {
        let path = PathBuf::from(path);
        let fingerprint = blocking(move || fingerprint(&path)).await?;
        let fingerprint = fingerprint.map_err(|error| Error::ModelInvalid {
            id: space.model.clone(),
            problem: format!("its file cannot be read: {error}"),
        })?;
        Ok(Self { space, fingerprint: Some(fingerprint) })
    }

    /// What is said when its model is not to be found.
    pub(super) fn gone(&self) -> Error {
        let EmbeddingSpace { model, dimensions } = self.space.clone();
        Error::EmbeddingModelGone { model, dimensions }
    }

    /// Itself with a fingerprint, when it has none and its model is still where it was.
    pub(super) async fn known_better(&self, loader: &ModelLoader) -> Option<Self> {
        if self.fingerprint.is_some() {
            return None;
        }
        let model = loader.info(&self.space.model).await.ok()?;
        let same = model.embedding_dimensions as usize == self.space.dimensions;
        if same { Self::of(self.space.clone(), &model.path).await.ok() } else { None }
    }
}

fn look(file: &fs::Metadata) -> Look {
    [
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime().cast_unsigned(),
        file.mtime_nsec().cast_unsigned(),
    ]
}

/// Tells what is in a file from what is in any other, in lower-case hexadecimal.
fn fingerprint(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut digest = Sha256::new().chain_update(length.to_le_bytes());
    let mut piece = vec![0; usize::try_from(length.min(PIECE_BYTES)).unwrap_or_default()];
    // The first piece begins the file and the last one ends it.
    let step = length.saturating_sub(PIECE_BYTES).div_ceil(PIECES - 1);
    for number in 0..PIECES {
        let at = (number * step).min(length.saturating_sub(PIECE_BYTES));
        file.read_exact_at(&mut piece, at)?;
        digest.update(&piece);
    }
    let digest = digest.finalize();
    Ok(digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_fingerprint_is_of_what_is_in_the_file_and_not_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            fingerprint(&path).unwrap()
        };
        let model: Vec<u8> =
            (0_u32..3 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let of_model = write("model.gguf", &model);
        assert_eq!(write("moved.gguf", &model), of_model);
        for at in [0, model.len() / 2, model.len() - 1] {
            let mut other = model.clone();
            other[at] ^= 1;
            assert_ne!(write("other.gguf", &other), of_model, "byte {at}");
        }
        assert_ne!(write("longer.gguf", &[&model[..], &[0]].concat()), of_model);
        assert_ne!(write("empty.gguf", b""), write("small.gguf", b"small"));
    }

    #[tokio::test]
    async fn a_model_is_found_under_another_name_and_not_mistaken_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let model = |name: &str, dimensions| Model {
            id: name.to_owned(),
            path: dir.path().join(name).display().to_string(),
            embedding_dimensions: dimensions,
            ..Model::default()
        };
        fs::write(dir.path().join("a"), "the model").unwrap();
        fs::write(dir.path().join("b"), "another one").unwrap();
        let space = EmbeddingSpace { model: "a".to_owned(), dimensions: 3 };
        let maker = Maker::of(space, &model("a", 3).path).await.unwrap();
        let wanted = maker.fingerprint.unwrap();
        let whereabouts = Whereabouts::default();
        fs::rename(dir.path().join("a"), dir.path().join("c")).unwrap();
        let all = || vec![model("a", 3), model("b", 3), model("c", 3)];
        assert_eq!(whereabouts.one_of(all(), &wanted, 3).await.unwrap().as_deref(), Some("c"));
        assert_eq!(whereabouts.one_of(vec![model("c", 4)], &wanted, 3).await.unwrap(), None);
        assert_eq!(whereabouts.where_it_was(&wanted).await.unwrap().as_deref(), Some("c"));
        fs::write(dir.path().join("c"), "something else").unwrap();
        assert_eq!(whereabouts.where_it_was(&wanted).await.unwrap(), None);
        assert_eq!(whereabouts.one_of(all(), &wanted, 3).await.unwrap(), None);
    }

    #[test]
    fn a_card_that_knows_only_the_name_is_read() {
        let kept = r#"{"model": "/models/a.gguf", "dimensions": 384}"#;
        let maker: Maker = serde_json::from_str(kept).unwrap();
        assert_eq!((maker.space.dimensions, maker.fingerprint.clone()), (384, None));
        let known = Maker { fingerprint: Some("ab".to_owned()), ..maker };
        let kept = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Maker>(&kept).unwrap(), known);
        // Who knows no fingerprints reads it, too.
        assert_eq!(serde_json::from_str::<EmbeddingSpace>(&kept).unwrap(), known.space);
    }
}
