#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;
use tandem_proto::v1::{Cached, Rung, TokenLogprob, Usage};

use super::*;
use crate::router::{Escalation, HandOff};

fn plan(first: Track, other: Option<Track>) -> Plan {
    Plan {
        first,
        other,
        duo: false,
        provider: None,
        private: true,
        escalation: Escalation::default(),
        score: 0.5,
        reasons: vec!["because".to_owned()],
    }
}

fn facts(conversation: &str) -> Facts {
    Facts {
        turn_id: "t".to_owned(),
        conversation_id: conversation.to_owned(),
        prompt: "question".to_owned(),
        images: 1,
        tool_results: Vec::new(),
        fast_model: "local".to_owned(),
        slow_model: "remote".to_owned(),
        seed: Some(7),
        private: false,
        logprobs: false,
        reply: None,
        apology: "sorry".to_owned(),
        not_in_documents: "not there".to_owned(),
        degraded: None,
    }
}

fn begin(conversation: &str, first: Track, other: Option<Track>) -> (Machine, Vec<Effect>) {
    Machine::begin(facts(conversation), plan(first, other))
}

fn duo() -> Machine {
    let plan = Plan { duo: true, ..plan(Track::Fast, Some(Track::Slow)) };
    let (machine, effects) = Machine::begin(facts(""), plan);
    assert_eq!(kinds(&effects), ["routed", "run fast", "run slow"]);
    machine
}

/// The first run of a track.
fn run(track: Track) -> Run {
    Run { track, number: 1, cause: "" }
}

const FAST: Run = Run { track: Track::Fast, number: 1, cause: "" };
const SLOW: Run = Run { track: Track::Slow, number: 1, cause: "" };

fn delta(text: &str) -> TrackEvent {
    TrackEvent::Delta { text: text.to_owned(), reasoning: "Hm.".to_owned(), logprobs: Vec::new() }
}

fn token(text: &str, logprob: f32) -> TrackEvent {
    let token = TokenLogprob { logprob, ..TokenLogprob::default() };
    TrackEvent::Delta { text: text.to_owned(), reasoning: String::new(), logprobs: vec![token] }
}

fn completion() -> TrackEvent {
    TrackEvent::Done(Completion {
        usage: Usage { completion_tokens: 2, ..Usage::default() },
        ..Completion::whole()
    })
}

fn failure() -> Error {
    Error::ProviderFailed {
        provider: "p".to_owned(),
        problem: "down".to_owned(),
        retry_after: None,
    }
}

fn failed() -> TrackEvent {
    TrackEvent::Failed(failure())
}

fn kinds(effects: &[Effect]) -> Vec<&'static str> {
    let kind = |effect: &Effect| match effect {
        Effect::Emit(Event::Routed(_)) => "routed",
        Effect::Emit(Event::Delta(_)) => "delta",
        Effect::Emit(Event::Queued(_)) => "queued",
        Effect::Emit(Event::ToolCall(_)) => "tool call",
        Effect::Emit(Event::Notice(_)) => "notice",
        Effect::Emit(Event::TrackDone(_)) => "track done",
        Effect::Emit(Event::Done(_)) => "done",
        Effect::Emit(Event::Superseded(_)) => "superseded",
        Effect::Run(Run { track: Track::Slow, .. }) => "run slow",
        Effect::Run(_) => "run fast",
        Effect::Stop(Track::Slow) => "stop slow",
        Effect::Stop(_) => "stop fast",
        Effect::Commit(_) => "commit",
        Effect::Warm => "warm",
        Effect::End(Ok(())) => "end",
        Effect::End(Err(_)) => "failed",
    };
    effects.iter().map(kind).collect()
}

#[test]
fn a_turn_of_its_own_ends_without_being_stored() {
    let (mut machine, effects) = begin("", Track::Fast, None);
    assert_eq!(kinds(&effects), ["routed", "run fast"]);
    assert_eq!(kinds(&machine.on_track(FAST, delta("a"))), ["delta"]);
    let last = machine.on_track(FAST, completion());
    assert_eq!(kinds(&last), ["track done", "done", "end"]);
    assert!(machine.on_track(FAST, delta("late")).is_empty());
}

