//! Settings files in YAML and JSON.

use std::fs;

use super::Home;
use crate::{Config, Error, Overrides, Policy, Secret};

impl Home {
    /// A home whose settings file has this name.
    pub(super) fn named(name: &str, settings: &str) -> Self {
        let home = Self::new("");
        fs::remove_file(home.directory.path().join("tandem.toml")).unwrap();
        fs::write(home.directory.path().join(name), settings).unwrap();
        home
    }
}

const TOML: &str = r#"
[router]
policy = "fast"
slow_threshold = 0.25
clients = { backup-script = "private" }
[engine]
exact = true
threads = 2
[security]
names = ["Ada", "Grace"]
[providers.big]
base_url = "https://api.example.com/v1"
model = "large"
api_key = { env = "KEY" }
"#;

const YAML: &str = "
# A comment.
router:
  policy: fast
  slow_threshold: 0.25
  clients: {backup-script: private}
  offline:            # nothing: the default
engine: {exact: true, threads: 2}
security:
  names:
    - Ada
    - 'Grace'
providers:
  big:
    base_url: https://api.example.com/v1
    model: \"large\"
    api_key:
      env: KEY
telemetry: ~
";

const JSON: &str = r#"{
	"router": {"policy": "fast", "slow_threshold": 0.25, "clients": {"backup-script": "private"}},
	"engine": {"exact": true, "threads": 2},
	"security": {"names": ["Ada", "Grace"]},
	"providers": {
		"big": {"base_url": "https:\/\/api.example.com/v1", "model": "large", "api_key": {"env": "KEY"}}
	},
	"memory": {"retention": null}
}"#;

#[test]
fn the_same_settings_can_be_written_in_three_languages() {
    let settings = |home: &Home| {
        let mut config = home.load().unwrap();
        let data = config.daemon.data_dir.clone();
        config.providers.get_mut("big").unwrap().priority = 1;
        config.to_toml().replace(data.to_str().unwrap(), "HOME")
    };
    let toml = settings(&Home::new(TOML));
    for (name, text) in [("tandem.yaml", YAML), ("tandem.yml", YAML), ("tandem.json", JSON)] {
        assert_eq!(settings(&Home::named(name, text)), toml, "{name}");
    }
    let config = Home::named("tandem.yaml", YAML).load().unwrap();
    assert_eq!(config.router.policy, Policy::Fast);
    assert_eq!(config.providers["big"].api_key, Some(Secret::Env("KEY".into())));
}

#[test]
fn mistakes_are_told_with_their_line_in_each_language() {
    for (name, text, problem) in [
        (
            "tandem.yaml",
            "router:\n  policy: quick\n",
            "HOME/tandem.yaml:2: router.policy = \"quick\" ",
        ),
        (
            "tandem.yaml",
            "router:\n  slow_threshold: off\n",
            "HOME/tandem.yaml:2: router.slow_threshold = \"off\" ",
        ),
        (
            "tandem.yaml",
            "engine:\n  threads: 1\n  threads: 2\n",
            "HOME/tandem.yaml:3: the same key is there twice; ",
        ),
        ("tandem.yaml", "a: &x 1\nb: *x\n", "HOME/tandem.yaml:2: aliases are not read; "),
        ("tandem.yaml", "router: !!map {}\n", "HOME/tandem.yaml:1: tags are not read; "),
        ("tandem.yaml", "- 1\n", "HOME/tandem.yaml:1: settings are keys with values; "),
        (
            "tandem.yaml",
            "engine: {}\n---\nrouter: {}\n",
            "HOME/tandem.yaml:2: a second document begins; ",
        ),
        (
            "tandem.yaml",
            "engine:\n  threads: 99999999999999999999\n",
            "HOME/tandem.yaml:2: engine.threads = (integer of more than 64 bits) ",
        ),
        (
            "tandem.json",
            "{\n  \"engine\": {\"threads\": \"2\"}\n}",
            "HOME/tandem.json:2: engine.threads = \"2\" ",
        ),
        ("tandem.json", "{\n  \"engine\": {\"threads\": 2\n", "HOME/tandem.json:3: "),
    ] {
        let problems = Home::named(name, text).problems();
        assert!(problems[0].starts_with(problem), "{text:?}: {problems:?}");
    }
    let problems = Home::named("tandem.json", "{").problems();
    assert!(problems[0].ends_with("; the file must be JSON"), "{problems:?}");
}

#[test]
fn no_nesting_is_too_deep_to_be_refused() {
    for text in [format!("a: {}", "[".repeat(200_000)), format!("a: {}", "{a: ".repeat(100_000))] {
        let problems = Home::named("tandem.yaml", &text).problems();
        assert!(problems[0].contains("; the file must be YAML"), "{problems:?}");
    }
}

#[test]
fn an_empty_file_is_valid_in_each_language() {
    for (name, text) in [("tandem.yaml", ""), ("tandem.yaml", "# later\n"), ("tandem.json", "{}")] {
        let home = Home::named(name, text);
        let data = home.directory.path().to_owned();
        let defaults = Config::defaults(data.clone(), data.join("tandem.sock"));
        assert_eq!(home.load().unwrap(), defaults, "{name}");
    }
}

#[test]
fn of_two_settings_files_none_is_chosen() {
    let home = Home::new("");
    fs::write(home.directory.path().join("tandem.yaml"), "").unwrap();
    let problems = home.problems();
    assert!(
        problems[0]
            .starts_with("there are several settings files: HOME/tandem.toml, HOME/tandem.yaml; "),
        "{problems:?}"
    );
    let named = Overrides {
        config_file: Some(home.directory.path().join("tandem.yaml")),
        ..Overrides::default()
    };
    Config::load_in(&home.environment, &named).unwrap();
    assert!(matches!(home.load(), Err(Error::Several(_))));
}
