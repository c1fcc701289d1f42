//! Comparing a model's file with what it should be.

use std::path::Path;
use std::sync::{Arc, Weak};

use tandem_models::catalog::{Catalog, Located};
use tandem_models::found::Roots;
use tandem_models::gguf;
use tandem_models::origin::{Origin, sha256};
use tandem_models::versions::Versions;
use tandem_proto::v1::{KnownFrom, VerifyModelResponse};
use tokio::task::spawn_blocking;

use super::{ModelLoader, checked};
use crate::{Error, Result};

impl ModelLoader {
    /// Hashes a model's file and compares it with what the catalog knows, or with what came when it was
    /// fetched. An empty id means the default model. One file is verified at a time.
    pub async fn verify(
        &self,
        id: &str,
        models: &tandem_config::Models,
    ) -> Result<VerifyModelResponse> {
        let id = if id.is_empty() { self.default_model() } else { checked(id)? };
        let _turn = self.verifications.acquire().await.map_err(|_| Error::ShuttingDown)?;
        let (folder, roots) = (models.dir.clone(), Arc::clone(&self.roots));
        // Goes when the caller does, and the thread with it.
        let wanted = Arc::new(());
        let still = Arc::downgrade(&wanted);
        let verified = spawn_blocking(move || verify(&id, &folder, &roots, &still)).await;
        let verified =
            verified.map_err(|error| Error::Internal { problem: error.to_string() })??;
        if verified.known_from() != KnownFrom::Unspecified
            && let Some(known) = self.known_performance(&verified.path)
        {
            known.set_verified(verified.problem.is_empty());
        }
        Ok(verified)
    }
}

/// Blocking.
fn verify(
    id: &str,
    folder: &Path,
    roots: &Roots,
    wanted: &Weak<()>,
) -> Result<VerifyModelResponse> {
    let catalog = Catalog::load(folder).finding(roots);
    let Located { id, path, entry, found } = Versions::load(folder).resolve(&catalog, id)?;
    let invalid = |problem: String| Error::ModelInvalid { id: id.clone(), problem };
    let header = gguf::read(&path);
    let hash = sha256(&path, &mut |_| wanted.strong_count() > 0);
    let hash = hash.map_err(|error| invalid(format!("the file cannot be read: {error}")))?;
    let sha256 = hash.ok_or_else(|| Error::Cancelled { reason: "nobody waits".to_owned() })?;
    let in_catalog = entry.map(|entry| entry.sha256).filter(|hash| !hash.is_empty());
    let told = match &found {
        Some(found) => found.sha256.clone().map(|hash| (hash, KnownFrom::Keeper)),
        None => Origin::of(&path).map(|origin| (origin.sha256, KnownFrom::FirstPull)),
    };
    let known = in_catalog.map(|hash| (hash, KnownFrom::Catalog)).or(told);
    let (expected_sha256, known_from) = known.unwrap_or_default();
    let remedy = match &found {
        Some(found) => found.remedy(),
        None => format!("remove it with `tandem model rm {id}` and pull it again"),
    };
    let problem = match header {
        Err(problem) => problem.to_string(),
        Ok(_) if known_from != KnownFrom::Unspecified && expected_sha256 != sha256 => {
            format!("the file is damaged or another one; {remedy}")
        }
        Ok(_) => String::new(),
    };
    let size_bytes = std::fs::metadata(&path).map_or(0, |facts| facts.len());
    let path = path.display().to_string();
    let known_from = known_from.into();
    Ok(VerifyModelResponse { id, path, size_bytes, sha256, expected_sha256, known_from, problem })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use tandem_models::gguf::{Kind, Writer};

    use super::*;

    fn model() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.text("general.architecture", "llama");
        for key in ["context_length", "block_count", "embedding_length"] {
            writer.number(&format!("llama.{key}"), 32);
        }
        writer.texts("tokenizer.ggml.tokens", &["a".to_owned()]);
        writer.tensor("t", &[8], Kind::F32, 32);
        [writer.finish(), vec![7; 32]].concat()
    }

    #[test]
    fn a_file_is_compared_with_the_catalog_or_with_what_came_first() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Arc::new(());
        let path = folder.path().to_owned();
        let roots = Roots::default();
        let of = |id: &str| verify(id, &path, &roots, &Arc::downgrade(&wanted)).unwrap();
        let file = path.join("own.gguf");
        fs::write(&file, model()).unwrap();
        let unknown = of("own");
        assert_eq!((unknown.known_from(), unknown.problem.as_str()), (KnownFrom::Unspecified, ""));

        let sha256 = unknown.sha256;
        let size_bytes = unknown.size_bytes;
        Origin { source: "s".into(), sha256: sha256.clone(), size_bytes }.write(&file).unwrap();
        let same = of("own");
        assert_eq!((same.known_from(), same.problem.as_str()), (KnownFrom::FirstPull, ""));
        let mut damaged = model();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&file, damaged).unwrap();
        assert!(of("own").problem.contains("damaged"));
        fs::write(&file, "no model").unwrap();
        assert!(of("own").problem.contains("not a GGUF file"));

        fs::write(path.join("SmolLM2-135M-Instruct.Q4_1.gguf"), model()).unwrap();
        let other = of("smollm2-135m-instruct");
        assert_eq!((other.known_from(), other.sha256), (KnownFrom::Catalog, sha256));
        assert!(other.problem.contains("another one"), "{}", other.problem);
        drop(wanted);
        let gone = verify("own", &path, &roots, &Weak::new()).unwrap_err();
        assert!(matches!(gone, Error::Cancelled { .. }), "{gone}");
    }

    #[test]
    fn a_file_of_ollama_is_compared_with_the_hash_in_its_name() {
        let home = tempfile::tempdir().unwrap();
        let (folder, ollama) = (home.path().join("models"), home.path().join("ollama"));
        let manifest = ollama.join("manifests/registry.ollama.ai/library/tiny/latest");
        let digits = "a".repeat(64);
        let layer = format!(
            r#"{{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:{digits}"}}"#
        );
        fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        fs::write(manifest, format!(r#"{{"layers": [{layer}]}}"#)).unwrap();
        fs::create_dir(ollama.join("blobs")).unwrap();
        fs::write(ollama.join(format!("blobs/sha256-{digits}")), model()).unwrap();
        let roots = Roots { ollama: vec![ollama], ..Roots::default() };
        let wanted = Arc::new(());
        let verified = verify("ollama:tiny", &folder, &roots, &Arc::downgrade(&wanted)).unwrap();
        assert_eq!((verified.known_from(), verified.expected_sha256), (KnownFrom::Keeper, digits));
        assert!(verified.problem.ends_with("fetch it again with Ollama"), "{}", verified.problem);
    }
}
