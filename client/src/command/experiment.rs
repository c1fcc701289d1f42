//! `tandem experiment`: variants of settings, and which does better.

use clap::Subcommand;
use tandem_client::v1;

use crate::{
    context::Context,
    failure::Failure,
    report::experiment::{Experiment as Report, List},
};

const EXAMPLES: &str = "\
An experiment is a table of the settings:

  [experiments.brevity]
  share = 0.5                                    # half of the conversations take part
  [experiments.brevity.variants.control]
  weight = 50
  [experiments.brevity.variants.brief]
  weight = 50
  system_prompt = \"Answer in one sentence.\"

A variant can have its own model, provider, policy, system_prompt, slow_threshold and temperature.
A conversation keeps its variant. `tandem feedback up` and `down` say what an answer was worth.";

/// What to do with experiments.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Experiment {
    /// List the experiments
    List,
    /// Compare the variants of an experiment
    Report {
        /// Name from `tandem experiment list`
        name: String,
    },
}

impl Experiment {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connect().await?;
        let request = v1::ExperimentsRequest {};
        let list = List::from(client.admin().experiments(request).await?.into_inner());
        match self {
            Self::List => context.terminal.result(&list, List::text),
            Self::Report { name } => {
                let known: Vec<_> = list.experiments.iter().map(|it| it.name.clone()).collect();
                let found = list.experiments.into_iter().find(|it| it.name == name);
                let found = found.ok_or_else(|| {
                    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                    let hint = "`tandem experiment list` shows the experiments";
                    Failure::usage(
                        format!("there is no experiment {name:?}; there is {known}"),
                        hint,
                    )
                })?;
                context.terminal.result(&found, Report::text)
            }
        }
    }
}
