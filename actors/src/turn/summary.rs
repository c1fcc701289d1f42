//! A summary of the turns of a conversation that do not fit any more, made by the local model.

use std::fmt::Write as _;
use std::sync::Arc;

use tandem_proto::v1::{Sampling, Track, Turn};

use super::aside::{ask, free_worker};
use super::history::{answered, asked};
use super::run::{Question, context_tokens};
use crate::memory_store::Summary;
use crate::router::Services;
use crate::{Error, Result};

/// Longest summary.
const TOKENS_MAX: u32 = 256;
/// Bytes of a token in ordinary text, at least on average.
const BYTES_PER_TOKEN: u32 = 2;

const SYSTEM: &str = "You keep the notes of a conversation.";
const TASK: &str = "Write the notes anew, with what was said next. Keep names, numbers, decisions and \
                    open questions. Write at most 100 words, and nothing but the notes.";

/// A conversation whose summary lacks turns.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// The last question in it.
    pub(super) question: Arc<Question>,
    /// The last turn that the summary should cover.
    pub(super) covers: u64,
}

impl Overdue {
    /// The conversation's id.
    pub(crate) fn conversation(&self) -> &str {
        &self.question.conversation_id
    }
}

/// Brings a summary up to date, a piece at a time, each of which is kept. Loads no model for it: without
/// one that is up, nothing happens. Dropping it cancels what the model does.
pub(crate) async fn summarise(overdue: &Overdue, services: &Services) -> Result<()> {
    let (id, store) = (overdue.conversation(), &services.store);
    let Some(worker) = free_worker(services) else { return Ok(()) };
    let context =
        context_tokens(&worker.loaded().await?).min(services.settings.memory.context_tokens);
    let share = context.saturating_mul(services.settings.memory.summary_percent) / 100;
    // A summary that has no room is not made.
    let tokens = share.min(TOKENS_MAX);
    if tokens == 0 {
        return Ok(());
    }
    // Half of the context, so that the other half of what is computed stays.
    let bytes_max = (context / 2 * BYTES_PER_TOKEN) as usize;
    let mut summary = store.summary(id).await?.unwrap_or_default();
    while summary.covers < overdue.covers {
        let (turns, _) = store.turns_from(id, summary.covers, bytes_max).await?;
        let room = usize::try_from(overdue.covers - summary.covers).unwrap_or(usize::MAX);
        let turns: Vec<Turn> = turns.into_iter().take(room).collect();
        if turns.is_empty() {
            break;
        }
        let sampling = Sampling { max_tokens: Some(tokens), ..Sampling::default() };
        let said = messages(&summary.text, &turns, bytes_max);
        let text = ask(&worker, &overdue.question.turn_id, said, sampling).await?;
        if text.is_empty() {
            let problem = "the model had nothing to say about the conversation".to_owned();
            return Err(Error::Internal { problem });
        }
        summary = Summary {
            text,
            covers: summary.covers + turns.len() as u64,
            private: summary.private || turns.iter().any(|turn| turn.private),
        };
        store.remember_summary(id, summary.clone()).await?;
    }
    Ok(())
}

/// What the model reads: the notes so far, and the turns that follow, cut off at `bytes_max`.
fn messages(notes: &str, turns: &[Turn], bytes_max: usize) -> [String; 2] {
    let mut said = String::new();
    // What tandem said in place of a model is no part of the conversation.
    for turn in turns.iter().filter(|turn| turn.track() != Track::BuiltIn) {
        let _ = write!(said, "User: {}\nAssistant: {}\n\n", asked(turn), answered(turn));
    }
    said.truncate(said.floor_char_boundary(bytes_max));
    let notes = if notes.is_empty() { "(none)" } else { notes };
    let task = format!("Notes so far:\n{notes}\n\nWhat was said next:\n{said}\n\n{TASK}");
    [SYSTEM.to_owned(), task]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_goes_on_from_the_one_before_and_never_reads_more_than_there_is_room_for() {
        let turn = |prompt: &str| Turn {
            prompt: prompt.to_owned(),
            answer: "Yes.".to_owned(),
            ..Turn::default()
        };
        let built_in = Turn { track: Track::BuiltIn.into(), ..turn("Hello") };
        let told = messages("Ada likes tea.", &[built_in, turn("Is it late?")], 1000);
        let [_, text] = &told;
        assert!(text.contains("Ada likes tea.") && text.contains("User: Is it late?"), "{text}");
        assert!(!text.contains("Hello"), "{text}");
        let long = messages("", &[turn(&"\u{e9}".repeat(5000))], 1001);
        assert!(long[1].len() < 1001 + 500);
        assert!(long[1].ends_with(TASK));
    }
}
