//! `tandem model tune` and `tandem model stats`.

use tandem_client::{
    Client, Error,
    v1::{self, tune_model_event::Event},
};

use super::model::{BAR_STEPS, steps};
use crate::{failure::Failure, report::tuning as report, terminal::Terminal};

/// Shows how models run; all that are loaded when `id` is empty.
pub(super) async fn stats(terminal: Terminal, client: &Client, id: String) -> Result<(), Failure> {
    let response = client.models().stats(v1::ModelStatsRequest { id }).await?.into_inner();
    let models = response.models.into_iter().map(report::Stats::from).collect();
    terminal.result(&report::List { models }, report::List::text)
}

/// Measures a model and shows what came of it.
pub(super) async fn tune(terminal: Terminal, client: &Client, id: String) -> Result<(), Failure> {
    let bar = terminal.bar(BAR_STEPS.into());
    let outcome = async {
        let mut events = client.models().tune(v1::TuneModelRequest { id }).await?.into_inner();
        let mut tuned = None;
        while let Some(event) = events.message().await? {
            match event.event {
                Some(Event::Progress(progress)) => {
                    bar.set_position(steps(progress.fraction));
                    bar.set_message(progress.stage);
                }
                Some(Event::Tuned(tuning)) => tuned = Some(report::Tuning::from(tuning)),
                None => {}
            }
        }
        let message = "the daemon stopped reporting before the model was measured".into();
        tuned.ok_or_else(|| Failure::from(Error::NotReachable { message }))
    };
    let outcome = outcome.await;
    bar.finish_and_clear();
    terminal.result(&outcome?, report::Tuning::text)
}
