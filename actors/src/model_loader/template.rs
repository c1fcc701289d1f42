//! Chat templates that are files of their own, for models whose own is missing or wrong.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use tandem_models::catalog::{Entry, distance};

/// Longest template in bytes, which is what an engine takes.
const BYTES_MAX: u64 = 256 << 10;
const EXTENSION: &str = "jinja";
/// Templates that the error about an unknown one names, the most similar first.
const KNOWN_MAX: usize = 10;

/// The template that takes the place of a model's own, if one does: the one that it came with, or the
/// one in `folder` that the catalog names. Fails with a sentence about what is wrong. Blocking.
pub(super) fn of(entry: Option<&Entry>, folder: &Path) -> Result<Option<String>, String> {
    let Some(entry) = entry else { return Ok(None) };
    match (&entry.template_text, &entry.template) {
        (Some(text), _) => Ok(Some(text.clone())),
        (None, Some(name)) => read(folder, name).map(Some),
        (None, None) => Ok(None),
    }
}

/// The template `name` in `folder`, or a sentence about what is wrong. Blocking.
fn read(folder: &Path, name: &str) -> Result<String, String> {
    let path = folder.join(format!("{name}.{EXTENSION}"));
    // A name that leads out of the folder is none of its templates.
    let known = known(folder);
    if !known.iter().any(|known| known == name) {
        return Err(unknown(folder, name, known));
    }
    let unusable = |problem: String| format!("its chat template {}: {problem}", path.display());
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unusable(error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(unusable(format!("is larger than {BYTES_MAX} bytes")));
    }
    let template = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8".to_owned()))?;
    if template.trim().is_empty() {
        return Err(unusable("is empty".to_owned()));
    }
    Ok(template)
}

fn known(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let templates = files.filter(|path| path.is_file()).filter_map(|path| {
        let is_template = path.extension().is_some_and(|extension| extension == EXTENSION);
        is_template.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
    });
    templates.collect()
}

fn unknown(folder: &Path, name: &str, mut known: Vec<String>) -> String {
    let name: String = name.chars().take(200).collect();
    let folder = folder.display();
    if known.is_empty() {
        return format!(
            "its catalog entry names the chat template {name:?}, and there is none in {folder}; \
             write {name}.{EXTENSION} there or take `template` out of the entry"
        );
    }
    known.sort();
    known.sort_by_cached_key(|known| distance(known, &name));
    known.truncate(KNOWN_MAX);
    format!(
        "its catalog entry names the chat template {name:?}, which is not in {folder}; there are: {}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn a_template_is_found_by_its_name() {
        let folder = folder(&[("my.chatml.jinja", b"{{ messages }}\n")]);
        assert_eq!(read(folder.path(), "my.chatml").unwrap(), "{{ messages }}\n");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones_closest_first() {
        let folder = folder(&[("llama.jinja", b"x"), ("chatml.jinja", b"x"), ("notes.txt", b"x")]);
        let problem = read(folder.path(), "chatlm").unwrap_err();
        assert!(problem.ends_with("there are: chatml, llama"), "{problem}");
        let problem = read(&folder.path().join("absent"), "chatlm").unwrap_err();
        assert!(problem.contains("there is none in"), "{problem}");
    }

    #[test]
    fn names_do_not_lead_out_of_the_folder() {
        let folder = folder(&[("out.jinja", b"x")]);
        let inner = folder.path().join("templates");
        fs::create_dir(&inner).unwrap();
        for name in ["../out", "", "/etc/passwd", "."] {
            assert!(read(&inner, name).unwrap_err().contains("there is none in"), "{name}");
        }
    }

    #[test]
    fn files_that_are_no_templates_are_refused() {
        let large = vec![b'x'; usize::try_from(BYTES_MAX).unwrap() + 1];
        for (content, problem) in
            [(&large[..], "is larger than"), (b"\xff", "is not UTF-8"), (b" \n", "is empty")]
        {
            let folder = folder(&[("t.jinja", content)]);
            let found = read(folder.path(), "t").unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
        let folder = folder(&[("t.jinja", &large[1..])]);
        assert_eq!(read(folder.path(), "t").unwrap().len() as u64, BYTES_MAX);
    }
}
