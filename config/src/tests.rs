//! Settings from text and variables, without a process of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use tempfile::TempDir;

use crate::{
    Ability, Config, EmbeddingCache, Error, LogFormat, Overrides, Policy, Secret,
    paths::Environment,
};

mod described;
mod experiments;
mod knowledge;
mod ladder;
mod languages;
mod money;
mod profiles;
mod pull;
mod reload;

/// A user's home with a settings file, and the environment of a process there.
struct Home {
    directory: TempDir,
    environment: Environment,
}

impl Home {
    fn new(settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("tandem.toml");
        fs::write(&file, settings).unwrap();
        let home = directory.path().to_owned();
        let variables = BTreeMap::from([("TANDEM_HOME".into(), home.clone().into())]);
        let environment = Environment { variables, home, memory_bytes: Some(16 << 30) };
        Self { directory, environment }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.insert(name.into(), value.into());
        self
    }

    fn load(&self) -> Result<Config, Error> {
        Config::load_in(&self.environment, &Overrides::default())
    }

    /// The lines of the error, with `HOME` for the home.
    fn problems(&self) -> Vec<String> {
        let text = self.load().unwrap_err().to_string();
        let text = text.replace(self.directory.path().to_str().unwrap(), "HOME");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

/// An environment without a home directory on disk.
fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        home: "/home/ada".into(),
        memory_bytes: None,
    }
}

#[test]
fn an_empty_file_is_valid_and_means_the_defaults() {
    let home = Home::new("");
    let data = home.directory.path().to_owned();
    let config = home.load().unwrap();
    assert_eq!(config, Config::defaults(data.clone(), data.join("tandem.sock")));
    assert_eq!(config.models.dir, data.join("models"));
}

#[test]
fn a_missing_file_is_valid_unless_it_was_named() {
    let home = Home::new("");
    fs::remove_file(home.directory.path().join("tandem.toml")).unwrap();
    home.load().unwrap();

    let named =
        Overrides { config_file: Some("/does/not/exist.toml".into()), ..Overrides::default() };
    let error = Config::load_in(&home.environment, &named).unwrap_err();
    assert!(error.to_string().starts_with("no such file: /does/not/exist.toml; "), "{error}");
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let home = Home::new(
        "[daemon]\nsocket = '/file.sock'\n[router]\npolicy = 'slow'\nrunning_max = 3\nwaiting_max = 5\n",
    )
    .with("TANDEM_ROUTER__POLICY", "fast")
    .with("TANDEM_ROUTER__SLOW_THRESHOLD", "1")
    .with("TANDEM_ROUTER__RUNNING_MAX", "4")
    .with("TANDEM_ENGINE__USE_EXTRA_BUFTS", "false")
    .with("TANDEM_DAEMON__DRAIN_TIMEOUT", "250ms")
    .with("TANDEM_SOCKET", "/variable.sock");

    let config = home.load().unwrap();
    assert_eq!(config.router.policy, Policy::Fast);
    assert_eq!((config.router.running_max, config.router.waiting_max), (4, 5));
    assert!((config.router.slow_threshold - 1.0).abs() < f64::EPSILON);
    assert!(!config.engine.use_extra_bufts);
    assert_eq!(config.daemon.drain_timeout, Duration::from_millis(250));
    assert_eq!(config.daemon.socket, PathBuf::from("/variable.sock"));

    let flags = Overrides { socket: Some("/flag.sock".into()), ..Overrides::default() };
    let config = Config::load_in(&home.environment, &flags).unwrap();
    assert_eq!(config.daemon.socket, PathBuf::from("/flag.sock"));
}

