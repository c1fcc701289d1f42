//! The engine and the model inside this program, which is built with the feature `embedded`.

use std::path::PathBuf;

use tandem_config::{Config, Embedded, default_cache_dir};

use crate::extraction::{Content, Error};

// `ENGINE` and `MODEL`.
include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// What takes the place of the defaults for engine and model.
pub(crate) fn defaults() -> Embedded {
    let model = format!("embedded:{}", MODEL.name);
    Embedded { engine: ENGINE.path(&default_cache_dir()), model }
}

/// Puts those on the disk that the settings leave in use, and returns the model's file. Blocking.
///
/// # Errors
///
/// [`Error`] when the folder cannot be written or its disk is full.
pub(crate) fn extract(config: &Config) -> Result<Option<PathBuf>, Error> {
    let (cache, defaults) = (default_cache_dir(), defaults());
    if config.engine.binary.as_ref() == Some(&defaults.engine) {
        ENGINE.extract(&cache)?;
    }
    if config.models.default != defaults.model {
        return Ok(None);
    }
    MODEL.extract(&cache)?;
    Ok(Some(MODEL.path(&cache)))
}
