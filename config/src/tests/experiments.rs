//! Settings of experiments, flags and personal data.

use std::fs;

use super::Home;
use crate::{Config, PersonalData, Policy, Redact, Security, Variant};

const TWO: &str = "[experiments.x.variants.a]\nslow_threshold = 0.2\n\
                   [experiments.x.variants.b]\nweight = 3\npolicy = 'fast'\n";

/// What it is after it was shown and loaded again.
fn again(config: &Config) -> Config {
    let home = Home::new(&config.to_toml());
    home.load().unwrap()
}

#[test]
fn experiments_flags_and_personal_data_load_as_they_were_shown() {
    let settings = format!(
        "[flags]\ncascade = 0.25\nhedge = false\n[experiments.x]\nshare = 0.5\n{TWO}\
         [security]\nredact = 'local'\nredact_kinds = ['email', 'ip']\nnames = ['Budi Santoso', 'Łukasz']\n"
    );
    let config = Home::new(&settings).load().unwrap();
    let experiment = &config.experiments["x"];
    assert_eq!((experiment.enabled, experiment.share), (true, 0.5));
    let b = Variant { weight: 3, policy: Some(Policy::Fast), ..Variant::default() };
    assert_eq!(experiment.variants["b"], b);
    assert_eq!((config.flags.cascade, config.flags.hedge), (0.25, 0.0));
    let security = Security {
        redact: Redact::Local,
        redact_kinds: vec![PersonalData::Email, PersonalData::Ip],
        names: vec!["Budi Santoso".into(), "Łukasz".into()],
        store_key: None,
    };
    assert_eq!(config.security, security);
    let shown = again(&config);
    assert_eq!((&shown.experiments, &shown.flags), (&config.experiments, &config.flags));
    assert_eq!(shown.security, config.security);
}

#[test]
fn a_variable_reaches_a_variant() {
    let home = Home::new(TWO).with("TANDEM_EXPERIMENTS__X__VARIANTS__A__WEIGHT", "7");
    assert_eq!(home.load().unwrap().experiments["x"].variants["a"].weight, 7);
}

#[test]
fn experiments_that_tell_nothing_or_break_a_promise_are_refused() {
    for (settings, message) in [
        ("[experiments.x.variants.a]\n", "experiments.x compares nothing; write two variants"),
        (
            "[experiments.x.variants.a]\n[experiments.x.variants.b]\nweight = 0\n",
            "compares nothing",
        ),
        (
            "[experiments.y.variants.a]\n[experiments.y.variants.b]\npolicy = 'slow'\n",
            "experiments.y and experiments.x both vary policy",
        ),
        (
            "[router]\npolicy = 'private'\n[experiments.x.variants.c]\npolicy = 'duo'\n",
            "keeps here",
        ),
        ("[experiments.x.variants.c]\nprovider = 'far'\n", "provider = \"far\" is not configured"),
        ("[experiments.x]\nshare = 2\n", "share = 2 is not allowed; write a number from 0 to 1"),
        ("[experiments.Bad]\n", "is not a name for an experiment; write 1 to 64 of a-z"),
        ("[flags]\nhedge = 'x'\n", "hedge = \"x\" is not allowed; write true, false, or the share"),
        ("[flags]\nhedges = true\n", "is not a setting; did you mean flags.hedge?"),
        ("[security]\nnames = ['a']\n", "a list of at most 1000 texts of 2 to 100 bytes"),
        ("[security]\nredact = 'on'\n", "write one of \"mask\", \"local\", \"off\""),
        ("[security]\nredact_kinds = ['mail']\n", "a list of none or some of \"secret\""),
    ] {
        // An experiment of the same settings beside it, unless that is what is tried.
        let beside = if settings.contains("x.variants.a]") { "" } else { TWO };
        let problems = Home::new(&format!("{settings}{beside}")).problems().join("\n");
        assert!(problems.contains(message), "{settings}: {problems}");
    }
    let off = "[experiments.x]\nenabled = false\n[experiments.x.variants.a]\n";
    Home::new(off).load().unwrap();
}

#[test]
fn the_settings_in_the_documents_load() {
    for document in ["privacy.md", "experiments.md"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        let settings: Vec<_> = lines.filter(|line| !line.starts_with('{')).collect();
        assert!(!settings.is_empty(), "{document}");
        Home::new(&settings.join("\n")).load().unwrap();
    }
}
