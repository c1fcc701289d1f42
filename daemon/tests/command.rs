//! `tandemd` as a program: what it says and how it ends before it serves.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Command, Output};

fn tandemd(home: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tandemd"))
        .args(arguments)
        .env_clear()
        .env("TANDEM_HOME", home.path())
        .output()
        .unwrap()
}

#[test]
fn it_tells_its_version_and_how_it_is_used() {
    let home = tempfile::tempdir().unwrap();
    let version = tandemd(&home, &["--version"]);
    assert_eq!(version.stdout, format!("tandemd {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    let help = String::from_utf8(tandemd(&home, &["--help"]).stdout).unwrap();
    for word in ["--config", "--socket", "TANDEM_HOME", "SIGTERM", "70"] {
        assert!(help.contains(word), "{word} is missing in: {help}");
    }
}

#[test]
fn wrong_settings_end_it_with_code_2_and_every_problem() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tandem.toml"), "[router]\npolicy = \"x\"\nwaiting = 1\n").unwrap();
    let output = tandemd(&home, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("router.policy") && said.contains("router.waiting"), "{said}");
}

#[test]
fn a_socket_that_cannot_be_made_ends_it_with_code_1_and_the_path() {
    let home = tempfile::tempdir().unwrap();
    let output = tandemd(&home, &["--socket", "/nonexistent/tandem/tandem.sock"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nonexistent/tandem"), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "the cause is said once: {said}");
}
