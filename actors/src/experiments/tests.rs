//! Shares, independence and stickiness of the deal; sums of outcomes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use tandem_proto::v1::{Outcomes, Sampling, Track, Verdict};

use super::*;

const IDS: u32 = 100_000;
/// Chi-square with one and two degrees of freedom that chance exceeds once in 10,000 times.
const CHI_SQUARE_MAX: [f64; 2] = [15.14, 18.42];

fn ids() -> impl Iterator<Item = String> {
    (0..IDS).map(|number| uuid::Uuid::from_u128(u128::from(number) << 64).to_string())
}

fn experiments(toml: &[(&str, Experiment)]) -> Experiments {
    let mut config = Config::defaults("/nowhere".into(), "/nowhere/socket".into());
    config.experiments = toml.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect();
    Experiments::new(&config)
}

fn weighed(weights: &[(&str, u32)]) -> Experiment {
    let variant = |&(name, weight): &(&str, u32)| {
        (name.to_owned(), Variant { weight, slow_threshold: Some(0.5), ..Variant::default() })
    };
    Experiment { variants: weights.iter().map(variant).collect(), ..Experiment::default() }
}

fn variant_of(experiments: &Experiments, name: &str, id: &str) -> Option<String> {
    let assignment = experiments.assign(id, &AskRequest::default());
    assignment.variants.into_iter().find(|it| it.experiment == name).map(|it| it.variant)
}

fn chi_square(seen: &[u32], expected: &[f64]) -> f64 {
    seen.iter()
        .zip(expected)
        .map(|(seen, expected)| (f64::from(*seen) - expected).powi(2) / expected)
        .sum()
}

#[test]
fn each_part_is_as_large_as_its_weight_says() {
    let experiments =
        experiments(&[("x", weighed(&[("a", 50), ("b", 30), ("c", 20), ("none", 0)]))]);
    let mut seen = [0; 3];
    for id in ids() {
        match variant_of(&experiments, "x", &id).unwrap().as_str() {
            "a" => seen[0] += 1,
            "b" => seen[1] += 1,
            "c" => seen[2] += 1,
            other => panic!("{other} has no weight"),
        }
    }
    let all = f64::from(IDS);
    let chi_square = chi_square(&seen, &[all * 0.5, all * 0.3, all * 0.2]);
    assert!(chi_square < CHI_SQUARE_MAX[1], "{chi_square} {seen:?}");
}

#[test]
fn as_many_take_part_as_the_share_says_and_are_dealt_out_evenly() {
    let part = Experiment { share: 0.25, ..weighed(&[("a", 1), ("b", 1)]) };
    let experiments = experiments(&[("x", part)]);
    let mut seen = [0; 2];
    for variant in ids().filter_map(|id| variant_of(&experiments, "x", &id)) {
        seen[usize::from(variant == "b")] += 1;
    }
    let (all, part) = (f64::from(IDS), f64::from(seen[0] + seen[1]));
    let outside = IDS - seen[0] - seen[1];
    let share = chi_square(&[seen[0] + seen[1], outside], &[all * 0.25, all * 0.75]);
    assert!(share < CHI_SQUARE_MAX[0], "{share} {seen:?}");
    let even = chi_square(&seen, &[part / 2.0, part / 2.0]);
    assert!(even < CHI_SQUARE_MAX[0], "{even} {seen:?}");
}

#[test]
fn experiments_and_salts_are_independent_of_each_other() {
    let halves = || weighed(&[("a", 1), ("b", 1)]);
    let salted = Experiment { salt: "2".to_owned(), ..halves() };
    let one = experiments(&[("x", halves())]);
    for (name, other) in [("y", halves()), ("x", salted)] {
        let other = experiments(&[(name, other)]);
        let mut seen = [0; 4];
        for id in ids() {
            let first = variant_of(&one, "x", &id).unwrap() == "a";
            let second = variant_of(&other, name, &id).unwrap() == "a";
            seen[usize::from(first) * 2 + usize::from(second)] += 1;
        }
        let chi_square = chi_square(&seen, &[f64::from(IDS) / 4.0; 4]);
        assert!(chi_square < 21.11, "{name}: {chi_square} {seen:?}");
    }
}

