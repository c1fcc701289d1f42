//! `tandem config`: the settings, without the daemon.

use std::{fmt::Write as _, path::PathBuf};

use clap::Subcommand;
use serde::Serialize;
use tandem_client::v1;
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
    /// Let a daemon that runs read its settings again; says what changed and what needs a restart
    ///
    /// Settings with any mistake change nothing. A change of the file does this by itself.
    Reload,
    /// Print a JSON Schema of the settings file, for editors that complete and check
    Schema,
    /// Print a page about every setting, in Markdown
    Reference,
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
    file: PathBuf,
    exists: bool,
    warnings: Vec<String>,
}

/// What a reload came to.
#[derive(Serialize)]
struct Reloaded {
    changed: Vec<String>,
    needs_restart: Vec<String>,
}

impl From<v1::ReloadResponse> for Reloaded {
    fn from(response: v1::ReloadResponse) -> Self {
        let v1::ReloadResponse { changed, needs_restart } = response;
        Self { changed, needs_restart }
    }
}

impl Reloaded {
    fn text(&self) -> String {
        let mut text = match self.changed.as_slice() {
            [] => "nothing changed\n".to_owned(),
            changed => format!("changed: {}\n", changed.join(", ")),
        };
        if !self.needs_restart.is_empty() {
            let keys = self.needs_restart.join(", ");
            let _ = writeln!(text, "takes effect after `tandem service stop`: {keys}");
        }
        text
    }
}

impl Config {
    /// Nothing else runs meanwhile, so reading the file may block.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut overrides: Overrides = context.overrides.clone();
        match self {
            Self::Check { file } => {
                overrides.config_file = file.or(overrides.config_file);
                let settings = Settings::load(&overrides).map_err(|error| unusable(&error))?;
                let file = match overrides.config_file {
                    Some(file) => file,
                    None => default_config_file().map_err(|error| unusable(&error))?,
                };
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
            Self::Reload => {
                let client = context.find().await?.1?;
                let response = client.admin().reload(v1::ReloadRequest {}).await?.into_inner();
                context.terminal.result(&Reloaded::from(response), Reloaded::text)
            }
            Self::Schema => {
                let schema = Settings::json_schema();
                context.terminal.result(&schema, |schema| format!("{schema:#}\n"))
            }
            Self::Reference => context.terminal.result(&Settings::reference(), String::clone),
        }
    }
}
