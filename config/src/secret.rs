//! Secrets are named in settings, never written there.

use std::{env, fs::File, io::Read, path::PathBuf};

use crate::Error;

/// Longest secret in bytes; a longer file is not a key.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where a secret is kept. Neither this nor its `Debug` form holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the environment variable of this name.
    Env(String),
    /// In this file, alone.
    File(PathBuf),
}

impl Secret {
    /// Reads the secret, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] when it is absent, empty, too long, or not one line of visible ASCII. Nothing
    /// of the value is in the error.
    pub fn read(&self) -> Result<String, Error> {
        let text = match self {
            Self::Env(name) => match env::var(name) {
                Ok(text) => text,
                Err(env::VarError::NotPresent) => {
                    return Err(self.error("it is not set; set it where the daemon starts"));
                }
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(self.error("it is not text; set it again"));
                }
            },
            Self::File(path) => {
                let mut text = String::new();
                File::open(path)
                    .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
                    .map_err(|error| {
                        self.error(&format!("{error}; write the key, alone, to this file"))
                    })?;
                text
            }
        };
        let secret = text.trim();
        if secret.is_empty() {
            return Err(self.error("it is empty; put the key there"));
        }
        if text.len() as u64 > SECRET_BYTES_MAX || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.error("it is not one line of visible ASCII; put the key there, alone"));
        }
        Ok(secret.to_owned())
    }

    fn error(&self, reason: &str) -> Error {
        let secret = match self {
            Self::Env(name) => format!("in environment variable {name}"),
            Self::File(path) => format!("in file {}", path.display()),
        };
        Error::Secret { secret, reason: reason.to_owned() }
    }
}