#[test]
fn values_may_be_written_for_people_or_as_numbers() {
    let config = Home::new(
        "[router]\ndeadline = 90\n[models]\nkeep_alive = '2h'\n[daemon]\nprompt_bytes_max = '2MiB'\n\
         [resources]\nmemory_reserve_bytes = 0x400\n[telemetry]\nlog_format = 'json'\n",
    )
    .load()
    .unwrap();
    assert_eq!(config.router.deadline, Duration::from_secs(90));
    assert_eq!(config.models.keep_alive, Duration::from_hours(2));
    assert_eq!(config.daemon.prompt_bytes_max, 2 << 20);
    assert_eq!(config.resources.memory_reserve_bytes, 1024);
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    let config = Home::new("models.keep_alive = '0'").load().unwrap();
    assert_eq!(config.models.keep_alive, Duration::ZERO);
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    assert_eq!(
        Home::new("[router]\npolcy = 'fast'\n").problems(),
        ["HOME/tandem.toml:2: router.polcy is not a setting; did you mean router.policy?"]
    );
    assert_eq!(
        Home::new("").with("TANDEM_ROUTR__POLICY", "fast").problems(),
        ["environment variable TANDEM_ROUTR__POLICY: routr is not a setting; did you mean router?"]
    );
    assert_eq!(
        Home::new("\n[telemetry]\ncolour = 1\n").problems(),
        [
            "HOME/tandem.toml:3: telemetry.colour is not a setting; here it may be log, log_format, metrics"
        ]
    );
}

#[test]
fn a_value_of_the_wrong_type_or_range_is_refused_with_what_is_allowed() {
    for (settings, message) in [
        (
            "router.policy = 'quick'",
            "router.policy = \"quick\" is not allowed; write one of \"auto\", \"fast\", \"slow\", \"duo\", \"private\"",
        ),
        ("router.policy = 3", "router.policy = 3 is not allowed; write one of"),
        ("router = 3", "router = 3 is not allowed; write a table, [router]"),
        (
            "router.deadline = {}",
            "router.deadline = (table) is not allowed; write a time from 10ms to 1d",
        ),
        ("router.deadline = '5 parsecs'", "= \"5 parsecs\" is not allowed"),
        ("router.deadline = '99999999999999999999s'", "is not allowed; write a time"),
        ("router.deadline = -1", "= -1 is not allowed"),
        ("router.slow_threshold = 1.5", "= 1.5 is not allowed; write a number from 0 to 1"),
        ("router.slow_threshold = nan", "= NaN is not allowed"),
        ("engine.threads = 513", "= 513 is not allowed; write a whole number from 0 to 512"),
        ("engine.threads = 2.5", "= 2.5 is not allowed"),
        ("engine.threads = '2'", "= \"2\" is not allowed"),
        (
            "engine.context_tokens = 9999999999999999999999",
            "= (integer of more than 64 bits) is not allowed",
        ),
        (
            "engine.prefix_memory_mib = -1",
            "= -1 is not allowed; write a whole number from 0 to 1048576",
        ),
        ("engine.speculation = 'on'", "= \"on\" is not allowed; write one of \"auto\", \"off\""),
        ("engine.use_extra_bufts = 1", "= 1 is not allowed; write true or false"),
        ("daemon.prompt_bytes_max = '9GiB'", "write a size from 1KiB to 8MiB"),
        ("models.dir = 'models'", "= \"models\" is not allowed; write a path that begins with /"),
        ("models.default = ['a']", "= (array) is not allowed; write text of 1 to 4096 bytes"),
        ("router.hedge_after = 'soon'", "write \"auto\" or a time from 10ms to 1d"),
        ("providers.UPPER = {}", "providers.UPPER is not a name for a provider"),
        ("providers.x = {}", "providers.x.base_url is missing; write an address"),
        ("providers.x = {}", "providers.x.model is missing; write text"),
        ("providers.x.base_url = 'ftp://host'", "= \"ftp://host\" is not allowed"),
        ("providers.x.base_url = 'https://'", "= \"https://\" is not allowed"),
    ] {
        let problems = Home::new(settings).problems().join("\n");
        assert!(problems.contains(message), "{settings}: {problems}");
        assert!(problems.contains("HOME/tandem.toml:1: "), "{settings}: {problems}");
    }
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let problems = Home::new("nonsense = 1\n[engine]\nthreads = -1\n[router]\nrunning_max = 0\n")
        .with("TANDEM_ROUTER__POLICY", "quick")
        .problems();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert_eq!(problems[0], "4 settings cannot be used:");
    let starts = [
        "HOME/tandem.toml:1: nonsense ",
        "HOME/tandem.toml:3: engine.threads ",
        "HOME/tandem.toml:5: router.running_max ",
        "environment variable TANDEM_ROUTER__POLICY: router.policy ",
    ];
    for (problem, start) in problems[1..].iter().zip(starts) {
        assert!(problem.starts_with(start), "{start}: {problems:#?}");
    }
}

