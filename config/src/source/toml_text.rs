//! Settings written in TOML.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Node, Table, Value};
use crate::{Error, Origin};

/// Reads `text`; `at` makes an origin of a line.
pub(super) fn parse(text: &str, at: &impl Fn(usize) -> Origin) -> Result<Table, Error> {
    let origin = |offset: usize| at(text.get(..offset).unwrap_or_default().split('\n').count());
    // The parser's own message quotes the line, which could hold a secret.
    let document = DeTable::parse(text).map_err(|error| Error::Syntax {
        origin: origin(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
        language: "TOML",
    })?;
    Ok(table(document.get_ref(), origin(0), &origin))
}

fn table(entries: &DeTable<'_>, at: Origin, origin: &impl Fn(usize) -> Origin) -> Table {
    let entries = entries
        .iter()
        .map(|(key, value)| {
            (key.get_ref().to_string(), node(value, origin(key.span().start), origin))
        })
        .collect();
    Table { entries, origin: at }
}

fn node(value: &Spanned<DeValue<'_>>, at: Origin, origin: &impl Fn(usize) -> Origin) -> Node {
    let value = match value.get_ref() {
        DeValue::Table(entries) => return Node::Table(table(entries, at, origin)),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("integer of more than 64 bits"), Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Other("float"), Value::Float)
        }
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Array(values) => {
            let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
            values
                .iter()
                .map(text)
                .collect::<Option<_>>()
                .map_or(Value::Other("array"), Value::List)
        }
    };
    Node::Value(value, at)
}
