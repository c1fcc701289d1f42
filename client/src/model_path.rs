//! Models named by a path: relative ones count from here, not from where the daemon was started.

use std::path::{Path, absolute};

use tandem_client::Error;

use crate::failure::Failure;

/// The model as the daemon understands it: an id as it is, a path from the root.
///
/// What has a slash is a path, and must be that of a file. What only ends in `.gguf` is a path when
/// there is such a file, and else a name in the models directory.
pub(crate) fn resolve(model: String) -> Result<String, Failure> {
    let path = Path::new(&model);
    let is_path = model.contains('/');
    let is_file = path.extension().is_some_and(|extension| extension == "gguf");
    if path.is_absolute() || !(is_path || is_file) {
        return Ok(model);
    }
    let absolute = absolute(path).map_err(Failure::Output)?;
    if absolute.exists() {
        Ok(absolute.to_string_lossy().into_owned())
    } else if is_path {
        let message = format!("no such file: {}", absolute.display());
        let reason = tandem_proto::error::MODEL_NOT_FOUND.into();
        Err(Error::Failed { reason, message, retry_after: None }.into())
    } else {
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_and_absolute_paths_are_left_as_they_are() {
        for model in ["smollm2", "absent.gguf", "/absent/x.gguf"] {
            assert_eq!(resolve(model.into()).unwrap(), model);
        }
    }

    #[test]
    fn relative_paths_count_from_here_and_must_exist() {
        // Tests run in the folder of the crate.
        let here = std::env::current_dir().unwrap();
        let found = resolve("./src/main.rs".into()).unwrap();
        assert_eq!(Path::new(&found), here.join("src/main.rs"));
        let failure = resolve("absent/x.gguf".into()).unwrap_err();
        let expected = format!("no such file: {}", here.join("absent/x.gguf").display());
        assert_eq!((failure.to_string(), failure.exit_code()), (expected, 1));
    }
}
