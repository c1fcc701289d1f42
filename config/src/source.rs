//! Settings as they were written, in files and in the environment, merged into one tree.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{Error, Origin};

mod toml_text;
mod yaml_text;

/// Longest settings file in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Deepest key: `experiments.NAME.variants.NAME.weight`.
const KEY_PARTS_MAX: usize = 5;

/// A value or a table, as it was written.
#[derive(Debug)]
pub(crate) enum Node {
    Value(Value, Origin),
    Table(Table),
}

/// A table, as it was written.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) entries: BTreeMap<String, Node>,
    pub(crate) origin: Origin,
}

/// One value, as it was written.
#[derive(Debug)]
pub(crate) enum Value {
    /// An environment variable, which has whatever type is wanted.
    Untyped(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// An array of texts.
    List(Vec<String>),
    /// Something that no setting is; the name of its type.
    Other(&'static str),
}

impl Node {
    pub(crate) fn origin(&self) -> &Origin {
        match self {
            Self::Value(_, origin) | Self::Table(Table { origin, .. }) => origin,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Value(Value::Text(text) | Value::Untyped(text), _) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Value(Value::Integer(number), _) => Some(*number),
            Self::Value(Value::Untyped(text), _) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Self::Value(Value::Float(number), _) => Some(*number),
            Self::Value(Value::Integer(number), _) => i32::try_from(*number).ok().map(f64::from),
            Self::Value(Value::Untyped(text), _) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Value(Value::Boolean(value), _) => Some(*value),
            Self::Value(Value::Untyped(text), _) => text.parse().ok(),
            _ => None,
        }
    }

    /// Texts in brackets; in a variable, with commas between them.
    pub(crate) fn list(&self) -> Option<Vec<&str>> {
        match self {
            Self::Value(Value::List(texts), _) => Some(texts.iter().map(String::as_str).collect()),
            Self::Value(Value::Untyped(text), _) => {
                Some(text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS_MAX: usize = 60;
        match self {
            Self::Value(Value::Text(text) | Value::Untyped(text), _) => {
                match text.char_indices().nth(SHOWN_CHARS_MAX) {
                    Some((end, _)) => write!(f, "{:?}…", text.get(..end).unwrap_or_default()),
                    None => write!(f, "{text:?}"),
                }
            }
            Self::Value(Value::Integer(number), _) => number.fmt(f),
            Self::Value(Value::Float(number), _) => write!(f, "{number:?}"),
            Self::Value(Value::Boolean(value), _) => value.fmt(f),
            Self::Value(Value::List(_), _) => f.write_str("(array)"),
            Self::Value(Value::Other(kind), _) => write!(f, "({kind})"),
            Self::Table(_) => f.write_str("(table)"),
        }
    }
}

/// Reads a settings file, by the ending of its name. `None` when there is none.
pub(crate) fn read_file(path: &Path) -> Result<Option<Table>, Error> {
    let refuse = |source| Error::Read { path: path.to_owned(), source };
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(refuse)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(error)),
    };
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(io::Error::other("it is longer than 1 MiB")));
    }
    let origin = |line| Origin::File(path.to_owned(), line);
    match path.extension().and_then(OsStr::to_str) {
        Some("yaml" | "yml") => yaml_text::parse(&text, "YAML", &origin).map(Some),
        // JSON is YAML, too, and this way its errors have lines.
        Some("json") => yaml_text::parse(&text, "JSON", &origin).map(Some),
        _ => toml_text::parse(&text, &origin).map(Some),
    }
}

/// Reads the settings of a profile, which are TOML.
pub(crate) fn read_profile(text: &str, name: &'static str) -> Result<Table, Error> {
    toml_text::parse(text, &|_| Origin::Profile(name))
}

/// Lays `over` over `settings`: where both have a setting, that of `over` counts.
pub(crate) fn merge(settings: &mut Table, over: Table) {
    for (key, node) in over.entries {
        match (settings.entries.remove(&key), node) {
            (Some(Node::Table(mut below)), Node::Table(above)) => {
                below.origin = above.origin.clone();
                merge(&mut below, above);
                settings.entries.insert(key, Node::Table(below));
            }
            (_, node) => {
                settings.entries.insert(key, node);
            }
        }
    }
}

/// Lays the environment over `settings`: `TANDEM_ROUTER__POLICY` is `router.policy`. Variables without
/// a double underscore are not settings.
pub(crate) fn overlay(settings: &mut Table, variables: &BTreeMap<OsString, OsString>) {
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(key) = name.strip_prefix("TANDEM_").filter(|key| key.contains("__")) else {
            continue;
        };
        let value = match value.to_str() {
            Some(text) => Value::Untyped(text.to_owned()),
            None => Value::Other("not UTF-8"),
        };
        let origin = Origin::Variable(name.to_owned());
        insert(settings, &key.to_lowercase(), value, origin);
    }
}

fn insert(mut table: &mut Table, key: &str, value: Value, origin: Origin) {
    let mut parts = key.splitn(KEY_PARTS_MAX, "__").peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            table.entries.insert(part.to_owned(), Node::Value(value, origin));
            return;
        }
        let fresh = || Node::Table(Table { entries: BTreeMap::new(), origin: origin.clone() });
        let node = table.entries.entry(part.to_owned()).or_insert_with(fresh);
        if let Node::Value(..) = node {
            *node = fresh();
        }
        match node {
            Node::Table(inner) => table = inner,
            Node::Value(..) => return,
        }
    }
}
