#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::cell::RefCell;

use tandem_proto::v1::{FinishReason, Timings, Usage};

use super::*;
use crate::Completion;

/// Time enough, and everything is allowed.
struct Calm;

impl Moment for Calm {
    fn left(&self) -> Duration {
        Duration::from_mins(1)
    }

    fn random(&self) -> f64 {
        0.5
    }

    fn may_retry(&self, _: usize) -> bool {
        true
    }

    fn may_hedge(&self, _: usize) -> bool {
        true
    }
}

fn begin(names: &[&str]) -> (Course, Vec<Effect>) {
    let candidate = |name: &&str| Candidate { name: (*name).into(), model: format!("{name}'s") };
    Course::begin(names.iter().map(candidate).collect())
}

fn delta() -> News {
    let (text, reasoning) = ("x".into(), String::new());
    News::Said(TrackEvent::Delta { text, reasoning, logprobs: Vec::new() })
}

fn done() -> News {
    News::Said(TrackEvent::Done(Completion {
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        timings: Timings::default(),
        mean_logprob: None,
        confidence: None,
        confidence_floor: None,
        certainty: None,
        model: None,
        cost_micros: None,
    }))
}

fn failure() -> Error {
    Error::ProviderFailed { provider: "a".into(), problem: "why".into(), retry_after: None }
}

fn failed() -> News {
    News::Said(TrackEvent::Failed(failure()))
}

fn refusal() -> Error {
    Error::ProviderRefused { provider: "a".into(), problem: "no".into() }
}

/// In short: "ask 1 a" is the first attempt, at provider "a".
fn brief(effects: &[Effect]) -> Vec<String> {
    let brief = |effect: &Effect| match effect {
        Effect::Ask { attempt, candidate, .. } => format!("ask {attempt} {candidate}"),
        Effect::Close(attempt) => format!("close {attempt}"),
        Effect::Emit(TrackEvent::Notice(..)) => "notice".into(),
        Effect::Emit(_) => "emit".into(),
        Effect::End(TrackEvent::Done(_)) => "done".into(),
        Effect::End(_) => "failed".into(),
    };
    effects.iter().map(brief).collect()
}

#[test]
fn the_first_candidate_answers_and_is_named() {
    let (mut course, effects) = begin(&["a", "b"]);
    assert_eq!(brief(&effects), ["ask 1 0"]);
    assert_eq!(brief(&course.on_news(1, delta(), &Calm)), ["emit"]);
    let [Effect::End(TrackEvent::Done(completion))] = &course.on_news(1, done(), &Calm)[..] else {
        panic!("not done");
    };
    assert_eq!(completion.model.as_deref(), Some("a's"));
    assert!(course.on_news(1, delta(), &Calm).is_empty(), "it is over");
}

#[test]
fn a_failing_candidate_is_asked_three_times_and_then_the_next_one() {
    let (mut course, _) = begin(&["a", "b"]);
    for attempt in [1, 2] {
        let effects = course.on_news(attempt, failed(), &Calm);
        assert_eq!(brief(&effects), ["notice", &format!("ask {} 0", attempt + 1)]);
        let Effect::Ask { pause, .. } = effects[1] else { panic!("no attempt") };
        assert!(pause > Duration::ZERO);
    }
    let effects = course.on_news(3, failed(), &Calm);
    assert_eq!(brief(&effects), ["notice", "ask 4 1"]);
    let Effect::Emit(TrackEvent::Notice(kind, message)) = &effects[0] else { panic!("no notice") };
    assert_eq!(*kind, NoticeKind::Retried);
    assert_eq!(message, "provider \"a\" failed: why; provider \"b\" is asked instead");
    let [Effect::End(TrackEvent::Done(completion))] = &course.on_news(4, done(), &Calm)[..] else {
        panic!("not done");
    };
    assert_eq!(completion.model.as_deref(), Some("b's"));
}

#[test]
fn one_that_refuses_is_not_asked_again_and_the_last_error_is_the_end() {
    let (mut course, _) = begin(&["a", "b"]);
    let effects = course.on_news(1, News::Refused(failure()), &Calm);
    assert_eq!(brief(&effects), ["notice", "ask 2 1"]);
    let effects = course.on_news(2, News::Said(TrackEvent::Failed(refusal())), &Calm);
    assert_eq!(effects, [Effect::End(TrackEvent::Failed(refusal()))]);
}

#[test]
fn half_an_answer_is_never_followed_by_another_one() {
    let (mut course, _) = begin(&["a", "b"]);
    course.on_news(1, delta(), &Calm);
    assert_eq!(brief(&course.on_news(1, failed(), &Calm)), ["failed"]);
}

#[test]
fn a_request_at_fault_is_not_tried_elsewhere() {
    let (mut course, _) = begin(&["a", "b"]);
    let late = Error::DeadlineExceeded { stage: "here".into() };
    let effects = course.on_news(1, News::Said(TrackEvent::Failed(late)), &Calm);
    assert_eq!(brief(&effects), ["failed"]);
}

