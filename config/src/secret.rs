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
    /// In the keyring of the kernel, as a key of the type `user` with this description.
    Keyring(String),
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
            Self::Keyring(name) => in_keyring(name).map_err(|reason| self.error(&reason))?,
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
            Self::Keyring(name) => format!("in the keyring under {name:?}"),
        };
        Error::Secret { secret, reason: reason.to_owned() }
    }
}

/// Looks where a program started at a desk and a service of the same user both find it.
#[cfg(target_os = "linux")]
fn in_keyring(name: &str) -> Result<String, String> {
    use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};

    let places = [KeyRingIdentifier::User, KeyRingIdentifier::Session];
    let mut problem = KeyError::KeyDoesNotExist;
    for place in places {
        let found = KeyRing::from_special_id(place, false)
            .and_then(|ring| ring.search(name))
            .and_then(|key| key.read_to_vec());
        match found {
            Ok(key) => return String::from_utf8(key).map_err(|_| "it is not text".to_owned()),
            Err(error) => problem = error,
        }
    }
    Err(format!(
        "{problem:?}; put it there with `keyctl padd user {name} @u`, again after each start of the \
         machine, or name an env or a file"
    ))
}

#[cfg(not(target_os = "linux"))]
fn in_keyring(_: &str) -> Result<String, String> {
    Err("only Linux has a keyring that is known here; name an env or a file".to_owned())
}
