//! Keeps what a model only thinks apart from what it answers.
//!
//! Models that reason write a thought between two marks at the beginning of an answer, or behind
//! a first mark that the chat template has written already. The same marks further on are text:
//! an answer may speak about them.

use std::sync::Arc;

/// The texts around a thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    open: &'static str,
    close: &'static str,
}

/// Of Qwen, `DeepSeek` and most others; of Command; of Magistral.
const FAMILIES: [Marks; 3] = [
    Marks { open: "<think>", close: "</think>" },
    Marks { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
    Marks { open: "[THINK]", close: "[/THINK]" },
];

/// How a model marks its thoughts.
#[derive(Debug, Default)]
pub struct Reasoning {
    marks: Arc<[Marks]>,
    /// Tokens that are a mark as a whole; some are control tokens, which are not shown elsewhere.
    tokens: Arc<[u32]>,
}

impl Reasoning {
    /// Looks for marks that `template` knows or that `token_of` finds to be a token.
    pub fn new(template: &str, token_of: impl Fn(&str) -> Option<u32>) -> Self {
        let known = |marks: &Marks| {
            template.contains(marks.close)
                || (token_of(marks.open).is_some() && token_of(marks.close).is_some())
        };
        let marks: Arc<[Marks]> = FAMILIES.into_iter().filter(known).collect();
        let texts = marks.iter().flat_map(|marks| [marks.open, marks.close]);
        Self { tokens: texts.filter_map(token_of).collect(), marks }
    }

    /// For the answer to `prompt`, as the template rendered it.
    pub fn splitter(&self, prompt: &str) -> Splitter {
        if self.marks.is_empty() {
            return Splitter::default();
        }
        let opened = self.marks.iter().find(|marks| prompt.trim_end().ends_with(marks.open));
        let state = opened.map_or(State::Start, |&marks| State::Inside(marks));
        Splitter {
            marks: Arc::clone(&self.marks),
            tokens: Arc::clone(&self.tokens),
            state,
            held: String::new(),
        }
    }
}

/// Text of an answer, apart from what the model only thought.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Said {
    /// Belongs to the answer.
    pub text: String,
    /// Belongs to the thought before it.
    pub reasoning: String,
}

impl Said {
    /// Adds what was said next.
    pub fn push(&mut self, next: &Self) {
        self.text.push_str(&next.text);
        self.reasoning.push_str(&next.reasoning);
    }
}

/// Tells thought from answer while the text comes. The default takes everything for answer.
#[derive(Debug, Default)]
pub struct Splitter {
    marks: Arc<[Marks]>,
    tokens: Arc<[u32]>,
    state: State,
    /// Text that may be the beginning of a mark, or white space before one.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    Start,
    /// In a thought of which nothing has been said.
    Inside(Marks),
    /// In a thought.
    Going(Marks),
    /// Behind a thought, before the answer.
    Behind,
    /// In an answer behind a thought.
    Answer,
    /// In an answer without a thought.
    #[default]
    Plain,
}

impl Splitter {
    /// Whether the token is a mark, to be given to [`push`](Self::push) in full.
    pub fn is_mark(&self, token: u32) -> bool {
        self.tokens.contains(&token)
    }

    /// Whether everything so far belongs to the answer, to the letter.
    pub fn is_plain(&self) -> bool {
        self.state == State::Plain
    }

    /// Whether what was said last belongs to a thought, or to the space behind it.
    pub fn is_thinking(&self) -> bool {
        matches!(self.state, State::Inside(_) | State::Going(_) | State::Behind)
    }

    /// Takes the next text.
    pub fn push(&mut self, text: &str) -> Said {
        self.held.push_str(text);
        let mut said = Said::default();
        while self.step(&mut said) {}
        said
    }

    /// What was held back, when nothing more comes. A thought without an end stays a thought.
    pub fn finish(&mut self) -> Said {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Start | State::Plain | State::Answer => {
                if self.state == State::Start {
                    self.state = State::Plain;
                }
                Said { text: held, reasoning: String::new() }
            }
            State::Inside(_) => Said { text: String::new(), reasoning: held.trim().to_owned() },
            State::Going(_) => Said { text: String::new(), reasoning: held.trim_end().to_owned() },
            State::Behind => Said::default(),
        }
    }

    /// Moves on as far as the held text allows; whether it can move on further.
    fn step(&mut self, said: &mut Said) -> bool {
        match self.state {
            State::Start => {
                let begun = self.held.trim_start();
                if let Some(marks) = self.marks.iter().find(|marks| begun.starts_with(marks.open)) {
                    self.held = begun[marks.open.len()..].to_owned();
                    self.state = State::Inside(*marks);
                } else if self.marks.iter().any(|marks| marks.open.starts_with(begun)) {
                    return false;
                } else {
                    self.state = State::Plain;
                }
                true
            }
            State::Inside(marks) => {
                self.drop_white_space();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Going(marks);
                true
            }
            State::Going(marks) => {
                if let Some(end) = self.held.find(marks.close) {
                    said.reasoning.push_str(self.held[..end].trim_end());
                    self.held.drain(..end + marks.close.len());
                    self.state = State::Behind;
                    return true;
                }
                let begun = beginning_at_end(&self.held, marks.close);
                let sure = self.held[..self.held.len() - begun].trim_end().len();
                said.reasoning.extend(self.held.drain(..sure));
                false
            }
            State::Behind => {
                self.drop_white_space();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Answer | State::Plain => {
                said.text.push_str(&self.held);
                self.held.clear();
                false
            }
        }
    }

    fn drop_white_space(&mut self) {
        let blank = self.held.len() - self.held.trim_start().len();
        self.held.drain(..blank);
    }
}

