//! The names by which models that are hosted were asked for, so that they need not be looked up
//! again on disk.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Names that are remembered; the oldest is forgotten first.
const NAMES_MAX: usize = 64;

/// Names that differ from the models' ids, and the files that they mean.
#[derive(Debug, Default)]
pub(super) struct Names(VecDeque<(String, PathBuf)>);

impl Names {
    /// The file that a name means.
    pub(super) fn file(&self, name: &str) -> Option<&Path> {
        let known = self.0.iter().find(|(known, _)| known == name);
        known.map(|(_, file)| file.as_path())
    }

    /// Remembers a name. The same in another case is looked up again: it may be an id.
    pub(super) fn learn(&mut self, name: &str, file: &Path) {
        if self.file(name) == Some(file) {
            return;
        }
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        if self.0.len() == NAMES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((name.to_owned(), file.to_owned()));
    }

    /// Forgets the names of a file that is not hosted any more: they may mean another one next time.
    pub(super) fn forget(&mut self, file: &Path) {
        self.0.retain(|(_, known)| known != file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_names_are_remembered_and_those_of_a_file_forgotten_together() {
        let mut names = Names::default();
        let (a, b) = (Path::new("a.gguf"), Path::new("b.gguf"));
        names.learn("first", a);
        for number in 1..NAMES_MAX {
            names.learn(&number.to_string(), b);
        }
        names.learn("first", a);
        assert_eq!(names.file("first"), Some(a));
        names.learn("one more", a);
        assert_eq!(
            (names.file("first"), names.file("1"), names.file("one more")),
            (None, Some(b), Some(a))
        );
        names.learn("1", a);
        assert_eq!(names.file("1"), Some(a));
        names.forget(b);
        assert_eq!((names.file("2"), names.file("1"), names.0.len()), (None, Some(a), 2));
        names.learn("One More", b);
        assert_eq!((names.file("One More"), names.file("one more")), (Some(b), None));
    }
}
