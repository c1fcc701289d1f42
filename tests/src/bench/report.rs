//! What came out, as a table for people and as JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde::Serialize;
use tandem_proto::v1::EngineStatus;

use super::contender::Contender;
use super::plan::{Plan, Scale};
use super::process::cores;
use super::statistics::Spread;
use super::workload::{DECODING, Measure, Unit, Workload};

/// The outcome of a benchmark.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) machine: Machine,
    pub(super) scale: Scale,
    pub(super) repeats: usize,
    pub(super) sections: Vec<Section>,
}

/// Where and with what it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    /// Bytes a second.
    read_bandwidth: f64,
    model: String,
    /// Bytes that are read for each token.
    weights_per_token: u64,
    /// Tokens a second of one sequence that reading the weights allows.
    decoding_limit: f64,
    tandem_settings: Vec<(String, String)>,
    engine_threads: u32,
    engine_settings: String,
    engine_system_info: String,
    rival_system_info: String,
    /// How the rival was built, as its build script wrote down.
    rival_build: String,
}

/// One workload.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    workload: Workload,
    letter: char,
    pub(super) columns: Vec<Column>,
    /// Settings of the rival that were tried on less work, by their names.
    pub(super) tried: BTreeMap<String, Run>,
}

/// One contender.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    flags: String,
    #[serde(skip)]
    pub(super) contender: Contender,
    pub(super) runs: Vec<Run>,
}

/// What one run gave.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Run {
    Measures(Vec<Measure>),
    Failed(String),
}

impl Run {
    pub(super) fn new(outcome: anyhow::Result<Vec<Measure>>) -> Self {
        match outcome {
            Ok(measures) => Self::Measures(measures),
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }

    /// Unless it failed.
    pub(super) fn measures(&self) -> Option<&[Measure]> {
        match self {
            Self::Measures(measures) => Some(measures),
            Self::Failed(_) => None,
        }
    }
}

impl Machine {
    pub(super) fn new(
        plan: &Plan,
        read_bandwidth: f64,
        weights_per_token: u64,
        engine: &EngineStatus,
        rival_system_info: String,
    ) -> Self {
        let build = plan.llama_server.with_file_name("flags");
        Self {
            cpu: cpu(),
            cores: cores(),
            read_bandwidth,
            model: plan.model.display().to_string(),
            weights_per_token,
            decoding_limit: read_bandwidth / weights_per_token as f64,
            tandem_settings: plan.settings.clone(),
            engine_threads: engine.threads,
            engine_settings: engine.settings.clone(),
            engine_system_info: engine.system_info.clone(),
            rival_system_info,
            rival_build: fs::read_to_string(build).unwrap_or_default().trim().to_owned(),
        }
    }

    /// What one of both uses of the CPU and the other does not.
    pub(super) fn difference(&self) -> Option<String> {
        let ours = features(&self.engine_system_info);
        let theirs = features(&self.rival_system_info);
        if theirs.is_empty() || ours == theirs {
            return None;
        }
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            a.difference(b).cloned().collect::<Vec<_>>().join(", ")
        };
        Some(format!(
            "the two do not use the same CPU features; only tandem: [{}], only llama-server: [{}]",
            only(&ours, &theirs),
            only(&theirs, &ours)
        ))
    }
}

/// `NAME = VALUE` in llama.cpp's description of a build.
fn features(system_info: &str) -> BTreeSet<String> {
    let parts = system_info.split(['|', ':']).map(str::trim);
    let pairs = parts.filter_map(|part| part.split_once(" = "));
    let is_feature = |(name, _): &(&str, &str)| {
        name.chars().all(|sign| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == '_')
    };
    pairs.filter(is_feature).map(|(name, value)| format!("{name}={value}")).collect()
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or_else(String::new, |name| name.trim_start_matches([' ', '\t', ':']).to_owned())
}

impl Section {
    pub(super) fn new(workload: Workload) -> Self {
        let letter = workload.letter();
        Self { workload, letter, columns: Vec::new(), tried: BTreeMap::new() }
    }
}

impl Column {
    pub(super) fn new(name: &str, flags: String, contender: Contender) -> Self {
        Self { name: name.to_owned(), flags, contender, runs: Vec::new() }
    }

    fn spread(&self, name: &str) -> Option<Spread> {
        let measures = self.runs.iter().filter_map(Run::measures).flatten();
        let values = measures.filter(|measure| measure.name == name).map(|measure| measure.value);
        Spread::of(&values.collect::<Vec<_>>())
    }

    fn failures(&self) -> impl Iterator<Item = &str> {
        self.runs.iter().filter_map(|run| match run {
            Run::Failed(why) => Some(why.as_str()),
            Run::Measures(_) => None,
        })
    }

    /// The median and both ends, or that there is nothing.
    fn cell(&self, name: &str) -> String {
        let failed = match self.failures().count() {
            0 => String::new(),
            count => format!(" [{count} of {} failed]", self.runs.len()),
        };
        match self.spread(name) {
            None => format!("—{failed}"),
            Some(spread) if self.runs.len() == 1 => format!("{}{failed}", number(spread.median)),
            Some(Spread { median, least, most }) => {
                format!("{} ({}–{}){failed}", number(median), number(least), number(most))
            }
        }
    }
}

