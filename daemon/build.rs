//! With the feature `embedded`: names the engine and the model that are put inside the program.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "how a build script speaks")]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "embedded")]
    embedded::generate();
}

#[cfg(feature = "embedded")]
mod embedded {
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};
    use std::{env, fs, process};

    use sha2::{Digest as _, Sha256};

    /// Writes the constants that the module `embedded` includes.
    pub(super) fn generate() {
        let engine = content("TANDEM_EMBED_ENGINE", "the program tandem-engine", true);
        let model = content("TANDEM_EMBED_MODEL", "a GGUF file", false);
        let text = format!("const ENGINE: Content = {engine};\nconst MODEL: Content = {model};\n");
        let Some(folder) = env::var_os("OUT_DIR") else { refuse("OUT_DIR is not set by cargo") };
        let file = Path::new(&folder).join("embedded.rs");
        if let Err(error) = fs::write(&file, text) {
            refuse(&format!("cannot write {}: {error}", file.display()));
        }
    }

    /// The constant of the file that a variable names.
    fn content(variable: &str, what: &str, is_program: bool) -> String {
        println!("cargo:rerun-if-env-changed={variable}");
        let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) else {
            refuse(&format!(
                "the feature `embedded` needs {variable}, the path of {what}; `make embedded` sets it"
            ));
        };
        let path = PathBuf::from(path);
        let read = path.canonicalize().and_then(|whole| Ok((fs::read(&whole)?, whole)));
        let (bytes, whole) = read.unwrap_or_else(|error| {
            refuse(&format!("{variable} names {}, which cannot be read: {error}", path.display()))
        });
        let magic: &[u8] = if is_program { b"\x7fELF" } else { b"GGUF" };
        if !bytes.starts_with(magic) && !(is_program && cfg!(not(target_os = "linux"))) {
            refuse(&format!("{variable} names {}, which is not {what}", path.display()));
        }
        println!("cargo:rerun-if-changed={}", whole.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut hash = String::new();
        for byte in Sha256::digest(&bytes) {
            let _ = write!(hash, "{byte:02x}");
        }
        let source = whole.display().to_string();
        format!(
            "Content {{ name: {name:?}, sha256: {hash:?}, bytes: include_bytes!({source:?}), \
             is_program: {is_program} }}"
        )
    }

    fn refuse(problem: &str) -> ! {
        eprintln!("error: {problem}");
        process::exit(1)
    }
}
