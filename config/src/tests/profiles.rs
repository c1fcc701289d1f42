//! Profiles and what wins over them.

use std::time::Duration;

use super::Home;
use crate::{Config, LogFormat, Overrides, PersonalData, Profile, Redact};

#[test]
fn a_profile_changes_defaults_and_nothing_that_was_set() {
    let config = Home::new("profile = \"production\"").load().unwrap();
    assert_eq!(config.profile, Profile::Production);
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    assert_eq!(config.daemon.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.models.keep_alive, Duration::ZERO);

    let settings = "profile = \"production\"\n[telemetry]\nlog_format = \"text\"";
    let home = Home::new(settings).with("TANDEM_DAEMON__DRAIN_TIMEOUT", "3s");
    let config = home.load().unwrap();
    assert_eq!(config.telemetry.log_format, LogFormat::Text);
    assert_eq!(config.daemon.drain_timeout, Duration::from_secs(3));
    assert_eq!(config.models.keep_alive, Duration::ZERO);
}

#[test]
fn the_flag_chooses_before_the_variable_and_the_variable_before_the_file() {
    let home = Home::new("profile = \"dev\"");
    assert_eq!(home.load().unwrap().profile, Profile::Dev);
    let home = home.with("TANDEM_PROFILE", "staging");
    assert_eq!(home.load().unwrap().profile, Profile::Staging);
    let flag = Overrides { profile: Some("standard".into()), ..Overrides::default() };
    let config = Config::load_in(&home.environment, &flag).unwrap();
    let standard = Home::new("").load().unwrap();
    assert_eq!((config.profile, config.telemetry), (Profile::Standard, standard.telemetry));
}

#[test]
fn every_profile_is_valid_and_keeps_pupils_data_at_home() {
    for name in ["standard", "dev", "staging", "production", "education"] {
        let config = Home::new("").with("TANDEM_PROFILE", name).load().unwrap();
        let again = Home::new(&config.to_toml()).load().unwrap();
        assert_eq!(again.differences(&config), [""; 0], "{name}");
    }
    let config = Home::new("profile = \"education\"").load().unwrap();
    assert_eq!(config.security.redact, Redact::Local);
    assert!(config.security.redact_kinds.contains(&PersonalData::Ip));
    assert_eq!(config.knowledge.template, "education");
}

#[test]
fn a_profile_that_is_none_is_refused_where_it_was_named() {
    assert_eq!(
        Home::new("profile = \"prod\"").problems(),
        [
            "HOME/tandem.toml:1: profile = \"prod\" is not allowed; write one of \"standard\", \"dev\", \
          \"staging\", \"production\", \"education\""
        ]
    );
    let problems = Home::new("").with("TANDEM_PROFILE", "prod").problems();
    assert!(
        problems[0].starts_with("environment variable TANDEM_PROFILE: profile "),
        "{problems:?}"
    );
}

#[test]
fn a_small_machine_gets_small_defaults_that_give_way_to_what_was_set() {
    let mut home = Home::new("[router]\nrunning_max = 5");
    let usual = home.load().unwrap();
    home.environment.memory_bytes = Some(4 << 30);
    let small = home.load().unwrap();
    assert!(small.engine.context_tokens < usual.engine.context_tokens);
    assert!(!small.engine.use_extra_bufts && usual.engine.use_extra_bufts);
    assert_eq!(small.router.running_max, 5);

    let named = home.with("TANDEM_RESOURCES__PRESET", "standard").load().unwrap();
    assert_eq!((named.engine, named.memory), (usual.engine, usual.memory));
}

#[test]
fn what_a_preset_sets_fits_together() {
    for name in ["small", "standard", "large"] {
        for profile in ["standard", "dev", "staging", "production", "education"] {
            let home = Home::new("").with("TANDEM_RESOURCES__PRESET", name);
            let config = home.with("TANDEM_PROFILE", profile).load().unwrap();
            let again = Home::new(&config.to_toml()).load().unwrap();
            assert_eq!(again.differences(&config), [""; 0], "{name} {profile}");
            assert_eq!(config.warnings(), [""; 0], "{name} {profile}");
        }
    }
}
