//! Where the programs under test are.

use std::env;
use std::path::PathBuf;

/// The built program of this name: in `$TANDEM_BIN_DIR`, else where cargo put it beside this test.
pub fn program(name: &str) -> PathBuf {
    let directory = env::var_os("TANDEM_BIN_DIR").map_or_else(beside_this_test, PathBuf::from);
    let path = directory.join(name);
    assert!(path.is_file(), "{} is not there; run `make test`, which builds it", path.display());
    path
}

/// Tests are in `deps`, programs one directory above.
fn beside_this_test() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned()
}

/// A folder that a variable names; `make test` sets it.
pub(crate) fn required_folder(variable: &str, what: &str) -> PathBuf {
    let path = required(variable, what);
    assert!(path.is_dir(), "{variable} names {}, which is no folder", path.display());
    path
}

/// A file that a variable names; `make test` sets it.
pub(crate) fn required_file(variable: &str, what: &str) -> PathBuf {
    let path = required(variable, what);
    assert!(path.is_file(), "{variable} names {}, which is not there", path.display());
    path
}

fn required(variable: &str, what: &str) -> PathBuf {
    let path = env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: it names {what}; `make test` sets it"));
    PathBuf::from(path)
}
