//! Templates of the system part of prompts: how a model is told to answer from passages and to cite them.
//!
//! A template is a file `LANGUAGE/NAME.jinja`. Those in a folder of the user's take the place of built-in ones of
//! the same name. Each is checked when it is loaded, so that a mistake shows before a question is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Place, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

/// The template that is taken unless another is asked for.
pub const DEFAULT_TEMPLATE: &str = "default";
/// The language that is taken when a template is not there in the one asked for.
pub const DEFAULT_LANGUAGE: &str = "en";
/// Ending of templates.
const EXTENSION: &str = "jinja";
/// Longest template in bytes.
const TEMPLATE_BYTES: u64 = 64 << 10;
/// Instructions that a template may take.
const FUEL: u64 = 1_000_000;
/// What a passage says while a template is checked.
const PROBE: &str = "probe-4f1c";

/// The templates that come with the program: language, name, text.
const BUILT_IN: [(&str, &str, &str); 6] = [
    ("en", "default", include_str!("../templates/en/default.jinja")),
    ("en", "technical", include_str!("../templates/en/technical.jinja")),
    ("en", "education", include_str!("../templates/en/education.jinja")),
    ("id", "default", include_str!("../templates/id/default.jinja")),
    ("id", "technical", include_str!("../templates/id/technical.jinja")),
    ("id", "education", include_str!("../templates/id/education.jinja")),
];

/// A passage as a template gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Its number, by which it is cited, from 1 on.
    pub n: usize,
    /// Its text.
    pub text: String,
    /// The document that it is from.
    pub source: String,
    /// The document's title.
    pub title: String,
    /// Where it stands there, for people, such as `page 3, Installing > Linux`; may be empty.
    pub place: String,
}

/// A template that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// Where it is; `None` when it comes with the program.
    pub path: Option<PathBuf>,
}

/// All templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// Where each template is, by language and name.
    known: BTreeMap<(String, String), Option<PathBuf>>,
}

impl Templates {
    /// Loads the templates that come with the program, and those of a folder if it is there.
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_syntax(lines_of_their_own()?);
        let mut templates = Self { environment, known: BTreeMap::new() };
        for (language, name, text) in BUILT_IN {
            templates.add(language, name, text.to_owned(), None)?;
        }
        if let Some(folder) = folder.filter(|folder| folder.exists()) {
            for language in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
                for path in entries(&language)? {
                    templates.add_file(&language, &path)?;
                }
            }
        }
        Ok(templates)
    }

    /// All templates, by language and name.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |((language, name), path): (&(String, String), &Option<PathBuf>)| Listed {
            name: name.clone(),
            language: language.clone(),
            path: path.clone(),
        };
        self.known.iter().map(listed).collect()
    }

    /// The system part of a prompt. A template that is not there in the language is taken in English.
    pub fn render(&self, name: &str, language: &str, passages: &[Passage]) -> Result<String> {
        let at = |language: &str| self.known.get_key_value(&(language.to_owned(), name.to_owned()));
        let Some(((language, _), path)) = at(language).or_else(|| at(DEFAULT_LANGUAGE)) else {
            let known: Vec<String> =
                self.known.keys().map(|(language, name)| format!("{name} ({language})")).collect();
            return Err(Error::NoTemplate { name: name.to_owned(), known: known.join(", ") });
        };
        let path = path.clone().unwrap_or_else(|| built_in_path(language, name));
        self.rendered(&key(language, name), &path, passages)
    }

    fn add_file(&mut self, language: &Path, path: &Path) -> Result<()> {
        let text_of =
            |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let is_template = path.extension().is_some_and(|extension| extension == EXTENSION);
        let (Some(language), Some(name)) =
            (text_of(language), path.file_stem().and_then(|name| name.to_str()))
        else {
            return Ok(());
        };
        if !is_template || !path.is_file() {
            return Ok(());
        }
        let failed = |error| Error::Io { path: path.to_owned(), error };
        if fs::metadata(path).map_err(failed)?.len() > TEMPLATE_BYTES {
            return Err(wrong(path, 1, format!("is longer than {TEMPLATE_BYTES} bytes")));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        self.add(&language, name, text, Some(path.to_owned()))
    }

    fn add(
        &mut self,
        language: &str,
        name: &str,
        text: String,
        path: Option<PathBuf>,
    ) -> Result<()> {
        let key = key(language, name);
        let shown = path.clone().unwrap_or_else(|| built_in_path(language, name));
        self.environment
            .add_template_owned(key.clone(), text)
            .map_err(|error| explained(&shown, &error))?;
        self.known.insert((language.to_owned(), name.to_owned()), path);
        self.check(&key, &shown)
    }

    /// A template must show each passage with its number: without them it would ask for inventions.
    fn check(&self, key: &str, path: &Path) -> Result<()> {
        let probe = |n: usize| Passage {
            n,
            text: format!("{PROBE} {n}"),
            source: "/documents/probe.md".to_owned(),
            title: "Probe".to_owned(),
            place: String::new(),
        };
        let text = self.rendered(key, path, &[probe(41), probe(42)])?;
        for n in [41, 42] {
            if !text.contains(&format!("{PROBE} {n}")) {
                return Err(wrong(
                    path,
                    1,
                    "does not show the text of each of the `passages`".to_owned(),
                ));
            }
            if text.matches(&n.to_string()).count() < 2 {
                return Err(wrong(
                    path,
                    1,
                    "does not show the number `n` of each of the `passages`".to_owned(),
                ));
            }
        }
        self.rendered(key, path, &[]).map(|_| ())
    }

    fn rendered(&self, key: &str, path: &Path, passages: &[Passage]) -> Result<String> {
        let template =
            self.environment.get_template(key).map_err(|error| explained(path, &error))?;
        let passages: Vec<Value> = passages.iter().map(Passage::value).collect();
        let text =
            template.render(context! { passages }).map_err(|error| explained(path, &error))?;
        Ok(text.trim().to_owned())
    }
}

impl Passage {
    fn value(&self) -> Value {
        let Self { n, text, source, title, place } = self;
        context! { n, text, source, title, place }
    }
}

impl Place {
    /// Where it is, for people; empty when nothing is known.
    pub fn describe(&self) -> String {
        let number = self
            .page
            .map(|page| format!("p. {page}"))
            .or_else(|| self.line.map(|line| format!("l. {line}")));
        let headings = (!self.headings.is_empty()).then(|| self.headings.join(" > "));
        number.into_iter().chain(headings).collect::<Vec<_>>().join(", ")
    }
}

/// Tags on lines of their own leave no empty lines.
fn lines_of_their_own() -> Result<SyntaxConfig> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.map_err(|error| explained(Path::new("templates"), &error))
}

fn key(language: &str, name: &str) -> String {
    format!("{language}/{name}")
}

fn built_in_path(language: &str, name: &str) -> PathBuf {
    PathBuf::from(format!("templates/{language}/{name}.{EXTENSION}"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::Io { path: folder.to_owned(), error };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths =
        entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn explained(path: &Path, error: &minijinja::Error) -> Error {
    let detail = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "takes too long".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    wrong(path, error.line().unwrap_or(1), detail)
}

fn wrong(path: &Path, line: usize, detail: String) -> Error {
    Error::Template { path: path.to_owned(), line, detail }
}

#[cfg(test)]
mod tests;
