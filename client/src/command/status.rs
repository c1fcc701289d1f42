//! `tandem status`: what the daemon is doing.

use clap::Args;
use tandem_client::v1;

use crate::{
    context::{self, Context},
    failure::Failure,
    report::status::Status as Report,
};

/// How to look at the status. Looking does not start the daemon.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Show it again whenever it changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.find().await?.1?;
        let terminal = context.terminal;
        if !self.watch {
            let status = context::status(&client).await?;
            return terminal.result(&Report::from(status), Report::text);
        }
        let mut changes = client.admin().watch(v1::WatchRequest {}).await?.into_inner();
        while let Some(status) = changes.message().await? {
            terminal.replace(&Report::from(status), Report::text)?;
        }
        terminal.notice("note: the daemon stopped");
        Ok(())
    }
}
