//! Settings that are measured instead of guessed: which are tried, which are the fastest, and how
//! that is remembered.

use serde::{Deserialize, Serialize};
use tandem_proto::engine::{Load, Measured};
use tandem_proto::v1;

use super::settings::{Choice, Rung, Source};

/// Fewer cores are all needed; of more, the system may want one.
const CORES_TO_SPARE_ONE: u32 = 4;
/// What the speed of single answers counts; the rest is for the speed of reading prompts.
const DECODE_WEIGHT: f64 = 0.6;
/// Settings must be better than those before them by this part: measurements differ that much by
/// themselves.
const MARGIN: f64 = 0.03;
/// Longest problem that is remembered, in bytes of JSON: four of them fit into a record.
const PROBLEM_BYTES_MAX: usize = 360;

/// Settings to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(super) rung: Rung,
    /// 0: as the configuration says.
    pub(super) threads: u32,
}

/// Settings that were tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    settings: Settings,
    outcome: Outcome,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Medians in microseconds.
    Times { prefill_128: u64, decode_1: u64, decode_4: u64, decode_16: u64 },
    /// The engine died or would not load.
    Failed(String),
}

/// All that was tried for one model, on one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tuning {
    trials: Vec<Trial>,
}

/// What to try for a model that runs with `choice`, on so many cores, when the configuration asks
/// for `threads`. What is known to crash is not tried again; what the user has set is left alone.
pub(crate) fn candidates(choice: &Choice, threads: u32, cores: u32) -> Vec<Settings> {
    let rungs = match choice.rung {
        Rung::Defaults => vec![Rung::Defaults, Rung::NoExtraBufts],
        only => vec![only],
    };
    let spare = (threads == 0 && cores >= CORES_TO_SPARE_ONE).then(|| cores - 1);
    let threads = [Some(0), spare].into_iter().flatten();
    threads.flat_map(|threads| rungs.iter().map(move |&rung| Settings { rung, threads })).collect()
}

impl Settings {
    /// Writes these settings into a load request.
    pub(super) fn apply(self, load: &mut Load) {
        self.rung.apply(load);
        if self.threads > 0 {
            load.threads = self.threads;
        }
    }

    /// For a person.
    pub(super) fn describe(self) -> String {
        match (self.rung, self.threads) {
            (rung, 0) => rung.describe().to_owned(),
            (Rung::Defaults, threads) => format!("threads={threads}"),
            (rung, threads) => format!("{} threads={threads}", rung.describe()),
        }
    }
}

impl Outcome {
    pub(super) fn failed(problem: &str) -> Self {
        let mut bytes = 0;
        let fits = |c: &char| {
            bytes += encoded_bytes(*c);
            bytes <= PROBLEM_BYTES_MAX
        };
        Self::Failed(problem.chars().take_while(fits).collect())
    }

    /// Time as a user feels it, in no particular unit; `None` when it was not measured.
    fn weight(&self) -> Option<f64> {
        let Self::Times { prefill_128: prefill @ 1.., decode_1: decode @ 1.., .. } = *self else {
            return None;
        };
        #[allow(clippy::cast_precision_loss, reason = "times of some seconds")]
        let (prefill, decode) = (prefill as f64, decode as f64);
        // Logarithms, so that a part of one counts like the same part of the other.
        Some(DECODE_WEIGHT * decode.ln() + (1.0 - DECODE_WEIGHT) * prefill.ln())
    }
}

/// What a character of a text takes in JSON, at most.
fn encoded_bytes(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if c.is_ascii_control() => "\\u0000".len(),
        c => c.len_utf8(),
    }
}

impl From<Measured> for Outcome {
    fn from(measured: Measured) -> Self {
        Self::Times {
            prefill_128: measured.prefill_us_128,
            decode_1: measured.decode_us_1,
            decode_4: measured.decode_us_4,
            decode_16: measured.decode_us_16,
        }
    }
}

impl Tuning {
    pub(super) fn add(&mut self, settings: Settings, outcome: Outcome) {
        self.trials.push(Trial { settings, outcome });
    }

    /// The fastest settings that work; the earlier ones when the difference is small.
    pub(super) fn best(&self) -> Option<Settings> {
        let mut best: Option<(Settings, f64)> = None;
        for Trial { settings, outcome } in &self.trials {
            let Some(weight) = outcome.weight() else { continue };
            if best.is_none_or(|(_, least)| weight < least + (1.0 - MARGIN).ln()) {
                best = Some((*settings, weight));
            }
        }
        best.map(|(settings, _)| settings)
    }

