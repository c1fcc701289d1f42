//! What of everything that could be read is read: lengths in, a choice out.

use tandem_config::{ContextStrategy, Memory};

use super::material::Material;
use super::window;

/// Percent of a full context that memories may take.
const MEMORIES_PERCENT: u32 = 10;
/// Older turns that are told again, at most: what matters is seldom in more.
pub(super) const RECALLED_MAX: usize = 8;
/// What retrieval takes is rounded up to such a part of the context, so that a question that needs
/// a little more than the one before does not move where the recent turns begin.
const RETRIEVAL_STEPS: u32 = 8;

/// Tokens, with what the template adds, of everything that could be read; never less than the true
/// lengths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::turn) struct Lengths {
    /// What is read in any case: system prompt and question.
    pub(super) fixed: u32,
    /// Most important first.
    pub(super) memories: Vec<u32>,
    /// Best first.
    pub(super) passages: Vec<u32>,
    pub(super) summary: Option<u32>,
    /// Oldest first.
    pub(super) turns: Vec<u32>,
    /// There are turns before those, too many to look at.
    pub(super) unread: bool,
}

/// How to choose.
#[derive(Debug, Clone, Copy)]
pub(in crate::turn) struct Rules {
    pub(in crate::turn) strategy: ContextStrategy,
    /// Most turns that are told as they were.
    pub(in crate::turn) turns_max: usize,
    pub(in crate::turn) retrieval_percent: u32,
    pub(in crate::turn) summary_percent: u32,
}

/// What is read, by place in [`Lengths`]. System prompt and question always are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::turn) struct Choice {
    pub(in crate::turn) memories: Vec<usize>,
    pub(in crate::turn) passages: Vec<usize>,
    pub(in crate::turn) summary: bool,
    /// Older turns that matter for the question, oldest first.
    pub(in crate::turn) recalled: Vec<usize>,
    /// The first of the recent turns, which are all read.
    pub(in crate::turn) recent: usize,
}

impl Rules {
    /// As the settings have it.
    pub(in crate::turn) fn of(memory: &Memory) -> Self {
        Self {
            strategy: memory.context_strategy,
            turns_max: memory.turns_max as usize,
            retrieval_percent: memory.retrieval_percent,
            summary_percent: memory.summary_percent,
        }
    }
}

impl Choice {
    pub(super) fn of_everything(memories: usize, passages: usize) -> Self {
        let (memories, passages) = ((0..memories).collect(), (0..passages).collect());
        Self { memories, passages, ..Self::default() }
    }

    /// System prompt and question alone, behind so many turns.
    pub(super) fn of_nothing(turns: usize) -> Self {
        Self { recent: turns, ..Self::default() }
    }

    /// Everything there is; no summary is needed then.
    pub(in crate::turn) fn everything(material: &Material) -> Self {
        Self::of_everything(material.memories.len(), material.passages.len())
    }

    /// System prompt and question alone.
    pub(in crate::turn) fn bare(material: &Material) -> Self {
        Self::of_nothing(material.turns.len())
    }
}

