//! Settings written in YAML 1.2, or in JSON, which is a part of it.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::{Node, Table, Value};
use crate::{Error, Origin};

/// Deepest nesting that is read. Settings are less deep; deeper ones are refused by their keys.
const DEPTH_MAX: usize = 16;

/// Reads `text`, which is in `language`; `at` makes an origin of a line.
pub(super) fn parse(
    text: &str,
    language: &'static str,
    at: &impl Fn(usize) -> Origin,
) -> Result<Table, Error> {
    Reader { events: Parser::new_from_str(text), language, at }.document()
}

struct Reader<'a, At> {
    events: Parser<'a, StrInput<'a>>,
    language: &'static str,
    at: &'a At,
}

impl<'a, At: Fn(usize) -> Origin> Reader<'a, At> {
    fn refuse(&self, line: usize, message: &str) -> Error {
        let message = message.to_owned();
        Error::Syntax { origin: (self.at)(line), message, language: self.language }
    }

    /// The next event and its line.
    fn next(&mut self) -> Result<(Event<'a>, usize), Error> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(self.refuse(error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    fn document(mut self) -> Result<Table, Error> {
        let nothing = Table { entries: BTreeMap::new(), origin: (self.at)(1) };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(nothing),
                (Event::DocumentStart(_), _) => break,
                _ => {}
            }
        }
        let (event, line) = self.next()?;
        let table = match self.node(event, line, 0)? {
            None => nothing,
            Some(Node::Table(table)) => table,
            Some(_) => return Err(self.refuse(line, "settings are keys with values")),
        };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(table),
                (Event::DocumentStart(_), line) => {
                    return Err(self.refuse(line, "a second document begins"));
                }
                _ => {}
            }
        }
    }

    /// The node that begins with `event`; `None` for null, which leaves a setting out.
    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Option<Node>, Error> {
        if depth > DEPTH_MAX {
            return Err(self.refuse(line, "settings are not as deep as this"));
        }
        match event {
            Event::Alias(_) => {
                Err(self.refuse(line, "aliases are not read; write the value again"))
            }
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                Err(self.refuse(line, "tags are not read; leave it out"))
            }
            Event::Scalar(text, style, ..) => {
                Ok(scalar(&text, style).map(|value| Node::Value(value, (self.at)(line))))
            }
            Event::SequenceStart(..) => self.sequence(line, depth).map(Some),
            Event::MappingStart(..) => self.mapping(line, depth).map(Some),
            _ => Err(self.refuse(line, "a value is missing")),
        }
    }

    fn sequence(&mut self, line: usize, depth: usize) -> Result<Node, Error> {
        let mut texts = Some(Vec::new());
        loop {
            let (event, line_of_item) = self.next()?;
            if event == Event::SequenceEnd {
                let value = texts.map_or(Value::Other("array"), Value::List);
                return Ok(Node::Value(value, (self.at)(line)));
            }
            match self.node(event, line_of_item, depth + 1)? {
                Some(Node::Value(Value::Text(text), _)) => {
                    if let Some(texts) = &mut texts {
                        texts.push(text);
                    }
                }
                _ => texts = None,
            }
        }
    }

    fn mapping(&mut self, line: usize, depth: usize) -> Result<Node, Error> {
        let mut entries = BTreeMap::new();
        loop {
            let (key, line_of_key) = match self.next()? {
                (Event::MappingEnd, _) => {
                    return Ok(Node::Table(Table { entries, origin: (self.at)(line) }));
                }
                (Event::Scalar(key, .., None), line) => (key.into_owned(), line),
                (_, line) => return Err(self.refuse(line, "a key must be a word")),
            };
            let (event, _) = self.next()?;
            let Some(node) = self.node(event, line_of_key, depth + 1)? else { continue };
            if entries.insert(key, node).is_some() {
                return Err(self.refuse(line_of_key, "the same key is there twice"));
            }
        }
    }
}

/// The value of a scalar in the core schema of YAML 1.2, where `off` and `no` are words.
fn scalar(text: &str, style: ScalarStyle) -> Option<Value> {
    if style != ScalarStyle::Plain {
        return Some(Value::Text(text.to_owned()));
    }
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        _ if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Value::Text(text.to_owned())
        }
        _ => match (text.parse(), text.parse()) {
            (Ok(number), _) => Value::Integer(number),
            (Err(_), Ok(_)) if number.bytes().all(|b| b.is_ascii_digit()) => {
                Value::Other("integer of more than 64 bits")
            }
            (Err(_), Ok(number)) => Value::Float(number),
            (Err(_), Err(_)) => Value::Text(text.to_owned()),
        },
    })
}