/// Length of the longest end of `text` that `mark` begins with.
fn beginning_at_end(text: &str, mark: &str) -> usize {
    let beginnings = mark.char_indices().rev().map(|(end, _)| &mark[..end]);
    beginnings
        .map(|beginning| if text.ends_with(beginning) { beginning.len() } else { 0 })
        .find(|&length| length > 0)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasoning() -> Reasoning {
        let tokens = ["[THINK]", "[/THINK]"];
        Reasoning::new("{{ '<think>' }} {{ x.split('</think>') }}", |text| {
            let at = tokens.iter().position(|token| *token == text)?;
            u32::try_from(at + 7).ok()
        })
    }

    /// What comes out when `text` comes in pieces of so many characters.
    fn split(prompt: &str, text: &str, size: usize) -> (String, String) {
        let mut splitter = reasoning().splitter(prompt);
        let mut said = Said::default();
        let letters: Vec<char> = text.chars().collect();
        for piece in letters.chunks(size) {
            said.push(&splitter.push(&piece.iter().collect::<String>()));
        }
        said.push(&splitter.finish());
        (said.reasoning, said.text)
    }

    #[test]
    fn thoughts_are_told_from_answers_however_the_text_is_cut() {
        for (prompt, text, reasoning, answer) in [
            ("", "<think>\nTwo.\n\n Yes.\n</think>\n\nFour.\n", "Two.\n\n Yes.", "Four.\n"),
            ("", " \n<think>a</think>b", "a", "b"),
            ("", "[THINK]a[/THINK]b", "a", "b"),
            ("<think>\n", "Two. </think> Four.", "Two.", "Four."),
            ("<think>\n", "Is 1 </ 2 </thin? ", "Is 1 </ 2 </thin?", ""),
            ("", "<think>\n\n</think>\n\nFour.", "", "Four."),
            ("", "<think>No end </thi", "No end </thi", ""),
            ("", "<think> \n", "", ""),
            ("", "<thin", "", "<thin"),
            ("", " \n <b>", "", " \n <b>"),
            ("", "", "", ""),
            ("", " \n ", "", " \n "),
            ("", "Use <think> like </think> this", "", "Use <think> like </think> this"),
            ("", "<think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
            ("", "<think>a [/THINK] b</think>c", "a [/THINK] b", "c"),
            ("<think>x</think>", "Grüße 世界", "", "Grüße 世界"),
            ("", "<think>世 \u{a0}界</think>\u{a0}🦀", "世 \u{a0}界", "🦀"),
        ] {
            for size in 1..=text.chars().count().max(1) {
                let expected = (reasoning.to_owned(), answer.to_owned());
                assert_eq!(split(prompt, text, size), expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_thought_is_handed_out_while_it_comes() {
        let mut splitter = reasoning().splitter("");
        assert_eq!(
            splitter.push("<think>Let me"),
            Said { reasoning: "Let me".into(), ..Said::default() }
        );
        assert_eq!(
            splitter.push(" see. </th"),
            Said { reasoning: " see.".into(), ..Said::default() }
        );
        assert!(splitter.is_thinking());
        assert_eq!(splitter.push("ink>Yes").text, "Yes");
        assert!(!splitter.is_thinking());
        assert!(!splitter.is_plain());
    }

    #[test]
    fn a_model_that_knows_no_marks_has_no_thoughts() {
        let reasoning = Reasoning::new("{{ messages }}", |_| None);
        let mut splitter = reasoning.splitter("<think>");
        assert_eq!(splitter.push("<think>a</think>").text, "<think>a</think>");
        assert!(splitter.is_plain());
    }

    #[test]
    fn marks_that_are_tokens_are_known_as_such() {
        let splitter = reasoning().splitter("");
        assert!(splitter.is_mark(7) && splitter.is_mark(8) && !splitter.is_mark(9));
        assert!(!Splitter::default().is_mark(7));
    }
}