/// Chooses within `budget` tokens: [`Choice::bare`] when no more than what is fixed fits. `scores` say
/// how much each turn has to do with the question, 0 nothing; `numbers` are their places in the
/// conversation.
pub(in crate::turn) fn choose(
    lengths: &Lengths,
    numbers: &[u64],
    scores: &[f64],
    rules: Rules,
    budget: u32,
) -> Choice {
    let all = Choice::of_everything(lengths.memories.len(), lengths.passages.len());
    let bare = Choice::of_nothing(lengths.turns.len());
    let Some(left) = budget.checked_sub(lengths.fixed) else { return bare };
    let total = [&lengths.memories, &lengths.passages, &lengths.turns].map(|part| sum(part));
    let total = total.into_iter().fold(0, u32::saturating_add);
    let sums_up = lengths.summary.is_some() && rules.strategy.summarises();
    if total <= left && lengths.turns.len() <= rules.turns_max && !(lengths.unread && sums_up) {
        return all;
    }
    let share = |percent: u32| {
        u32::try_from(u64::from(left) * u64::from(percent.min(100)) / 100).unwrap_or(left)
    };
    let (memories, for_memories) = take(&lengths.memories, all.memories, share(MEMORIES_PERCENT));
    let for_retrieval = share(rules.retrieval_percent).min(left - for_memories);
    let (passages, for_passages) = take(&lengths.passages, all.passages, for_retrieval);
    let room = left - for_memories;
    let begin = |room| window::start(&lengths.turns, numbers, room, rules.turns_max);

    // Without a turn that is left out, there is nothing to sum up.
    let lacks = lengths.unread || begin(room - for_passages) > 0;
    let for_summary = share(rules.summary_percent).min(room - for_retrieval);
    let summary = lengths.summary.filter(|length| lacks && sums_up && *length <= for_summary);
    let room = room - summary.unwrap_or(0);

    // All turns that could be left out in the end, what matters most first, the newer one among equals.
    let end = if rules.strategy.recalls() { begin(room - for_retrieval) } else { 0 };
    let mut order: Vec<usize> = (0..end).filter(|at| score(scores, *at) > 0.0).collect();
    order.sort_by(|a, b| score(scores, *b).total_cmp(&score(scores, *a)).then(b.cmp(a)));
    let first = |order: &[usize]| order.iter().copied().take(RECALLED_MAX).collect();
    let (_, for_recalled) = take(&lengths.turns, first(&order), for_retrieval - for_passages);
    let used = for_passages + for_recalled;
    let step = (left / RETRIEVAL_STEPS).max(1);
    let reserved = used.checked_next_multiple_of(step).unwrap_or(used).min(for_retrieval).max(used);
    let recent = begin(room - reserved);
    order.retain(|at| *at < recent);
    let (mut recalled, _) = take(&lengths.turns, first(&order), reserved - for_passages);
    recalled.sort_unstable();
    Choice { memories, passages, summary: summary.is_some(), recalled, recent }
}

/// Those of `order` that fit into `room`, one after the other, and their length.
fn take(lengths: &[u32], order: Vec<usize>, room: u32) -> (Vec<usize>, u32) {
    let mut used = 0_u32;
    let fits = |at: &usize| {
        let Some(length) = lengths.get(*at) else { return false };
        let sum = used.saturating_add(*length);
        let fits = sum <= room;
        used = if fits { sum } else { used };
        fits
    };
    let taken = order.into_iter().filter(fits).collect();
    (taken, used)
}

fn sum(lengths: &[u32]) -> u32 {
    lengths.iter().fold(0, |sum, length| sum.saturating_add(*length))
}

