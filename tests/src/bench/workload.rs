//! What is measured.

mod load;
mod overhead;
mod single;
mod size;

use std::str::FromStr;

use anyhow::Result;
use serde::Serialize;

pub(super) use load::DECODING;

use super::contender::Contender;
use super::plan::{Plan, Scale};
use super::prose::Ruler;

/// Something that both servers are asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Short chats of 1, 4 and 16 clients.
    Clients,
    /// A chat of ten turns behind a long system prompt.
    Conversation,
    /// 16 clients that ask about the same long context at once.
    Shared,
    /// A long prompt that arrives while others are being answered.
    Intruder,
    /// One answer while other programs keep all cores busy.
    Busy,
    /// The first answer after a restart.
    Restart,
    /// An answer that repeats most of its prompt.
    Quote,
    /// What tandem adds to a model, measured with an engine that computes nothing.
    Overhead,
    /// Time to load a model, and memory.
    Size,
}

/// What one run of a workload is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) plan: &'a Plan,
    pub(super) scale: Scale,
    pub(super) ruler: Ruler,
    /// Different in each repeat, so that nothing of an earlier one is remembered.
    pub(super) seed: u64,
}

/// One number of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) value: f64,
    /// Whether settings are chosen by it.
    pub(super) headline: bool,
}

/// Units, which also tell what is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Unit {
    #[serde(rename = "tokens/s")]
    TokensPerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MiB")]
    Mebibytes,
}

impl Unit {
    /// As it is written behind a number.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::TokensPerSecond => "tokens/s",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
        }
    }

    /// How many times better `ours` is than `theirs`.
    pub(super) fn advantage(self, ours: f64, theirs: f64) -> f64 {
        if self == Self::TokensPerSecond { ours / theirs } else { theirs / ours }
    }
}

impl Measure {
    pub(super) fn new(name: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { name: name.into(), unit, value, headline: false }
    }

    /// A measure by which settings are chosen.
    pub(super) fn headline(name: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { headline: true, ..Self::new(name, unit, value) }
    }

    /// A time.
    pub(super) fn seconds(name: impl Into<String>, time: std::time::Duration) -> Self {
        Self::new(name, Unit::Seconds, time.as_secs_f64())
    }

    /// A time for which another unit would be too coarse.
    pub(super) fn milliseconds(name: impl Into<String>, time: std::time::Duration) -> Self {
        Self::new(name, Unit::Milliseconds, time.as_secs_f64() * 1e3)
    }

    /// Memory.
    pub(super) fn bytes(name: impl Into<String>, bytes: u64) -> Self {
        Self::new(name, Unit::Mebibytes, bytes as f64 / f64::from(1 << 20))
    }
}

impl Workload {
    /// All that a model with little context and a minute can do; [`Self::Size`] is for large models.
    pub const USUAL: [Self; 8] = [
        Self::Clients,
        Self::Conversation,
        Self::Shared,
        Self::Intruder,
        Self::Busy,
        Self::Restart,
        Self::Quote,
        Self::Overhead,
    ];

    /// How it is named on the command line.
    pub fn letter(self) -> char {
        match self {
            Self::Clients => 'a',
            Self::Conversation => 'b',
            Self::Shared => 'c',
            Self::Intruder => 'd',
            Self::Busy => 'e',
            Self::Restart => 'f',
            Self::Quote => 'g',
            Self::Overhead => 'h',
            Self::Size => 'i',
        }
    }

    /// What it is, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Clients => "short chats of 1, 4 and 16 clients",
            Self::Conversation => "a chat behind a long system prompt",
            Self::Shared => "16 clients ask about the same context at once",
            Self::Intruder => "a long prompt arrives during 4 streams",
            Self::Busy => "one stream while all cores are busy with other work",
            Self::Restart => "the first answer after a restart, with a system prompt used before",
            Self::Quote => "a prompt that the answer repeats",
            Self::Overhead => "tandem's own overhead, with an engine that computes nothing",
            Self::Size => "loading and memory",
        }
    }

    /// Whether the rival does it, too.
    pub(super) fn has_rival(self) -> bool {
        self != Self::Overhead
    }

    /// Does it once, with a server that runs for nothing else.
    pub(super) async fn measure(
        self,
        contender: &Contender,
        task: Task<'_>,
    ) -> Result<Vec<Measure>> {
        match self {
            Self::Clients => load::clients(contender, task).await,
            Self::Conversation => single::conversation(contender, task).await,
            Self::Shared => load::shared(contender, task).await,
            Self::Intruder => load::intruder(contender, task).await,
            Self::Busy => single::busy(contender, task).await,
            Self::Restart => single::restart(contender, task).await,
            Self::Quote => single::quote(contender, task).await,
            Self::Overhead => overhead::overhead(task).await,
            Self::Size => size::size(contender, task).await,
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(letter: &str) -> Result<Self, Self::Err> {
        let mut all = Self::USUAL.into_iter().chain([Self::Size]);
        all.find(|workload| letter == workload.letter().to_string())
            .ok_or_else(|| format!("{letter:?} is no workload; write letters from a to i"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_found_by_its_letter() {
        for workload in Workload::USUAL.into_iter().chain([Workload::Size]) {
            assert_eq!(workload.letter().to_string().parse(), Ok(workload));
        }
        assert!("j".parse::<Workload>().is_err());
        assert!("ab".parse::<Workload>().is_err());
    }

    #[test]
    fn an_advantage_is_above_one_for_whoever_is_better() {
        assert!(Unit::TokensPerSecond.advantage(20.0, 10.0) > 1.0);
        assert!(Unit::Seconds.advantage(20.0, 10.0) < 1.0);
    }
}
