#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;
use tandem_config::Degree;

use super::*;

/// A sample and when it was taken.
type Trace = Vec<(Duration, ResourceStatus)>;
/// Moves and when they were made.
type Moves = Vec<(Duration, Move)>;

const HOG: &str = include_str!("traces/memory-hog.csv");
const HOT: &str = include_str!("traces/hot-day.csv");
const BATTERY: &str = include_str!("traces/battery-running-out.csv");
const FLAPPING: &str = include_str!("traces/flapping.csv");
const BROWSER: &str = include_str!("traces/browser-on-4-gb.csv");

fn trace(csv: &str) -> Trace {
    let mut lines = csv.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let text = |name| fields[columns.iter().position(|column| *column == name).unwrap()];
            let field = |name| text(name).parse::<f64>().ok();
            let whole = |name| text(name).parse::<u64>().unwrap();
            let sample = ResourceStatus {
                memory_available_bytes: whole("memory_available_mib") << 20,
                memory_total_bytes: whole("memory_total_mib") << 20,
                cpu_stalled: field("cpu_stalled"),
                memory_stalled: field("memory_stalled"),
                io_stalled: field("io_stalled"),
                temperature_celsius: field("temperature_celsius"),
                battery_charge: field("battery_charge"),
                on_battery: field("on_battery") == Some(1.0),
                ..ResourceStatus::default()
            };
            (Duration::from_millis(whole("ms")), sample)
        })
        .collect()
}

fn fresh() -> Ladder {
    Ladder::resume(&ResourceStatus::default(), Duration::ZERO)
}

/// What is shown after each sample, and the moves.
fn replay(trace: &Trace, settings: &Resources) -> (Vec<LadderStatus>, Moves) {
    let mut ladder = fresh();
    let (mut shown, mut moves) = (Vec::new(), Vec::new());
    for (now, sample) in trace {
        moves.extend(ladder.look(*now, sample, settings).map(|step| (*now, step)));
        shown.push(ladder.status(*now));
    }
    (shown, moves)
}

fn rungs(moves: &Moves) -> Vec<Rung> {
    moves.iter().map(|(_, step)| step.to).collect()
}

/// The time from each move to the next is the dwell time or more; up goes one rung at a time.
fn check(moves: &Moves, settings: &Resources) {
    let table = &settings.ladder;
    for pair in moves.windows(2) {
        assert!(pair[1].0 >= pair[0].0 + table.dwell, "{pair:?}");
        assert_eq!(pair[0].1.to, pair[1].1.from, "{pair:?}");
    }
    for (_, Move { from, to }) in moves {
        assert_ne!(from, to);
        if to < from {
            assert_eq!(*to, above(*from, table));
        }
    }
}

#[test]
fn a_trace_replayed_gives_the_same_states_and_at_most_one_move_per_dwell_time() {
    let settings = Resources::default();
    for csv in [HOG, HOT, BATTERY, FLAPPING, BROWSER] {
        let trace = trace(csv);
        let (shown, moves) = replay(&trace, &settings);
        assert_eq!((shown.clone(), moves.clone()), replay(&trace, &settings));
        check(&moves, &settings);
        assert!(!moves.is_empty());
        for status in shown {
            assert_eq!(status.rung() == Rung::Full, status.reasons.is_empty(), "{status:?}");
        }
    }
}

#[test]
fn a_recorded_memory_hog_is_met_rung_by_rung_before_nothing_is_left() {
    let (shown, moves) = replay(&trace(HOG), &Resources::default());
    let expected = [Rung::FewerThreads, Rung::SmallerModel, Rung::Template];
    assert_eq!(rungs(&moves)[..3], expected, "{moves:?}");
    let reasons: Vec<String> = shown.into_iter().flat_map(|status| status.reasons).collect();
    assert!(reasons.iter().any(|it| it.contains("a processor")), "{reasons:?}");
    assert!(reasons.iter().any(|it| it.contains("MiB of 2048 MiB memory")), "{reasons:?}");
}