fn score(scores: &[f64], at: usize) -> f64 {
    scores.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        strategy: ContextStrategy::Mixed,
        turns_max: 64,
        retrieval_percent: 40,
        summary_percent: 15,
    };

    fn numbers(lengths: &Lengths) -> Vec<u64> {
        (1..).take(lengths.turns.len()).collect()
    }

    fn chosen(lengths: &Lengths, scores: &[f64], rules: Rules, budget: u32) -> Choice {
        choose(lengths, &numbers(lengths), scores, rules, budget)
    }

    fn tokens(lengths: &Lengths, choice: &Choice) -> u32 {
        let of = |lengths: &[u32], places: &[usize]| -> u32 {
            places.iter().map(|at| lengths[*at]).sum()
        };
        lengths.fixed
            + of(&lengths.memories, &choice.memories)
            + of(&lengths.passages, &choice.passages)
            + lengths.summary.filter(|_| choice.summary).unwrap_or(0)
            + of(&lengths.turns, &choice.recalled)
            + sum(&lengths.turns[choice.recent..])
    }

    #[test]
    fn what_fits_is_read_whole_and_without_a_summary() {
        let lengths = Lengths {
            fixed: 100,
            memories: vec![50; 3],
            passages: vec![100; 5],
            summary: Some(10),
            turns: vec![100; 10],
            unread: false,
        };
        let choice = chosen(&lengths, &[1.0; 10], RULES, 1750);
        assert_eq!(choice, Choice::of_everything(3, 5));
        assert_eq!(tokens(&lengths, &choice), 1750);
    }

    #[test]
    fn a_conversation_that_does_not_fit_is_told_in_its_parts() {
        let lengths =
            Lengths { fixed: 100, summary: Some(100), turns: vec![100; 50], ..Lengths::default() };
        let mut scores = vec![0.0; 50];
        (scores[3], scores[7], scores[49]) = (2.0, 1.0, 9.0);
        let choice = chosen(&lengths, &scores, RULES, 2100);
        assert!(choice.summary);
        assert_eq!(choice.recalled, [3, 7], "the newest turn is told anyway");
        let recent = 50 - choice.recent;
        assert!((11..=16).contains(&recent), "{choice:?}");

        for (strategy, summary, recalled) in [
            (ContextStrategy::Recent, false, 0),
            (ContextStrategy::Summary, true, 0),
            (ContextStrategy::Retrieval, false, 2),
        ] {
            let choice = chosen(&lengths, &scores, Rules { strategy, ..RULES }, 2100);
            assert_eq!((choice.summary, choice.recalled.len()), (summary, recalled));
        }
    }

    #[test]
    fn what_retrieval_does_not_use_goes_to_recent_turns() {
        let lengths = Lengths { turns: vec![100; 50], ..Lengths::default() };
        let rules = Rules { strategy: ContextStrategy::Retrieval, ..RULES };
        let nothing = chosen(&lengths, &[0.0; 50], rules, 1600);
        let something = chosen(&lengths, &[1.0; 50], rules, 1600);
        assert_eq!(nothing.recent, 36, "the roundest from which three quarters are filled");
        assert_eq!(something.recent, 40);
        assert_eq!(something.recalled, [34, 35, 36, 37, 38, 39], "40 %, newer ones among equals");
    }

    #[test]
    fn a_question_that_fills_the_budget_stands_alone() {
        let lengths =
            Lengths { fixed: 100, memories: vec![1], turns: vec![10], ..Lengths::default() };
        assert_eq!(chosen(&lengths, &[1.0], RULES, 99), Choice::of_nothing(lengths.turns.len()));
        assert_eq!(chosen(&lengths, &[1.0], RULES, 100), Choice::of_nothing(lengths.turns.len()));
    }

    fn strategy() -> impl Strategy<Value = ContextStrategy> {
        prop_oneof![
            Just(ContextStrategy::Recent),
            Just(ContextStrategy::Summary),
            Just(ContextStrategy::Retrieval),
            Just(ContextStrategy::Mixed),
        ]
    }

    fn lengths() -> impl Strategy<Value = Lengths> {
        let some = |most| prop::collection::vec(0_u32..600, 0..most);
        let summary = prop::option::of(0_u32..500);
        (0_u32..1500, some(8), some(12), summary, some(100), any::<bool>()).prop_map(
            |(fixed, memories, passages, summary, turns, unread)| Lengths {
                fixed,
                memories,
                passages,
                summary,
                turns,
                unread,
            },
        )
    }

    proptest! {
        #[test]
        fn no_choice_is_over_budget_and_all_keep_their_order(
            lengths in lengths(),
            scores in prop::collection::vec(0.0_f64..3.0, 100),
            strategy in strategy(),
            (budget, turns_max) in (0_u32..6000, 0_usize..80),
            (retrieval_percent, summary_percent) in (0_u32..=60, 0_u32..=30),
        ) {
            let rules = Rules { strategy, turns_max, retrieval_percent, summary_percent };
            let choice = chosen(&lengths, &scores, rules, budget);
            if lengths.fixed > budget {
                prop_assert_eq!(&choice, &Choice::of_nothing(lengths.turns.len()));
                return Ok(());
            }
            prop_assert!(tokens(&lengths, &choice) <= budget);
            for places in [&choice.memories, &choice.passages, &choice.recalled] {
                prop_assert!(places.is_sorted_by(|a, b| a < b));
            }
            prop_assert!(choice.recalled.iter().all(|at| *at < choice.recent));
            prop_assert!(lengths.turns.len() - choice.recent <= turns_max);
            let again = chosen(&lengths, &scores, rules, budget);
            prop_assert_eq!(choice, again);
        }

        #[test]
        fn the_newest_turn_is_read_before_any_other(
            lengths in lengths(),
            strategy in strategy(),
            budget in 0_u32..6000,
        ) {
            let rules = Rules { strategy, ..RULES };
            let choice = chosen(&lengths, &[], rules, budget);
            let newest = lengths.turns.last().copied().unwrap_or_default();
            // Of what the other parts may take at most, a third is left.
            let left = budget.saturating_sub(lengths.fixed);
            let sure = lengths.fixed <= budget && newest <= left / 3;
            prop_assert!(!sure || lengths.turns.is_empty() || choice.recent < lengths.turns.len());
        }
    }
}
