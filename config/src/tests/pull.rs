//! How models are fetched.

use super::Home;
use crate::{Pull, Secret};

#[test]
fn fetching_has_settings_that_are_checked() {
    let config = Home::new(
        "[models.pull]\nparallel = 2\nbandwidth = '3MiB'\nhf_endpoint = 'https://mirror/hf/'\n\
         hf_token = { env = 'HF_TOKEN' }\ns3_endpoint = 'http://127.0.0.1:9000'\ns3_region = 'eu'\n",
    )
    .with("TANDEM_MODELS__PULL__PARALLEL", "3")
    .load()
    .unwrap();
    let pull = Pull {
        parallel: 3,
        bandwidth: Some(3 << 20),
        hf_endpoint: Some("https://mirror/hf".into()),
        hf_token: Some(Secret::Env("HF_TOKEN".into())),
        s3_endpoint: Some("http://127.0.0.1:9000".into()),
        s3_region: Some("eu".into()),
        ..Pull::default()
    };
    assert_eq!(config.models.pull, pull);
    for (settings, allowed) in [
        ("parallel = 9", "a whole number from 1 to 8"),
        ("bandwidth = 1", "a size from 1KiB"),
        ("hf_endpoint = 'mirror'", "begins with http:// or https://"),
        ("hf_token = 'hf_abc'", "and never the key itself"),
    ] {
        let problems = Home::new(&format!("[models.pull]\n{settings}")).problems().join("");
        assert!(problems.contains(allowed) && !problems.contains("hf_abc"), "{problems}");
    }
}

#[test]
fn a_token_that_cannot_be_read_is_warned_of() {
    let settings = "[models.pull]\nhf_token = { file = '/no/such/token' }";
    let warnings = Home::new(settings).load().unwrap().warnings().join("");
    assert!(warnings.contains("models.pull.hf_token: "), "{warnings}");
}

#[test]
fn keys_that_are_trusted_are_whole_ones() {
    let key = "A".repeat(43) + "=";
    let config = Home::new(&format!("[models]\ntrusted_keys = ['{key}']")).load().unwrap();
    assert_eq!(config.models.trusted_keys, [key]);
    let problems = Home::new("[models]\ntrusted_keys = ['short']").problems().join("");
    assert!(problems.contains("texts of 44 to 44 bytes"), "{problems}");
}
