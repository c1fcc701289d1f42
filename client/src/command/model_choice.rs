//! `tandem model use`, `rollback` and `recommend`: which model answers.

use clap::Args;
use tandem_client::{
    Client, Error,
    v1::{self, use_model_event::Event},
};
use tonic::Streaming;

use super::model::{BAR_STEPS, steps};
use crate::{
    context::unless_interrupted,
    failure::Failure,
    report::model::Model as Report,
    report::model_choice::{List, Recommendation},
    terminal::Terminal,
};

pub(super) const USE_EXAMPLES: &str = "\
Examples:
  tandem model use llama-3.2-1b-instruct   the default model from now on
  tandem model use my-model@1.2.0          what `my-model` means from now on
  tandem model use auto                    the best model that is here and fits
  tandem model rollback                    the default model from before
  tandem model rollback my-model           the version from before

The model is loaded beside the one that answers and tried with a few tokens before anything changes. Answers
under way are finished by the model that began them. The choice outlasts the daemon and comes before
models.default of the settings, until that is changed.";

pub(super) const RECOMMEND_EXAMPLES: &str = "\
Examples:
  tandem model recommend
  tandem model recommend --ability code --all
  tandem model recommend --language de --language fr

Best first: what can do it and fits into memory, then what speaks more of the languages, is fast enough to
read along, and has more parameters.";

/// What a model is wanted for.
#[derive(Debug, Args)]
pub(crate) struct Recommend {
    /// What it must be good for: chat, code, tools or embed [default: chat]
    #[arg(long, value_name = "ABILITY")]
    ability: Option<String>,
    /// A language that it should answer in, such as de; can be given several times
    #[arg(long = "language", value_name = "CODE")]
    languages: Vec<String>,
    /// Also models that are not on this machine yet
    #[arg(long)]
    all: bool,
}

impl Recommend {
    /// Lists the models, best first.
    pub(super) async fn run(self, terminal: Terminal, client: &Client) -> Result<(), Failure> {
        let request = v1::RecommendRequest {
            ability: self.ability.unwrap_or_default(),
            languages: self.languages,
            include_absent: self.all,
        };
        let response = client.models().recommend(request).await?.into_inner();
        let recommendations = response.recommendations.into_iter().map(Recommendation::from);
        terminal.result(&List { recommendations: recommendations.collect() }, List::text)
    }
}

/// Makes a model the default, or a version what its name means.
pub(super) async fn use_model(
    terminal: Terminal,
    client: &Client,
    id: String,
) -> Result<(), Failure> {
    let mut models = client.models();
    let begun = async { Ok(models.r#use(v1::UseModelRequest { id }).await?.into_inner()) };
    swap(terminal, begun).await
}

/// Goes back to what was in use before.
pub(super) async fn roll_back(
    terminal: Terminal,
    client: &Client,
    id: String,
) -> Result<(), Failure> {
    let mut models = client.models();
    let begun = async { Ok(models.roll_back(v1::RollBackModelRequest { id }).await?.into_inner()) };
    swap(terminal, begun).await
}

/// Follows a swap to its end. An interruption ends it, and nothing has changed then.
async fn swap(
    terminal: Terminal,
    begun: impl Future<Output = Result<Streaming<v1::UseModelEvent>, Failure>>,
) -> Result<(), Failure> {
    let bar = terminal.bar(BAR_STEPS.into());
    let outcome = unless_interrupted(async {
        let mut events = begun.await?;
        let mut in_use = None;
        while let Some(event) = events.message().await? {
            match event.event {
                Some(Event::Progress(progress)) => {
                    bar.set_position(steps(progress.fraction));
                    bar.set_message(progress.stage);
                }
                Some(Event::InUse(model)) => in_use = Some(Report::from(model)),
                None => {}
            }
        }
        let message = "the daemon stopped reporting before the model was in use".into();
        in_use.ok_or_else(|| Failure::from(Error::NotReachable { message }))
    })
    .await;
    bar.finish_and_clear();
    terminal.result(&outcome?, |model| format!("{} answers from now on\n", model.id))
}