#[test]
fn a_laptop_of_4_gb_gives_up_more_and_more_and_takes_all_of_it_back() {
    let (shown, moves) = replay(&trace(BROWSER), &Resources::default());
    let down = [Rung::FewerThreads, Rung::SmallerModel, Rung::Remote, Rung::Template];
    let up = [
        Rung::Remote,
        Rung::SmallerModel,
        Rung::QuantizedKv,
        Rung::ShorterContext,
        Rung::SmallerBatch,
        Rung::FewerThreads,
        Rung::Full,
    ];
    assert_eq!(rungs(&moves), [&down[..], &up[..]].concat(), "{moves:?}");
    // Memory is given back after 90 s.
    assert_eq!(moves[4].0, Duration::from_secs(120), "the calm has lasted");
    assert_eq!(moves[10].0, Duration::from_secs(150), "then a rung each dwell time");
    let rising = &shown[100];
    assert_eq!(rising.rung(), Rung::Template);
    assert!(rising.reasons[0].starts_with("pressed until 10 s ago: 60 MiB of"), "{rising:?}");
}

#[test]
fn heat_and_a_low_battery_cost_what_they_are_worth() {
    let lowest = |csv| {
        let (_, moves) = replay(&trace(csv), &Resources::default());
        (rungs(&moves).into_iter().max().unwrap(), rungs(&moves).last().copied().unwrap())
    };
    assert_eq!(lowest(HOT), (Rung::SmallerModel, Rung::Full));
    assert_eq!(lowest(BATTERY), (Rung::SmallerModel, Rung::Full));
}

#[test]
fn a_value_that_flaps_around_a_threshold_moves_the_ladder_once() {
    let (_, moves) = replay(&trace(FLAPPING), &Resources::default());
    let down = moves.iter().filter(|(_, step)| step.to > step.from).count();
    assert!(down <= 2, "{moves:?}");
    assert!(moves.iter().all(|(at, step)| step.to > step.from || at.as_secs() >= 150), "{moves:?}");
}

/// A machine of 4 GiB with this share of its memory available.
fn available(percent: u64) -> ResourceStatus {
    ResourceStatus {
        memory_total_bytes: 4 << 30,
        memory_available_bytes: (percent << 32) / 100,
        ..ResourceStatus::default()
    }
}

#[test]
fn rungs_that_are_turned_off_are_passed_over() {
    let mut settings = Resources::default();
    for off in [1, 3, 6] {
        settings.ladder.rungs[off] = None;
    }
    let mut trace: Trace = vec![(Duration::ZERO, available(1))];
    trace.extend((1..100).map(|second| (Duration::from_secs(second), available(90))));
    let (_, moves) = replay(&trace, &settings);
    let expected =
        [Rung::Remote, Rung::SmallerModel, Rung::ShorterContext, Rung::FewerThreads, Rung::Full];
    assert_eq!(rungs(&moves), expected);
    settings.ladder.rungs = [None; 7];
    assert_eq!(replay(&trace, &settings).1, []);
}

#[test]
fn a_ladder_that_is_resumed_goes_on_where_it_was() {
    let mut ladder = fresh();
    let settings = Resources::default();
    ladder.look(Duration::ZERO, &available(1), &settings);
    let before = ResourceStatus { ladder: Some(ladder.status(Duration::ZERO)), ..available(1) };
    let mut resumed = Ladder::resume(&before, Duration::from_secs(7));
    assert_eq!(resumed.look(Duration::from_secs(7), &available(90), &settings), None);
    let status = resumed.status(Duration::from_secs(8));
    assert_eq!((status.rung(), status.moves, status.since_ms), (Rung::Template, 1, 1000));
}