#[test]
fn all_that_is_wrong_with_a_provider_is_reported() {
    let problems = Home::new("[providers.BIG]\nmodel = ''\nmax_tokens = 0\n").problems();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for wrong in ["BIG is not a name", "base_url is missing", "model = ", "max_tokens = 0"] {
        assert!(problems.iter().any(|problem| problem.contains(wrong)), "{wrong}: {problems:#?}");
    }
}

#[test]
fn a_kind_brings_its_address_its_form_and_what_its_models_can_do() {
    let provider = |settings: &str| {
        let settings = format!("[providers.x]\nmodel = 'm'\n{settings}");
        Home::new(&settings).load().unwrap().providers.remove("x").unwrap()
    };
    for (settings, address, vision) in [
        ("kind = 'openai'", "https://api.openai.com/v1", true),
        ("kind = 'anthropic'", "https://api.anthropic.com", true),
        ("kind = 'huggingface'", "https://router.huggingface.co/v1", false),
        ("kind = 'ollama'\nkeep_alive = '5m'", "http://127.0.0.1:11434", false),
        ("base_url = 'http://h/v1/'", "http://h/v1", true),
        ("kind = 'anthropic'\nbase_url = 'http://h/v1'", "http://h", true),
        ("kind = 'ollama'\nbase_url = 'http://h/api'\nabilities = ['vision']", "http://h", true),
        ("base_url = 'http://h/v1'\nabilities = []", "http://h/v1", false),
    ] {
        let provider = provider(settings);
        assert_eq!(provider.base_url, address, "{settings}");
        assert_eq!(provider.has(Ability::Vision), vision, "{settings}");
    }
    let variable = Home::new("[providers.x]\nkind = 'ollama'\nmodel = 'm'")
        .with("TANDEM_PROVIDERS__X__ABILITIES", "vision, json");
    let abilities = variable.load().unwrap().providers["x"].abilities.clone();
    assert_eq!(abilities, Some(vec![Ability::Vision, Ability::Json]));
}

#[test]
fn what_does_not_fit_the_kind_of_a_provider_is_refused_with_the_way_out() {
    for (settings, message) in [
        ("model = 'm'", "base_url is missing; write an address"),
        (
            "base_url = 'http://h/v1/chat/completions'",
            "ends in a function of the API; leave /chat/completions out",
        ),
        ("kind = 'anthropic'\nbase_url = 'http://h/v1/messages'", "leave /messages out"),
        ("kind = 'ollama'\nbase_url = 'http://h/v1'", "leave /v1 out, or write kind = \"openai\""),
        ("kind = 'openai'\nkeep_alive = '5m'", "keep_alive is for kind = \"ollama\" only"),
        ("kind = 'claude'", "kind = \"claude\" is not allowed; write one of \"openai\""),
        ("abilities = ['sight']", "abilities = (array) is not allowed; write a list of none or"),
        ("abilities = 'vision'", "abilities = \"vision\" is not allowed"),
    ] {
        let problems = Home::new(&format!("[providers.x]\n{settings}")).problems().join("\n");
        assert!(problems.contains(message), "{settings}: {problems}");
    }
}

#[test]
fn a_log_filter_is_refused_with_the_level_that_was_meant() {
    for (filter, meant) in [("debgu", "debug"), ("info,h2=wran", "h2=warn")] {
        let problems = Home::new(&format!("telemetry.log = '{filter}'")).problems().join("");
        assert!(problems.contains(&format!("did you mean \"{meant}\"?")), "{problems}");
    }
    let problems = Home::new("telemetry.log = 'a[b]=info'").problems().join("");
    assert!(!problems.contains("did you mean"), "{problems}");
    let config = Home::new("telemetry.log = 'info,tandem_actors=DEBUG'").load().unwrap();
    assert_eq!(config.telemetry.log, "info,tandem_actors=DEBUG");
}