#[test]
fn an_answer_that_was_given_before_says_so_and_has_no_seed() {
    let cached = Cached { similarity: Some(0.97), age_ms: 120_000, ..Cached::default() };
    let (mut machine, _) = begin("", Track::Fast, None);
    let told = machine.on_track(FAST, TrackEvent::Cached(cached));
    let Effect::Emit(Event::Notice(notice)) = &told[0] else { unreachable!() };
    assert_eq!(notice.kind(), NoticeKind::Cached);
    assert!(notice.message.contains("2 min ago"), "{notice:?}");
    machine.on_track(FAST, delta("a"));
    let effects = machine.on_track(FAST, completion());
    let Effect::Emit(Event::Done(done)) = &effects[1] else { unreachable!() };
    assert_eq!((done.cached, done.seed), (Some(cached), None));
}

#[test]
fn the_other_track_is_not_cached_because_the_first_one_was() {
    let mut machine = duo();
    machine.on_track(FAST, TrackEvent::Cached(Cached::default()));
    machine.on_track(FAST, delta("a"));
    machine.on_track(FAST, completion());
    machine.on_track(SLOW, delta("b"));
    let effects = machine.on_track(SLOW, completion());
    let done = effects.iter().find_map(|effect| match effect {
        Effect::Emit(Event::Done(done)) => Some(done),
        _ => None,
    });
    assert_eq!(done.unwrap().cached, None);
}

#[test]
fn a_turn_in_a_conversation_is_done_only_when_it_is_on_disk() {
    let (mut machine, _) = begin("c", Track::Fast, None);
    machine.on_private();
    machine.on_track(FAST, delta("Paris"));
    let effects = machine.on_track(FAST, completion());
    assert_eq!(kinds(&effects), ["track done", "commit"]);
    let Effect::Commit(turn) = &effects[1] else { unreachable!() };
    assert_eq!((turn.prompt.as_str(), turn.answer.as_str()), ("question", "Paris"));
    assert!(turn.private, "an answer that draws on a private one is private");
    let aborted = machine.on_abort(Error::ShuttingDown);
    assert!(aborted.is_empty(), "a commit under way is not abandoned");
    assert_eq!(kinds(&machine.on_committed(Ok(()))), ["done", "end"]);
}

fn call() -> TrackEvent {
    TrackEvent::ToolCall(ToolCall { id: "x".to_owned(), ..ToolCall::default() })
}

#[test]
fn tool_calls_are_passed_on_and_stored() {
    let (mut machine, _) = begin("c", Track::Slow, Some(Track::Fast));
    assert_eq!(kinds(&machine.on_track(SLOW, call())), ["tool call"]);
    let effects = machine.on_track(SLOW, completion());
    let Effect::Commit(turn) = &effects[1] else { unreachable!() };
    assert_eq!((turn.tool_calls.len(), turn.images), (1, 1));
}

#[test]
fn a_tool_call_of_a_track_that_fails_is_superseded() {
    let (mut machine, _) = begin("", Track::Slow, Some(Track::Fast));
    machine.on_track(SLOW, call());
    let effects = machine.on_track(SLOW, failed());
    assert_eq!(kinds(&effects), ["notice", "superseded", "run fast"]);
}

#[test]
fn a_turn_that_cannot_be_written_is_not_acknowledged() {
    let (mut machine, _) = begin("c", Track::Fast, None);
    machine.on_track(FAST, completion());
    let full = Error::Store { problem: "disk full".to_owned() };
    assert_eq!(machine.on_committed(Err(full.clone())), [Effect::End(Err(full))]);
}

#[test]
fn the_other_track_takes_over_once_and_late_events_are_ignored() {
    let (mut machine, _) = begin("", Track::Slow, Some(Track::Fast));
    assert_eq!(kinds(&machine.on_track(SLOW, failed())), ["notice", "run fast"]);
    assert!(machine.on_track(SLOW, delta("late")).is_empty());
    assert_eq!(kinds(&machine.on_track(FAST, failed())), ["notice", "failed"]);
}

#[test]
fn half_an_answer_is_void_before_the_other_track_begins_its_own() {
    let (mut machine, _) = begin("c", Track::Slow, Some(Track::Fast));
    machine.on_track(SLOW, delta("It is"));
    assert_eq!(kinds(&machine.on_track(SLOW, failed())), ["notice", "superseded", "run fast"]);
    machine.on_track(FAST, delta("Paris"));
    let effects = machine.on_track(FAST, completion());
    let Effect::Commit(turn) = &effects[1] else { unreachable!() };
    assert_eq!(turn.answer, "Paris");
}

#[test]
fn a_wrong_request_is_not_tried_on_the_other_track() {
    let (mut machine, _) = begin("", Track::Slow, Some(Track::Fast));
    let wrong = TrackEvent::Failed(Error::invalid("sampling.stop", "too many"));
    assert_eq!(kinds(&machine.on_track(SLOW, wrong)), ["failed"]);
}

