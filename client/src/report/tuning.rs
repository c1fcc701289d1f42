//! How models run, and what was measured about them.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::{filled, model::Model, table};

/// Models and how they run.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    pub(crate) models: Vec<Stats>,
}

/// How one model runs.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    model: Model,
    answers: Answers,
    /// Nothing was measured, or not since the daemon started.
    tuning: Option<Tuning>,
    /// It was not loaded since the daemon started.
    health: Option<Health>,
}

/// How well a model does since the daemon started.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    score: f64,
    engine_deaths: u64,
    failed_answers: u64,
    answers: u64,
    trial_passed: Option<bool>,
    verified: Option<bool>,
}

/// All answers of a model since the daemon started.
#[derive(Debug, Serialize)]
pub(crate) struct Answers {
    count: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
}

/// What was measured with each of the settings that were tried.
#[derive(Debug, Serialize)]
pub(crate) struct Tuning {
    trials: Vec<Trial>,
}

#[derive(Debug, Serialize)]
struct Trial {
    settings: String,
    prefill_us_128: u64,
    decode_us_1: u64,
    decode_us_4: u64,
    decode_us_16: u64,
    problem: Option<String>,
    chosen: bool,
}

impl From<v1::ModelStats> for Stats {
    fn from(stats: v1::ModelStats) -> Self {
        let answers = stats.answers.unwrap_or_default();
        Self {
            model: stats.model.unwrap_or_default().into(),
            answers: Answers {
                count: answers.answers,
                prompt_tokens: answers.prompt_tokens,
                cached_tokens: answers.cached_tokens,
                completion_tokens: answers.completion_tokens,
                prefill_tokens_per_second: answers.prefill_tokens_per_second,
                decode_tokens_per_second: answers.decode_tokens_per_second,
            },
            tuning: stats.tuning.map(Tuning::from),
            health: stats.health.map(Health::from),
        }
    }
}

impl From<v1::ModelHealth> for Health {
    fn from(health: v1::ModelHealth) -> Self {
        Self {
            score: health.score,
            engine_deaths: health.engine_deaths,
            failed_answers: health.failed_answers,
            answers: health.answers,
            trial_passed: health.trial_passed,
            verified: health.verified,
        }
    }
}

impl Health {
    fn text(&self) -> String {
        let Self { score, engine_deaths, failed_answers, answers, .. } = self;
        let mut text = format!(
            "  health    {score:.2} · {answers} answers, {failed_answers} failed · engine died \
             {engine_deaths} times"
        );
        match self.trial_passed {
            Some(true) => text += " · passed its trial",
            Some(false) => text += " · failed its trial",
            None => {}
        }
        match self.verified {
            Some(true) => text += " · file verified",
            Some(false) => text += " · wrong file",
            None => {}
        }
        text + "\n"
    }
}

impl From<v1::Tuning> for Tuning {
    fn from(tuning: v1::Tuning) -> Self {
        let trial = |trial: v1::TuningTrial| Trial {
            settings: trial.settings,
            prefill_us_128: trial.prefill_us_128,
            decode_us_1: trial.decode_us_1,
            decode_us_4: trial.decode_us_4,
            decode_us_16: trial.decode_us_16,
            problem: filled(trial.problem),
            chosen: trial.chosen,
        };
        Self { trials: tuning.trials.into_iter().map(trial).collect() }
    }
}

impl List {
    /// One model below the other.
    pub(crate) fn text(&self) -> String {
        if self.models.is_empty() {
            return "no model is loaded; name one, or ask something first\n".into();
        }
        let texts: Vec<_> = self.models.iter().map(Stats::text).collect();
        texts.join("\n")
    }
}

impl Stats {
    fn text(&self) -> String {
        let Model { id, state, engine, other_engines, .. } = &self.model;
        let mut text = format!("{id}  {state}\n");
        for engine in engine.iter().chain(other_engines) {
            let _ = writeln!(text, "  engine    {}", engine.summary());
            let source = engine.settings_source.as_deref().map(|source| format!("{source}: "));
            let source = source.unwrap_or_default();
            let _ = writeln!(text, "  settings  {source}{}", engine.explained_settings());
        }
        text += &self.answers.text();
        if let Some(health) = &self.health {
            text += &health.text();
        }
        match &self.tuning {
            Some(tuning) => {
                for line in tuning.text().lines() {
                    let _ = writeln!(text, "  {line}");
                }
            }
            // What is stored about a model is read when an engine of it starts.
            None if engine.is_none() => text += "  what was measured is shown once it is loaded\n",
            None => text += "  not measured on this machine; see `tandem model tune`\n",
        }
        text
    }
}

