//! What the machine can spare just now, from the reader to the thread that computes.

use std::sync::{Mutex, PoisonError};

use tandem_proto::engine::Adjust;

/// The daemon's latest word, which takes the place of any earlier one.
#[derive(Debug, Default)]
pub struct Allowance(Mutex<Option<Adjust>>);

impl Allowance {
    /// Has `adjust` found by whoever computes, between two steps.
    pub fn set(&self, adjust: Adjust) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(adjust);
    }

    /// What is new since it was asked for last.
    pub fn news(&self) -> Option<Adjust> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The number in effect where the daemon allows `wanted`, 0 being all of what there was at the load.
pub fn at_most(loaded: u32, wanted: u32) -> u32 {
    if wanted == 0 { loaded } else { wanted.min(loaded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_word_counts_and_is_news_once() {
        let allowance = Allowance::default();
        assert_eq!(allowance.news(), None);
        for threads in [1, 2] {
            allowance.set(Adjust { threads, ..Adjust::default() });
        }
        assert_eq!(allowance.news().map(|adjust| adjust.threads), Some(2));
        assert_eq!(allowance.news(), None);
    }

    #[test]
    fn nothing_exceeds_what_was_loaded() {
        assert_eq!([0, 1, 4, 9].map(|wanted| at_most(4, wanted)), [4, 1, 4, 4]);
    }
}
