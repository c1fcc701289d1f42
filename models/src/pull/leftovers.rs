//! What pulls and imports leave behind that were broken off.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::package::SIDECAR;

/// How long a pull that was broken off may be taken up again.
const PULLS_KEPT: Duration = Duration::from_hours(14 * 24);
/// Nothing works that long on one file without writing to it.
const PARTS_KEPT: Duration = Duration::from_hours(24);

/// Removes what nobody will go on with: parts of pulls that were broken off long ago or belong to no
/// journal, and unfinished imports. What another process works on is left alone. Returns how many
/// files were removed. Blocking.
pub fn clear_leftovers(folder: &Path, now: SystemTime) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_leftover = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let age = fs::metadata(path).and_then(|facts| facts.modified());
        let age = age.ok().and_then(|then| now.duration_since(then).ok()).unwrap_or_default();
        match name.strip_prefix('.').and_then(|name| name.rsplit_once('.')) {
            Some((_, "part")) => age > PARTS_KEPT,
            // Fetched as a whole, and the daemon died before it was installed.
            Some((_, "package")) => age > PULLS_KEPT,
            Some((_, "pull")) => {
                let journal = path.with_extension("pull.journal");
                !journal.exists() || (is_old(&journal, now) && is_free(&journal))
            }
            Some((_, "journal")) => {
                let data = path.with_extension("");
                let is_of_a_pull = data.extension().is_some_and(|extension| extension == "pull");
                is_of_a_pull && (!data.exists() || is_old(path, now)) && is_free(path)
            }
            // Written beside a model while it gets its name.
            _ if name.ends_with(".origin.part") => age > PARTS_KEPT,
            // Of a version that never came.
            _ => name
                .strip_suffix(SIDECAR)
                .is_some_and(|model| age > PULLS_KEPT && !path.with_file_name(model).exists()),
        }
    };
    let leftovers: Vec<_> =
        entries.map(|entry| entry.path()).filter(|it| is_leftover(it)).collect();
    leftovers.iter().filter(|path| fs::remove_file(path).is_ok()).count()
}

fn is_old(journal: &Path, now: SystemTime) -> bool {
    let changed = fs::metadata(journal).and_then(|facts| facts.modified());
    let age = changed.ok().and_then(|then| now.duration_since(then).ok());
    age.is_some_and(|age| age > PULLS_KEPT)
}

/// Whether nobody works on it.
fn is_free(journal: &Path) -> bool {
    File::open(journal).is_ok_and(|journal| journal.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_what_nobody_goes_on_with_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "m.gguf",
            "m.gguf.origin.toml",
            "m.gguf.package.json",
            "gone@1.0.0.gguf.package.json",
            ".fetched.package",
            ".whole.gguf.pull",
            ".whole.gguf.pull.journal",
            ".orphan.gguf.pull",
            ".begun.gguf.pull.journal",
            ".import.gguf.part",
            ".hidden",
            "notes.part",
        ];
        for file in files {
            fs::write(dir.path().join(file), "x").unwrap();
        }
        let left = || {
            let mut left: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            left.sort();
            left
        };
        let soon = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(clear_leftovers(dir.path(), soon), 2);
        assert!(!left().contains(&".orphan.gguf.pull".to_owned()));
        assert!(!left().contains(&".begun.gguf.pull.journal".to_owned()));

        let locked = File::open(dir.path().join(".whole.gguf.pull.journal")).unwrap();
        locked.lock().unwrap();
        let late = SystemTime::now() + PULLS_KEPT + PARTS_KEPT;
        assert_eq!(clear_leftovers(dir.path(), late), 3, "import, package, what never came");
        drop(locked);
        assert_eq!(clear_leftovers(dir.path(), late), 2, "the pull");
        assert_eq!(
            left(),
            [".hidden", "m.gguf", "m.gguf.origin.toml", "m.gguf.package.json", "notes.part"]
        );
        assert_eq!(clear_leftovers(&dir.path().join("none"), late), 0);
    }
}
