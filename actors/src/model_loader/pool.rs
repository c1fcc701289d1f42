//! Which of a model's engines gets a request, and when there should be one more.

use std::collections::VecDeque;

/// A conversation stays with its engine while that has at most this many requests more than the
/// least busy one: reading a prompt anew costs about as much as waiting for a place in a batch.
const LOYALTY: usize = 2;
/// Conversations whose engine is remembered; the least recently continued is forgotten first.
const HOMES_MAX: usize = 512;

/// An engine that takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Names the engine; never used twice.
    pub(super) number: u64,
    /// Whether it serves already.
    pub(super) ready: bool,
    /// Requests that run, wait, or are about to be made.
    pub(super) requests: usize,
}

/// The engine for a request of a conversation whose previous turn was served by `home`.
pub(super) fn choose(candidates: &[Candidate], home: Option<u64>) -> Option<u64> {
    let least = candidates.iter().min_by_key(|engine| (!engine.ready, engine.requests))?;
    let is_home = |engine: &&Candidate| {
        // An engine that is being started anew has lost what it had read.
        let as_good = engine.ready && engine.requests <= least.requests + LOYALTY;
        Some(engine.number) == home && as_good
    };
    Some(candidates.iter().find(is_home).unwrap_or(least).number)
}

/// Whether to start another engine: there may be more, and none is free for the next request.
pub(super) fn wants_another(candidates: &[Candidate], engines_max: u32) -> bool {
    let few = candidates.len() < engines_max as usize;
    few && candidates.iter().all(|engine| engine.requests > 0)
}

/// Which engine served the last turn of each conversation.
#[derive(Debug, Default)]
pub(super) struct Homes {
    /// Most recently continued last.
    recent: VecDeque<(String, u64)>,
}

impl Homes {
    /// The engine of this model that served the conversation last; engines of other models have
    /// other numbers and do not matter to [`choose`].
    pub(super) fn of(&self, conversation: &str) -> Option<u64> {
        let known = self.recent.iter().find(|(known, _)| known == conversation);
        known.map(|(_, engine)| *engine)
    }

    /// Remembers who serves a conversation now. Requests outside of conversations have no home.
    pub(super) fn settle(&mut self, conversation: &str, engine: u64) {
        if conversation.is_empty() {
            return;
        }
        self.recent.retain(|(known, _)| known != conversation);
        if self.recent.len() == HOMES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((conversation.to_owned(), engine));
    }

    /// Forgets an engine that ended.
    pub(super) fn leave(&mut self, engine: u64) {
        self.recent.retain(|(_, home)| *home != engine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines(requests: &[usize]) -> Vec<Candidate> {
        let engine = |(number, &requests)| Candidate { number, ready: true, requests };
        (1..).zip(requests).map(engine).collect()
    }

    #[test]
    fn the_engine_with_the_fewest_requests_is_chosen_and_the_first_among_equals() {
        assert_eq!(choose(&engines(&[2, 1, 3]), None), Some(2));
        assert_eq!(choose(&engines(&[1, 1]), None), Some(1));
        assert_eq!(choose(&[], Some(1)), None);
    }

    #[test]
    fn a_conversation_stays_with_its_engine_unless_that_is_clearly_busier() {
        assert_eq!(choose(&engines(&[0, LOYALTY]), Some(2)), Some(2));
        assert_eq!(choose(&engines(&[0, LOYALTY + 1]), Some(2)), Some(1));
        assert_eq!(choose(&engines(&[4, 4 + LOYALTY]), Some(2)), Some(2));
        assert_eq!(choose(&engines(&[1, 0]), Some(77)), Some(2), "an engine that is gone");
    }

    #[test]
    fn an_engine_that_serves_comes_before_those_that_do_not_yet() {
        let mut two = engines(&[3, 0]);
        two[1].ready = false;
        assert_eq!(choose(&two, None), Some(1));
        assert_eq!(choose(&two, Some(2)), Some(1), "what it had read is lost");
        two[0].ready = false;
        assert_eq!(choose(&two, None), Some(2));
    }

    #[test]
    fn another_engine_is_wanted_while_all_are_busy_and_there_may_be_more() {
        assert!(wants_another(&engines(&[1]), 2));
        assert!(!wants_another(&engines(&[1]), 1));
        assert!(!wants_another(&engines(&[0]), 2));
        assert!(!wants_another(&engines(&[1, 0]), 3));
        assert!(!wants_another(&engines(&[9, 9]), 2));
    }

    #[test]
    fn requests_are_spread_evenly_over_any_number_of_engines() {
        for count in 1..5 {
            let mut pool = engines(&vec![0; count]);
            for request in 0..100 {
                let chosen = choose(&pool, None);
                let busier = pool.iter().map(|engine| engine.requests).max();
                for engine in pool.iter_mut().filter(|engine| Some(engine.number) == chosen) {
                    engine.requests += 1;
                    assert!(Some(engine.requests) <= busier.map(|most| most + 1), "{request}");
                }
            }
            let requests = || pool.iter().map(|engine| engine.requests);
            assert!(requests().max() <= requests().min().map(|least| least + 1), "{pool:?}");
        }
    }

    #[test]
    fn homes_are_remembered_for_the_conversations_that_go_on() {
        let mut homes = Homes::default();
        homes.settle("first", 1);
        homes.settle("", 1);
        assert_eq!((homes.of("first"), homes.of("")), (Some(1), None));
        for number in 1..HOMES_MAX {
            homes.settle(&number.to_string(), 2);
        }
        homes.settle("first", 3);
        homes.settle("one more", 4);
        assert_eq!((homes.of("first"), homes.of("1"), homes.of("2")), (Some(3), None, Some(2)));
        homes.leave(2);
        assert_eq!(homes.recent.len(), 2);
    }
}
