//! Outcomes of variants and verdicts on turns, in sled.

use std::collections::HashMap;
use std::ops::Bound;

use tandem_proto::v1::{Feedback, Outcomes, Turn, VariantName};

use super::{Changes, Database, check_page_size, codec, decode, key, unreadable};
use crate::experiments::{Outcome, add, verdict};
use crate::{Error, Result};

const PAGE_SIZE_DEFAULT: u32 = 100;
/// Longest id of a turn.
const ID_BYTES_MAX: usize = 64;

impl Database {
    pub(in crate::memory_store) fn record_outcome(&mut self, outcome: &Outcome) -> Result<()> {
        let mut batch = Changes::default();
        for variant in &outcome.variants {
            let mut outcomes = self.outcomes_of(variant)?;
            add(&mut outcomes, outcome);
            batch.insert(key::outcomes(variant), codec::encode(&outcomes));
        }
        self.apply(batch)
    }

    pub(in crate::memory_store) fn outcomes(&self) -> Result<Vec<(VariantName, Outcomes)>> {
        let mut all = Vec::new();
        for entry in self.sled.scan_prefix(key::OUTCOMES) {
            let (key, value) = entry.map_err(unreadable)?;
            let Some(variant) = key::read_outcomes(&key) else { continue };
            let what = format!("variant {:?} of {:?}", variant.variant, variant.experiment);
            all.push((variant, decode(&what, &value)?));
        }
        Ok(all)
    }

    /// Verdict and counts change together, or not at all.
    pub(in crate::memory_store) fn record_feedback(&mut self, feedback: Feedback) -> Result<()> {
        if feedback.turn_id.is_empty() || feedback.turn_id.len() > ID_BYTES_MAX {
            return Err(Error::invalid("turn_id", "is not the id of a turn"));
        }
        let key = key::feedback(&feedback.turn_id);
        let before = self.sled.get(&key).map_err(unreadable)?;
        let before: Option<Feedback> = before
            .map(|value| decode(&format!("the verdict on turn {}", feedback.turn_id), &value))
            .transpose()?;
        // A turn of an earlier life of the daemon is not known to be part of anything any more.
        let variants = match &before {
            Some(before) => before.variants.clone(),
            None => feedback.variants.clone(),
        };
        let old = before.map(|before| before.verdict()).unwrap_or_default();
        let mut batch = Changes::default();
        for variant in &variants {
            let mut outcomes = self.outcomes_of(variant)?;
            verdict(&mut outcomes, old, feedback.verdict());
            batch.insert(key::outcomes(variant), codec::encode(&outcomes));
        }
        let kept = Feedback {
            variants,
            created: Some(feedback.created.unwrap_or_else(|| self.now())),
            prompt: String::new(),
            ..feedback
        };
        batch.insert(key, codec::encode(&kept));
        self.apply(batch)
    }

    pub(in crate::memory_store) fn list_feedback(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<Feedback>, String)> {
        let page_size = check_page_size(page_size, PAGE_SIZE_DEFAULT)?;
        let from = match page_token {
            "" => Bound::Included(key::FEEDBACK.to_vec()),
            token => Bound::Excluded(key::feedback(token)),
        };
        let mut page: Vec<Feedback> = Vec::new();
        let mut turns = HashMap::new();
        let entries = self.sled.range((from, Bound::Excluded(key::FEEDBACK_TO.to_vec())));
        for entry in entries {
            let (_, value) = entry.map_err(unreadable)?;
            if page.len() == page_size as usize {
                let last = page.last().map(|last| last.turn_id.clone());
                return Ok((page, last.unwrap_or_default()));
            }
            let mut feedback: Feedback = decode("a verdict", &value)?;
            if !feedback.private && !feedback.conversation_id.is_empty() {
                let id = feedback.conversation_id.clone();
                // A conversation that was deleted takes its questions with it.
                let turns: &mut Vec<Turn> = turns
                    .entry(id)
                    .or_insert_with_key(|id| self.recent_turns(id, usize::MAX).unwrap_or_default());
                let turn = turns.iter().find(|turn| turn.id == feedback.turn_id && !turn.private);
                feedback.prompt = turn.map(|turn| turn.prompt.clone()).unwrap_or_default();
            }
            page.push(feedback);
        }
        Ok((page, String::new()))
    }

