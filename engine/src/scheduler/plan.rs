//! Which tokens go into the next step.
//!
//! Every sequence that is generating gets its token, so that no answer stalls while a long prompt
//! is read. What room is left goes to prompts, in the order in which they were admitted.

/// Most prompt tokens in a step while answers are being generated: what a step costs at most
/// decides how long a reader waits for the next word.
const PREFILL_BESIDE_DECODE: usize = 128;

/// Fills `shares` with the number of tokens that each sequence gets, given how many each has
/// `pending`. A sequence with one is
/// generating, or about to.
pub fn plan(pending: &[usize], batch_max: usize, shares: &mut Vec<usize>) {
    let decoding = pending.iter().filter(|&&count| count == 1).count();
    let room = batch_max.saturating_sub(decoding);
    let mut prefill = if decoding == 0 { room } else { room.min(PREFILL_BESIDE_DECODE) };
    shares.clear();
    shares.extend(pending.iter().map(|&count| {
        if count <= 1 {
            return count;
        }
        let share = count.min(prefill);
        prefill -= share;
        share
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pending: &[usize], batch_max: usize) -> Vec<usize> {
        let mut shares = Vec::new();
        plan(pending, batch_max, &mut shares);
        shares
    }

    #[test]
    fn a_prompt_alone_fills_the_batch() {
        assert_eq!(shares(&[5000], 512), [512]);
        assert_eq!(shares(&[300, 300], 512), [300, 212]);
    }

    #[test]
    fn every_generating_sequence_gets_its_token_and_prompts_share_a_budget() {
        assert_eq!(shares(&[1, 5000, 1, 40], 512), [1, 128, 1, 0]);
        assert_eq!(shares(&[100, 1, 40], 512), [100, 1, 28]);
    }

    #[test]
    fn the_batch_is_never_exceeded() {
        assert_eq!(shares(&[1, 1, 1, 90], 4), [1, 1, 1, 1]);
        assert_eq!(shares(&[], 4), [0_usize; 0]);
    }
}
