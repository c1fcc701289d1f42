//! Files of questions, scores and weights, with errors that name file and line.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use tandem_router::{Scorer, dataset::DatasetError};

use crate::failure::Failure;

/// Reads a file; `-` is standard input.
pub(super) fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, DatasetError>,
) -> Result<T, Failure> {
    let mut text = String::new();
    let outcome = if path.as_os_str() == "-" {
        io::stdin().lock().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(path).map(|content| text = content)
    };
    outcome.map_err(|error| unreadable(path, &error))?;
    parse(&text).map_err(|error| unusable(path, &error.to_string()))
}

/// The scorer of a file, or the one that comes with tandem.
pub(super) fn read_scorer(path: Option<&Path>) -> Result<Scorer, Failure> {
    let Some(path) = path else { return Ok(Scorer::shipped().clone()) };
    let file = fs::read(path).map_err(|error| unreadable(path, &error))?;
    Scorer::read(&file).map_err(|error| unusable(path, &error.to_string()))
}

/// Writes a file. It gets its name when it is whole.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut partial = OsString::from(path);
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let named = |error: io::Error| {
        Failure::Output(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    // What is no plain file, such as /dev/stdout, cannot be replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(path, content).map_err(named);
    }
    fs::write(&partial, content).and_then(|()| fs::rename(&partial, path)).map_err(named)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()), "name a file that can be read")
}

fn unusable(path: &Path, problem: &str) -> Failure {
    let hint = "`tandem router --help` shows what files hold";
    Failure::usage(format!("{}: {problem}", path.display()), hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_router::dataset;

    use super::*;

    #[test]
    fn an_error_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        fs::write(&path, "{\"id\":\"a\",\"prompt\":\"p\"}\nnonsense\n").unwrap();
        let error = read(&path, dataset::prompts).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: line 2: ", path.display())), "{error}");
        let missing = read(&folder.path().join("none"), dataset::prompts).unwrap_err();
        assert_eq!(missing.exit_code(), 2);
    }

    #[test]
    fn weights_that_are_none_are_refused_and_written_ones_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "nonsense").unwrap();
        let error = read_scorer(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("no file of router weights"), "{error}");
        write(&path, &Scorer::untrained().write()).unwrap();
        assert_eq!(read_scorer(Some(&path)).unwrap(), Scorer::untrained());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
