//! What `tandem doctor` found.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_config::hardware::Hardware;

use super::model::size;

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Diagnosis {
    pub(crate) machine: Machine,
    /// What was chosen for this machine, and why.
    pub(crate) choices: Vec<String>,
    pub(crate) findings: Vec<Finding>,
}

/// The machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores_physical: Option<u32>,
    cores_usable: u32,
    cache_bytes: Option<u64>,
    instructions: Vec<&'static str>,
    memory_bytes: u64,
    memory_limit_bytes: Option<u64>,
    gpus: Vec<Gpu>,
}

#[derive(Debug, Serialize)]
struct Gpu {
    vendor: String,
    name: Option<String>,
    memory_bytes: Option<u64>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    /// A sentence.
    pub(crate) found: String,
    /// What to do; `None` when it is fine.
    pub(crate) fix: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Fine,
    /// Could be better.
    Note,
    /// Keeps tandem from working.
    Problem,
}

impl Finding {
    pub(crate) fn fine(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, found: found.into(), fix: None }
    }

    pub(crate) fn note(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, found: found.into(), fix: Some(fix.into()) }
    }

    pub(crate) fn problem(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Problem, ..Self::note(found, fix) }
    }

    pub(crate) fn is_problem(&self) -> bool {
        self.verdict == Verdict::Problem
    }
}

impl From<Hardware> for Machine {
    fn from(hardware: Hardware) -> Self {
        let gpus = hardware.gpus.into_iter().map(|gpu| Gpu {
            vendor: gpu.vendor.to_string(),
            name: gpu.name,
            memory_bytes: gpu.memory_bytes,
        });
        Self {
            cpu: hardware.cpu,
            cores_physical: hardware.cores_physical,
            cores_usable: hardware.cores_usable,
            cache_bytes: hardware.cache_bytes,
            instructions: hardware.instructions,
            memory_bytes: hardware.memory_bytes,
            memory_limit_bytes: hardware.memory_limit_bytes,
            gpus: gpus.collect(),
        }
    }
}

impl Diagnosis {
    /// Whether nothing keeps tandem from working.
    pub(crate) fn is_well(&self) -> bool {
        !self.findings.iter().any(Finding::is_problem)
    }

    pub(crate) fn text(&self) -> String {
        let mut text = self.machine.text();
        for choice in &self.choices {
            let _ = writeln!(text, "  {choice}");
        }
        text.push('\n');
        for Finding { verdict, found, fix } in &self.findings {
            let sign = match verdict {
                Verdict::Fine => "ok      ",
                Verdict::Note => "note    ",
                Verdict::Problem => "problem ",
            };
            let _ = writeln!(text, "{sign}{found}");
            if let Some(fix) = fix {
                let _ = writeln!(text, "        fix: {fix}");
            }
        }
        let problems = self.findings.iter().filter(|finding| finding.is_problem()).count();
        let _ = match problems {
            0 => writeln!(text, "\nnothing keeps tandem from working"),
            1 => writeln!(text, "\n1 problem keeps tandem from working"),
            _ => writeln!(text, "\n{problems} problems keep tandem from working"),
        };
        text
    }
}

impl Machine {
    fn text(&self) -> String {
        let mut text = format!("{}, {} cores", self.cpu, self.cores_usable);
        if let Some(physical) = self.cores_physical.filter(|cores| *cores != self.cores_usable) {
            let _ = write!(text, " to use of {physical}");
        }
        if let Some(cache) = self.cache_bytes {
            let _ = write!(text, ", {} of cache", size(cache));
        }
        let _ = write!(text, ", {} of memory", size(self.memory_bytes));
        if let Some(limit) = self.memory_limit_bytes {
            let _ = write!(text, ", of which this group may use {}", size(limit));
        }
        text.push('\n');
        if !self.instructions.is_empty() {
            let _ = writeln!(text, "{}", self.instructions.join(", "));
        }
        for gpu in &self.gpus {
            let name = gpu.name.as_deref().unwrap_or("graphics");
            let _ = write!(text, "{name} by {}", gpu.vendor);
            if let Some(memory) = gpu.memory_bytes {
                let _ = write!(text, ", {}", size(memory));
            }
            text.push('\n');
        }
        text
    }
}
