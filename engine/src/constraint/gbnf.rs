//! Reads GBNF, the notation of llama.cpp's grammars.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use super::DEPTH_MAX;

/// Most repetitions that a grammar can count, as in llama.cpp.
const REPETITIONS_MAX: u32 = 2000;

/// Rules by number.
#[derive(Debug, Default)]
pub struct Grammar {
    /// The name and the body of each rule; no body for one that is only mentioned.
    pub rules: Vec<(String, Option<Node>)>,
}

/// What a rule is made of.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// This text.
    Text(String),
    /// One character of these ranges, or one of none of them.
    Class {
        /// First and last characters.
        ranges: Vec<(char, char)>,
        /// Whether they are those that do not match.
        negated: bool,
    },
    /// What the rule with this number matches.
    Rule(usize),
    /// One after the other.
    Sequence(Vec<Node>),
    /// One of these.
    Choice(Vec<Node>),
    /// So often, `None` for any number.
    Repeat(Box<Node>, u32, Option<u32>),
}

/// Why a text is no GBNF.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GbnfError {
    /// Groups within groups.
    #[error("groups are nested too deeply")]
    Deep,
    /// Anything else.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A rule without a body.
    #[error("rule {0} is not defined; every grammar needs a rule root")]
    Undefined(String),
}

