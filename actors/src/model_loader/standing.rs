//! What is known of models by everyone who holds the loader: which one is the default, which stay
//! loaded, and what was wrong with those that could not be used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Models whose problem is remembered.
const PROBLEMS_MAX: usize = 64;

/// Outlives the loader's actor.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The default model of the settings.
    settings: String,
    /// The default model that was chosen instead.
    chosen: Option<String>,
    /// The file that the default model was found in last.
    default_file: Option<PathBuf>,
    pinned: BTreeSet<PathBuf>,
    problems: BTreeMap<PathBuf, String>,
    /// A smaller model answers in place of the default one.
    covered: bool,
    stand_in: Option<StandIn>,
    /// What the next one who asks the default model is to hear.
    news: Option<String>,
}

/// Who answers in place of a default model that could not be used a moment ago.
#[derive(Debug)]
struct StandIn {
    model: String,
    why: String,
    until: Instant,
}

impl Standing {
    /// Name of the default model, in the one place where that is known.
    pub(super) fn default_model(&self) -> String {
        let inner = self.inner();
        inner.chosen.as_ref().unwrap_or(&inner.settings).clone()
    }

    /// The default model of the settings, which is the default where no other was chosen.
    pub(super) fn settings_default(&self) -> String {
        self.inner().settings.clone()
    }

    /// Takes the settings' default model, unless newer settings were taken before.
    pub(super) fn begin(&self, settings: &str, chosen: Option<&str>) {
        let mut inner = self.inner();
        if inner.settings.is_empty() {
            settings.clone_into(&mut inner.settings);
        }
        inner.chosen = chosen.map(str::to_owned);
    }

    /// Takes a new default model of the settings.
    pub(super) fn follow_settings(&self, default: String) {
        self.inner().settings = default;
    }

    /// Makes another model the default; `None`: that of the settings.
    pub(super) fn choose(&self, chosen: Option<String>) {
        self.inner().chosen = chosen;
    }

    /// Takes down where the default model was found.
    pub(super) fn found_default(&self, file: &Path) {
        let mut inner = self.inner();
        inner.default_file = Some(file.to_owned());
        // It is there again.
        inner.stand_in = None;
    }

    /// Whether the default model was found in this file last.
    pub(super) fn is_default_file(&self, file: &Path) -> bool {
        self.inner().default_file.as_deref() == Some(file)
    }

    pub(super) fn pin(&self, file: &Path) {
        self.inner().pinned.insert(file.to_owned());
    }

    /// False when it was not pinned.
    pub(super) fn unpin(&self, file: &Path) -> bool {
        self.inner().pinned.remove(file)
    }

    pub(super) fn is_pinned(&self, file: &Path) -> bool {
        self.inner().pinned.contains(file)
    }

    /// Why the model in this file could not be used when it was tried last.
    pub(super) fn problem(&self, file: &Path) -> Option<String> {
        self.inner().problems.get(file).cloned()
    }

    /// The model in this file could not be used.
    pub(super) fn blame(&self, file: &Path, problem: String) {
        let problems = &mut self.inner().problems;
        if problems.len() >= PROBLEMS_MAX {
            problems.pop_first();
        }
        problems.insert(file.to_owned(), problem);
    }

    /// The model in this file is tried again.
    pub(super) fn forgive(&self, file: &Path) {
        self.inner().problems.remove(file);
    }

    /// Who stands in for the default model, and why.
    pub(super) fn stand_in(&self, now: Instant) -> Option<(String, String)> {
        let mut inner = self.inner();
        inner.stand_in.take_if(|it| it.until <= now);
        inner.stand_in.as_ref().map(|it| (it.model.clone(), it.why.clone()))
    }

    /// Takes down who stands in for the default model.
    pub(super) fn let_stand_in(&self, model: &str, why: &str, until: Instant) {
        let (model, why) = (model.to_owned(), why.to_owned());
        self.inner().stand_in = Some(StandIn { model, why, until });
    }

    /// Whether a smaller model answers in place of the default one.
    pub(super) fn cover(&self, covered: bool) {
        self.inner().covered = covered;
    }

    pub(super) fn is_covered(&self) -> bool {
        self.inner().covered
    }

    /// Something to be said once to who asks next.
    pub(super) fn announce(&self, news: String) {
        self.inner().news = Some(news);
    }

    /// What is to be said, if it was not said before.
    pub(super) fn take_news(&self) -> Option<String> {
        self.inner().news.take()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_comes_before_the_settings_and_newer_settings_outlive_the_loader() {
        let standing = Standing::default();
        standing.begin("a", None);
        assert_eq!(standing.default_model(), "a");
        standing.choose(Some("b".to_owned()));
        standing.follow_settings("c".to_owned());
        assert_eq!(standing.default_model(), "b");
        standing.begin("a", None);
        assert_eq!(standing.default_model(), "c");
    }

    #[test]
    fn problems_are_remembered_for_so_many_models_and_forgiven() {
        let standing = Standing::default();
        let file = |number: usize| PathBuf::from(format!("{number:03}.gguf"));
        for number in 0..=PROBLEMS_MAX {
            standing.blame(&file(number), "is damaged".to_owned());
        }
        assert_eq!(standing.problem(&file(0)), None);
        assert!(standing.problem(&file(PROBLEMS_MAX)).is_some());
        standing.forgive(&file(PROBLEMS_MAX));
        assert_eq!(standing.problem(&file(PROBLEMS_MAX)), None);
    }

    #[test]
    fn a_stand_in_answers_for_a_while_or_until_the_default_model_is_found() {
        let (standing, now) = (Standing::default(), Instant::now());
        let until = now + std::time::Duration::from_secs(1);
        standing.let_stand_in("b", "a is damaged", until);
        let known = Some(("b".to_owned(), "a is damaged".to_owned()));
        assert_eq!(standing.stand_in(now), known);
        assert_eq!(standing.stand_in(until), None);
        standing.let_stand_in("b", "a is damaged", until);
        standing.found_default(Path::new("a.gguf"));
        assert_eq!(standing.stand_in(now), None);
    }

    #[test]
    fn news_are_said_once() {
        let standing = Standing::default();
        standing.announce("b answers".to_owned());
        assert_eq!(standing.take_news().as_deref(), Some("b answers"));
        assert_eq!(standing.take_news(), None);
    }
}
