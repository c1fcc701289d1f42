//! `tandem model`: the models that the daemon knows.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use tandem_client::{
    Client, Error,
    v1::{self, import_model_event::Event as ImportEvent, load_model_event::Event},
};

use super::{distribution, model_choice, model_file, tuning};
use crate::{
    context::Context,
    failure::Failure,
    model_path,
    report::model::{self as report, Model as Report},
    terminal::Terminal,
};

/// Steps of the bar that shows how far a model is loaded.
pub(super) const BAR_STEPS: u16 = 1000;

const IMPORT_EXAMPLES: &str = "\
Examples:
  tandem model import ~/Downloads/all-MiniLM-L6-v2
  tandem model import ./bge-small-en-v1.5 --id bge-small

Makes a GGUF file in the models folder, which leaves the folder with the original as it is. Embedding
models of the architecture BertModel with mean or CLS pooling can be imported; `tandem embed` uses them.";

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// List the models
    List,
    /// Show all that is known about a model
    Info {
        /// Id from `tandem model list`, or the path of a GGUF file
        id: String,
    },
    /// Load a model before it is needed
    Load {
        /// Id from `tandem model list`, or the path of a GGUF file
        id: String,
        /// Keep it loaded until `tandem model unload`, however long nobody uses it
        #[arg(long)]
        pin: bool,
    },
    /// Make a model the default, or a version of a model the one that its name means
    #[command(name = "use", after_help = model_choice::USE_EXAMPLES)]
    Use {
        /// Id from `tandem model list`, `ID@VERSION`, `auto` for the best that is here, or a path
        id: String,
    },
    /// Go back to what was in use before the last `tandem model use`
    Rollback {
        /// The model whose version is to change [default: the default model changes]
        id: Option<String>,
    },
    /// Say which models are best for a task on this machine, and why
    #[command(after_help = model_choice::RECOMMEND_EXAMPLES)]
    Recommend(model_choice::Recommend),
    /// Fetch a model, or go on with it where an earlier pull ended
    #[command(after_help = model_file::PULL_EXAMPLES)]
    Pull {
        /// Id from `tandem model list`, or where the file is: hf:…, https://…, s3://… or file:…
        id: String,
    },
    /// Compare a model's file with what it should be
    Verify {
        /// Id from `tandem model list`, or the path of a GGUF file
        id: String,
    },
    /// Remove a model's file, or what came of one whose pull ended early
    #[command(visible_alias = "remove")]
    Rm {
        /// Id from `tandem model list`, or the name of a file in the models folder
        id: String,
    },
    /// Turn a model as its makers publish it into one that tandem can load
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// Folder with `config.json`, `model.safetensors`, `tokenizer.json` and
        /// `1_Pooling/config.json`
        path: PathBuf,
        /// What to call the model [default: name of the folder]
        #[arg(long, value_name = "NAME")]
        id: Option<String>,
    },
    /// Write a model with a version into one file that others can install
    #[command(after_help = distribution::PACKAGE_EXAMPLES)]
    Package(distribution::Package),
    /// Install a model from a package
    #[command(after_help = distribution::INSTALL_EXAMPLES)]
    Install {
        /// Path of the package, or where it is: https://…, s3://… or file:…
        package: String,
    },
    /// Publish a model with a version in a repository
    #[command(after_help = distribution::PUSH_EXAMPLES)]
    Push(distribution::Push),
    /// Get a newer version of a model, of which only what changed is fetched
    #[command(after_help = distribution::UPDATE_EXAMPLES)]
    Update(distribution::Update),
    /// Make a key that signs packages
    Keygen {
        /// Where to write the key, which only its owner can read
        file: PathBuf,
    },
    /// Find the settings with which a model is fastest here, used from its next load on
    Tune {
        /// Id from `tandem model list`, or the path of a GGUF file
        id: String,
    },
    /// Show how models run: settings and why, what was measured, speed of the answers so far
    Stats {
        /// Id from `tandem model list`, or the path of a GGUF file [default: all that are loaded]
        id: Option<String>,
    },
    /// End a model's engines and give their memory back
    Unload {
        /// Id from `tandem model list`, or the path of a GGUF file
        id: String,
    },
}

#[derive(Serialize)]
struct List {
    models: Vec<Report>,
}

#[derive(Serialize)]
struct Unloaded {
    id: String,
    unloaded: bool,
}

