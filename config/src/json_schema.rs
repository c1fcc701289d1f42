//! All settings as JSON Schema, with which editors complete and check a settings file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    Config, Provider,
    kind::Kind,
    schema::{self, Visitor},
};

impl Config {
    /// What a settings file may hold, as JSON Schema (draft 2020-12).
    pub fn json_schema() -> Value {
        let mut describer = Describer::default();
        schema::visit(&mut Self::documented(), &mut describer);
        let mut object = describer.object();
        object["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        object["title"] = json!("Settings of tandem");
        object
    }
}

/// Describes one table.
#[derive(Debug, Default)]
struct Describer {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Describer {
    fn object(self) -> Value {
        let mut object = json!({
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            object["required"] = json!(self.required);
        }
        object
    }

    /// Tables of any name, each as `inside` describes it.
    fn named(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let mut each = Self::default();
        inside(&mut each);
        let tables = json!({ "type": "object", "additionalProperties": each.object() });
        self.properties.insert(name.to_owned(), tables);
    }
}

impl Visitor for Describer {
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let mut table = Self::default();
        inside(&mut table);
        self.properties.insert(name.to_owned(), table.object());
    }

    fn setting<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        let mut schema = kind.schema();
        schema["description"] = json!(what);
        if let Some(default) = kind.write(slot).as_deref().and_then(json_of) {
            schema["default"] = default;
        }
        self.properties.insert(key.to_owned(), schema);
    }

    fn required<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        self.setting(key, what, slot, kind);
        // What must be written has no default.
        if let Some(schema) = self.properties.get_mut(key).and_then(Value::as_object_mut) {
            schema.remove("default");
        }
        self.required.push(key);
    }

    fn tables<T: Default>(
        &mut self,
        name: &str,
        _: &mut BTreeMap<String, T>,
        inside: impl Fn(&mut T, &mut Self),
    ) {
        self.named(name, |each| inside(&mut T::default(), each));
    }

    fn providers(&mut self, _: &mut BTreeMap<String, Provider>) {
        self.named("providers", |each| schema::visit_provider(&mut Provider::new("", ""), each));
    }
}

/// A value in TOML as JSON.
fn json_of(value: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {value}")).ok()?;
    serde_json::to_value(table.remove("value")?).ok()
}
