//! From what was written to settings that can be used, or to all that is wrong with it.

use std::{
    collections::BTreeMap,
    mem,
    path::{Path, PathBuf},
};

use crate::{
    Config, Embedded, Error, Origin, Overrides, Problem, Provider,
    kind::Kind,
    paths::Environment,
    preset, profile,
    schema::{self, Visitor},
    source::{self, Node, Table},
};

mod experiments;
mod ladder;
mod provider;

/// Longest path of a unix socket in bytes: `sun_path` has 108, and a zero ends it.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Least likeness of a key to the one that was probably meant, 0 to 1.
const LIKENESS_MIN: f64 = 0.5;

impl Config {
    /// Loads and checks all settings.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is wrong, or another [`Error`] when the file cannot be
    /// read at all.
    pub fn load(overrides: &Overrides) -> Result<Self, Error> {
        Self::load_in(&Environment::of_process(), overrides)
    }

    pub(crate) fn load_in(environment: &Environment, overrides: &Overrides) -> Result<Self, Error> {
        let path = match &overrides.config_file {
            Some(file) => file.clone(),
            None => only(environment.config_files())?,
        };
        let mut written = match source::read_file(&path)? {
            Some(table) => table,
            None if overrides.config_file.is_none() => {
                Table { entries: BTreeMap::new(), origin: Origin::Default }
            }
            None => return Err(Error::Missing(path)),
        };
        source::overlay(&mut written, &environment.variables);
        let written = profile::lay_under(written, overrides.profile.as_deref(), environment)?;

        let mut config = Self::defaults(environment.data_dir(), environment.socket());
        if let Some(Embedded { engine, model }) = overrides.embedded.clone() {
            config.engine.binary = Some(engine);
            config.models.default = model;
        }
        config.apply(preset::chosen(&written, environment));
        if let Some(folder) = std::path::absolute(&path).ok().as_deref().and_then(Path::parent) {
            config.engine.templates = folder.join("templates");
        }
        let mut reader = Reader {
            path: String::new(),
            table: written,
            known: Vec::new(),
            origins: BTreeMap::new(),
            problems: Vec::new(),
        };
        schema::visit(&mut config, &mut reader);
        reader.refuse_the_rest();

        if let Some(socket) = &overrides.socket {
            config.daemon.socket = std::path::absolute(socket).unwrap_or_else(|_| socket.clone());
            reader.origins.insert("daemon.socket".into(), Origin::Flag("--socket"));
        } else if let Some(socket) = environment.own_path("TANDEM_SOCKET") {
            config.daemon.socket = socket;
            reader.origins.insert("daemon.socket".into(), Origin::Variable("TANDEM_SOCKET".into()));
        }
        reader.settle(&mut config);
        reader.settle_ladder(&mut config);
        reader.settle_experiments(&config);

        if reader.problems.is_empty() {
            return Ok(config);
        }
        reader.problems.sort_by_key(Problem::rank);
        Err(Error::Invalid(reader.problems))
    }
}

/// The one file of several, if there are not several.
pub(crate) fn only(files: Vec<PathBuf>) -> Result<PathBuf, Error> {
    <[_; 1]>::try_from(files).map(|[file]| file).map_err(Error::Several)
}

