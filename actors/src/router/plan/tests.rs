#![allow(clippy::unwrap_used, reason = "tests")]
use tandem_router::Kind;

use super::*;

const POLICIES: [Policy; 6] =
    [Policy::Unspecified, Policy::Auto, Policy::Fast, Policy::Slow, Policy::Duo, Policy::Private];

fn situation(policy: Policy, score: f64) -> Situation {
    let reasons = vec!["it is a question".to_owned()];
    Situation {
        policy,
        score: Score { value: score, kind: Kind::Chat, reasons },
        slow_threshold: 0.6,
        fast: None,
        slow: None,
        provider: Some("remote".to_owned()),
        named: false,
        escalation: Escalation { confidence: Some(0.5), handoff: None },
    }
}

fn obstacle(what: &str, passing: bool) -> Obstacle {
    Obstacle { error: Error::invalid(what, "cannot"), passing }
}

/// Everything that a decision can rest on, with each track free, hindered for now or for good.
fn situations() -> impl Iterator<Item = Situation> {
    let obstacles = |what| [None, Some(obstacle(what, true)), Some(obstacle(what, false))];
    POLICIES.into_iter().flat_map(move |policy| {
        obstacles("fast").into_iter().flat_map(move |fast| {
            let fast = fast.clone();
            obstacles("slow").into_iter().flat_map(move |slow| {
                let (fast, slow) = (fast.clone(), slow.clone());
                [false, true].into_iter().flat_map(move |named| {
                    let (fast, slow) = (fast.clone(), slow.clone());
                    (0..=20).map(move |step| Situation {
                        fast: fast.clone(),
                        slow: slow.clone(),
                        named,
                        ..situation(policy, f64::from(step) / 20.0)
                    })
                })
            })
        })
    })
}

fn is_lasting(obstacle: Option<&Obstacle>) -> bool {
    obstacle.is_some_and(|obstacle| !obstacle.passing)
}

#[test]
fn no_constraint_is_ever_outweighed_by_a_score() {
    let mut plans = 0;
    for situation in situations() {
        let Ok(plan) = decide(situation.clone()) else { continue };
        plans += 1;
        let tracks: Vec<Track> = [Some(plan.first), plan.other].into_iter().flatten().collect();
        if matches!(situation.policy, Policy::Fast | Policy::Private) {
            assert_eq!(tracks, [Track::Fast], "{situation:?}");
        }
        if situation.policy == Policy::Slow {
            assert_eq!(tracks, [Track::Slow], "{situation:?}");
        }
        assert_eq!(plan.private, situation.policy == Policy::Private);
        for (track, obstacle) in [(Track::Fast, &situation.fast), (Track::Slow, &situation.slow)] {
            if is_lasting(obstacle.as_ref()) {
                assert!(!tracks.contains(&track), "{situation:?}");
            }
            let free = match track {
                Track::Fast => situation.slow.is_none(),
                _ => situation.fast.is_none(),
            };
            if obstacle.is_some()
                && free
                && !matches!(situation.policy, Policy::Fast | Policy::Private | Policy::Slow)
            {
                assert_ne!(plan.first, track, "{situation:?}");
            }
        }
        let goes_out = plan.escalation != Escalation::default();
        assert!(!goes_out || tracks == [Track::Fast, Track::Slow], "{plan:?}");
        assert!(plan.reasons.iter().all(|reason| !reason.is_empty()), "{plan:?}");
        assert!(!plan.reasons.is_empty());
    }
    assert!(plans > 500, "{plans} of the situations can be served");
}

#[test]
fn a_question_is_refused_only_when_no_track_that_it_may_have_can_answer() {
    for situation in situations() {
        let fast = is_lasting(situation.fast.as_ref());
        let slow = is_lasting(situation.slow.as_ref());
        let refused = match situation.policy {
            Policy::Fast | Policy::Private => fast || situation.named,
            Policy::Slow => slow,
            _ => slow && (fast || situation.named),
        };
        assert_eq!(decide(situation.clone()).is_err(), refused, "{situation:?}");
    }
}

#[test]
fn a_higher_score_never_moves_a_question_to_the_fast_track() {
    let mut last: Option<(Situation, Track)> = None;
    for situation in situations() {
        let Ok(plan) = decide(situation.clone()) else { continue };
        if let Some((before, first)) = last.replace((situation.clone(), plan.first))
            && before.score.value < situation.score.value
            && first == Track::Slow
        {
            assert_eq!(plan.first, Track::Slow, "{situation:?}");
        }
    }
}

#[test]
fn auto_sends_hard_questions_away_and_each_track_covers_for_the_other() {
    let plain = decide(situation(Policy::Auto, 0.2)).unwrap();
    assert_eq!((plain.first, plain.other), (Track::Fast, Some(Track::Slow)));
    let hard = decide(situation(Policy::Auto, 0.6)).unwrap();
    assert_eq!((hard.first, hard.other, hard.duo), (Track::Slow, Some(Track::Fast), false));
    assert_eq!(hard.reasons.len(), 2);
}

#[test]
fn a_provider_that_was_named_answers_first_unless_the_policy_forbids_it() {
    let named = |policy| Situation { named: true, ..situation(policy, 0.0) };
    let plan = decide(named(Policy::Auto)).unwrap();
    assert_eq!((plan.first, plan.other), (Track::Slow, Some(Track::Fast)));
    for policy in [Policy::Fast, Policy::Private] {
        assert!(matches!(decide(named(policy)), Err(Error::Invalid { .. })));
    }
}

#[test]
fn nothing_more_is_spent_when_the_target_is_used_up() {
    let used_up = |policy| Situation { slow_threshold: 1.01, ..situation(policy, 1.0) };
    let plan = decide(used_up(Policy::Auto)).unwrap();
    assert_eq!((plan.first, plan.other), (Track::Fast, None));
    assert_eq!(
        decide(used_up(Policy::Slow)).unwrap().first,
        Track::Slow,
        "who asks for it gets it"
    );
}

#[test]
fn duo_is_both_at_once_or_the_track_that_can() {
    let plan = decide(situation(Policy::Duo, 0.9)).unwrap();
    assert_eq!((plan.first, plan.other, plan.duo), (Track::Fast, Some(Track::Slow), true));
    let alone = Situation { slow: Some(obstacle("slow", false)), ..situation(Policy::Duo, 0.9) };
    let plan = decide(alone).unwrap();
    assert_eq!((plan.first, plan.other, plan.duo), (Track::Fast, None, false));
}

#[test]
fn a_track_that_may_come_back_still_covers() {
    let broken = Situation { slow: Some(obstacle("slow", true)), ..situation(Policy::Auto, 0.9) };
    let plan = decide(broken).unwrap();
    assert_eq!((plan.first, plan.other), (Track::Fast, Some(Track::Slow)));
    assert!(plan.reasons.last().unwrap().contains("slow: cannot"), "{:?}", plan.reasons);
}