#[test]
fn in_a_duo_both_are_seen_and_the_slow_answer_counts() {
    let mut machine = duo();
    assert_eq!(kinds(&machine.on_track(FAST, delta("quick"))), ["delta"]);
    assert_eq!(kinds(&machine.on_track(SLOW, delta("thought"))), ["delta"]);
    assert_eq!(kinds(&machine.on_track(FAST, completion())), ["track done"]);
    let effects = machine.on_track(SLOW, completion());
    assert_eq!(kinds(&effects), ["track done", "stop fast", "superseded", "done", "end"]);
    let Effect::Emit(Event::Done(done)) = &effects[3] else { unreachable!() };
    assert_eq!(done.track(), Track::Slow);
}

#[test]
fn in_a_duo_either_track_covers_for_the_other() {
    for (fails, answers) in [(FAST, SLOW), (SLOW, FAST)] {
        for done_before in [false, true] {
            let mut machine = duo();
            machine.on_track(answers, delta("an answer"));
            // The slow track's end would be the turn's.
            let done_before = done_before && answers == FAST;
            if done_before {
                machine.on_track(answers, completion());
            }
            let effects = machine.on_track(fails, failed());
            let last = if done_before { effects } else { machine.on_track(answers, completion()) };
            assert_eq!(kinds(&last)[last.len() - 2..], ["done", "end"], "{answers:?} answers");
        }
    }
}

#[test]
fn an_unsure_answer_is_made_again_by_the_slow_track() {
    let unsure = |floor| {
        TrackEvent::Done(Completion {
            confidence: Some(0.4),
            confidence_floor: floor,
            ..Completion::whole()
        })
    };
    let (mut machine, _) = begin("", Track::Fast, Some(Track::Slow));
    machine.on_track(FAST, delta("perhaps"));
    let effects = machine.on_track(FAST, unsure(Some(0.5)));
    assert_eq!(kinds(&effects), ["track done", "notice", "run slow"]);
    machine.on_track(SLOW, delta("surely"));
    let effects = machine.on_track(SLOW, completion());
    assert_eq!(kinds(&effects), ["track done", "stop fast", "superseded", "done", "end"]);

    // The first answer stands when there is no better one.
    let (mut machine, _) = begin("", Track::Fast, Some(Track::Slow));
    machine.on_track(FAST, unsure(Some(0.5)));
    assert_eq!(kinds(&machine.on_track(SLOW, failed())), ["notice", "done", "end"]);

    for floor in [None, Some(0.3)] {
        let (mut machine, _) = begin("", Track::Fast, Some(Track::Slow));
        assert_eq!(kinds(&machine.on_track(FAST, unsure(floor))), ["track done", "done", "end"]);
    }
    let (mut machine, _) = begin("", Track::Fast, None);
    let alone = machine.on_track(FAST, unsure(Some(0.5)));
    assert_eq!(kinds(&alone), ["track done", "done", "end"], "nothing leaves the machine for it");
}

fn watched() -> Machine {
    let handoff = Some(HandOff { tokens: 2, logprob: -1.0 });
    let escalation = Escalation { confidence: None, handoff };
    let plan = Plan { escalation, ..plan(Track::Fast, Some(Track::Slow)) };
    Machine::begin(facts(""), plan).0
}

#[test]
fn the_slow_track_takes_over_before_a_weak_span_is_seen() {
    let mut machine = watched();
    for text in ["a", "b"] {
        assert!(machine.on_track(FAST, token(text, -0.1)).is_empty(), "held back");
    }
    assert_eq!(kinds(&machine.on_track(FAST, token("c", -0.1))), ["delta"]);
    assert_eq!(kinds(&machine.on_track(FAST, token("x", -9.0))), ["notice", "run slow"]);
    assert!(machine.on_track(FAST, token("y", -0.1)).is_empty(), "unseen from here on");
    let effects = machine.on_track(SLOW, delta("better"));
    assert_eq!(kinds(&effects), ["stop fast", "superseded", "delta"]);
    assert!(machine.on_track(FAST, token("late", -0.1)).is_empty());
    assert_eq!(kinds(&machine.on_track(SLOW, completion())), ["track done", "done", "end"]);
}

