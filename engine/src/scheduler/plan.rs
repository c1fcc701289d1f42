//! Which tokens go into the next step.
//!
//! Every sequence that is generating gets its token, so that no answer stalls while a long prompt
//! is read. What room is left goes to the most urgent of the prompts, the one that is read soonest
//! first; less urgent ones wait, as they would make the step longer, until one of them has its turn.
//! For the same reason answers sit out a short step with which a more urgent one begins.

use std::cmp::Reverse;
use std::time::Duration;

use super::urgency::Urgency;

/// Steps in a row that a request gets nothing from at most, as it sits them out or they are aborted.
pub const GIVEN_UP_MAX: u32 = 2;

/// Steps in a row that only the most urgent prompts have a part of. The next is shared.
pub const PASSED_OVER_MAX: u32 = 16;

/// What a sequence could do in the next step.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Tokens that the model is to see next, at least one. A sequence with one is generating, or
    /// about to.
    pub pending: usize,
    /// The sequence whose prompt has begun alike and who is ahead: it is waited for.
    pub follows: Option<usize>,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Whether it has a token of its answer.
    pub has_begun: bool,
    /// Steps in a row that it got nothing from, as it sat them out or they were aborted.
    pub given_up: u32,
    /// Time since the request came in.
    pub waited: Duration,
}

/// Most tokens of a step.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// All together.
    pub batch: usize,
    /// Of prompts.
    pub prompts: usize,
    /// Of prompts in a step that is to be short, as answers are being generated.
    pub beside: usize,
    /// Whether a prompt that is less urgent than others gets a part of it.
    pub is_shared: bool,
}

/// Fills `shares` with the number of tokens that each sequence gets. Whether prompts get nothing
/// because they are less urgent than others.
pub fn plan(wants: &[Want], room: Room, shares: &mut Vec<usize>) -> bool {
    let order = reading_order(wants);
    let begins = about_to_begin(wants, &order, room).filter(|_| !room.is_shared);
    let generates = |want: &Want| {
        let may_wait = begins > Some(want.urgency) && want.given_up < GIVEN_UP_MAX;
        want.generates() && !may_wait
    };
    let decoding = wants.iter().filter(|want| generates(want)).count();
    shares.clear();
    shares.extend(wants.iter().map(|want| if generates(want) { want.pending } else { 0 }));
    let mut prefill = room.batch.saturating_sub(decoding).min(room.prompts);
    // Nor is a step long that comers have to wait for, as it is not aborted again.
    let has_waited =
        |reading: &Reading| wants.get(reading.at).is_some_and(|want| want.given_up >= GIVEN_UP_MAX);
    if decoding > 0 || order.first().is_some_and(has_waited) {
        prefill = prefill.min(room.beside);
    }
    let mut give = |reading: &Reading, most: usize| {
        let share = prefill.min(reading.pending).min(most);
        prefill -= share;
        if let Some(slot) = shares.get_mut(reading.at) {
            *slot = share;
        }
    };
    let foremost = order.first().map(|reading| reading.urgency).max(begins);
    let (first, less_urgent): (Vec<_>, Vec<_>) =
        order.iter().partition(|reading| Some(reading.urgency) == foremost);
    if let Some(next) = less_urgent.first().filter(|_| room.is_shared) {
        give(next, room.beside / 2);
    }
    for reading in first {
        give(reading, usize::MAX);
    }
    !less_urgent.is_empty() && !room.is_shared
}

impl Want {
    /// Whether one token is enough for it to go on.
    pub fn generates(&self) -> bool {
        self.pending <= 1 && self.follows.is_none()
    }
}

/// How urgent the answers are that a short step is enough for to begin, if it is.
fn about_to_begin(wants: &[Want], order: &[Reading], room: Room) -> Option<Urgency> {
    let new = wants.iter().filter(|want| !want.has_begun && want.follows.is_none());
    let urgency = new.map(|want| want.urgency).max()?;
    let all_read = |want: &&Want| !want.has_begun && want.generates() && want.urgency == urgency;
    let mut tokens = wants.iter().filter(all_read).count();
    for reading in order.iter().take_while(|reading| reading.urgency >= urgency) {
        if reading.urgency > urgency || wants.get(reading.at).is_none_or(|want| want.has_begun) {
            return None;
        }
        tokens += reading.pending;
    }
    (tokens <= room.beside.min(room.prompts).min(room.batch)).then_some(urgency)
}

