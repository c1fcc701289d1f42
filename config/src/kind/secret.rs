//! Places of secrets.

use serde_json::{Value, json};

use super::{AbsolutePath, Kind, quoted};
use crate::{Secret, source::Node};

/// The place of a secret.
pub(crate) struct SecretPlace;

impl Kind<Secret> for SecretPlace {
    fn read(&self, node: &Node) -> Option<Secret> {
        let Node::Table(table) = node else { return None };
        let mut entries = table.entries.iter();
        match (entries.next()?, entries.next()) {
            ((key, name), None) if key == "env" => name
                .text()
                .filter(|name| is_variable_name(name))
                .map(|name| Secret::Env(name.to_owned())),
            ((key, path), None) if key == "file" => AbsolutePath.read(path).map(Secret::File),
            ((key, name), None) if key == "keyring" => name
                .text()
                .filter(|name| is_keyring_name(name))
                .map(|name| Secret::Keyring(name.to_owned())),
            _ => None,
        }
    }

    fn write(&self, value: &Secret) -> Option<String> {
        Some(match value {
            Secret::Env(name) => format!("{{ env = {} }}", quoted(name)),
            Secret::File(path) => format!("{{ file = {} }}", quoted(&path.to_string_lossy())),
            Secret::Keyring(name) => format!("{{ keyring = {} }}", quoted(name)),
        })
    }

    fn allowed(&self) -> String {
        "where the key is kept, as { env = \"NAME\" }, { file = \"/path\" } or \
         { keyring = \"NAME\" }, and never the key itself, \
         which would spread with every copy of the settings"
            .into()
    }

    fn quote(&self, _: &Node) -> String {
        "(not shown)".into()
    }

    fn schema(&self) -> Value {
        let place = |name: &str, value: Value| {
            json!({
                "type": "object",
                "properties": { name: value },
                "required": [name],
                "additionalProperties": false,
            })
        };
        let name = json!({ "type": "string", "minLength": 1 });
        json!({ "oneOf": [
            place("env", name.clone()),
            place("file", AbsolutePath.schema()),
            place("keyring", name),
        ] })
    }
}

/// Narrower than what systems allow, so that a key in the place of a name is seldom taken for one.
fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.starts_with(|c: char| !c.is_ascii_digit())
}

fn is_keyring_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}