#[test]
fn a_local_answer_that_was_taken_back_is_made_anew_when_the_slow_track_breaks_off() {
    let mut machine = watched();
    for (piece, logprob) in [("a", -0.1), ("b", -0.1), ("c", -9.0), ("d", -9.0)] {
        machine.on_track(FAST, token(piece, logprob));
    }
    machine.on_track(FAST, completion());
    machine.on_track(SLOW, delta("bet"));
    let effects = machine.on_track(SLOW, failed());
    assert_eq!(kinds(&effects), ["notice", "superseded", "run fast"]);
    let again = Run { number: 2, ..FAST };
    machine.on_track(again, delta("whole"));
    assert_eq!(kinds(&machine.on_track(again, completion())), ["track done", "done", "end"]);
}

#[test]
fn a_turn_that_stays_here_is_shown_as_it_comes_however_unsure_the_model_is() {
    let handoff = Some(HandOff { tokens: 2, logprob: -1.0 });
    let escalation = Escalation { confidence: Some(1.0), handoff };
    let (mut machine, _) =
        Machine::begin(facts(""), Plan { escalation, ..plan(Track::Fast, None) });
    for _ in 0..4 {
        assert_eq!(kinds(&machine.on_track(FAST, token("x", -9.0))), ["delta"]);
    }
    assert_eq!(kinds(&machine.on_track(FAST, completion())), ["track done", "done", "end"]);
}

#[test]
fn when_the_slow_track_cannot_take_over_the_held_text_is_shown_in_order() {
    let mut machine = watched();
    let mut text = String::new();
    let mut shown = |effects: Vec<Effect>| {
        for effect in effects {
            if let Effect::Emit(Event::Delta(delta)) = effect {
                text += &delta.text;
            }
        }
    };
    for (piece, logprob) in [("a", -0.1), ("b", -0.1), ("c", -9.0), ("d", -0.1)] {
        shown(machine.on_track(FAST, token(piece, logprob)));
    }
    shown(machine.on_track(SLOW, failed()));
    shown(machine.on_track(FAST, token("e", -0.1)));
    let last = machine.on_track(FAST, completion());
    assert_eq!(kinds(&last)[last.len() - 2..], ["done", "end"]);
    assert_eq!(text, "abcde");
}

#[test]
fn a_model_that_loads_for_long_races_the_slow_track() {
    let (mut machine, _) = begin("c", Track::Fast, Some(Track::Slow));
    assert_eq!(kinds(&machine.on_cold()), ["notice", "run slow"]);
    assert!(machine.on_cold().is_empty(), "only once");
    assert_eq!(kinds(&machine.on_track(SLOW, delta("Paris"))), ["stop fast", "delta"]);
    assert_eq!(kinds(&machine.on_track(SLOW, completion())), ["track done", "commit"]);
    assert_eq!(kinds(&machine.on_committed(Ok(()))), ["done", "warm", "end"]);

    let (mut machine, _) = begin("c", Track::Fast, Some(Track::Slow));
    machine.on_cold();
    assert_eq!(kinds(&machine.on_track(FAST, delta("Paris"))), ["stop slow", "delta"]);
    machine.on_track(FAST, completion());
    assert_eq!(kinds(&machine.on_committed(Ok(()))), ["done", "end"]);
}

#[test]
fn a_model_that_loads_for_long_is_waited_for_when_nobody_else_may_answer() {
    let (mut machine, _) = begin("", Track::Fast, None);
    assert!(machine.on_cold().is_empty());
    let (mut machine, _) = begin("", Track::Fast, Some(Track::Slow));
    machine.on_track(FAST, delta("It"));
    assert!(machine.on_cold().is_empty(), "it has begun meanwhile");
}

#[test]
fn a_question_with_a_built_in_reply_gets_it_when_nobody_else_answers() {
    let facts = Facts { reply: Some("Hello!".to_owned()), ..facts("c") };
    let (mut machine, _) = Machine::begin(facts, plan(Track::Slow, None));
    machine.on_track(SLOW, delta("Hel"));
    let effects = machine.on_track(SLOW, failed());
    assert_eq!(kinds(&effects), ["notice", "superseded", "delta", "track done", "commit"]);
    let Effect::Commit(turn) = &effects[4] else { unreachable!() };
    assert_eq!((turn.answer.as_str(), turn.track()), ("Hello!", Track::BuiltIn));
    assert_eq!(kinds(&machine.on_committed(Ok(()))), ["done", "end"]);
}