impl Report {
    /// Everything, for programs.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Medians with the least and the greatest value, in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        let Machine { cpu, cores, model, .. } = &self.machine;
        let gigabytes = |bytes: f64| bytes / 1e9;
        writeln!(text, "{cpu}, {cores} cores; {model}")?;
        writeln!(
            text,
            "Memory is read at {:.1} GB/s, and {:.3} GB of weights for a token: at most {:.0} tokens/s \
             of one stream.",
            gigabytes(self.machine.read_bandwidth),
            gigabytes(self.machine.weights_per_token as f64),
            self.machine.decoding_limit,
        )?;
        if let Some(difference) = self.machine.difference() {
            writeln!(text, "Caution: {difference}.")?;
        }
        if self.scale != Scale::Full {
            writeln!(text, "A quick run: the numbers say nothing but that everything works.")?;
        }
        for section in &self.sections {
            writeln!(text, "\n({}) {}\n", section.letter, section.workload.title())?;
            section.write_table(text, &self.machine)?;
        }
        Ok(())
    }
}

impl Section {
    fn write_table(&self, text: &mut String, machine: &Machine) -> std::fmt::Result {
        write!(text, "| |")?;
        for column in &self.columns {
            write!(text, " {} |", column.name)?;
        }
        writeln!(text, " tandem is better by |")?;
        writeln!(text, "|{}", " --- |".repeat(self.columns.len() + 2))?;
        for (name, unit) in self.names() {
            write!(text, "| {name}, {} |", unit.symbol())?;
            for column in &self.columns {
                write!(text, " {} |", column.cell(&name))?;
            }
            writeln!(text, " {} |", self.advantage(&name, unit))?;
            if name == DECODING {
                write!(text, "| of what memory allows |")?;
                for column in &self.columns {
                    match column.spread(&name) {
                        Some(Spread { median, .. }) => {
                            write!(text, " {:.0} % |", 100.0 * median / machine.decoding_limit)?;
                        }
                        None => write!(text, " — |")?,
                    }
                }
                writeln!(text, " |")?;
            }
        }
        for column in self.columns.iter().filter(|column| !column.flags.is_empty()) {
            writeln!(text, "\n{}: `{}`", column.name, column.flags)?;
        }
        for column in &self.columns {
            for failure in column.failures().collect::<BTreeSet<_>>() {
                writeln!(text, "\n{} failed: {failure}", column.name)?;
            }
        }
        Ok(())
    }

    /// What was measured, in the order of the first run that has it.
    fn names(&self) -> Vec<(String, Unit)> {
        let mut names: Vec<(String, Unit)> = Vec::new();
        let runs = self.columns.iter().flat_map(|column| &column.runs);
        for measure in runs.filter_map(Run::measures).flatten() {
            if !names.iter().any(|(name, _)| *name == measure.name) {
                names.push((measure.name.clone(), measure.unit));
            }
        }
        names
    }

    /// Against the better of the others.
    fn advantage(&self, name: &str, unit: Unit) -> String {
        let mut medians = self.columns.iter().map(|column| Some(column.spread(name)?.median));
        let Some(Some(ours)) = medians.next() else { return String::new() };
        let advantages = medians.flatten().map(|theirs| unit.advantage(ours, theirs));
        advantages.reduce(f64::min).map_or_else(String::new, |least| format!("{least:.2}×"))
    }
}

/// With about three digits.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[Option<f64>]) -> Column {
        let mut column = Column::new("somebody", String::new(), Contender::Tandem);
        column.runs = values
            .iter()
            .map(|value| match value {
                Some(value) => {
                    Run::Measures(vec![Measure::new("rate", Unit::TokensPerSecond, *value)])
                }
                None => Run::Failed("it fell over".to_owned()),
            })
            .collect();
        column
    }

    #[test]
    fn a_cell_has_the_median_and_both_ends() {
        assert_eq!(column(&[Some(1.0), Some(3.0), Some(250.0)]).cell("rate"), "3.00 (1.00–250)");
        assert_eq!(column(&[Some(12.34)]).cell("rate"), "12.3");
    }

    #[test]
    fn a_failure_is_shown_and_does_not_count() {
        assert_eq!(column(&[Some(2.0), None]).cell("rate"), "2.00 (2.00–2.00) [1 of 2 failed]");
        assert_eq!(column(&[None]).cell("rate"), "— [1 of 1 failed]");
    }

    #[test]
    fn the_advantage_is_over_the_better_rival() {
        let mut section = Section::new(Workload::Busy);
        section.columns = [20.0, 5.0, 10.0].map(|rate| column(&[Some(rate)])).into();
        assert_eq!(section.advantage("rate", Unit::TokensPerSecond), "2.00×");
    }

    #[test]
    fn only_cpu_features_are_compared() {
        let ours = "CPU : SSE3 = 1 | AVX512 = 1 | LLAMAFILE = 1 | ";
        let theirs = "n_threads = 2 (n_threads_batch = 2) / 2 | CPU : SSE3 = 1 | AVX512 = 1 | LLAMAFILE = 1 |";
        assert_eq!(features(ours), features(theirs));
        assert_eq!(features(ours).len(), 3);
    }
}
