//! What is assumed before anything was learned: longer, calculating and reasoning tasks gain from the
//! slow track; small talk and plain facts do not. Set by hand; the heads for which there are too few
//! graded questions consist of it.

use crate::features::{Measure, class_place};
use crate::kind::Kind;
use crate::model::{Curve, Head, Model};
use crate::vocabulary::Class;

/// Where counts of words of one class stop to matter.
const MANY: f32 = 3.0;

/// What a measure adds: nothing up to `from`, and then `slope` for each unit up to `to`.
struct Ramp {
    measure: Measure,
    from: f32,
    to: f32,
    slope: f32,
}

/// The model of which all training begins.
pub(crate) fn model() -> Model {
    Model { heads: Kind::ALL.map(head), quantiles: Vec::new() }
}

/// Longer tasks have more steps, each of which can go wrong.
const MATHS: [Ramp; 4] = [
    Ramp { measure: Measure::Operators, from: 0.0, to: 1.4, slope: 0.12 },
    Ramp { measure: Measure::Words, from: 2.7, to: 5.0, slope: 0.1 },
    Ramp { measure: Measure::Sentences, from: 0.7, to: 2.5, slope: 0.12 },
    Ramp { measure: Measure::Commas, from: 0.0, to: 2.5, slope: 0.06 },
];

/// Of options, one is right by chance, so that steps count for less.
const CHOICE: [Ramp; 3] = [
    Ramp { measure: Measure::Words, from: 1.5, to: 5.5, slope: 0.015 },
    Ramp { measure: Measure::Sentences, from: 0.7, to: 3.0, slope: 0.018 },
    Ramp { measure: Measure::Commas, from: 0.0, to: 3.0, slope: 0.009 },
];

const CHAT: [Ramp; 4] = [
    Ramp { measure: Measure::Words, from: 1.0, to: 6.0, slope: 0.01 },
    Ramp { measure: Measure::Sentences, from: 0.7, to: 3.0, slope: 0.03 },
    Ramp { measure: Measure::Numbers, from: 0.0, to: 2.0, slope: 0.03 },
    Ramp { measure: Measure::Questions, from: 0.7, to: 2.0, slope: 0.03 },
];

const CODE: [Ramp; 2] = [
    Ramp { measure: Measure::Words, from: 1.0, to: 6.0, slope: 0.03 },
    Ramp { measure: Measure::CodeMarks, from: 0.0, to: 2.0, slope: 0.02 },
];

const CHAT_WORDS: [(Class, f32); 21] = [
    (Class::Proof, 0.4),
    (Class::Reasoning, 0.25),
    (Class::Calculation, 0.12),
    (Class::Analysis, 0.08),
    (Class::Why, 0.02),
    (Class::Condition, 0.05),
    (Class::Constraint, 0.04),
    (Class::Statement, 0.06),
    (Class::Format, 0.05),
    (Class::Comparison, 0.03),
    (Class::Mathematics, 0.08),
    (Class::Computing, 0.04),
    (Class::Law, 0.06),
    (Class::Medicine, 0.04),
    (Class::Amount, 0.04),
    (Class::Writing, -0.03),
    (Class::Rewriting, -0.02),
    (Class::Role, -0.05),
    (Class::Plain, -0.06),
    (Class::Greeting, -0.05),
    (Class::Who, -0.03),
];

fn head(kind: Kind) -> Head {
    let (intercept, ramps, words): (_, &[Ramp], &[(Class, f32)]) = match kind {
        Kind::Choice => (0.06, &CHOICE, &[]),
        Kind::Maths => (
            0.0,
            &MATHS,
            &[(Class::Proof, 0.4), (Class::Mathematics, 0.2), (Class::Calculation, 0.05)],
        ),
        Kind::Code => (
            0.16,
            &CODE,
            &[(Class::Analysis, 0.06), (Class::Constraint, 0.03), (Class::Computing, 0.04)],
        ),
        Kind::Chat => (0.02, &CHAT, &CHAT_WORDS),
    };
    let of_measures = ramps.iter().map(|ramp| {
        let rise = ramp.slope * (ramp.to - ramp.from);
        Curve { place: ramp.measure as u16, knots: vec![(ramp.from, 0.0), (ramp.to, rise)] }
    });
    let of_words = words.iter().map(|&(class, slope)| Curve {
        place: class_place(class) as u16,
        knots: vec![(0.0, 0.0), (MANY, slope * MANY)],
    });
    Head { intercept, curves: of_measures.chain(of_words).collect(), ..Head::default() }
}
