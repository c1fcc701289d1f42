//! The command line: what can be asked of `tandem`, and who answers it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    context::{Context, Global},
    failure::Failure,
};

mod ask;
mod audit;
mod cache;
mod chat;
mod config;
mod constraint;
mod conversation;
mod distribution;
mod doctor;
mod embed;
mod experiment;
mod feedback;
mod knowledge;
mod luggage;
mod memory;
mod model;
mod model_choice;
mod model_file;
mod router;
mod service;
mod status;
mod top;
mod tuning;
mod turn;
mod usage;

const EXAMPLES: &str = "\
Examples:
  tandem ask \"Why is the sky blue?\"           one question, answered as it is thought
  git diff | tandem ask Review this change    a question about what comes through a pipe
  tandem chat                                 a conversation that is kept
  tandem model list                           which models there are
  tandem status                               what the daemon is doing
  tandem top                                  the same, as it happens

The daemon is started when it does not run, but not by `status`, `top`, `audit`, `config`,
`doctor`, `service status`, `service stop` and `router` without --budget. Answers go to standard output, all else to standard error.

Environment:
  TANDEM_HOME        folder of settings, conversations, models, log and socket
  TANDEM_SOCKET      socket of the daemon
  TANDEM_TABLE__KEY  any setting, such as TANDEM_ROUTER__POLICY=fast
  TANDEM_PROFILE     defaults for a purpose: standard, dev, staging, production, education
  TANDEMD            program of the daemon [default: tandemd beside tandem, else on PATH]

Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 3 daemon not reachable, 4 not allowed,
5 overloaded or timed out, 130 cancelled with Ctrl-C.";

/// An assistant for this machine: a fast local model, and remote ones that think longer
#[derive(Debug, Parser)]
#[command(name = "tandem", version, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask one question
    Ask(ask::Ask),
    /// Talk, with a memory of what was said
    Chat(chat::Chat),
    /// Turn texts into embeddings
    Embed(embed::Embed),
    /// Show, import, load and unload models
    #[command(subcommand)]
    Model(model::Model),
    /// Read documents, find passages in them, and measure how well they are found
    #[command(subcommand)]
    Knowledge(knowledge::Knowledge),
    /// Show, search, export, import and delete stored conversations
    #[command(subcommand, alias = "conversations")]
    Conversation(conversation::Conversation),
    /// Show, add, change and forget what is remembered of you; back up and check what is stored
    #[command(subcommand)]
    Memory(memory::Memory),
    /// Say what an answer was worth
    #[command(subcommand)]
    Feedback(feedback::Feedback),
    /// Compare variants of settings
    #[command(subcommand)]
    Experiment(experiment::Experiment),
    /// Score questions, and measure, train and calibrate the scores
    #[command(subcommand)]
    Router(router::Router),
    /// Show what was spent, what was saved, and what is left
    Usage(usage::Usage),
    /// Check and show the record of all that left this machine
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show and clear what is kept so that it need not be computed or asked again
    #[command(subcommand)]
    Cache(cache::Cache),
    /// Show what the daemon is doing
    Status(status::Status),
    /// Watch the daemon and the machine as they work
    Top(top::Top),
    /// Check and show the settings
    #[command(subcommand)]
    Config(config::Config),
    /// Say what this machine has, what follows from it, and what stands in the way
    Doctor(doctor::Doctor),
    /// Start and stop the daemon
    #[command(subcommand)]
    Service(service::Service),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Ask(ask) => ask.run(context).await?,
            Self::Chat(chat) => chat.run(context).await?,
            Self::Embed(embed) => embed.run(context).await?,
            Self::Model(model) => model.run(context).await?,
            Self::Knowledge(knowledge) => return knowledge.run(context).await,
            Self::Conversation(conversation) => return conversation.run(context).await,
            Self::Memory(memory) => return memory.run(context).await,
            Self::Feedback(feedback) => feedback.run(context).await?,
            Self::Experiment(experiment) => experiment.run(context).await?,
            Self::Router(router) => router.run(context).await?,
            Self::Usage(usage) => usage.run(context).await?,
            Self::Cache(cache) => cache.run(context).await?,
            Self::Audit(audit) => return audit.run(context).await,
            Self::Status(status) => status.run(context).await?,
            Self::Top(top) => top.run(context).await?,
            Self::Config(config) => config.run(context).await?,
            Self::Doctor(doctor) => return doctor.run(context).await,
            Self::Service(service) => return service.run(context).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_flags_are_taken_before_and_behind_the_command() {
        for line in ["tandem --json status", "tandem status --json"] {
            assert!(Arguments::try_parse_from(line.split(' ')).unwrap().global.json, "{line}");
        }
    }
}