    /// What to load with in place of `choice`; `None` when nothing was measured, or faster settings
    /// than `choice` were, which an engine died with since.
    pub(super) fn choice(&self, choice: &Choice) -> Option<Choice> {
        let Settings { rung, threads } = self.best().filter(|best| best.rung >= choice.rung)?;
        let tried = self.trials.len();
        let reason = format!("it is the fastest of {tried} that were measured on this machine");
        Some(Choice { rung, threads, reason, source: Source::Measured })
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the store; `None` when another version wrote it.
    pub(super) fn decode(stored: &str) -> Option<Self> {
        serde_json::from_str(stored).ok()
    }

    /// As clients see it.
    pub(crate) fn describe(&self) -> v1::Tuning {
        let best = self.best();
        let trial = |Trial { settings, outcome }: &Trial| {
            let trial = v1::TuningTrial {
                settings: settings.describe(),
                chosen: best == Some(*settings),
                ..v1::TuningTrial::default()
            };
            match *outcome {
                Outcome::Times { prefill_128, decode_1, decode_4, decode_16 } => v1::TuningTrial {
                    prefill_us_128: prefill_128,
                    decode_us_1: decode_1,
                    decode_us_4: decode_4,
                    decode_us_16: decode_16,
                    ..trial
                },
                Outcome::Failed(ref problem) => {
                    v1::TuningTrial { problem: problem.clone(), ..trial }
                }
            }
        };
        v1::Tuning { trials: self.trials.iter().map(trial).collect() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn times(prefill_128: u64, decode_1: u64) -> Outcome {
        Outcome::Times { prefill_128, decode_1, decode_4: 1, decode_16: 1 }
    }

    fn tuning(outcomes: impl IntoIterator<Item = Outcome>) -> Tuning {
        let mut tuning = Tuning::default();
        for (settings, outcome) in candidates(&Choice::first(true), 0, 8).into_iter().zip(outcomes)
        {
            tuning.add(settings, outcome);
        }
        tuning
    }

    fn described(choice: &Choice, threads: u32, cores: u32) -> Vec<String> {
        candidates(choice, threads, cores).into_iter().map(Settings::describe).collect()
    }

    #[test]
    fn all_combinations_are_tried_beginning_with_the_defaults() {
        let all =
            ["defaults", "use_extra_bufts=false", "threads=7", "use_extra_bufts=false threads=7"];
        assert_eq!(described(&Choice::first(true), 0, 8), all);
        assert_eq!(described(&Choice::first(true), 0, 2), all[..2]);
    }

    #[test]
    fn what_crashed_is_not_tried_and_what_the_user_set_is_left_alone() {
        let safer = Choice::first(true).safer("killed by SIGILL").unwrap();
        assert_eq!(described(&safer, 0, 2), ["use_extra_bufts=false"]);
        assert_eq!(described(&Choice::first(false), 6, 8), ["use_extra_bufts=false"]);
    }

    #[test]
    fn the_fastest_settings_are_chosen_and_decoding_counts_more() {
        let chosen =
            |outcomes: &[Outcome]| tuning(outcomes.to_vec()).best().map(Settings::describe);
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(chosen(&[times(100, 100), times(50, 50)]), name("use_extra_bufts=false"));
        assert_eq!(chosen(&[times(100, 80), times(80, 100)]), name("defaults"));
        assert_eq!(chosen(&[times(80, 100), times(100, 80)]), name("use_extra_bufts=false"));
        assert_eq!(chosen(&[times(99, 99), times(98, 98)]), name("defaults"), "by chance");
    }

    #[test]
    fn settings_with_which_an_engine_died_are_never_chosen() {
        let died = || Outcome::failed("killed by SIGILL");
        let one_works = tuning([died(), times(900, 900)]);
        assert_eq!(one_works.best().unwrap().describe(), "use_extra_bufts=false");
        let described = one_works.describe().trials;
        assert_eq!(
            (described[0].problem.as_str(), described[0].chosen),
            ("killed by SIGILL", false)
        );
        assert!(described[1].chosen && described[1].problem.is_empty());
        assert_eq!(tuning([died(), died()]).best(), None);
        assert_eq!(tuning([times(0, 0)]).best(), None, "not measured");
    }

    #[test]
    fn settings_that_died_after_they_were_measured_are_not_used_any_more() {
        let defaults = tuning([times(50, 50), times(100, 100)]);
        let first = Choice::first(true);
        let measured = defaults.choice(&first).unwrap();
        assert_eq!((measured.rung, measured.source), (Rung::Defaults, Source::Measured));
        assert_eq!(defaults.choice(&measured.safer("killed by SIGILL").unwrap()), None);
    }

    #[test]
    fn a_tuning_survives_storage_within_its_limit() {
        for character in ["x", "\"", "\n", "\u{1b}", "é", "\u{1f980}"] {
            let long = character.repeat(10_000);
            let tuning = tuning((0..4).map(|_| Outcome::failed(&long)));
            let stored = tuning.encode();
            assert!(stored.len() <= 2048, "{} bytes of {character:?}", stored.len());
            assert_eq!(Tuning::decode(&stored), Some(tuning));
        }
        assert_eq!(Tuning::decode("{}"), None);
    }
}
