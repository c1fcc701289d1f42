//! `tandem model pull`, `verify` and `rm`: the files of models.

use indicatif::{HumanBytes, ProgressBar};
use serde::Serialize;
use tandem_client::{
    Client, Error,
    v1::{self, pull_model_event::Event},
};

use super::model::BAR_STEPS;
use crate::{
    context::unless_interrupted,
    failure::Failure,
    report::model::{Model as Report, size},
    report::model_file::Verified,
    terminal::Terminal,
};

pub(super) const PULL_EXAMPLES: &str = "\
Examples:
  tandem model pull smollm2-1.7b-instruct
  tandem model pull smollm2-1.7b-instruct:q8_0      the same in another quantization
  tandem model pull hf:OWNER/REPOSITORY/FILE.gguf   any GGUF file of the Hugging Face hub
  tandem model pull hf:OWNER/REPOSITORY@REVISION/FILE.gguf
  tandem model pull https://example.com/FILE.gguf
  tandem model pull s3://BUCKET/KEY.gguf
  tandem model pull file:/PATH/FILE.gguf

The file is checked before it can be used. A pull that ends early, by Ctrl-C or otherwise, goes on where it
ended when it is started again. Settings are in [models.pull]: connections, bandwidth, mirror, token.";

/// Fetches a model and shows it.
pub(super) async fn pull(terminal: Terminal, client: &Client, id: String) -> Result<(), Failure> {
    let outcome = unless_interrupted(fetch(terminal, client, id.clone())).await;
    if let Err(Failure::Cancelled) = outcome {
        terminal.notice(&format!(
            "what came is kept, unless somebody else waits for it; `tandem model pull {id}` goes on \
             where this ended"
        ));
    }
    terminal.result(&outcome?, |model| {
        let size = size(model.size_bytes);
        match model.keeper() {
            "" => format!("{} is here ({size})\n", model.id),
            keeper => format!(
                "{} is here ({size}), as {keeper} keeps it; nothing had to be fetched\n",
                model.id
            ),
        }
    })
}

async fn fetch(terminal: Terminal, client: &Client, id: String) -> Result<Report, Failure> {
    let bar = terminal.bar(BAR_STEPS.into());
    let outcome = async {
        let mut events = client.models().pull(v1::PullModelRequest { id }).await?.into_inner();
        let (mut pulled, mut noted) = (None, String::new());
        while let Some(event) = events.message().await? {
            match event.event {
                Some(Event::Progress(progress)) => {
                    show(&bar, &progress);
                    if progress.note != noted {
                        noted = progress.note;
                        bar.suspend(|| terminal.notice(&noted));
                    }
                }
                Some(Event::Pulled(model)) => pulled = Some(Report::from(model)),
                None => {}
            }
        }
        let message = "the daemon stopped reporting before the model was fetched".into();
        pulled.ok_or_else(|| Failure::from(Error::NotReachable { message }))
    };
    let outcome = outcome.await;
    bar.finish_and_clear();
    outcome
}

/// Lets the bar say how far it is.
pub(super) fn show(bar: &ProgressBar, progress: &v1::PullModelProgress) {
    bar.set_position(position(progress));
    bar.set_message(message(progress));
}

/// Where the bar stands.
fn position(progress: &v1::PullModelProgress) -> u64 {
    let steps = u128::from(progress.bytes_done) * u128::from(BAR_STEPS);
    let position = steps.checked_div(progress.bytes_total.into()).unwrap_or(0);
    u64::try_from(position).unwrap_or(0).min(BAR_STEPS.into())
}

fn message(progress: &v1::PullModelProgress) -> String {
    let v1::PullModelProgress { stage, bytes_done, bytes_total, bytes_per_second, .. } = progress;
    if *bytes_total == 0 {
        return stage.clone();
    }
    let (done, total) = (HumanBytes(*bytes_done), HumanBytes(*bytes_total));
    match bytes_per_second {
        0 => format!("{stage} {done} of {total}"),
        speed => format!("{stage} {done} of {total}, {}/s", HumanBytes(*speed)),
    }
}

/// Compares a model's file with what it should be. A wrong one is a failure.
pub(super) async fn verify(terminal: Terminal, client: &Client, id: String) -> Result<(), Failure> {
    let waiting = terminal.spinner("reading the file");
    let request = v1::VerifyModelRequest { id };
    let response = unless_interrupted(async { Ok(client.models().verify(request).await?) }).await;
    waiting.finish_and_clear();
    let verified = Verified::from(response?.into_inner());
    terminal.result(&verified, Verified::text)?;
    match verified.problem {
        None => Ok(()),
        Some(message) => {
            let reason = tandem_proto::error::MODEL_INVALID.into();
            Err(Error::Failed { reason, message, retry_after: None }.into())
        }
    }
}

#[derive(Serialize)]
struct Removed {
    id: String,
    path: String,
    bytes: u64,
}

/// Removes a model's file.
pub(super) async fn remove(terminal: Terminal, client: &Client, id: String) -> Result<(), Failure> {
    let request = v1::RemoveModelRequest { id: id.clone() };
    let v1::RemoveModelResponse { removed_bytes, path } =
        client.models().remove(request).await?.into_inner();
    terminal.result(&Removed { id, path, bytes: removed_bytes }, |removed| {
        format!("removed {} ({})\n", removed.path, size(removed.bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(bytes_done: u64, bytes_total: u64, bytes_per_second: u64) -> v1::PullModelProgress {
        let stage = "fetching".into();
        v1::PullModelProgress {
            stage,
            bytes_done,
            bytes_total,
            bytes_per_second,
            ..Default::default()
        }
    }

    #[test]
    fn the_bar_follows_the_bytes() {
        assert_eq!(position(&progress(0, 0, 0)), 0);
        assert_eq!(position(&progress(1 << 40, 1 << 41, 0)), 500);
        assert_eq!(position(&progress(3, 2, 0)), 1000);
        assert_eq!(message(&progress(0, 0, 0)), "fetching");
        assert_eq!(message(&progress(1 << 20, 2 << 20, 0)), "fetching 1.00 MiB of 2.00 MiB");
        let fast = message(&progress(1 << 20, 2 << 20, 512 << 10));
        assert_eq!(fast, "fetching 1.00 MiB of 2.00 MiB, 512.00 KiB/s");
    }
}