/// A prompt that is to be read.
struct Reading {
    at: usize,
    pending: usize,
    urgency: Urgency,
}

/// The prompts to be read: first the most urgent, and of those the one that has least left. Each
/// token counts as much as a millisecond of waiting, so that a prompt of n tokens is overtaken only
/// by those that come within n milliseconds of it. Who is followed is as urgent and in as much of a
/// hurry as any that follow.
fn reading_order(wants: &[Want]) -> Vec<Reading> {
    let mut hurry: Vec<(Urgency, i128)> = wants
        .iter()
        .map(|want| {
            let waited = i128::try_from(want.waited.as_millis()).unwrap_or(i128::MAX / 2);
            (want.urgency, waited - i128::try_from(want.pending).unwrap_or(i128::MAX / 2))
        })
        .collect();
    // Who follows comes later in the list than who is followed.
    for (at, want) in wants.iter().enumerate().rev() {
        if let (Some(leader), Some(&own)) = (want.follows, hurry.get(at))
            && let Some(hurry) = hurry.get_mut(leader)
        {
            *hurry = own.max(*hurry);
        }
    }
    let mut order: Vec<_> = wants
        .iter()
        .zip(hurry)
        .enumerate()
        .filter(|(_, (want, _))| want.pending > 1 && want.follows.is_none())
        .map(|(at, (want, hurry))| (Reverse(hurry), at, want.pending))
        .collect();
    order.sort_unstable();
    let readings = order.into_iter();
    readings.map(|(Reverse((urgency, _)), at, pending)| Reading { at, pending, urgency }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(pending: usize) -> Want {
        Want {
            pending,
            follows: None,
            urgency: Urgency::Batch,
            has_begun: pending == 1,
            given_up: 0,
            waited: Duration::ZERO,
        }
    }

    fn waited(pending: usize, millis: u64) -> Want {
        Want { waited: Duration::from_millis(millis), ..want(pending) }
    }

    fn person(pending: usize) -> Want {
        Want { urgency: Urgency::Interactive, ..want(pending) }
    }

    fn nobody(pending: usize) -> Want {
        Want { urgency: Urgency::Background, ..waited(pending, 50_000) }
    }

    fn after(leader: usize, pending: usize) -> Want {
        Want { follows: Some(leader), ..want(pending) }
    }

    fn shares(wants: &[Want], batch: usize) -> Vec<usize> {
        shares_in(wants, Room { batch, prompts: batch, beside: 128, is_shared: false })
    }

    fn shares_in(wants: &[Want], room: Room) -> Vec<usize> {
        let mut shares = Vec::new();
        plan(wants, room, &mut shares);
        shares
    }

    #[test]
    fn a_prompt_alone_fills_the_batch() {
        assert_eq!(shares(&[want(5000)], 512), [512]);
        assert_eq!(shares(&[want(300), want(300)], 512), [300, 212]);
    }

    #[test]
    fn every_generating_sequence_gets_its_token_and_prompts_share_a_budget() {
        assert_eq!(shares(&[want(1), want(5000), want(1)], 512), [1, 128, 1]);
        assert_eq!(shares(&[want(100), want(1), want(40)], 512), [88, 1, 40]);
    }

    #[test]
    fn the_batch_is_never_exceeded() {
        assert_eq!(shares(&[want(1), want(1), want(1), want(90)], 4), [1, 1, 1, 1]);
        assert_eq!(shares(&[], 4), [0_usize; 0]);
    }

    #[test]
    fn prompts_can_be_held_to_a_part_of_the_batch_and_still_get_on_beside_answers() {
        let room = Room { batch: 512, prompts: 2, beside: 128, is_shared: false };
        assert_eq!(shares_in(&[want(5000), want(300)], room), [0, 2]);
        assert_eq!(shares_in(&[want(1), want(1), want(1), want(300)], room), [1, 1, 1, 2]);
    }

    #[test]
    fn a_short_prompt_overtakes_a_long_one_until_that_has_waited() {
        assert_eq!(shares(&[want(3000), want(50)], 512), [462, 50]);
        assert_eq!(shares(&[waited(3000, 2900), want(50)], 512), [462, 50]);
        assert_eq!(shares(&[waited(3000, 2951), want(50)], 512), [512, 0]);
    }

    #[test]
    fn a_prompt_is_read_however_many_short_ones_come() {
        let mut long = 3000;
        for step in 0_u64.. {
            let wants = [waited(long, step * 100), want(128), want(1)];
            long -= shares(&wants, 512)[0].min(long - 1);
            if long == 1 {
                return;
            }
            assert!(step < 100, "{long} tokens are left");
        }
    }

    #[test]
    fn nothing_is_read_beside_what_is_more_urgent() {
        assert_eq!(shares(&[nobody(300), want(40), person(500)], 512), [0, 0, 500]);
        assert_eq!(shares(&[nobody(300), want(40), person(1)], 512), [0, 40, 1]);
        assert_eq!(shares(&[nobody(300), want(1), person(1)], 512), [128, 1, 1]);
    }

    #[test]
    fn a_shared_step_has_a_part_for_the_next_of_the_less_urgent_prompts() {
        let room = Room { batch: 512, prompts: 512, beside: 128, is_shared: true };
        assert_eq!(shares_in(&[nobody(300), want(40), person(500)], room), [0, 40, 472]);
        assert_eq!(shares_in(&[nobody(300), want(1), person(500)], room), [64, 1, 64]);
        assert_eq!(shares_in(&[want(1), person(20)], room), [1, 20], "nobody sits it out");
    }

    #[test]
    fn prompts_that_get_nothing_because_of_more_urgent_ones_are_told_of() {
        let room = Room { batch: 512, prompts: 512, beside: 128, is_shared: false };
        let passes_over = |wants: &[Want], room| plan(wants, room, &mut Vec::new());
        assert!(passes_over(&[nobody(300), want(40)], room));
        assert!(!passes_over(&[nobody(300), want(40)], Room { is_shared: true, ..room }));
        assert!(!passes_over(&[want(600), want(400)], room), "its turn comes");
        assert!(!passes_over(&[nobody(300), person(1)], room), "it is read");
        let all_read = Want { has_begun: false, ..person(1) };
        assert!(passes_over(&[all_read, want(30)], room));
    }

    #[test]
    fn a_step_that_is_not_aborted_again_is_no_long_one() {
        let aborted = Want { given_up: 2, ..want(5000) };
        assert_eq!(shares(&[aborted], 512), [128]);
    }

    #[test]
    fn answers_sit_out_a_short_step_with_which_a_more_urgent_one_begins() {
        let all_read = Want { has_begun: false, ..person(1) };
        assert_eq!(shares(&[want(1), nobody(1), person(1), person(50)], 512), [0, 0, 1, 50]);
        assert_eq!(shares(&[want(1), nobody(1), all_read], 512), [0, 0, 1]);
        assert_eq!(shares(&[want(1), nobody(1), all_read, want(40)], 512), [0, 0, 1, 0]);
        assert_eq!(shares(&[want(1), nobody(1), want(50)], 512), [1, 0, 50]);
        let late = Want { given_up: 2, ..want(1) };
        assert_eq!(shares(&[late, nobody(1), all_read], 512), [1, 0, 1], "not for ever");
    }

    #[test]
    fn nobody_sits_out_a_step_that_is_long_or_with_which_nothing_begins() {
        assert_eq!(shares(&[want(1), person(129)], 512), [1, 128]);
        let goes_on = Want { has_begun: true, ..person(90) };
        assert_eq!(shares(&[want(1), goes_on, person(20)], 512), [1, 90, 20]);
        let follower = Want { follows: Some(1), ..person(3000) };
        assert_eq!(shares(&[nobody(1), nobody(4000), follower, want(9)], 512), [1, 128, 0, 0]);
    }

    #[test]
    fn who_follows_makes_its_leader_as_urgent() {
        let person = Want { follows: Some(0), ..person(3000) };
        assert_eq!(shares(&[nobody(4000), want(50), person], 512), [512, 0, 0]);
    }

    #[test]
    fn who_follows_gets_nothing_and_lends_its_leader_its_hurry() {
        let wants = [want(4000), want(2000), after(0, 900), after(2, 3000)];
        assert_eq!(shares(&wants, 512), [512, 0, 0, 0]);
    }
}
