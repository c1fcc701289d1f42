//! Experiments and what came of their variants.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::table;

mod statistics;

use statistics::{Estimate, Sample, Share, more_needed};

/// The variant that others are compared with, if there is one of this name; else the first.
const CONTROL: &str = "control";

/// All experiments.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    pub(crate) experiments: Vec<Experiment>,
}

/// One experiment.
#[derive(Debug, Serialize)]
pub(crate) struct Experiment {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) share: f64,
    /// Name of the variant that the others are compared with.
    pub(crate) control: Option<String>,
    pub(crate) variants: Vec<Variant>,
}

/// One variant. Times are in milliseconds, cost in the currency; shares are 0 to 1. Null where there
/// is too little to say anything.
#[derive(Debug, Serialize)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) weight: u32,
    pub(crate) settings: Vec<String>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) measures: Vec<Measure>,
}

/// One thing that is compared.
#[derive(Debug, Serialize)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// How the intervals are made: those of Wilson and Newcombe, or of Student and Welch.
    pub(crate) method: &'static str,
    pub(crate) estimate: Option<Estimate>,
    /// How much more than the control's; null for the control itself.
    pub(crate) difference: Option<Estimate>,
    /// How many more cases on each side tell the difference, if it stays as it is.
    pub(crate) more_needed: Option<f64>,
}

/// What is compared.
enum Data {
    Share(Share),
    Mean(Sample),
}

impl From<v1::ExperimentsResponse> for List {
    fn from(response: v1::ExperimentsResponse) -> Self {
        Self { experiments: response.experiments.into_iter().map(Experiment::from).collect() }
    }
}

impl From<v1::Experiment> for Experiment {
    fn from(experiment: v1::Experiment) -> Self {
        let v1::Experiment { name, enabled, share, variants } = experiment;
        let control = variants.iter().find(|it| it.name == CONTROL).or(variants.first()).cloned();
        let variants = variants.into_iter().map(|it| Variant::new(it, control.as_ref())).collect();
        Self { name, enabled, share, control: control.map(|control| control.name), variants }
    }
}

impl Variant {
    fn new(variant: v1::Variant, control: Option<&v1::Variant>) -> Self {
        let outcomes = variant.outcomes.unwrap_or_default();
        let others = control.filter(|control| control.name != variant.name);
        let others = others.map(|control| data(&control.outcomes.unwrap_or_default()));
        let mut others = others.into_iter().flatten().map(|(_, data)| data);
        let measures = data(&outcomes)
            .into_iter()
            .map(|(name, data)| Measure::new(name, &data, others.next().as_ref()))
            .collect();
        Self {
            name: variant.name,
            weight: variant.weight,
            settings: variant.settings,
            answered: outcomes.answered,
            failed: outcomes.failed,
            up: outcomes.up,
            down: outcomes.down,
            measures,
        }
    }
}

impl Measure {
    fn new(name: &'static str, data: &Data, control: Option<&Data>) -> Self {
        let (method, estimate, difference, cases) = match (data, control) {
            (Data::Share(share), control) => {
                let control = match control {
                    Some(Data::Share(control)) => Some(*control),
                    _ => None,
                };
                let difference = control.and_then(|control| share.difference(control));
                let cases = control.map_or(share.all, |control| control.all.min(share.all));
                ("Wilson, Newcombe", share.estimate(), difference, cases)
            }
            (Data::Mean(sample), control) => {
                let control = match control {
                    Some(Data::Mean(control)) => Some(*control),
                    _ => None,
                };
                let difference = control.and_then(|control| sample.difference(control));
                let cases = control.map_or(sample.count, |control| control.count.min(sample.count));
                ("Student, Welch", sample.estimate(), difference, cases)
            }
        };
        let more_needed = difference.and_then(|difference| more_needed(difference, cases));
        Self { name, method, estimate, difference, more_needed }
    }

