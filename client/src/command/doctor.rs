//! `tandem doctor`: what the machine has, what follows from it, and what stands in the way.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use tandem_client::{Client, v1};
use tandem_config::{Config, hardware::Hardware};
use tokio::task::spawn_blocking;

use crate::{
    context::{self, Context},
    failure::Failure,
    report::doctor::{Diagnosis, Finding, Machine},
};

mod choices;
mod daemon;
mod engine;
mod installation;
mod model;
mod system;

/// What to look at: everything. Looking does not start the daemon; while it runs, it is asked about
/// itself and the default model, too.
///
/// The exit code is 1 when something is found that keeps tandem from working; what could merely be
/// better is said and changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Compare the default model's file with what it should be, which takes as long as reading it
    #[arg(long)]
    verify: bool,
}

/// What can be seen without asking any other program.
struct Seen {
    hardware: Hardware,
    findings: Vec<Finding>,
    /// Where the engine is, as far as that is known.
    engine: Option<PathBuf>,
    /// Of the files of models; `None` without settings.
    model: Option<Finding>,
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let settings = Config::load(&context.overrides);
        let data_dir = context.data_dir();
        let Seen { hardware, mut findings, engine, model } = spawn_blocking({
            let settings = settings.as_ref().ok().cloned();
            move || look(settings.as_ref(), &data_dir)
        })
        .await
        .map_err(|error| Failure::Output(std::io::Error::other(error)))?;

        let mut explained = Vec::new();
        match &settings {
            Ok(settings) => {
                findings.push(Finding::fine("the settings are valid"));
                for warning in settings.warnings() {
                    findings.push(Finding::note(warning, "see `tandem config show`"));
                }
                explained = choices::explain(settings, &hardware);
            }
            Err(error) => findings.push(Finding::problem(
                error.to_string(),
                "put that right, then `tandem config check`",
            )),
        }

        let daemon = reach(context).await;
        let mut description = String::new();
        if let Some(program) = engine {
            match engine::version(&program).await {
                Ok(version) => {
                    findings.push(engine::judge(&version, env!("CARGO_PKG_VERSION")));
                    description = version;
                }
                Err(problem) => findings.push(problem),
            }
        }
        if let Ok((_, status)) = &daemon {
            let engines = status.models.iter().filter_map(|model| model.engine.as_ref());
            engines.for_each(|engine| description += &engine.system_info);
        }
        for gpu in &hardware.gpus {
            findings.push(engine::graphics(gpu.vendor, gpu.name.as_deref(), &description));
        }
        match (&daemon, &settings) {
            (Ok((client, status)), settings) => {
                findings.extend(daemon::judge(status, env!("CARGO_PKG_VERSION")));
                if let Ok(models) = client.models().list(v1::ListModelsRequest {}).await {
                    findings.extend(daemon::models_of_others(&models.into_inner().models));
                }
                if let Ok(settings) = settings {
                    findings.extend(model::ask(client, settings, &hardware, self.verify).await);
                }
            }
            (Err(failure), _) => {
                findings.push(daemon::absent(failure));
                findings.extend(model);
            }
        }

        let diagnosis =
            Diagnosis { machine: Machine::from(hardware), choices: explained, findings };
        let code = if diagnosis.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        context.terminal.result(&diagnosis, Diagnosis::text)?;
        Ok(code)
    }
}

/// A daemon that runs, and how it is.
async fn reach(context: &Context) -> Result<(Client, v1::StatusResponse), Failure> {
    let client = context.find().await?.1?;
    let status = context::status(&client).await?;
    Ok((client, status))
}

/// Blocking.
fn look(settings: Option<&Config>, data_dir: &Path) -> Seen {
    let hardware = Hardware::probe();
    let (mut findings, engine) = installation::programs(settings);
    findings.extend(installation::data(data_dir));
    if let Some(settings) = settings {
        findings.extend(installation::models(&settings.models.dir, data_dir));
        findings.extend(installation::socket(&settings.daemon.socket));
    }
    findings.extend(system::look(Path::new("/"), &hardware));
    findings.extend(choices::advise(&hardware));
    Seen { hardware, findings, engine, model: settings.map(model::look) }
}