#[test]
fn what_is_given_up_for_the_machine_is_said_before_the_answer_and_at_its_end() {
    let degraded = Degraded {
        rung: Rung::FewerThreads.into(),
        reasons: vec!["the hottest sensor is at 98 °C".to_owned()],
    };
    let facts = Facts { degraded: Some(degraded.clone()), ..facts("") };
    let (mut machine, effects) = Machine::begin(facts, plan(Track::Fast, None));
    assert_eq!(kinds(&effects), ["routed", "notice", "run fast"]);
    let Effect::Emit(Event::Notice(notice)) = &effects[1] else { unreachable!() };
    assert_eq!(notice.kind(), NoticeKind::Degraded);
    let sentence = "models compute with fewer threads: the hottest sensor is at 98 °C";
    assert_eq!(notice.message, sentence);
    let effects = machine.on_track(FAST, completion());
    let done = effects.iter().find_map(|effect| match effect {
        Effect::Emit(Event::Done(done)) => Some(done.clone()),
        _ => None,
    });
    assert_eq!(done.unwrap().degraded, Some(degraded));
}

/// Anything that can happen to a turn.
fn happening() -> impl Strategy<Value = u8> {
    0..12_u8
}

fn apply(machine: &mut Machine, runs: &mut Vec<Run>, what: u8) -> Vec<Effect> {
    let track = if what.is_multiple_of(2) { Track::Fast } else { Track::Slow };
    // Also of runs that were stopped.
    let run = runs.iter().copied().rev().find(|run| run.track == track).unwrap_or(run(track));
    let effects = match what / 2 {
        0 => machine.on_track(run, token("o", -0.1)),
        1 => machine.on_track(run, token("x", -9.0)),
        2 => machine.on_track(run, completion()),
        3 => machine.on_track(run, failed()),
        4 => machine.on_cold(),
        _ => machine.on_committed(Ok(())),
    };
    runs.extend(effects.iter().filter_map(|effect| match effect {
        Effect::Run(run) => Some(*run),
        _ => None,
    }));
    effects
}

proptest! {
    #[test]
    fn whatever_happens_a_turn_ends_once_and_its_answer_is_what_was_shown(
        happenings in prop::collection::vec(happening(), 0..60),
        shape in 0..4_u8,
        conversation in any::<bool>(),
    ) {
        let handoff = Some(HandOff { tokens: 2, logprob: -1.0 });
        let plan = match shape {
            0 => plan(Track::Slow, Some(Track::Fast)),
            1 => Plan { duo: true, ..plan(Track::Fast, Some(Track::Slow)) },
            2 => Plan {
                escalation: Escalation { confidence: Some(1.0), handoff },
                ..plan(Track::Fast, None)
            },
            _ => Plan {
                escalation: Escalation { confidence: None, handoff },
                ..plan(Track::Fast, Some(Track::Slow))
            },
        };
        let may_go_out = plan.first == Track::Slow || plan.other.is_some();
        let (mut machine, effects) =
            Machine::begin(facts(if conversation { "c" } else { "" }), plan);
        let mut runs: Vec<Run> = Vec::new();
        let mut all = effects;
        runs.extend(all.iter().filter_map(|effect| match effect {
            Effect::Run(run) => Some(*run),
            _ => None,
        }));
        for what in happenings {
            all.extend(apply(&mut machine, &mut runs, what));
        }
        // What runs fails, and what is written is written: every turn ends.
        for what in [6, 7, 6, 7, 6, 7, 10] {
            all.extend(apply(&mut machine, &mut runs, what));
        }
        let ends = all.iter().filter(|effect| matches!(effect, Effect::End(_))).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(matches!(all.last(), Some(Effect::End(_))));
        prop_assert!(may_go_out || runs.iter().all(|run| run.track == Track::Fast));

        let mut texts = std::collections::HashMap::<Track, String>::new();
        let mut done = None;
        let mut stored = None;
        for effect in &all {
            match effect {
                Effect::Emit(Event::Delta(delta)) => {
                    texts.entry(delta.track()).or_default().push_str(&delta.text);
                }
                Effect::Emit(Event::Superseded(superseded)) => {
                    texts.remove(&superseded.track());
                }
                Effect::Emit(Event::Done(it)) => done = Some(it.track()),
                Effect::Commit(turn) => stored = Some(turn.answer.clone()),
                _ => {}
            }
        }
        if let (Some(track), Some(answer)) = (done, stored) {
            prop_assert_eq!(texts.remove(&track).unwrap_or_default(), answer);
        }
        // A track whose answer counts has come to its end and was not told to stop since.
        if let Some(track) = done {
            let ended = all.iter().rposition(
                |effect| matches!(effect, Effect::Emit(Event::TrackDone(it)) if it.track() == track),
            );
            let stopped = all.iter().rposition(|effect| *effect == Effect::Stop(track));
            prop_assert!(ended > stopped, "{:?}", kinds(&all));
        }
    }
}