/// Whether a grammar is GBNF: nothing else defines a rule with `::=`.
pub fn is_gbnf(text: &str) -> bool {
    text.lines().any(|line| {
        let rest = line.trim_start().trim_start_matches(is_word).trim_start();
        rest.starts_with("::=") && line.trim_start().starts_with(is_word)
    })
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

/// Reads a grammar; its rule `root` has number 0.
pub fn parse(text: &str) -> Result<Grammar, GbnfError> {
    let mut parser = Parser {
        rest: text.chars().peekable(),
        line: 1,
        depth: 0,
        numbers: HashMap::new(),
        grammar: Grammar::default(),
    };
    parser.number("root".to_owned());
    parser.space(true);
    while parser.rest.peek().is_some() {
        parser.rule()?;
    }
    match parser.grammar.rules.iter().find(|(_, body)| body.is_none()) {
        Some((name, _)) => Err(GbnfError::Undefined(name.clone())),
        None => Ok(parser.grammar),
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    depth: usize,
    numbers: HashMap<String, usize>,
    grammar: Grammar,
}

impl Parser<'_> {
    fn error<T>(&self, problem: impl Into<String>) -> Result<T, GbnfError> {
        Err(GbnfError::Syntax { line: self.line, problem: problem.into() })
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.next();
        self.line += usize::from(letter == Some('\n'));
        letter
    }

    fn take(&mut self, letter: char) -> bool {
        self.rest.next_if_eq(&letter).is_some()
    }

    /// Skips blanks and comments, and ends of lines where they mean nothing.
    fn space(&mut self, lines: bool) {
        while let Some(&letter) = self.rest.peek() {
            match letter {
                '#' => while self.rest.next_if(|&letter| letter != '\n').is_some() {},
                ' ' | '\t' => {
                    self.next();
                }
                '\n' | '\r' if lines => {
                    self.next();
                }
                _ => return,
            }
        }
    }

    fn name(&mut self) -> Result<String, GbnfError> {
        let mut name = String::new();
        while let Some(letter) = self.rest.next_if(|&letter| is_word(letter)) {
            name.push(letter);
        }
        if name.is_empty() {
            return match self.rest.peek().copied() {
                Some(found) => self.error(format!("{found:?} where a rule or its parts belong")),
                None => self.error("the grammar ends within a rule"),
            };
        }
        Ok(name)
    }

    fn number(&mut self, name: String) -> usize {
        let rules = &mut self.grammar.rules;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            rules.push((name.clone(), None));
            rules.len() - 1
        })
    }

    fn rule(&mut self) -> Result<(), GbnfError> {
        let name = self.name()?;
        self.space(false);
        if !(self.take(':') && self.take(':') && self.take('=')) {
            return self.error(format!("::= is missing behind {name}"));
        }
        self.space(true);
        let number = self.number(name.clone());
        let body = self.choice()?;
        if !matches!(self.rest.peek(), None | Some('\n' | '\r')) {
            return self.error("more behind the end of a rule; put the next one on a new line");
        }
        self.space(true);
        match self.grammar.rules.get_mut(number) {
            Some((_, slot @ None)) => *slot = Some(body),
            _ => return self.error(format!("rule {name} is defined twice")),
        }
        Ok(())
    }

    fn choice(&mut self) -> Result<Node, GbnfError> {
        let mut options = vec![self.sequence()?];
        while self.take('|') {
            self.space(true);
            options.push(self.sequence()?);
        }
        Ok(Node::Choice(options))
    }

    fn sequence(&mut self) -> Result<Node, GbnfError> {
        let mut parts = Vec::new();
        while let Some(&letter) = self.rest.peek() {
            let part = match letter {
                '"' => self.text()?,
                '[' => self.class()?,
                '.' => {
                    self.next();
                    Node::Class { ranges: Vec::new(), negated: true }
                }
                '(' => self.group()?,
                letter if is_word(letter) => {
                    let name = self.name()?;
                    Node::Rule(self.number(name))
                }
                '<' | '!' => return self.error("tokens are not supported; write their text"),
                _ => break,
            };
            let part = self.repeated(part)?;
            parts.push(part);
        }
        Ok(Node::Sequence(parts))
    }

    fn group(&mut self) -> Result<Node, GbnfError> {
        self.next();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(GbnfError::Deep);
        }
        self.space(true);
        let inner = self.choice()?;
        self.depth -= 1;
        if self.take(')') { Ok(inner) } else { self.error("a ) is missing") }
    }

    fn text(&mut self) -> Result<Node, GbnfError> {
        self.next();
        let mut text = String::new();
        while !self.take('"') {
            text.push(self.letter()?);
        }
        Ok(Node::Text(text))
    }

    fn class(&mut self) -> Result<Node, GbnfError> {
        self.next();
        let negated = self.take('^');
        let mut ranges = Vec::new();
        while !self.take(']') {
            let first = self.letter()?;
            let mut last = first;
            if self.take('-') {
                if self.rest.peek() == Some(&']') {
                    ranges.push(('-', '-'));
                } else {
                    last = self.letter()?;
                }
            }
            if last < first {
                return self.error(format!("the range {first:?} to {last:?} is backwards"));
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() && !negated {
            return self.error("[] matches nothing");
        }
        Ok(Node::Class { ranges, negated })
    }

    /// One character of a text or a class.
    fn letter(&mut self) -> Result<char, GbnfError> {
        match self.next() {
            None => self.error("the grammar ends within a text or a class"),
            Some('\\') => match self.next() {
                Some('n') => Ok('\n'),
                Some('r') => Ok('\r'),
                Some('t') => Ok('\t'),
                Some('x') => self.code(2),
                Some('u') => self.code(4),
                Some('U') => self.code(8),
                Some(letter @ ('\\' | '"' | '[' | ']' | '-' | '^')) => Ok(letter),
                _ => self.error(
                    "an unknown escape; known are \\n \\r \\t \\\\ \\\" \\[ \\] \\x \\u \\U",
                ),
            },
            Some(letter) => Ok(letter),
        }
    }

    fn code(&mut self, digits: usize) -> Result<char, GbnfError> {
        let mut code = 0;
        for _ in 0..digits {
            match self.next().and_then(|digit| digit.to_digit(16)) {
                Some(digit) => code = code << 4 | digit,
                None => return self.error(format!("an escape needs {digits} hexadecimal digits")),
            }
        }
        match char::from_u32(code) {
            Some(letter) => Ok(letter),
            None => self.error(format!("{code:#x} is no character")),
        }
    }

    fn repeated(&mut self, mut node: Node) -> Result<Node, GbnfError> {
        // What is repeated is one level deeper, repeated or not by brackets.
        let mut level = self.depth;
        loop {
            if level > DEPTH_MAX {
                return Err(GbnfError::Deep);
            }
            level += 1;
            self.space(self.depth > 0);
            let (least, most) = match self.rest.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    let (least, most) = self.bounds()?;
                    node = Node::Repeat(Box::new(node), least, most);
                    continue;
                }
                _ => return Ok(node),
            };
            self.next();
            node = Node::Repeat(Box::new(node), least, most);
        }
    }

    fn bounds(&mut self) -> Result<(u32, Option<u32>), GbnfError> {
        self.next();
        self.space(false);
        let least = self.count()?;
        self.space(false);
        let most = if self.take(',') {
            self.space(false);
            if self.rest.peek() == Some(&'}') { None } else { Some(self.count()?) }
        } else {
            Some(least)
        };
        self.space(false);
        if !self.take('}') {
            return self.error("a } is missing");
        }
        if most.is_some_and(|most| most < least || most == 0) {
            return self.error("a repetition of nothing");
        }
        Ok((least, most))
    }

    fn count(&mut self) -> Result<u32, GbnfError> {
        let mut count = None;
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            let digit = digit.to_digit(10).unwrap_or(0);
            let next = count.unwrap_or(0_u32) * 10 + digit;
            if next > REPETITIONS_MAX {
                return self.error(format!("more than {REPETITIONS_MAX} repetitions"));
            }
            count = Some(next);
        }
        match count {
            Some(count) => Ok(count),
            None => self.error("a number is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn notations_are_told_apart() {
        assert!(is_gbnf("# yes or no\nroot ::= \"yes\""));
        assert!(is_gbnf("\n  my-rule::=\"x\""));
        assert!(!is_gbnf("start: \"::=\" /x ::=/"));
        assert!(!is_gbnf("::= x"));
    }

    #[test]
    fn rules_go_over_lines_in_groups_and_behind_bars() {
        let grammar = parse("root ::= (\n a\n | b ) # c\n\n\na ::= \"x\" |\n \"y\"\nb ::= a+\n");
        let names: Vec<String> = grammar.unwrap().rules.into_iter().map(|rule| rule.0).collect();
        assert_eq!(names, ["root", "a", "b"]);
    }

    #[test]
    fn escapes_and_classes_are_read() {
        let text = r#"root ::= "\x41\u00e9\U0001F980\n\"" [^a-c\]\n-]"#;
        let rules = parse(text).unwrap().rules;
        let Some(Node::Choice(options)) = &rules[0].1 else { unreachable!() };
        let class = vec![('a', 'c'), (']', ']'), ('-', '-'), ('\n', '\n')];
        let expected = Node::Sequence(vec![
            Node::Text("Aé🦀\n\"".to_owned()),
            Node::Class { ranges: class, negated: true },
        ]);
        assert_eq!(options, &[expected]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let deep = format!("root ::= {}x", "(".repeat(65));
        assert_eq!(parse(&deep).unwrap_err(), GbnfError::Deep);
        for (text, problem) in [
            ("a ::= \"x\"", "rule root is not defined"),
            ("root ::= b", "rule b is not defined"),
            ("root ::= \"x\"\nroot ::= \"y\"", "defined twice"),
            ("root ::= \"x", "line 1: the grammar ends"),
            ("root ::= [z-a]", "backwards"),
            ("root ::= \"x\"{2001}", "2000"),
            ("root ::= \"x\"{3,2}", "repetition"),
            ("root ::= \"x\"{99999999999999}", "2000"),
            ("root ::= \n\n\"\\q\"", "line 3: an unknown escape"),
            ("root ::= \"\\ud800\"", "no character"),
            ("root ::= <think>", "tokens"),
            ("root ::= (\"x\"", ") is missing"),
            ("root ::= \"x\" )", "new line"),
            ("root = \"x\"\na ::= \"x\"", "::= is missing"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
