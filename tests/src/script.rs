//! What the scripted engine does. A test writes the script, the engine reads it when it starts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_proto::engine::LoadFailure;

/// Name of the file with the script, in the daemon's `TANDEM_HOME`, which its engines know.
pub const FILE: &str = "script.json";

/// Lives of an engine, one process each. The last one repeats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script(Vec<Life>);

/// One engine process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Life {
    /// What it claims to speak.
    pub protocol: u32,
    /// What becomes of the load.
    pub load: Load,
    /// What it measures, when it is told to: microseconds of prefilling 128 tokens and of decoding
    /// one.
    pub measured: (u64, u64),
    /// The answer to everything; a word is a token.
    pub words: Vec<String>,
    /// Words that the model is not sure of: the first, and the first behind them.
    pub unsure: Option<(usize, usize)>,
    /// What happens in place of the next word once this many words of an answer are out.
    pub fate: Option<(usize, Fate)>,
}

/// What becomes of a load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// It succeeds.
    Succeed,
    /// It fails; the first is the name of a [`LoadFailure`], the second says why.
    Fail(String, String),
    /// It neither ends nor gets on.
    Hang,
    /// It succeeds once the file [`release_file`] is there.
    Wait,
    /// The engine is killed by this signal, named without "SIG".
    Die(String),
}

impl Load {
    /// A load that fails.
    pub fn fails(failure: LoadFailure, why: &str) -> Self {
        Self::Fail(failure.as_str_name().to_owned(), why.to_owned())
    }
}

/// What happens to an engine, or to an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// The engine is killed by this signal, named without "SIG".
    Die(String),
    /// It gives no sign of life any more.
    Hang,
    /// It sends bytes that are no message.
    Garble,
    /// It announces a frame longer than any may be.
    Overflow,
    /// It is well, and this answer goes on when the file [`release_file`] is there.
    Wait,
}

impl Script {
    /// This life, over and over.
    pub fn always(life: Life) -> Self {
        Self(vec![life])
    }

    /// These lives; the last one repeats.
    pub fn lives(lives: impl IntoIterator<Item = Life>) -> Self {
        let lives: Vec<_> = lives.into_iter().collect();
        assert!(!lives.is_empty(), "a script has at least one life");
        Self(lives)
    }

    /// The life of this number, from 1.
    pub fn life(&self, number: usize) -> &Life {
        &self.0[number.min(self.0.len()) - 1]
    }
}

impl Life {
    /// Loads, answers with these words, and serves until it is ended.
    pub fn answering(words: &str) -> Self {
        Self {
            protocol: tandem_proto::engine::PROTOCOL_VERSION,
            load: Load::Succeed,
            measured: (1000, 100),
            words: words.split_whitespace().map(str::to_owned).collect(),
            unsure: None,
            fate: None,
        }
    }

    /// With a fate that strikes once `words` words of an answer are out.
    #[must_use]
    pub fn but_after(self, words: usize, fate: Fate) -> Self {
        Self { fate: Some((words, fate)), ..self }
    }

    /// Not sure of the words from the first number to the one before the second.
    #[must_use]
    pub fn but_unsure_of(self, words: std::ops::Range<usize>) -> Self {
        Self { unsure: Some((words.start, words.end)), ..self }
    }

    /// With these times for prefilling 128 tokens and decoding one, in microseconds.
    #[must_use]
    pub fn but_measuring(self, prefill: u64, decode: u64) -> Self {
        Self { measured: (prefill, decode), ..self }
    }

    /// With another end of the load.
    #[must_use]
    pub fn but_at_load(self, load: Load) -> Self {
        Self { load, ..self }
    }
}

/// The file in which engines write down what they are sent, a line per message, beginning with
/// the number of the life.
pub fn log_file(script: &Path) -> PathBuf {
    script.with_extension("log")
}

/// The file that ends all waiting.
pub fn release_file(script: &Path) -> PathBuf {
    script.with_extension("release")
}
