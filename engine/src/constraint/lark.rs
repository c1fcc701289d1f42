//! From GBNF to the notation of the parser: Lark, which tells terminals from rules.
//!
//! Terminals are read by an automaton, rules by a parser, which is far slower. So the longest
//! parts of the grammar that do not contain themselves become terminals. A terminal takes all
//! that it can, where llama.cpp would try every split; a grammar without recursion is one
//! terminal, so that nothing is lost.

use std::fmt::Write as _;

use super::gbnf::{Grammar, Node};

/// Writes `grammar` in Lark. Every rule that is mentioned has a body.
pub fn from_gbnf(grammar: &Grammar) -> String {
    let mut writer = Writer { grammar, regular: regular(grammar), lark: String::new(), parts: 0 };
    for (number, (_, body)) in grammar.rules.iter().enumerate() {
        let Some(body) = body else { continue };
        let (name, body) = if writer.is_regular(number) {
            (format!("R{number}"), writer.terminal(body))
        } else {
            (format!("r{number}"), writer.rule(body))
        };
        let _ = writeln!(writer.lark, "{name}: {body}");
    }
    let root = writer.name(0);
    let _ = writeln!(writer.lark, "start: {root}");
    writer.lark
}

/// Which rules do not lead back to themselves, nor to rules that do.
fn regular(grammar: &Grammar) -> Vec<bool> {
    let bodies: Vec<Vec<usize>> = grammar
        .rules
        .iter()
        .map(|(_, body)| {
            let mut mentioned = Vec::new();
            if let Some(body) = body {
                mentions(body, &mut mentioned);
            }
            mentioned
        })
        .collect();
    // Rules whose mentions are all regular are regular, beginning with those that mention none.
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); bodies.len()];
    let mut open: Vec<usize> = bodies.iter().map(Vec::len).collect();
    for (user, mentioned) in bodies.iter().enumerate() {
        for &rule in mentioned {
            if let Some(users) = users.get_mut(rule) {
                users.push(user);
            }
        }
    }
    let mut ready: Vec<usize> =
        open.iter().enumerate().filter(|(_, open)| **open == 0).map(|(rule, _)| rule).collect();
    let mut regular = vec![false; bodies.len()];
    while let Some(rule) = ready.pop() {
        if let Some(regular) = regular.get_mut(rule) {
            *regular = true;
        }
        for &user in users.get(rule).into_iter().flatten() {
            let Some(open) = open.get_mut(user) else { continue };
            *open -= 1;
            if *open == 0 {
                ready.push(user);
            }
        }
    }
    regular
}

fn mentions(node: &Node, rules: &mut Vec<usize>) {
    match node {
        Node::Text(_) | Node::Class { .. } => {}
        Node::Rule(number) => rules.push(*number),
        Node::Sequence(parts) | Node::Choice(parts) => {
            for part in parts {
                mentions(part, rules);
            }
        }
        Node::Repeat(inner, ..) => mentions(inner, rules),
    }
}

struct Writer<'a> {
    grammar: &'a Grammar,
    regular: Vec<bool>,
    lark: String,
    /// Terminals made of parts of rules.
    parts: usize,
}

impl Writer<'_> {
    fn is_regular(&self, number: usize) -> bool {
        self.regular.get(number).copied().unwrap_or(false)
    }

    fn name(&self, number: usize) -> String {
        debug_assert!(number < self.grammar.rules.len());
        format!("{}{number}", if self.is_regular(number) { "R" } else { "r" })
    }

    fn is_terminal(&self, node: &Node) -> bool {
        match node {
            Node::Text(_) | Node::Class { .. } => true,
            Node::Rule(number) => self.is_regular(*number),
            Node::Sequence(parts) | Node::Choice(parts) => {
                parts.iter().all(|part| self.is_terminal(part))
            }
            Node::Repeat(inner, ..) => self.is_terminal(inner),
        }
    }

    /// The body of a terminal.
    fn terminal(&self, node: &Node) -> String {
        match node {
            Node::Text(text) => quote(text),
            Node::Class { ranges, negated } => class(ranges, *negated),
            Node::Rule(number) => self.name(*number),
            Node::Sequence(parts) if parts.is_empty() => quote(""),
            Node::Sequence(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.terminal(part)).collect();
                parts.join(" ")
            }
            Node::Choice(options) => {
                let options: Vec<String> = options.iter().map(|part| self.terminal(part)).collect();
                format!("({})", options.join(" | "))
            }
            Node::Repeat(inner, least, most) => {
                format!("({}){}", self.terminal(inner), bounds(*least, *most))
            }
        }
    }

    /// The body of a rule, whose regular parts become terminals of their own.
    fn rule(&mut self, node: &Node) -> String {
        if self.is_terminal(node) {
            let body = self.terminal(node);
            return self.part(&body);
        }
        match node {
            Node::Sequence(parts) => {
                let mut written = Vec::new();
                let alike = |a: &Node, b: &Node| self.is_terminal(a) == self.is_terminal(b);
                let runs: Vec<&[Node]> = parts.chunk_by(alike).collect();
                for run in runs {
                    if run.iter().all(|part| self.is_terminal(part)) {
                        let run: Vec<String> = run.iter().map(|part| self.terminal(part)).collect();
                        written.push(self.part(&run.join(" ")));
                    } else {
                        written.extend(run.iter().map(|part| self.rule(part)));
                    }
                }
                written.join(" ")
            }
            Node::Choice(options) => {
                let options: Vec<String> = options.iter().map(|option| self.rule(option)).collect();
                format!("({})", options.join(" | "))
            }
            Node::Repeat(inner, least, most) => {
                format!("({}){}", self.rule(inner), bounds(*least, *most))
            }
            Node::Rule(number) => self.name(*number),
            Node::Text(_) | Node::Class { .. } => self.terminal(node),
        }
    }

    fn part(&mut self, body: &str) -> String {
        let name = format!("P{}", self.parts);
        self.parts += 1;
        let _ = writeln!(self.lark, "{name}: {body}");
        name
    }
}

fn bounds(least: u32, most: Option<u32>) -> String {
    match (least, most) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}

/// A text in quotes, as JSON has them.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A class of characters as a regular expression.
fn class(ranges: &[(char, char)], negated: bool) -> String {
    if ranges.is_empty() {
        return "/./s".to_owned();
    }
    let mut written = String::from(if negated { "/[^" } else { "/[" });
    for &(first, last) in ranges {
        let _ = write!(written, "\\u{{{:x}}}-\\u{{{:x}}}", u32::from(first), u32::from(last));
    }
    written.push_str("]/");
    written
}
