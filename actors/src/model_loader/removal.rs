//! Removing the file of a model, and what came of one whose pull was broken off.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_models::catalog::{Catalog, Located, Unresolved};
use tandem_models::found::Roots;
use tandem_models::origin::Origin;
use tandem_models::package::Installed;
use tandem_models::pull;
use tandem_proto::v1::RemoveModelResponse;
use tokio::task::spawn_blocking;

use super::{ModelLoader, checked};
use crate::{Error, Result};

impl ModelLoader {
    /// Removes a model's file from the models directory, and what came of it in a pull that was broken
    /// off. Fails while engines host it.
    pub async fn remove(&self, id: &str, folder: PathBuf) -> Result<RemoveModelResponse> {
        let id = checked(id)?;
        let loaded: Vec<_> =
            self.workers().iter().map(|worker| PathBuf::from(&worker.facts().path)).collect();
        let roots = Arc::clone(&self.roots);
        let removed = spawn_blocking(move || remove(&id, &folder, &roots, &loaded)).await;
        removed.map_err(|error| Error::Internal { problem: error.to_string() })?
    }
}

/// Blocking.
fn remove(
    id: &str,
    folder: &Path,
    roots: &Roots,
    loaded: &[PathBuf],
) -> Result<RemoveModelResponse> {
    let path = match Catalog::load(folder).finding(roots).resolve(id, folder) {
        Ok(Located { found: Some(found), entry, .. }) => {
            // What came of it before the other program had it is tandem's own.
            let own = entry.map(|entry| folder.join(entry.file));
            let removed_bytes = own.as_deref().map(forget).transpose()?.flatten();
            return match removed_bytes.zip(own) {
                Some((removed_bytes, path)) => {
                    Ok(RemoveModelResponse { removed_bytes, path: path.display().to_string() })
                }
                None => Err(Error::invalid("id", found.belongs())),
            };
        }
        Ok(located) => {
            let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
            let is_model =
                located.path.extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf"))
                    && !located.path.file_name().is_some_and(is_hidden);
            if located.entry.is_none() && !is_model {
                return Err(Error::invalid("id", "is not the file of a model"));
            }
            located.path
        }
        Err(Unresolved::Absent { id, path }) => {
            let removed_bytes = forget(&path)?;
            // Of a file that is gone.
            drop(Origin::forget(&path).and(Installed::forget(&path)));
            let path = path.display().to_string();
            return match removed_bytes {
                Some(removed_bytes) => Ok(RemoveModelResponse { removed_bytes, path }),
                None => Err(Error::ModelAbsent { id, path }),
            };
        }
        Err(unknown) => {
            // A pull of a file that no catalog knows.
            let path = folder.join(id);
            let is_name = path.parent() == Some(folder) && path.file_name().is_some();
            let removed_bytes = if is_name { forget(&path)? } else { None };
            if removed_bytes.is_some() {
                drop(Installed::forget(&path));
            }
            return match removed_bytes {
                Some(removed_bytes) => {
                    Ok(RemoveModelResponse { removed_bytes, path: path.display().to_string() })
                }
                None => Err(unknown.into()),
            };
        }
    };
    if path.parent() != Some(folder) {
        let problem = format!(
            "{} is not in the models folder {}; remove it yourself",
            path.display(),
            folder.display()
        );
        return Err(Error::invalid("id", problem));
    }
    if loaded.contains(&path) {
        return Err(Error::ModelInUse { id: id.to_owned() });
    }
    let failed = |error: std::io::Error| Error::Invalid {
        field: "id".to_owned(),
        problem: format!("{} cannot be removed: {error}; check its permissions", path.display()),
    };
    // Of a link, what it takes itself.
    let removed_bytes = fs::symlink_metadata(&path).map_err(failed)?.len();
    fs::remove_file(&path).map_err(failed)?;
    Origin::forget(&path).and(Installed::forget(&path)).map_err(failed)?;
    forget(&path)?;
    Ok(RemoveModelResponse { removed_bytes, path: path.display().to_string() })
}

/// Removes what came of a file, and says how much it was.
fn forget(path: &Path) -> Result<Option<u64>> {
    let (Some(folder), Some(file)) = (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        return Ok(None);
    };
    let bytes = pull::unfinished_bytes(folder, file);
    Ok(pull::forget(folder, file)?.then_some(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_model_goes_with_all_that_belongs_to_it_unless_it_is_loaded_or_elsewhere() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = folder.path().join("m.gguf");
        fs::write(&file, "model").unwrap();
        let origin = Origin { source: "s".into(), sha256: "h".into(), size_bytes: 5 };
        origin.write(&file).unwrap();
        fs::write(folder.path().join(".m.gguf.pull"), "part").unwrap();
        let of =
            |id: &str, loaded: &[PathBuf]| remove(id, folder.path(), &Roots::default(), loaded);
        let in_use = of("m", std::slice::from_ref(&file)).unwrap_err();
        assert_eq!(in_use, Error::ModelInUse { id: "m".into() });
        assert_eq!(of("m", &[]).unwrap().removed_bytes, 5);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let elsewhere = other.path().join("n.gguf");
        fs::write(&elsewhere, "model").unwrap();
        let refused = of(&elsewhere.display().to_string(), &[]).unwrap_err();
        assert!(refused.to_string().contains("is not in the models folder"), "{refused}");
        assert!(elsewhere.exists());
        assert!(matches!(of("m", &[]), Err(Error::ModelNotFound { .. })));
        assert!(matches!(of("..", &[]), Err(Error::ModelNotFound { .. })));
        assert!(matches!(of("smollm2-135m-instruct", &[]), Err(Error::ModelAbsent { .. })));
    }

    #[test]
    fn what_came_of_a_pull_that_was_broken_off_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        for (file, id) in
            [("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"), ("own.gguf", "own.gguf")]
        {
            fs::write(folder.path().join(format!(".{file}.pull")), "part").unwrap();
            remove(id, folder.path(), &Roots::default(), &[]).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{id}");
        }
    }

    #[test]
    fn a_model_of_another_program_is_left_to_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = other.path().join("p/r/m.gguf");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "model").unwrap();
        let roots = Roots { lm_studio: vec![other.path().to_owned()], ..Roots::default() };
        let text = "[[models]]\nid = 'm'\nname = 'M'\nfile = 'm.gguf'\nsources = ['hf:p/r/m.gguf']";
        fs::write(folder.path().join("catalog.toml"), text).unwrap();
        for id in ["lmstudio:p/r/m.gguf", "m"] {
            let refused = remove(id, folder.path(), &roots, &[]).unwrap_err().to_string();
            assert!(refused.contains("belongs to LM Studio"), "{refused}");
        }
        assert!(file.exists());
        fs::write(folder.path().join(".m.gguf.pull"), "part").unwrap();
        remove("m", folder.path(), &roots, &[]).unwrap();
        assert!(file.exists() && !folder.path().join(".m.gguf.pull").exists());
    }
}
