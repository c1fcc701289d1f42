//! What is to be measured.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use super::Workload;
use super::process::cores;

/// A benchmark that is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The model's file, for both.
    pub model: PathBuf,
    /// The rival's program.
    pub llama_server: PathBuf,
    /// What is measured, in this order.
    pub workloads: Vec<Workload>,
    /// How often each contender is measured.
    pub repeats: usize,
    /// How much work is done.
    pub scale: Scale,
    /// Variables of tandem's environment.
    pub settings: Vec<(String, String)>,
    /// Settings of the rival of which the best is taken for each workload.
    pub candidates: Vec<Flags>,
}

/// How much work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Scale {
    /// What the numbers are about.
    Full,
    /// Half of it, to choose between settings.
    Tuning,
    /// Only as much as shows that it works.
    Quick,
}

impl Scale {
    /// Tokens of a prompt.
    pub(super) fn prompt(self, tokens: u32) -> u32 {
        match self {
            Self::Full => tokens,
            Self::Tuning => tokens / 2,
            Self::Quick => tokens / 10,
        }
    }

    /// Tokens of an answer.
    pub(super) fn answer(self, tokens: u32) -> u32 {
        match self {
            Self::Full => tokens,
            Self::Tuning => tokens / 2,
            Self::Quick => (tokens / 8).max(8),
        }
    }

    /// How often something is done.
    pub(super) fn times(self, times: u32) -> u32 {
        match self {
            Self::Full => times,
            Self::Tuning => times.div_ceil(2),
            Self::Quick => times.div_ceil(5),
        }
    }

    /// On which settings are chosen.
    pub(super) fn for_tuning(self) -> Self {
        if self == Self::Full { Self::Tuning } else { self }
    }
}

/// Settings of the rival, written `NAME[@WORKLOADS]=[VARIABLE=VALUE …] [FLAG …]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flags {
    /// For people.
    pub name: String,
    /// Letters of the workloads that they are tried for; `None` is all.
    pub workloads: Option<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Arguments behind those for the model, the context and the port.
    pub arguments: Vec<String>,
}

impl Flags {
    /// Nothing but the model, the port and a context that is large enough.
    pub(super) fn defaults() -> Self {
        Self {
            name: "defaults".to_owned(),
            workloads: None,
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// With more arguments before the others.
    pub(super) fn with(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.splice(0..0, arguments);
        self
    }

    /// Whether they are tried for a workload.
    pub(super) fn suit(&self, workload: Workload) -> bool {
        self.workloads.as_ref().is_none_or(|letters| letters.contains(workload.letter()))
    }

    /// As they would be typed.
    pub(super) fn line(&self) -> String {
        let variables = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        variables.chain(self.arguments.iter().cloned()).collect::<Vec<_>>().join(" ")
    }

    /// Settings that help a server on a CPU in one workload or another.
    pub fn candidates() -> Vec<Self> {
        let threads = cores();
        let slots = format!("-t {threads} -np 16 -kvu -fa on");
        let candidates = [
            format!("slots@abcdefg={slots}"),
            format!("slots-b128@d={slots} -b 128"),
            format!("slots-b256@ad={slots} -b 256"),
            format!("slots-no-repack@abdeg={slots} --no-repack"),
            format!("streams@a=-t {threads} -np 16 -no-kvu -fa on"),
            // One after the other: what they have in common is read once.
            format!("one-slot@bcegf=-t {threads} -np 1 -fa on"),
            format!("reuse@b={slots} --cache-reuse 256"),
            format!("passive@ade=OMP_WAIT_POLICY=PASSIVE {slots}"),
            "one-thread@e=-t 1 -np 1 -fa on".to_owned(),
            format!("ngram@g=-t {threads} -np 1 -fa on --spec-type ngram-simple"),
            format!("ngram-mod@g=-t {threads} -np 1 -fa on --spec-type ngram-mod"),
        ];
        candidates.iter().filter_map(|flags| flags.parse().ok()).collect()
    }
}

impl FromStr for Flags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, flags) = text.split_once('=').ok_or_else(|| {
            format!("{text:?} has no '='; write NAME=FLAGS or NAME@LETTERS=FLAGS")
        })?;
        let (name, workloads) = match name.split_once('@') {
            Some((name, letters)) => (name, Some(letters.to_owned())),
            None => (name, None),
        };
        let is_variable = |word: &&str| !word.starts_with('-') && word.contains('=');
        let words: Vec<&str> = flags.split_whitespace().collect();
        let variables = words.iter().copied().take_while(is_variable);
        let environment: Vec<_> = variables
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let arguments = words[environment.len()..].iter().map(|word| (*word).to_owned()).collect();
        Ok(Self { name: name.to_owned(), workloads, environment, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_a_name_workloads_variables_and_arguments() {
        let flags: Flags = "calm@de=OMP_WAIT_POLICY=PASSIVE -t 2 --no-repack".parse().unwrap();
        assert_eq!(flags.name, "calm");
        assert!(flags.suit(Workload::Busy) && !flags.suit(Workload::Clients));
        assert_eq!(flags.environment, [("OMP_WAIT_POLICY".to_owned(), "PASSIVE".to_owned())]);
        assert_eq!(flags.arguments, ["-t", "2", "--no-repack"]);
        assert_eq!(flags.line(), "OMP_WAIT_POLICY=PASSIVE -t 2 --no-repack");
    }

    #[test]
    fn an_argument_with_an_equals_sign_is_no_variable() {
        let flags: Flags = "x=-t 2 --override-kv a=b".parse().unwrap();
        assert_eq!(flags.environment, []);
        assert_eq!(flags.arguments.len(), 4);
        assert!(flags.suit(Workload::Size));
    }

    #[test]
    fn flags_without_a_name_are_refused() {
        assert!("-t 2".parse::<Flags>().is_err());
    }

    #[test]
    fn every_candidate_of_our_own_can_be_read() {
        assert_eq!(Flags::candidates().len(), 11);
    }
}