impl Answers {
    fn text(&self) -> String {
        if self.count == 0 {
            return "  answers   none since the daemon started\n".into();
        }
        format!(
            "  answers   {} · read {:.0} tokens/s · wrote {:.1} tokens/s · {} % of {} prompt tokens \
             were cached\n",
            self.count,
            self.prefill_tokens_per_second,
            self.decode_tokens_per_second,
            self.cached_tokens * 100 / self.prompt_tokens.max(1),
            self.prompt_tokens,
        )
    }
}

impl Tuning {
    /// A row for each of the settings; the ones that are used from the next load on have a star.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<_> = self.trials.iter().map(Trial::row).collect();
        table(["MEASURED", "PREFILL 128", "DECODE 1", "DECODE 4", "DECODE 16"], &rows)
    }
}

impl Trial {
    fn row(&self) -> [String; 5] {
        let star = if self.chosen { " *" } else { "" };
        let settings = format!("{}{star}", self.settings);
        if let Some(problem) = &self.problem {
            let problem = problem.lines().next().unwrap_or_default().to_owned();
            return [settings, problem, String::new(), String::new(), String::new()];
        }
        let prefill = rate(128, self.prefill_us_128);
        let decode = [(1, self.decode_us_1), (4, self.decode_us_4), (16, self.decode_us_16)];
        let [one, four, sixteen] = decode.map(|(tokens, time)| rate(tokens, time));
        [settings, prefill, one, four, sixteen]
    }
}

/// Tokens per second for a person; a dash when that was not measured.
#[allow(clippy::cast_precision_loss, reason = "shown without digits")]
fn rate(tokens: u32, microseconds: u64) -> String {
    if microseconds == 0 {
        return "-".into();
    }
    format!("{:.0} tokens/s", f64::from(tokens) * 1e6 / microseconds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuning() -> v1::Tuning {
        let measured = v1::TuningTrial {
            settings: "defaults".into(),
            prefill_us_128: 128_000,
            decode_us_1: 10_000,
            decode_us_4: 20_000,
            chosen: true,
            ..Default::default()
        };
        let died = v1::TuningTrial {
            settings: "use_extra_bufts=false".into(),
            problem: "killed by SIGILL\nand so on".into(),
            ..Default::default()
        };
        v1::Tuning { trials: vec![measured, died] }
    }

    #[test]
    fn measured_settings_are_shown_as_speeds_and_others_with_their_problem() {
        let text = Tuning::from(tuning()).text();
        let lines: Vec<_> = text.lines().collect();
        let chosen = "defaults *             1000 tokens/s     100 tokens/s  200 tokens/s  -";
        assert_eq!(lines[1], chosen, "{text}");
        assert_eq!(lines[2], "use_extra_bufts=false  killed by SIGILL", "{text}");
    }

    #[test]
    fn a_model_that_is_not_loaded_is_not_said_to_be_unmeasured() {
        let text = |engine| {
            let model = v1::Model { id: "small".into(), engine, ..Default::default() };
            let stats = v1::ModelStats { model: Some(model), ..Default::default() };
            List { models: vec![stats.into()] }.text()
        };
        let unmeasured = "not measured on this machine";
        assert!(text(Some(v1::EngineStatus::default())).contains(unmeasured));
        let unknown = text(None);
        assert!(unknown.contains("once it is loaded"), "{unknown}");
        assert!(!unknown.contains(unmeasured), "{unknown}");
    }

    #[test]
    fn stats_say_which_settings_are_in_use_and_why() {
        let engine = v1::EngineStatus {
            settings: "defaults".into(),
            settings_reason: "it is the fastest".into(),
            settings_source: v1::SettingsSource::Measured.into(),
            ..Default::default()
        };
        let model = v1::Model { id: "small".into(), engine: Some(engine), ..Default::default() };
        let answers = v1::AnswerTotals {
            answers: 2,
            prompt_tokens: 200,
            cached_tokens: 50,
            prefill_tokens_per_second: 300.0,
            decode_tokens_per_second: 60.25,
            ..Default::default()
        };
        let health = v1::ModelHealth { score: 0.5, engine_deaths: 1, ..Default::default() };
        let stats = v1::ModelStats {
            model: Some(model),
            answers: Some(answers),
            tuning: Some(tuning()),
            health: Some(health),
        };
        let text = List { models: vec![stats.into()] }.text();
        for part in [
            "settings  measured: defaults (because it is the fastest)",
            "read 300 tokens/s · wrote 60.2 tokens/s · 25 % of 200 prompt tokens",
            "defaults *",
            "health    0.50 · 0 answers, 0 failed · engine died 1 times",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
