//! Settings as text that loads to the same settings.

use std::collections::BTreeMap;

use crate::{
    Config, Provider, Secret,
    kind::Kind,
    schema::{self, Visitor},
};

/// Width of a setting before its comment.
const SETTING_COLUMNS: usize = 40;

impl Config {
    /// The settings in effect, as a file that loads to the same, with a comment on each. What is not
    /// set is there as a comment. Secrets are there by name only.
    pub fn to_toml(&self) -> String {
        let data_dir = self.daemon.data_dir.to_string_lossy();
        let mut writer = Writer {
            lines: vec![format!("# Data directory: {data_dir:?} (TANDEM_HOME moves it)\n")],
            prefix: "",
            path: String::new(),
        };
        schema::visit(&mut self.clone(), &mut writer);
        writer.lines.join("\n") + "\n"
    }
}

struct Writer {
    lines: Vec<String>,
    /// Begins every line of a table.
    prefix: &'static str,
    /// The table that is written.
    path: String,
}

impl Visitor for Writer {
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let outside = self.path.clone();
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        self.lines.push(format!("\n{}[{}]", self.prefix, self.path));
        inside(self);
        self.path = outside;
    }

    fn setting<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        let setting = match kind.write(slot) {
            Some(value) => format!("{}{key} = {value}", self.prefix),
            None => format!("# {key} = {}", kind.example()),
        };
        self.lines.push(format!("{setting:<SETTING_COLUMNS$} # {what}"));
    }

    fn tables<T: Default>(
        &mut self,
        name: &str,
        slots: &mut BTreeMap<String, T>,
        inside: impl Fn(&mut T, &mut Self),
    ) {
        for (key, slot) in slots.iter_mut() {
            self.table(&format!("{name}.{key}"), |writer| inside(slot, writer));
        }
    }

    fn providers(&mut self, slots: &mut BTreeMap<String, Provider>) {
        for (name, provider) in slots.iter_mut() {
            self.table(&format!("providers.{name}"), |writer| {
                schema::visit_provider(provider, writer);
            });
        }
        if slots.is_empty() {
            let mut example = Provider::new("https://api.example.com/v1", "large");
            example.api_key = Some(Secret::Env("EXAMPLE_API_KEY".into()));
            self.prefix = "# ";
            self.table("providers.example", |writer| schema::visit_provider(&mut example, writer));
            self.prefix = "";
        }
    }
}
