//! Constrained output: which tokens may come next so that the answer obeys a JSON schema or a
//! grammar.
//!
//! Grammars come from strangers. They are compiled on the text thread, within limits of size and
//! effort; what the scheduler does for each token is bounded by the same limits.

mod gbnf;
mod lark;
mod tokens;

use std::panic::AssertUnwindSafe;

use llguidance::api::{ParserLimits, StopReason, TopLevelGrammar};
use llguidance::toktrie::SimpleVob;
use llguidance::{JsonCompileOptions, ParserFactory, TokenParser, panic_utils};
use serde_json::Value;
use tandem_proto::v1::Sampling;

use crate::vocabulary::Vocabulary;

/// Longest schema or grammar in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Deepest nesting of a schema's values and of a grammar's groups.
const DEPTH_MAX: usize = 64;

/// Longest description of what is wrong with a grammar, in bytes.
const PROBLEM_BYTES_MAX: usize = 500;

/// White space between two tokens of JSON. Unbounded, a model that is warm enough would fill its
/// answer with it.
const WHITE_SPACE: &str = r"[ \n\r\t]{1,40}";

/// A constraint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConstraintError {
    /// More than one is set.
    #[error("sampling.json_schema, sampling.grammar, sampling.json: more than one is set; set one")]
    Several,
    /// It is too long.
    #[error("sampling.{field}: {bytes} bytes; allowed: 1 to {max}", max = BYTES_MAX)]
    Long {
        /// The field that holds it.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It is nested too deeply.
    #[error("sampling.{field}: more than {max} levels deep; allowed: 1 to {max}", max = DEPTH_MAX)]
    Deep {
        /// The field that holds it.
        field: &'static str,
    },
    /// It is no schema or grammar, or one that cannot be enforced.
    #[error("sampling.{field}: {problem}")]
    Invalid {
        /// The field that holds it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// A constraint cannot be followed any further.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("the constraint cannot be followed any further: {0}; simplify it")]
pub struct Stuck(String);

/// Compiles constraints for one vocabulary.
pub struct Compiler {
    factory: ParserFactory,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

impl Compiler {
    /// Prepares `vocabulary`, which takes a moment for a large one.
    pub fn new(vocabulary: &impl Vocabulary) -> Result<Self, Stuck> {
        let environment = tokens::environment(vocabulary);
        let factory = ParserFactory::new_simple(&environment);
        let mut factory = factory.map_err(|error| Stuck(brief(&error)))?;
        *factory.limits_mut() = ParserLimits {
            // A state takes one or two kilobytes.
            max_lexer_states: 50_000,
            max_grammar_size: 200_000,
            initial_lexer_fuel: 500_000,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        factory.quiet();
        Ok(Self { factory })
    }

    fn compile(&self, wanted: &Wanted) -> Result<Constraint, ConstraintError> {
        let field = wanted.field;
        let invalid = |error: &dyn std::fmt::Display| ConstraintError::Invalid {
            field,
            problem: brief(error),
        };
        let parser = self.factory.create_parser(wanted.grammar.clone());
        let mut parser = parser.map_err(|error| invalid(&error))?;
        parser.start_without_prompt();
        let mut constraint = Constraint { parser, mask: SimpleVob::new(), stuck: None };
        // A grammar without any text would make an empty answer of every question.
        let begins = constraint.allowed().map(|allowed| allowed.is_some());
        match begins {
            Ok(true) => Ok(constraint),
            Ok(false) => Err(invalid(&"matches no text")),
            Err(stuck) => Err(invalid(&stuck)),
        }
    }
}

/// A constraint as asked for, checked as far as it can be without the vocabulary.
#[derive(Debug)]
pub struct Wanted {
    field: &'static str,
    grammar: TopLevelGrammar,
}

impl Wanted {
    /// Reads the constraint in `sampling`, if there is one.
    pub fn new(sampling: &Sampling) -> Result<Option<Self>, ConstraintError> {
        let set = [!sampling.json_schema.is_empty(), !sampling.grammar.is_empty(), sampling.json];
        match set {
            [false, false, false] => Ok(None),
            [true, false, false] => schema("json_schema", &sampling.json_schema).map(Some),
            [false, true, false] => grammar("grammar", &sampling.grammar).map(Some),
            [false, false, true] => schema("json", r#"{"type":"object"}"#).map(Some),
            _ => Err(ConstraintError::Several),
        }
    }

    /// Compiles it.
    pub fn compile(&self, compiler: &Compiler) -> Result<Constraint, ConstraintError> {
        compiler.compile(self)
    }
}

fn schema(field: &'static str, text: &str) -> Result<Wanted, ConstraintError> {
    check_length(field, text)?;
    let invalid = |problem: String| ConstraintError::Invalid { field, problem };
    if deepest(text) > DEPTH_MAX {
        return Err(ConstraintError::Deep { field });
    }
    let mut schema: Value = serde_json::from_str(text)
        .map_err(|error| invalid(format!("is not JSON: {}", brief(&error))))?;
    if !schema.is_object() {
        return Err(invalid(
            "is not a JSON object; send a schema such as {\"type\": \"object\"}".into(),
        ));
    }
    let options = JsonCompileOptions {
        whitespace_pattern: Some(WHITE_SPACE.to_owned()),
        ..JsonCompileOptions::default()
    };
    // Replaces what the schema itself may say about how it is compiled.
    options.apply_to(&mut schema);
    Ok(Wanted { field, grammar: TopLevelGrammar::from_json_schema(schema) })
}

fn grammar(field: &'static str, text: &str) -> Result<Wanted, ConstraintError> {
    check_length(field, text)?;
    let lark = if gbnf::is_gbnf(text) {
        lark::from_gbnf(&gbnf::parse(text).map_err(|error| match error {
            gbnf::GbnfError::Deep => ConstraintError::Deep { field },
            other => ConstraintError::Invalid { field, problem: other.to_string() },
        })?)
    } else {
        text.to_owned()
    };
    Ok(Wanted { field, grammar: TopLevelGrammar::from_lark(lark) })
}

fn check_length(field: &'static str, text: &str) -> Result<(), ConstraintError> {
    let bytes = text.len();
    if bytes > BYTES_MAX { Err(ConstraintError::Long { field, bytes }) } else { Ok(()) }
}

/// Most levels of JSON that are open at once. Text that is no JSON may count for anything.
fn deepest(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The first lines of an error, which can hold half a grammar.
fn brief(error: &dyn std::fmt::Display) -> String {
    let mut text = error.to_string().replace("<non-verbose/>", "");
    if text.starts_with("panic:") {
        return "is beyond what the compiler of grammars understands; simplify it".to_owned();
    }
    text.truncate(text.floor_char_boundary(PROBLEM_BYTES_MAX));
    text.trim().to_owned()
}

/// A constraint at work on one answer.
pub struct Constraint {
    parser: TokenParser,
    mask: SimpleVob,
    stuck: Option<Stuck>,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").finish_non_exhaustive()
    }
}

impl Constraint {
    /// The tokens that may come next, one bit each, those that end the answer among them where it
    /// may end; `None` when the answer is over.
    pub fn allowed(&mut self) -> Result<Option<&[u32]>, Stuck> {
        if self.is_over()? {
            return Ok(None);
        }
        let parser = &mut self.parser;
        match panic_utils::catch_unwind(AssertUnwindSafe(|| parser.compute_mask())) {
            Ok(mask) => {
                self.mask = mask;
                Ok(Some(self.mask.as_slice()))
            }
            // No token fits is an end as well.
            Err(_) if self.parser.stop_reason() == StopReason::NoExtensionBias => Ok(None),
            Err(error) => Err(self.give_up(&error)),
        }
    }

    /// Goes on behind `token`. Whether the answer is over with it.
    pub fn advance(&mut self, token: u32) -> Result<bool, Stuck> {
        if self.is_over()? {
            return Ok(true);
        }
        let parser = &mut self.parser;
        panic_utils::catch_unwind(AssertUnwindSafe(|| {
            parser.consume_token(token)?;
            parser.check_stop()
        }))
        .map_err(|error| self.give_up(&error))
    }

    fn is_over(&self) -> Result<bool, Stuck> {
        self.stuck.clone().map_or_else(|| Ok(self.parser.stopped()), Err)
    }

    /// A parser that failed is not asked again.
    fn give_up(&mut self, error: &dyn std::fmt::Display) -> Stuck {
        self.stuck.insert(Stuck(brief(error))).clone()
    }
}

#[cfg(test)]
mod tests;