#[test]
fn when_the_first_token_is_late_the_next_one_is_asked_and_the_first_to_speak_answers() {
    for (winner, loser) in [(1, 2), (2, 1)] {
        let (mut course, _) = begin(&["a", "b", "c"]);
        assert_eq!(course.waits_for(), Some(0));
        assert_eq!(brief(&course.on_late(&Calm)), ["notice", "ask 2 1"]);
        assert_eq!(course.waits_for(), None, "only once");
        assert!(course.on_late(&Calm).is_empty());
        let effects = course.on_news(winner, delta(), &Calm);
        assert_eq!(brief(&effects), [&format!("close {loser}"), "emit"]);
        assert!(course.on_news(loser, delta(), &Calm).is_empty());
        assert_eq!(brief(&course.on_news(winner, done(), &Calm)), ["done"]);
    }
}

#[test]
fn when_one_of_two_fails_the_other_one_goes_on_alone() {
    let (mut course, _) = begin(&["a", "b", "c"]);
    course.on_late(&Calm);
    assert!(course.on_news(1, failed(), &Calm).is_empty());
    assert_eq!(brief(&course.on_news(2, News::Refused(refusal()), &Calm)), ["notice", "ask 3 2"]);
}

#[test]
fn without_another_candidate_nothing_is_hedged() {
    let (mut course, _) = begin(&["a"]);
    assert_eq!(course.waits_for(), None);
    assert!(course.on_late(&Calm).is_empty());
}

/// Answers every question at random.
struct Chance(RefCell<u64>);

impl Chance {
    /// A number below `limit` (`SplitMix64`).
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.borrow_mut();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

impl Moment for Chance {
    fn left(&self) -> Duration {
        Duration::from_secs(self.below(30))
    }

    fn random(&self) -> f64 {
        f64::from(u32::try_from(self.below(1000)).unwrap()) / 1000.0
    }

    fn may_retry(&self, _: usize) -> bool {
        self.below(4) > 0
    }

    fn may_hedge(&self, _: usize) -> bool {
        self.below(4) > 0
    }
}

/// What the outside world sees of a course.
#[derive(Default)]
struct World {
    open: Vec<(u32, usize)>,
    asked: Vec<usize>,
    spoke: Option<u32>,
    ends: usize,
}

impl World {
    fn take(&mut self, effects: Vec<Effect>, seed: u64) {
        for effect in effects {
            assert_eq!(self.ends, 0, "seed {seed}: something follows the end");
            match effect {
                Effect::Ask { attempt, candidate, .. } => {
                    assert_eq!(self.spoke, None, "seed {seed}: asked after the first token");
                    self.open.push((attempt, candidate));
                    self.asked.push(candidate);
                }
                Effect::Close(attempt) => {
                    assert_ne!(self.spoke, Some(attempt), "seed {seed}: the answer is closed");
                    self.open.retain(|(open, _)| *open != attempt);
                }
                Effect::Emit(_) => {}
                Effect::End(_) => self.ends += 1,
            }
        }
        assert!(self.open.len() <= 2, "seed {seed}: more than one hedge");
    }
}

#[test]
fn any_sequence_of_outcomes_ends_in_exactly_one_end() {
    for seed in 0..20_000 {
        let chance = Chance(RefCell::new(seed));
        let count = usize::try_from(chance.below(4)).unwrap() + 1;
        let (mut course, effects) = begin(&["a", "b", "c", "d"][..count]);
        let mut world = World::default();
        world.take(effects, seed);
        let mut steps = 0;
        while world.ends == 0 {
            steps += 1;
            assert!(steps < 1000, "seed {seed}: it does not end");
            if chance.below(6) == 0 {
                let effects = course.on_late(&chance);
                world.take(effects, seed);
                continue;
            }
            let one = usize::try_from(chance.below(world.open.len() as u64)).unwrap();
            let (attempt, _) = world.open[one];
            let news = match chance.below(8) {
                0..3 => delta(),
                3 => done(),
                4 => News::Refused(refusal()),
                5 => News::Said(TrackEvent::Notice(NoticeKind::Budget, "hm".into())),
                _ => failed(),
            };
            let ends =
                !matches!(news, News::Said(TrackEvent::Delta { .. } | TrackEvent::Notice(..)));
            let speaks = matches!(news, News::Said(TrackEvent::Delta { .. }));
            if ends {
                world.open.remove(one);
            }
            let effects = course.on_news(attempt, news, &chance);
            world.take(effects, seed);
            if speaks {
                assert_eq!(*world.spoke.get_or_insert(attempt), attempt, "seed {seed}");
                assert_eq!(world.open.len(), 1, "seed {seed}: the others are closed");
            }
        }
        assert!(world.open.is_empty(), "seed {seed}: a connection is left");
        for candidate in 0..count {
            let times = world.asked.iter().filter(|asked| **asked == candidate).count();
            assert!(times <= 3, "seed {seed}: asked {times} times");
        }
        for attempt in 0..20 {
            assert!(course.on_news(attempt, delta(), &chance).is_empty(), "seed {seed}");
        }
    }
}
