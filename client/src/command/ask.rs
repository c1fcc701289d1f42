//! `tandem ask`: one question, one answer.

use clap::Args;

use super::{
    constraint::Constraint,
    luggage::Luggage,
    turn::{self, Options},
};
use crate::{context::Context, failure::Failure, prompt};

const EXAMPLES: &str = "\
Examples:
  tandem ask \"What is a unix socket?\"
  tandem ask --policy private Summarise - < letter.txt
  tandem ask --max-tokens 60 --temperature 0 --seed 1 \"A haiku about queues\"
  tandem ask --json \"1 + 1?\" | jq -r .answer
  tandem ask --json-schema person.json \"Invent a person\" | jq .name
  tandem ask --image photo.jpg --policy slow \"What is this?\"
  tandem ask --tools tools.json --conversation ID --policy slow \"Is it raining in Oslo?\"
  tandem ask --tools tools.json --conversation ID --policy slow --tool-result call_1=rain
  tandem ask --priority background \"Sum this up\" < report.txt
  cargo build 2>&1 | tandem ask What is wrong here

Words are joined with spaces. When something comes through a pipe, it follows the words after an
empty line. Ctrl-C cancels the answer; the exit code is then 130.";

/// A question, and how it shall be answered.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ask {
    /// The question; `-` stands for standard input
    #[arg(value_name = "PROMPT")]
    words: Vec<String>,

    /// Continue this conversation, and keep the answer in it
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,

    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    constraint: Constraint,

    #[command(flatten)]
    luggage: Luggage,
}

impl Ask {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut options = self.options.resolve()?;
        self.constraint.read_into(&mut options).await?;
        let may_be_empty = self.luggage.has_results();
        options.carry(self.luggage.pack().await?);
        let prompt = prompt::read(self.words, may_be_empty).await?;
        let client = context.connect().await?;
        let conversation = self.conversation.unwrap_or_default();
        turn::ask(context.terminal, &client, &options, prompt, conversation).await
    }
}