#[test]
fn what_is_allowed_and_will_not_work_is_warned_of() {
    let warnings = |settings: &str| Home::new(settings).load().unwrap().warnings();
    assert_eq!(warnings(""), Vec::<String>::new());
    let all = warnings(
        "[providers.a]\nbase_url = 'http://h'\nmodel = 'm'\napi_key = { env = 'TANDEM_NO_KEY' }\n\
         [providers.b]\nbase_url = 'http://h'\nmodel = 'm'\napi_key = { file = '/no/key' }\n\
         [models]\ndefault = '/no/model.gguf'\n[engine]\nbinary = '/no/engine'\n\
         context_tokens = 512\n",
    );
    let subjects = ["TANDEM_NO_KEY", "/no/key", "/no/model.gguf", "/no/engine", "= 4096"];
    assert_eq!(all.len(), subjects.len(), "{all:#?}");
    for (warning, subject) in all.iter().zip(subjects) {
        assert!(warning.contains(subject), "{subject}: {warning}");
    }
}

#[test]
fn settings_that_do_not_fit_each_other_are_refused_and_defaults_give_way() {
    let config = Home::new("engine.context_tokens = 256").load().unwrap();
    assert_eq!((config.engine.batch_tokens, config.engine.max_tokens), (256, 128));

    assert_eq!(
        Home::new("[engine]\ncontext_tokens = 256\nbatch_tokens = 512\nmax_tokens = 256")
            .problems(),
        [
            "2 settings cannot be used:",
            "HOME/tandem.toml:3: engine.batch_tokens = 512 does not fit in engine.context_tokens = 256; write at most 256",
            "HOME/tandem.toml:4: engine.max_tokens = 256 does not fit in engine.context_tokens = 256; write at most 255",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line_and_without_its_text() {
    let error = Home::new("\n[providers.x]\napi_key = sk-secret\n").load().unwrap_err();
    assert!(matches!(error, Error::Syntax { .. }));
    let text = error.to_string();
    assert!(text.contains("tandem.toml:3: "), "{text}");
    assert!(!text.contains("sk-secret") && !format!("{error:?}").contains("sk-secret"), "{text}");
}

#[test]
fn a_file_that_is_too_long_or_not_utf_8_is_refused() {
    let home = Home::new(&"#".repeat((1 << 20) + 1));
    assert!(home.load().unwrap_err().to_string().contains("longer than 1 MiB"));
    fs::write(home.directory.path().join("tandem.toml"), [0xff, 0xfe]).unwrap();
    assert!(matches!(home.load(), Err(Error::Read { .. })));
}

const PROVIDER: &str = "[providers.cloud]\nbase_url = 'https://host/v1/'\nmodel = 'large'\n";

#[test]
fn a_key_in_the_settings_is_refused_and_never_repeated() {
    for settings in [
        format!("{PROVIDER}api_key = 'sk-secret'"),
        format!("{PROVIDER}api_key = {{ value = 'sk-secret' }}"),
        format!("{PROVIDER}api_kye = 'sk-secret'"),
        format!("{PROVIDER}api_key = {{ env = 'sk-secret' }}"),
        format!("{PROVIDER}api_key = {{ file = 'sk-secret' }}"),
        "[providers.cloud]\nmodel = 'large'\nbase_url = 'https://me:sk-secret@host/v1'".into(),
        "[providers.cloud]\nmodel = 'large'\nbase_url = 'https://host/v1?key=sk-secret'".into(),
    ] {
        let error = Home::new(&settings).load().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("sk-secret"), "{text}");
    }
    let problem = Home::new(&format!("{PROVIDER}api_key = 'sk-secret'")).problems().join("");
    assert!(problem.contains("tandem.toml:4: providers.cloud.api_key = (not shown)"), "{problem}");
    assert!(
        problem.contains("{ env = \"NAME\" }, { file = \"/path\" } or { keyring = \"NAME\" }"),
        "{problem}"
    );
    assert!(
        Home::new(PROVIDER).with("TANDEM_PROVIDERS__CLOUD__API_KEY", "sk-secret").load().is_err()
    );
}

#[test]
fn a_secret_is_read_when_asked_for_and_never_shown() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("key");
    fs::write(&file, " sk-secret\n").unwrap();
    let home = Home::new(&format!("{PROVIDER}api_key = {{ file = {:?} }}", file.to_str().unwrap()));
    let config = home.load().unwrap();
    assert_eq!(config.providers["cloud"].base_url, "https://host/v1");
    let secret = config.providers["cloud"].api_key.clone().unwrap();
    assert_eq!(secret.read().unwrap(), "sk-secret");
    assert!(!format!("{config:?}{}", config.to_toml()).contains("sk-secret"));

    for content in ["", "\n", "sk-secret\nsk-secret", "sk-\u{e9}"] {
        fs::write(&file, content).unwrap();
        let text = secret.read().unwrap_err().to_string();
        assert!(text.contains(file.to_str().unwrap()) && !text.contains("sk-"), "{text}");
    }
    fs::remove_file(&file).unwrap();
    assert!(secret.read().unwrap_err().to_string().contains("write the key, alone, to this file"));
    let unset = Secret::Env("TANDEM_NO_SUCH_VARIABLE".into()).read().unwrap_err().to_string();
    assert!(unset.contains("TANDEM_NO_SUCH_VARIABLE: it is not set"), "{unset}");
    let absent = Secret::Keyring("tandem-no-such-key".into()).read().unwrap_err().to_string();
    assert!(absent.contains("in the keyring under \"tandem-no-such-key\""), "{absent}");
    assert!(absent.contains("name an env or a file"), "{absent}");
}

#[test]
fn a_variable_may_name_a_secret() {
    let home = Home::new(PROVIDER).with("TANDEM_PROVIDERS__CLOUD__API_KEY__ENV", "CLOUD_KEY");
    let provider = &home.load().unwrap().providers["cloud"];
    assert_eq!(provider.api_key, Some(Secret::Env("CLOUD_KEY".into())));
}

#[test]
fn the_key_of_the_store_is_named_and_the_caches_have_tables_of_their_own() {
    let home = Home::new(
        "[security]\nstore_key = { keyring = 'tandem' }\n\
         [memory.embedding_cache]\nttl = '1h'\nbytes_max = 0\n\
         [memory.response_cache]\nenabled = true\nbytes_max = '1MiB'\nsimilarity = 0.9",
    );
    let config = home.load().unwrap();
    assert_eq!(config.security.store_key, Some(Secret::Keyring("tandem".into())));
    let embeddings = EmbeddingCache { ttl: Duration::from_hours(1), bytes_max: 0 };
    assert_eq!(config.memory.embedding_cache, embeddings);
    let answers = config.memory.response_cache.clone();
    assert_eq!(
        (answers.enabled, answers.bytes_max, answers.similarity),
        (true, 1 << 20, Some(0.9))
    );
    for wrong in ["{ keyring = 'a b' }", "{ keyring = '' }", "'tandem'"] {
        let problem = Home::new(&format!("[security]\nstore_key = {wrong}")).load().unwrap_err();
        assert!(problem.to_string().contains("{ keyring ="), "{problem}");
    }
}

#[test]
fn what_is_shown_loads_to_the_same() {
    let config = Home::new(&format!(
        "{PROVIDER}api_key = {{ env = 'CLOUD_KEY' }}\nidle_timeout = '1500ms'\n\
         [providers.near]\nbase_url = 'http://[::1]:8080'\nmodel = 'small'\n\
         [engine]\nbinary = '/opt/\"t\"/tandem-engine'\nuse_extra_bufts = false\ncontext_tokens = 300\nprefix_memory_mib = 64\nspeculation = 'auto'\ndraft_model = 'tiny'\nexact = true\nkv_cache = 'q8_0'\ngpu = 'off'\ngpu_layers = 12\n\
         [models]\nkeep_alive = 0\n\
         [memory]\nsystem_prompt = \"Say \\\"hi\\\".\\nThen \\t stop. \\\\ ''' \\u00e9\"\n\
         [router]\nslow_threshold = 0.1\npolicy = 'private'\nproviders = 'weighted'\nhedge_after = '1500ms'\n\
         [router.budget]\ncurrency = 'EUR'\nday = 0.5\nmonth = 12\ntarget = 10.000001\n\
         [providers.priced]\nbase_url = 'http://h'\nmodel = 'm'\nbudget_day = 1\n\
         [providers.priced.price]\ninput_per_million = 2.5\nper_request = 0\n",
    ))
    .load()
    .unwrap();
    let shown = Home::new(&config.to_toml());
    let mut again = shown.load().unwrap();
    again.daemon.data_dir.clone_from(&config.daemon.data_dir);
    assert_eq!(again, config, "{}", config.to_toml());
    let auto = Home::new("router.hedge_after = 'auto'").load().unwrap();
    assert!(auto.to_toml().contains("\nhedge_after = \"auto\" "), "{}", auto.to_toml());

    let defaults = Home::new("").load().unwrap();
    let text = defaults.to_toml();
    assert!(text.contains("\n# binary = ") && text.contains("\n# [providers.example]"), "{text}");
    assert_eq!(Home::new(&defaults.to_toml()).load().unwrap().engine, defaults.engine);
}

#[test]
fn data_is_in_tandem_home_else_where_xdg_says_else_in_the_home_directory() {
    for (variables, data, file) in [
        (
            &[("TANDEM_HOME", "/srv/t"), ("XDG_DATA_HOME", "/d"), ("XDG_CONFIG_HOME", "/c")][..],
            "/srv/t",
            "/srv/t/tandem.toml",
        ),
        (
            &[("TANDEM_HOME", ""), ("XDG_DATA_HOME", "/d"), ("XDG_CONFIG_HOME", "/c")],
            "/d/tandem",
            "/c/tandem/tandem.toml",
        ),
        (
            &[("XDG_DATA_HOME", "relative")],
            "/home/ada/.local/share/tandem",
            "/home/ada/.config/tandem/tandem.toml",
        ),
    ] {
        let environment = environment(variables);
        assert_eq!(environment.config_files(), [PathBuf::from(file)]);
        let config = Config::load_in(&environment, &Overrides::default()).unwrap();
        assert_eq!(config.daemon.data_dir, PathBuf::from(data));
        assert_eq!(config.models.dir, PathBuf::from(data).join("models"));
        assert_eq!(config.engine.templates, PathBuf::from(file).with_file_name("templates"));
    }
}

#[test]
fn the_socket_is_where_it_is_asked_for_else_in_tandems_home_or_the_runtime_directory() {
    for (variables, socket) in [
        (&[("TANDEM_SOCKET", "/s.sock"), ("XDG_RUNTIME_DIR", "/run/user/7")][..], "/s.sock"),
        (&[("XDG_RUNTIME_DIR", "/run/user/7"), ("TANDEM_HOME", "/srv/t")], "/srv/t/tandem.sock"),
        (&[("XDG_RUNTIME_DIR", "/run/user/7")], "/run/user/7/tandem/tandem.sock"),
        (&[], "/home/ada/.local/share/tandem/tandem.sock"),
    ] {
        let config = Config::load_in(&environment(variables), &Overrides::default()).unwrap();
        assert_eq!(config.daemon.socket, PathBuf::from(socket));
    }
}

#[test]
fn a_socket_path_that_the_system_cannot_bind_is_refused() {
    let fits = format!("/{}", "s".repeat(106));
    let config = Home::new("").with("TANDEM_SOCKET", &fits).load().unwrap();
    assert_eq!(config.daemon.socket, PathBuf::from(&fits));

    let problem = Home::new("").with("TANDEM_SOCKET", &format!("{fits}s")).problems().join("");
    assert!(
        problem.starts_with("environment variable TANDEM_SOCKET: daemon.socket = "),
        "{problem}"
    );
    assert!(problem.contains("108 bytes") && problem.contains("107"), "{problem}");
}
