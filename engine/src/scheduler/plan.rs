//! Which tokens go into the next step.
//!
//! Every sequence that is generating gets its token, so that no answer stalls while a long prompt
//! is read. What room is left goes to prompts, the one that is read soonest first.

use std::cmp::Reverse;
use std::time::Duration;

/// What a sequence could do in the next step.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Tokens that the model is to see next, at least one. A sequence with one is generating, or
    /// about to.
    pub pending: usize,
    /// The sequence whose prompt has begun alike and who is ahead: it is waited for.
    pub follows: Option<usize>,
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
    /// Of prompts while answers are being generated.
    pub beside: usize,
}

/// Fills `shares` with the number of tokens that each sequence gets.
pub fn plan(wants: &[Want], room: Room, shares: &mut Vec<usize>) {
    let generates = |want: &Want| want.pending <= 1 && want.follows.is_none();
    let decoding = wants.iter().filter(|want| generates(want)).count();
    let free = room.batch.saturating_sub(decoding).min(room.prompts);
    let mut prefill = if decoding == 0 { free } else { free.min(room.beside) };
    shares.clear();
    shares.extend(wants.iter().map(|want| if generates(want) { want.pending } else { 0 }));
    for (at, pending) in reading_order(wants) {
        let share = pending.min(prefill);
        prefill -= share;
        if let Some(slot) = shares.get_mut(at) {
            *slot = share;
        }
    }
}

/// The prompts to be read and their lengths, first the one that has least left. Each token counts
/// as much as a millisecond of waiting, so that a prompt of n tokens is overtaken only by those
/// that come within n milliseconds of it. Who is followed is in as much of a hurry as any that
/// follow.
fn reading_order(wants: &[Want]) -> Vec<(usize, usize)> {
    let mut urgency: Vec<i128> = wants
        .iter()
        .map(|want| {
            let waited = i128::try_from(want.waited.as_millis()).unwrap_or(i128::MAX / 2);
            waited - i128::try_from(want.pending).unwrap_or(i128::MAX / 2)
        })
        .collect();
    // Who follows comes later in the list than who is followed.
    for (at, want) in wants.iter().enumerate().rev() {
        if let (Some(leader), Some(&own)) = (want.follows, urgency.get(at))
            && let Some(urgency) = urgency.get_mut(leader)
        {
            *urgency = own.max(*urgency);
        }
    }
    let mut order: Vec<_> = wants
        .iter()
        .zip(urgency)
        .enumerate()
        .filter(|(_, (want, _))| want.pending > 1 && want.follows.is_none())
        .map(|(at, (want, urgency))| (Reverse(urgency), at, want.pending))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at, pending)| (at, pending)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(pending: usize) -> Want {
        Want { pending, follows: None, waited: Duration::ZERO }
    }

    fn waited(pending: usize, millis: u64) -> Want {
        Want { waited: Duration::from_millis(millis), ..want(pending) }
    }

    fn after(leader: usize, pending: usize) -> Want {
        Want { follows: Some(leader), ..want(pending) }
    }

    fn shares(wants: &[Want], batch: usize) -> Vec<usize> {
        shares_in(wants, Room { batch, prompts: batch, beside: 128 })
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
        let room = Room { batch: 512, prompts: 2, beside: 128 };
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
    fn who_follows_gets_nothing_and_lends_its_leader_its_hurry() {
        let wants = [want(4000), want(2000), after(0, 900), after(2, 3000)];
        assert_eq!(shares(&wants, 512), [512, 0, 0, 0]);
    }
}
