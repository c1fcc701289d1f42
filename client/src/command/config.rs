//! `tandem config`: the settings, without the daemon.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use tandem_config::{Config as Settings, Overrides, default_config_file};

use crate::{
    context::{Context, unusable},
    failure::Failure,
};

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check the settings and list all that is wrong with them
    Check {
        /// Settings file [default: the one of --config]
        file: Option<PathBuf>,
    },
    /// Show the settings in effect, as a settings file with a comment on each
    Show,
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
    file: PathBuf,
    exists: bool,
    warnings: Vec<String>,
}

impl Config {
    /// Nothing else runs meanwhile, so reading the file may block.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut overrides: Overrides = context.overrides.clone();
        match self {
            Self::Check { file } => {
                overrides.config_file = file.or(overrides.config_file);
                let settings = Settings::load(&overrides).map_err(|error| unusable(&error))?;
                let file = overrides.config_file.unwrap_or_else(default_config_file);
                let warnings = settings.warnings();
                for warning in &warnings {
                    context.terminal.explain(&format!("warning: {warning}"));
                }
                let checked = Checked { valid: true, exists: file.exists(), file, warnings };
                context.terminal.result(&checked, |checked| {
                    let file = checked.file.display();
                    if checked.exists {
                        format!("{file} is valid\n")
                    } else {
                        format!("{file} does not exist, which is valid: all is default\n")
                    }
                })
            }
            Self::Show => {
                let text = Settings::load(&overrides).map_err(|error| unusable(&error))?.to_toml();
                let value: toml::Table =
                    toml::from_str(&text).map_err(|error| Failure::Settings(error.to_string()))?;
                context.terminal.result(&value, |_| text)
            }
        }
    }
}
