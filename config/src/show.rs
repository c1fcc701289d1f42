//! Settings as text that loads to the same settings.

use std::collections::BTreeMap;

use crate::{
    Config, Provider,
    kind::Kind,
    schema::{self, Visitor},
};

impl Config {
    /// The settings in effect, as a file that loads to the same. Secrets are there by name only.
    pub fn to_toml(&self) -> String {
        let data_dir = self.daemon.data_dir.to_string_lossy();
        let mut writer = Writer {
            lines: vec![format!("# Data directory: {data_dir:?} (TANDEM_HOME moves it)")],
        };
        schema::visit(&mut self.clone(), &mut writer);
        writer.lines.join("\n") + "\n"
    }
}

struct Writer {
    lines: Vec<String>,
}

impl Visitor for Writer {
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.lines.push(format!("\n[{name}]"));
        inside(self);
    }

    fn setting<T>(&mut self, key: &'static str, slot: &mut T, kind: &impl Kind<T>) {
        if let Some(value) = kind.write(slot) {
            self.lines.push(format!("{key} = {value}"));
        }
    }

    fn providers(&mut self, slots: &mut BTreeMap<String, Provider>) {
        for (name, provider) in slots {
            self.table(&format!("providers.{name}"), |writer| {
                schema::visit_provider(provider, writer);
            });
        }
    }
}
