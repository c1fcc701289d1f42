//! `tandem doctor`: what the machine has, what follows from it, and what stands in the way.

use std::{path::Path, process::ExitCode};

use clap::Args;
use tandem_client::{Error, v1};
use tandem_config::{Config, hardware::Hardware};
use tokio::task::spawn_blocking;

use crate::{
    context::{self, Context},
    failure::Failure,
    report::doctor::{Diagnosis, Finding, Machine},
};

mod choices;
mod daemon;
mod installation;

/// What to look at: everything. Looking does not start the daemon.
///
/// The exit code is 1 when something is found that keeps tandem from working; what could merely be
/// better is said and changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let settings = Config::load(&context.overrides);
        let data_dir = context.data_dir();
        let (hardware, mut findings) = spawn_blocking({
            let settings = settings.as_ref().ok().cloned();
            move || (Hardware::probe(), look(settings.as_ref(), &data_dir))
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
        findings.extend(choices::advise(&hardware));
        findings.extend(self.ask_the_daemon(context).await);

        let diagnosis =
            Diagnosis { machine: Machine::from(hardware), choices: explained, findings };
        let code = if diagnosis.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        context.terminal.result(&diagnosis, Diagnosis::text)?;
        Ok(code)
    }

    async fn ask_the_daemon(&self, context: &Context) -> Vec<Finding> {
        let status: Result<v1::StatusResponse, Failure> = async {
            let client = context.find().await?.1?;
            context::status(&client).await
        }
        .await;
        match status {
            Ok(status) => daemon::judge(&status, env!("CARGO_PKG_VERSION")),
            Err(Failure::Daemon(Error::NotReachable { .. })) => {
                vec![Finding::fine("the daemon does not run; the next question starts it")]
            }
            Err(failure) => {
                let hint = failure.hint().unwrap_or_else(|| {
                    "look into its log, and start it anew with `tandem service stop`".to_owned()
                });
                vec![Finding::problem(format!("the daemon does not answer: {failure}"), hint)]
            }
        }
    }
}

/// What can be seen without the daemon. Blocking.
fn look(settings: Option<&Config>, data_dir: &Path) -> Vec<Finding> {
    let mut findings = installation::programs(settings);
    findings.extend(installation::folder(data_dir));
    findings.extend(settings.and_then(installation::model));
    findings
}