/// Takes settings out of what was written; what stays behind is unknown.
struct Reader {
    /// The table that is read: its name, what is left in it, and which keys it may have.
    path: String,
    table: Table,
    known: Vec<String>,
    /// Where each setting was made, for those that were.
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Reader {
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn refuse(&mut self, origin: Origin, key: String, message: String) {
        self.problems.push(Problem { origin, key, message });
    }

    /// Refuses a name that the user gave a table, if it cannot be one.
    fn check_name(&mut self, name: &str) {
        let valid = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !valid && let Some(node) = self.table.entries.get(name) {
            let origin = node.origin().clone();
            let parent = self.path.rsplit('.').next().unwrap_or_default().trim_end_matches('s');
            let article = if parent.starts_with('e') { "an" } else { "a" };
            let message =
                format!("is not a name for {article} {parent}; write 1 to 64 of a-z, 0-9, - and _");
            self.refuse(origin, self.key(name), message);
        }
    }

    /// Refuses what is left in the table.
    fn refuse_the_rest(&mut self) {
        for (name, node) in mem::take(&mut self.table.entries) {
            let likeness = |known: &String| strsim::normalized_damerau_levenshtein(known, &name);
            let meant = self
                .known
                .iter()
                .filter(|known| likeness(known) >= LIKENESS_MIN)
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let message = match meant {
                Some(meant) => format!("is not a setting; did you mean {}?", self.key(meant)),
                None => format!("is not a setting; here it may be {}", self.known.join(", ")),
            };
            self.refuse(node.origin().clone(), self.key(&name), message);
        }
    }

    /// What one setting asks of another. A default gives way; a value that was set is refused.
    fn settle(&mut self, config: &mut Config) {
        let engine = &mut config.engine;
        for (key, tokens, limit, fitting) in [
            (
                "engine.batch_tokens",
                &mut engine.batch_tokens,
                engine.context_tokens,
                engine.context_tokens,
            ),
            (
                "engine.max_tokens",
                &mut engine.max_tokens,
                engine.context_tokens - 1,
                engine.context_tokens / 2,
            ),
        ] {
            if *tokens <= limit {
                continue;
            }
            match self.origins.get(key) {
                None => *tokens = fitting,
                Some(origin) => {
                    let context = engine.context_tokens;
                    let message = format!(
                        "= {tokens} does not fit in engine.context_tokens = {context}; write at most {limit}"
                    );
                    self.refuse(origin.clone(), key.into(), message);
                }
            }
        }

        // Both forms of the address are in use.
        let chroma = &mut config.knowledge.chroma.url;
        if let Some(root) = chroma.strip_suffix("/api/v2") {
            *chroma = root.to_owned();
        }

        let socket = config.daemon.socket.to_string_lossy();
        let socket_bytes = config.daemon.socket.as_os_str().len();
        if socket_bytes > SOCKET_PATH_BYTES_MAX {
            let origin = self.origins.get("daemon.socket").cloned().unwrap_or(Origin::Default);
            let message = format!(
                "= {socket:?} has {socket_bytes} bytes, and the system allows a socket {SOCKET_PATH_BYTES_MAX}; \
                 set TANDEM_SOCKET to a shorter path"
            );
            self.refuse(origin, "daemon.socket".into(), message);
        }
    }
}

impl Visitor for Reader {
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.known.push(name.to_owned());
        let key = self.key(name);
        let table = match self.table.entries.remove(name) {
            Some(Node::Table(table)) => table,
            Some(node) => {
                let message = format!("= {node} is not allowed; write a table, [{key}]");
                return self.refuse(node.origin().clone(), key, message);
            }
            None => Table { entries: BTreeMap::new(), origin: Origin::Default },
        };
        let outside = (
            mem::replace(&mut self.path, key),
            mem::replace(&mut self.table, table),
            mem::take(&mut self.known),
        );
        inside(self);
        self.refuse_the_rest();
        (self.path, self.table, self.known) = outside;
    }

    fn setting<T>(
        &mut self,
        name: &'static str,
        _: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        self.known.push(name.to_owned());
        let Some(node) = self.table.entries.remove(name) else { return };
        let (key, origin) = (self.key(name), node.origin().clone());
        if let Some(value) = kind.read(&node) {
            *slot = value;
            self.origins.insert(key, origin);
        } else {
            let (value, allowed) = (kind.quote(&node), kind.allowed());
            let meant = kind.meant(&node).map(|meant| format!("; did you mean {meant:?}?"));
            let meant = meant.unwrap_or_default();
            self.refuse(origin, key, format!("= {value} is not allowed; write {allowed}{meant}"));
        }
    }

    fn required<T>(
        &mut self,
        name: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        if !self.table.entries.contains_key(name) {
            let message = format!("is missing; write {}", kind.allowed());
            self.refuse(self.table.origin.clone(), self.key(name), message);
        }
        self.setting(name, what, slot, kind);
    }

    fn tables<T: Default>(
        &mut self,
        name: &str,
        slots: &mut BTreeMap<String, T>,
        inside: impl Fn(&mut T, &mut Self),
    ) {
        self.table(name, |reader| {
            let names: Vec<_> = reader.table.entries.keys().cloned().collect();
            for name in names {
                reader.check_name(&name);
                let mut slot = T::default();
                reader.table(&name, |reader| inside(&mut slot, reader));
                slots.insert(name, slot);
            }
        });
    }

    fn providers(&mut self, slots: &mut BTreeMap<String, Provider>) {
        self.table("providers", |reader| {
            let names: Vec<_> = reader.table.entries.keys().cloned().collect();
            for name in names {
                reader.check_name(&name);
                let mut provider = Provider::new("", "");
                reader.table(&name, |reader| {
                    schema::visit_provider(&mut provider, reader);
                    reader.settle_provider(&mut provider);
                });
                slots.insert(name, provider);
            }
        });
    }
}