    fn unit(&self) -> &'static str {
        match self.name {
            "first token" | "whole answer" => "ms",
            "cost" => "",
            _ => "%",
        }
    }

    /// The value with its interval, in its unit.
    fn shown(&self, estimate: Option<Estimate>, sign: bool) -> String {
        let Some(Estimate { value, low, high }) = estimate else { return "-".to_owned() };
        let (factor, digits) = match self.unit() {
            "%" => (100.0, 1),
            "ms" => (1.0, 0),
            _ => (1.0, 6),
        };
        let [value, low, high] = [value, low, high].map(|number| number * factor);
        let unit = self.unit();
        if sign {
            format!("{value:+.digits$} [{low:+.digits$}, {high:+.digits$}] {unit}")
                .trim()
                .to_owned()
        } else {
            format!("{value:.digits$} [{low:.digits$}, {high:.digits$}] {unit}").trim().to_owned()
        }
    }

    /// What the difference means.
    fn words(&self) -> String {
        let Some(difference) = self.difference else {
            return "too little to compare".to_owned();
        };
        if difference.is_told() {
            let how = if difference.value > 0.0 { "more" } else { "less" };
            return format!("{how} than the control's");
        }
        match self.more_needed {
            Some(more) => format!(
                "no difference can be told yet; if it stays as it is, about {more:.0} more of each are needed"
            ),
            None => "no difference".to_owned(),
        }
    }
}

/// What of the outcomes is compared, in the order in which it is shown.
#[allow(clippy::cast_precision_loss, reason = "numbers of turns")]
fn data(outcomes: &v1::Outcomes) -> Vec<(&'static str, Data)> {
    let share = |part: u64, all: u64| Data::Share(Share { part: part as f64, all: all as f64 });
    let mean = |moments: Option<v1::Moments>, factor: f64| {
        let v1::Moments { count, mean, squares } = moments.unwrap_or_default();
        let (mean, squares) = (mean * factor, squares * factor * factor);
        Data::Mean(Sample { count: count as f64, mean, squares })
    };
    vec![
        ("answered", share(outcomes.answered, outcomes.answered + outcomes.failed)),
        ("approved", share(outcomes.up, outcomes.up + outcomes.down)),
        ("slow track", share(outcomes.slow, outcomes.answered)),
        ("fell back", share(outcomes.fell_back, outcomes.answered)),
        ("first token", mean(outcomes.first_token_ms, 1.0)),
        ("whole answer", mean(outcomes.total_ms, 1.0)),
        ("cost", mean(outcomes.cost_micros, 1e-6)),
    ]
}

impl List {
    pub(crate) fn text(&self) -> String {
        if self.experiments.is_empty() {
            return "There are no experiments. Write [experiments.NAME] in tandem.toml to begin one.\n".to_owned();
        }
        let rows: Vec<_> = self
            .experiments
            .iter()
            .map(|experiment| {
                let names: Vec<_> = experiment.variants.iter().map(|it| it.name.as_str()).collect();
                let answered: u64 = experiment.variants.iter().map(|it| it.answered).sum();
                [
                    experiment.name.clone(),
                    (if experiment.enabled { "on" } else { "off" }).to_owned(),
                    format!("{:.0} %", experiment.share * 100.0),
                    names.join(", "),
                    answered.to_string(),
                ]
            })
            .collect();
        table(["NAME", "STATE", "SHARE", "VARIANTS", "ANSWERS"], &rows)
    }
}

impl Experiment {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let rows: Vec<_> = self
            .variants
            .iter()
            .map(|variant| {
                let control = self.control.as_ref() == Some(&variant.name);
                [
                    format!("{}{}", variant.name, if control { " (control)" } else { "" }),
                    variant.weight.to_string(),
                    variant.answered.to_string(),
                    variant.failed.to_string(),
                    variant.up.to_string(),
                    variant.down.to_string(),
                    variant.settings.join(", "),
                ]
            })
            .collect();
        let headings = ["VARIANT", "WEIGHT", "ANSWERED", "FAILED", "UP", "DOWN", "DIFFERENT"];
        text += &table(headings, &rows);
        for variant in &self.variants {
            let is_control = self.control.as_ref() == Some(&variant.name);
            let _ = writeln!(text, "\n{}, with 95 % intervals", variant.name);
            if is_control {
                let rows: Vec<_> = variant
                    .measures
                    .iter()
                    .map(|it| [it.name.to_owned(), it.shown(it.estimate, false)])
                    .collect();
                text += &table(["", "VALUE"], &rows);
            } else {
                let rows: Vec<_> = variant
                    .measures
                    .iter()
                    .map(|it| {
                        let (value, difference) =
                            (it.shown(it.estimate, false), it.shown(it.difference, true));
                        [it.name.to_owned(), value, difference, it.words()]
                    })
                    .collect();
                text += &table(["", "VALUE", "DIFFERENCE", ""], &rows);
            }
        }
        text += "\nShares: intervals of Wilson and Newcombe. Means: of Student and Welch. They hold for one look;\n\
                 who looks often, or at many lines, sees chance as a difference more often than 5 times of 100.\n";
        text
    }
}