/// Some time of any machine, sampled at any times.
fn any_trace() -> impl Strategy<Value = Trace> {
    let sample =
        (0_u64..=100, 0.0..=1.0, 0.0..=1.0, 0.0..=1.0, 20.0..=120.0, 0.0..=1.0, any::<bool>())
            .prop_map(|(percent, cpu, memory, io, celsius, charge, on_battery)| ResourceStatus {
                cpu_stalled: Some(cpu),
                memory_stalled: Some(memory),
                io_stalled: Some(io),
                temperature_celsius: Some(celsius),
                battery_charge: Some(charge),
                on_battery,
                ..available(percent)
            });
    let gaps = 1_u64..=9_000;
    proptest::collection::vec((gaps, sample), 1..120).prop_map(|samples| {
        let mut now = Duration::ZERO;
        let timed = samples.into_iter().map(|(gap, sample)| {
            now += Duration::from_millis(gap);
            (now, sample)
        });
        timed.collect()
    })
}

#[test]
fn reasons_that_an_earlier_life_dated_are_dated_once() {
    let settings = Resources::default();
    let mut ladder = fresh();
    ladder.look(Duration::ZERO, &available(3), &settings);
    let reasons = ladder.status(Duration::ZERO).reasons;
    assert!(!reasons.is_empty());
    let second = Duration::from_secs(1);
    ladder.look(second, &available(100), &settings);
    let shown = ladder.status(2 * second);
    assert_eq!(shown.reasons, [format!("pressed until 1 s ago: {}", reasons[0])]);
    let before = ResourceStatus { ladder: Some(shown), ..ResourceStatus::default() };
    assert_eq!(Ladder::resume(&before, Duration::ZERO).status(Duration::ZERO).reasons, reasons);
}

fn any_settings() -> impl Strategy<Value = Resources> {
    let degree = proptest::sample::select([&[None][..], &Degree::ALL.map(Some)].concat());
    let rungs = proptest::collection::vec(degree, 7);
    (rungs, 0_u64..20, 0_u64..60).prop_map(|(mut rungs, dwell, calm)| {
        // In order, with those that are off wherever they are.
        let mut on: Vec<_> = rungs.iter().flatten().copied().collect();
        on.sort_unstable();
        let mut on = on.into_iter();
        for rung in rungs.iter_mut().filter(|rung| rung.is_some()) {
            *rung = on.next();
        }
        let mut settings = Resources::default();
        settings.ladder.rungs.copy_from_slice(&rungs);
        settings.ladder.dwell = Duration::from_secs(dwell);
        settings.ladder.calm = Duration::from_secs(calm);
        settings
    })
}

proptest! {
    #[test]
    fn whatever_the_machine_does_there_is_one_move_per_dwell_time_and_calm_brings_all_back(
        mut trace in any_trace(),
        settings in any_settings(),
    ) {
        let until = trace.last().unwrap().0;
        let (dwell, calm) = (settings.ladder.dwell, settings.ladder.calm);
        let second = Duration::from_secs(1);
        // The calm, and then for each rung a dwell time and the wait for the next sample.
        let bound = calm + (dwell + second) * 8;
        let mut now = until;
        while now < until + bound {
            now += second;
            trace.push((now, available(100)));
        }
        let (shown, moves) = replay(&trace, &settings);
        check(&moves, &settings);
        prop_assert_eq!(shown.last().unwrap().rung(), Rung::Full);
        prop_assert_eq!(replay(&trace, &settings), (shown, moves));
    }

    #[test]
    fn what_is_demanded_is_given_up_within_a_dwell_time(
        trace in any_trace(),
        settings in any_settings(),
    ) {
        let mut ladder = fresh();
        for (now, sample) in &trace {
            let before = ladder.since;
            ladder.look(*now, sample, &settings);
            let waits = ladder.moves > 0 && *now < before + settings.ladder.dwell;
            prop_assert!(waits || ladder.rung >= demanded(ladder.level, &settings.ladder));
        }
    }
}
