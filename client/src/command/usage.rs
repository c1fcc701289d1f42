//! `tandem usage`: what was spent, saved and is left.

use clap::{Args, ValueEnum, value_parser};
use tandem_client::v1;

use crate::{context::Context, failure::Failure, report::usage::Usage as Report};

const NOTES: &str = "\
Days and months are those of UTC. Prices come from the settings: [providers.NAME.price].

Examples:
  tandem usage                        the last 30 days, by provider
  tandem usage --month --by day       this month, day by day
  tandem usage --by conversation      which conversations cost most
  tandem usage --json | jq .slow      for programs";

/// Which usage to show.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Usage {
    /// Look back so many days, today included [default: 30]
    #[arg(long, value_name = "N", conflicts_with = "month", allow_negative_numbers = true)]
    #[arg(value_parser = value_parser!(u32).range(1..=400))]
    days: Option<u32>,

    /// Look at this calendar month
    #[arg(long)]
    month: bool,

    /// What each line is about
    #[arg(long, value_enum, default_value_t = By::Provider)]
    by: By,
}

/// What each line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Provider,
    Model,
    Day,
    Conversation,
}

impl Usage {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (by, heading) = match self.by {
            By::Provider => (v1::UsageBy::Provider, "PROVIDER"),
            By::Model => (v1::UsageBy::Model, "MODEL"),
            By::Day => (v1::UsageBy::Day, "DAY"),
            By::Conversation => (v1::UsageBy::Conversation, "CONVERSATION"),
        };
        let request = v1::UsageRequest {
            days: self.days.unwrap_or(0),
            month: self.month,
            by: by.into(),
            calibrate_month_micros: None,
        };
        let client = context.connect().await?;
        let usage = client.admin().usage(request).await?.into_inner();
        context.terminal.result(&Report::from(usage), |usage| usage.text(heading))
    }
}
