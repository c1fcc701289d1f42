//! Settings of what is given up when the machine is pressed.

use std::time::Duration;

use super::{DAY, Visitor};
use crate::{
    Degree, Ladder, PressureThresholds,
    kind::{OneOf, Steps, Time},
};

const DEGREES: OneOf<Option<Degree>> = OneOf(&[
    ("moderate", Some(Degree::Moderate)),
    ("high", Some(Degree::High)),
    ("critical", Some(Degree::Critical)),
    ("extreme", Some(Degree::Extreme)),
    ("off", None),
]);
/// What each rung does, in the order of [`Ladder::KEYS`].
const GIVEN_UP: [&str; Ladder::KEYS.len()] = [
    "pressure from which models compute with fewer threads",
    "and read prompts in smaller pieces",
    "and read less of a conversation",
    "and, when they start, keep their context in 8 bits",
    "and a smaller one answers in place of the default one",
    "and providers answer what they may",
    "and no model computes here",
];
const SCARCE: Steps =
    Steps::below(0.0..=1.0, "{ moderate = 0.2, high = 0.1, critical = 0.05, extreme = 0.025 }");
const STALLED: Steps =
    Steps::above(0.0..=1.0, "{ moderate = 0.3, high = 0.7, critical = 1, extreme = 1 }");
const HOT: Steps = Steps::above(
    0.0..=PressureThresholds::CELSIUS_MAX,
    "{ moderate = 90, high = 100, critical = 200, extreme = 200 }",
);

pub(super) fn visit_pressure(pressure: &mut PressureThresholds, v: &mut impl Visitor) {
    v.setting(
        "memory_available",
        "share of the memory that is available; pressure begins below",
        &mut pressure.memory_available,
        &SCARCE,
    );
    v.setting(
        "memory_stalled",
        "share of the time in which programs wait for memory; pressure begins above",
        &mut pressure.memory_stalled,
        &STALLED,
    );
    v.setting("io_stalled", "the same for disks", &mut pressure.io_stalled, &STALLED);
    v.setting("cpu_stalled", "the same for processors", &mut pressure.cpu_stalled, &STALLED);
    v.setting(
        "temperature_celsius",
        "of the hottest sensor; pressure begins above",
        &mut pressure.temperature_celsius,
        &HOT,
    );
    v.setting(
        "battery_charge",
        "of the battery while the machine runs on it; pressure begins below",
        &mut pressure.battery_charge,
        &SCARCE,
    );
}

pub(super) fn visit_ladder(ladder: &mut Ladder, v: &mut impl Visitor) {
    for ((key, what), slot) in Ladder::KEYS.into_iter().zip(GIVEN_UP).zip(&mut ladder.rungs) {
        v.setting(key, what, slot, &DEGREES);
    }
    v.setting(
        "dwell",
        "shortest time between two steps, down or up",
        &mut ladder.dwell,
        &Time(Duration::ZERO..=DAY),
    );
    v.setting(
        "calm",
        "how long pressure must have been less before the first step up",
        &mut ladder.calm,
        &Time(Duration::ZERO..=DAY),
    );
}
