//! What is said about all settings: the schema and the page of documentation.

use serde_json::{Value, json};

use super::Home;
use crate::Config;

#[test]
fn the_page_about_all_settings_is_up_to_date() {
    let page = include_str!("../../../docs/settings.md");
    assert!(page == Config::reference(), "docs/settings.md is old; run `make docs`");
}

#[test]
fn the_schema_accepts_what_is_shown_of_any_settings() {
    let validator = jsonschema::validator_for(&Config::json_schema()).unwrap();
    for settings in [
        "",
        "profile = \"education\"",
        "[providers.big]\nkind = \"anthropic\"\nmodel = \"large\"\napi_key = { env = \"KEY\" }",
        "[flags]\nhedge = 0.5\n[router]\nhedge_after = \"auto\"\nclients = { script = \"private\" }",
    ] {
        let shown = Home::new(settings).load().unwrap().to_toml();
        let shown = serde_json::to_value(toml::from_str::<toml::Table>(&shown).unwrap()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&shown).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{settings}");
    }
}

#[test]
fn the_schema_refuses_what_loading_refuses() {
    let validator = jsonschema::validator_for(&Config::json_schema()).unwrap();
    for (settings, valid) in [
        (json!({ "engine": { "threads": 2 } }), true),
        (json!({ "engine": { "threads": -1 } }), false),
        (json!({ "engine": { "thread": 2 } }), false),
        (json!({ "router": { "policy": "quick" } }), false),
        (json!({ "router": { "deadline": "5m" } }), true),
        (json!({ "router": { "deadline": "5 minutes" } }), false),
        (json!({ "models": { "dir": "relative" } }), false),
        (json!({ "providers": { "big": { "base_url": "https://host" } } }), false),
        (json!({ "providers": { "big": { "base_url": "https://host", "model": "m" } } }), true),
        (
            json!({ "providers": { "big": { "kind": "openai", "model": "m", "api_key": "sk-1" } } }),
            false,
        ),
    ] {
        assert_eq!(validator.is_valid(&settings), valid, "{settings}");
        let home = Home::named("tandem.json", &settings.to_string());
        assert_eq!(home.load().is_ok(), valid, "{settings}");
    }
}

#[test]
fn every_setting_says_what_it_does() {
    fn look(path: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().unwrap() {
            let path = format!("{path}.{name}");
            if property.get("description").is_some() {
                continue;
            }
            let inner = if property["properties"].is_object() {
                property
            } else {
                &property["additionalProperties"]
            };
            assert!(inner["properties"].is_object(), "{path} has no description");
            look(&path, inner);
        }
    }
    look("", &Config::json_schema());
}