    fn outcomes_of(&self, variant: &VariantName) -> Result<Outcomes> {
        let value = self.sled.get(key::outcomes(variant)).map_err(unreadable)?;
        let what = format!("variant {:?} of {:?}", variant.variant, variant.experiment);
        value.map_or_else(|| Ok(Outcomes::default()), |value| decode(&what, &value))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use tandem_proto::v1::{Policy, Track, Verdict};

    use super::super::SystemSource;
    use super::*;
    use crate::experiments::OutcomeAnswer;

    fn open(dir: &tempfile::TempDir) -> Database {
        Database::open(dir.path(), Box::new(SystemSource)).ok().unwrap()
    }

    fn b() -> VariantName {
        VariantName { experiment: "x".to_owned(), variant: "b".to_owned() }
    }

    fn answered() -> Outcome {
        let answer = OutcomeAnswer {
            track: Track::Fast,
            fell_back: false,
            first_token: Duration::from_millis(10),
            total: Duration::from_millis(100),
            cost_micros: None,
        };
        Outcome { variants: vec![b()], answer: Some(answer) }
    }

    fn on(turn_id: &str, verdict: Verdict) -> Feedback {
        let (turn_id, verdict) = (turn_id.to_owned(), verdict.into());
        Feedback { turn_id, verdict, variants: vec![b()], ..Feedback::default() }
    }

    #[test]
    fn outcomes_and_verdicts_outlive_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = open(&dir);
        database.record_outcome(&answered()).unwrap();
        database.record_feedback(on("1", Verdict::Up)).unwrap();
        database.sync().unwrap();
        drop(database);
        let mut database = open(&dir);
        database.record_outcome(&answered()).unwrap();
        database.record_outcome(&Outcome { answer: None, ..answered() }).unwrap();
        // Another verdict on the same turn, known to be of no experiment any more.
        let changed = Feedback { variants: Vec::new(), ..on("1", Verdict::Down) };
        database.record_feedback(changed).unwrap();
        let outcomes = database.outcomes().unwrap();
        assert_eq!(outcomes.len(), 1);
        let (name, outcomes) = &outcomes[0];
        assert_eq!((name, outcomes.answered, outcomes.failed), (&b(), 2, 1));
        assert_eq!((outcomes.up, outcomes.down), (0, 1));
    }

    #[test]
    fn questions_are_listed_unless_they_are_private_or_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = open(&dir);
        let conversation = database.create_conversation("", Policy::Unspecified).unwrap().id;
        for (id, private) in [("1", false), ("2", true), ("3", false)] {
            let (id, prompt) = (id.to_owned(), format!("question {id}"));
            let turn = Turn { id: id.clone(), prompt, private, ..Turn::default() };
            database.commit_turn(&conversation, turn).unwrap();
            let conversation_id = conversation.clone();
            let feedback = Feedback { conversation_id, ..on(&id, Verdict::Up) };
            database.record_feedback(feedback).unwrap();
        }
        database.record_feedback(on("4", Verdict::Down)).unwrap();
        let prompts = |database: &Database| {
            let (mut prompts, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = database.list_feedback(2, &token).unwrap();
                prompts.extend(page.into_iter().map(|feedback| feedback.prompt));
                if next.is_empty() {
                    return prompts;
                }
                token = next;
            }
        };
        assert_eq!(prompts(&database), ["question 1", "", "question 3", ""]);
        database.delete_conversation(&conversation).unwrap();
        assert_eq!(prompts(&database), ["", "", "", ""]);
    }
}