impl Model {
    /// The same of a model whose path is whole.
    fn resolve(self) -> Result<Self, Failure> {
        Ok(match self {
            Self::List => Self::List,
            Self::Info { id } => Self::Info { id: model_path::resolve(id)? },
            Self::Load { id, pin } => Self::Load { id: model_path::resolve(id)?, pin },
            Self::Use { id } => Self::Use { id: model_path::resolve(id)? },
            Self::Rollback { id } => Self::Rollback { id },
            Self::Recommend(wanted) => Self::Recommend(wanted),
            Self::Pull { id } => Self::Pull { id },
            Self::Verify { id } => Self::Verify { id: model_path::resolve(id)? },
            Self::Rm { id } => Self::Rm { id: model_path::resolve(id)? },
            Self::Import { path, id } => Self::Import { path: model_path::folder(&path)?, id },
            Self::Package(mut package) => {
                package.id = model_path::resolve(package.id)?;
                Self::Package(package)
            }
            Self::Push(mut push) => {
                push.id = model_path::resolve(push.id)?;
                Self::Push(push)
            }
            unchanged @ (Self::Install { .. } | Self::Update(_) | Self::Keygen { .. }) => unchanged,
            Self::Tune { id } => Self::Tune { id: model_path::resolve(id)? },
            Self::Stats { id } => Self::Stats { id: id.map(model_path::resolve).transpose()? },
            Self::Unload { id } => Self::Unload { id: model_path::resolve(id)? },
        })
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let model = self.resolve()?;
        let client = context.connect().await?;
        let terminal = context.terminal;
        match model {
            Self::List => {
                let response = client.models().list(v1::ListModelsRequest {}).await?.into_inner();
                let models = response.models.into_iter().map(Report::from).collect();
                terminal.result(&List { models }, |list| report::list(&list.models))
            }
            Self::Info { id } => {
                let model = client.models().info(v1::ModelInfoRequest { id }).await?.into_inner();
                terminal.result(&Report::from(model), Report::details)
            }
            Self::Load { id, pin } => {
                let model = load(terminal, &client, id, pin).await?;
                terminal.result(&model, |model| {
                    let engine = model.engine.as_ref();
                    let engine = engine.map(|engine| format!(" · {}", engine.summary()));
                    format!("{} is loaded{}\n", model.id, engine.unwrap_or_default())
                })
            }
            Self::Use { id } => model_choice::use_model(terminal, &client, id).await,
            Self::Rollback { id } => {
                model_choice::roll_back(terminal, &client, id.unwrap_or_default()).await
            }
            Self::Recommend(wanted) => wanted.run(terminal, &client).await,
            Self::Import { path, id } => {
                let model = import(terminal, &client, path, id.unwrap_or_default()).await?;
                terminal.result(&model, |model| {
                    format!("imported {} ({})\n", model.id, report::size(model.size_bytes))
                })
            }
            Self::Pull { id } => model_file::pull(terminal, &client, id).await,
            Self::Verify { id } => model_file::verify(terminal, &client, id).await,
            Self::Rm { id } => model_file::remove(terminal, &client, id).await,
            Self::Package(package) => package.run(terminal, &client).await,
            Self::Install { package } => distribution::install(terminal, &client, package).await,
            Self::Push(push) => push.run(terminal, &client).await,
            Self::Update(update) => update.run(terminal, &client).await,
            Self::Keygen { file } => distribution::keygen(terminal, &client, &file).await,
            Self::Tune { id } => tuning::tune(terminal, &client, id).await,
            Self::Stats { id } => tuning::stats(terminal, &client, id.unwrap_or_default()).await,
            Self::Unload { id } => {
                let request = v1::UnloadModelRequest { id: id.clone() };
                let unloaded = client.models().unload(request).await?.into_inner().unloaded;
                terminal.result(&Unloaded { id, unloaded }, |outcome| {
                    let what = if outcome.unloaded { "is unloaded" } else { "was not loaded" };
                    format!("{} {what}\n", outcome.id)
                })
            }
        }
    }
}

async fn load(
    terminal: Terminal,
    client: &Client,
    id: String,
    pin: bool,
) -> Result<Report, Failure> {
    let bar = terminal.bar(BAR_STEPS.into());
    let outcome = async {
        let request = v1::LoadModelRequest { id, pin };
        let mut events = client.models().load(request).await?.into_inner();
        let mut loaded = None;
        while let Some(event) = events.message().await? {
            match event.event {
                Some(Event::Progress(progress)) => {
                    bar.set_position(steps(progress.fraction));
                    bar.set_message(progress.stage);
                }
                Some(Event::Loaded(model)) => loaded = Some(Report::from(model)),
                None => {}
            }
        }
        let message = "the daemon stopped reporting before the model was loaded".into();
        loaded.ok_or_else(|| Error::NotReachable { message }.into())
    };
    let outcome = outcome.await;
    bar.finish_and_clear();
    outcome
}

async fn import(
    terminal: Terminal,
    client: &Client,
    path: PathBuf,
    id: String,
) -> Result<Report, Failure> {
    let bar = terminal.bar(BAR_STEPS.into());
    let path = path.to_string_lossy().into_owned();
    let outcome = async {
        let request = v1::ImportModelRequest { path, id };
        let mut events = client.models().import(request).await?.into_inner();
        let mut imported = None;
        while let Some(event) = events.message().await? {
            match event.event {
                Some(ImportEvent::Progress(progress)) => {
                    bar.set_position(steps(progress.fraction));
                    bar.set_message(progress.stage);
                }
                Some(ImportEvent::Imported(model)) => imported = Some(Report::from(model)),
                None => {}
            }
        }
        let message = "the daemon stopped reporting before the model was imported".into();
        imported.ok_or_else(|| Error::NotReachable { message }.into())
    };
    let outcome = outcome.await;
    bar.finish_and_clear();
    outcome
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bar")]
pub(super) fn steps(fraction: f32) -> u64 {
    (fraction.clamp(0.0, 1.0) * f32::from(BAR_STEPS)) as u64
}