#[test]
fn a_conversation_keeps_its_variant_for_ever() {
    let experiments = experiments(&[("x", weighed(&[("a", 1), ("b", 1)]))]);
    let seen: String = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
        .iter()
        .filter_map(|id| variant_of(&experiments, "x", id))
        .collect();
    // What another version, or another machine, must deal out, too.
    assert_eq!(seen, GOLDEN);
}

/// Dealt out by the first version.
const GOLDEN: &str = "bbaababb";

#[test]
fn a_request_that_says_what_is_varied_takes_no_part() {
    let mut experiment = weighed(&[("a", 1), ("b", 1)]);
    for variant in experiment.variants.values_mut() {
        variant.slow_threshold = None;
        variant.temperature = Some(0.3);
        variant.model = Some("m".to_owned());
    }
    let experiments = experiments(&[("x", experiment)]);
    let plain = experiments.assign("id", &AskRequest::default());
    assert_eq!(plain.overrides.temperature, Some(0.3));
    assert_eq!(plain.overrides.model.as_deref(), Some("m"));
    assert_eq!(plain.overrides.policy, None);
    let sampling = Sampling { temperature: Some(1.0), ..Sampling::default() };
    let named = AskRequest { model: "mine".to_owned(), ..AskRequest::default() };
    for request in [AskRequest { sampling: Some(sampling), ..AskRequest::default() }, named] {
        assert_eq!(experiments.assign("id", &request), Assignment::default());
    }
    let private = AskRequest { policy: 4, ..AskRequest::default() };
    assert_eq!(experiments.assign("id", &private).variants, plain.variants);
}

#[test]
fn a_flag_is_for_all_for_none_or_for_a_share() {
    let mut config = Config::defaults("/nowhere".into(), "/nowhere/socket".into());
    config.flags = Flags { cascade: 0.0, hedge: 0.5 };
    let half = Experiments::new(&config);
    let all = experiments(&[]);
    assert!(ids().take(1000).all(|id| all.gets(Feature::Cascade, &id)));
    assert!(ids().take(1000).all(|id| !half.gets(Feature::Cascade, &id)));
    let hedged = u32::try_from(ids().filter(|id| half.gets(Feature::Hedge, id)).count()).unwrap();
    let middle = f64::from(IDS) / 2.0;
    assert!(chi_square(&[hedged, IDS - hedged], &[middle, middle]) < CHI_SQUARE_MAX[0], "{hedged}");
}

#[test]
fn outcomes_add_up_and_a_new_verdict_replaces_the_old_one() {
    let mut outcomes = Outcomes::default();
    for (milliseconds, track) in [(100, Track::Fast), (300, Track::Slow), (200, Track::Fast)] {
        let answer = OutcomeAnswer {
            track,
            fell_back: track == Track::Slow,
            first_token: Duration::from_millis(milliseconds / 10),
            total: Duration::from_millis(milliseconds),
            cost_micros: (track == Track::Slow).then_some(50),
        };
        add(&mut outcomes, &Outcome { variants: Vec::new(), answer: Some(answer) });
    }
    add(&mut outcomes, &Outcome { variants: Vec::new(), answer: None });
    assert_eq!((outcomes.answered, outcomes.failed), (3, 1));
    assert_eq!((outcomes.slow, outcomes.fell_back), (1, 1));
    let total = outcomes.total_ms.unwrap();
    assert!(
        (total.mean - 200.0).abs() < 1e-9 && (total.squares - 20_000.0).abs() < 1e-6,
        "{total:?}"
    );
    assert_eq!(outcomes.cost_micros.unwrap().count, 1);
    verdict(&mut outcomes, Verdict::Unspecified, Verdict::Up);
    verdict(&mut outcomes, Verdict::Up, Verdict::Down);
    assert_eq!((outcomes.up, outcomes.down), (0, 1));
}

#[test]
fn only_the_latest_turns_are_remembered() {
    let recent = Recent::default();
    assert_eq!(recent.find(""), None);
    for number in 0..5000 {
        recent.remember(Answered { turn_id: number.to_string(), ..Answered::default() });
    }
    assert_eq!(recent.find("").unwrap().turn_id, "4999");
    assert_eq!(recent.find("4000").unwrap().turn_id, "4000");
    assert_eq!(recent.find("10"), None);
}
