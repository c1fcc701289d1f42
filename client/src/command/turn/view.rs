//! What a person sees of the events of a turn.

use indicatif::ProgressBar;
use tandem_client::v1::{self, ask_event::Event};

use crate::{
    failure::Failure,
    report::queued::{Line, Queued},
    terminal::Terminal,
};

/// Shown until there is something better to show.
const THINKING: &str = "thinking";

/// What is on the screen. When both tracks answer at once, the first stays readable above the second.
pub(super) struct View {
    terminal: Terminal,
    explain: bool,
    show_reasoning: bool,
    spinner: ProgressBar,
    /// Track of the text shown last.
    track: Option<v1::Track>,
    /// What the other track has said while that one was not done.
    behind: String,
    /// Nothing of the answer is shown before it is clear which one counts.
    holds: bool,
    shown: Shown,
}

/// What was shown last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Nothing, or a whole line.
    Line,
    /// A line of the answer that may go on.
    Answer,
    /// A piece of a thought.
    Thought,
}

impl View {
    pub(super) fn new(terminal: Terminal, explain: bool, show_reasoning: bool) -> Self {
        Self {
            terminal,
            explain,
            show_reasoning,
            spinner: terminal.spinner(THINKING),
            track: None,
            behind: String::new(),
            holds: false,
            shown: Shown::Line,
        }
    }

    /// Whether the answer is still to be shown once it is complete: a program that reads it would
    /// not know which of two answers counts.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    pub(super) async fn show(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Queued(queued) => {
                let queued = Queued::from(queued);
                self.spinner.set_message(queued.text());
                self.terminal.progress(&Line { queued });
            }
            Event::Routed(routed) => {
                self.spinner.set_message(THINKING);
                self.holds =
                    routed.beside() != v1::Track::Unspecified && !self.terminal.is_watched();
                if self.explain {
                    self.spinner.suspend(|| self.terminal.explain(&explanation(routed)));
                }
            }
            Event::Notice(notice) => {
                self.end_thought();
                if self.terminal.mixes_notices() && self.shown == Shown::Answer {
                    self.shown = Shown::Line;
                    self.terminal.notice("");
                }
                self.spinner.suspend(|| self.terminal.notice(&format!("note: {}", notice.message)));
            }
            Event::Delta(delta) if !self.terminal.json() && !self.holds => {
                if self.show_reasoning && !delta.reasoning.is_empty() {
                    self.spinner.finish_and_clear();
                    self.end_line().await?;
                    self.shown = Shown::Thought;
                    self.terminal.thought(&delta.reasoning);
                }
                if !delta.text.is_empty() {
                    self.answer(delta.track(), &delta.text).await?;
                }
            }
            Event::TrackDone(done) => self.leave(done.track()).await?,
            Event::Superseded(superseded) => self.leave(superseded.track()).await?,
            _ => {}
        }
        Ok(())
    }

    async fn answer(&mut self, track: v1::Track, text: &str) -> Result<(), Failure> {
        if self.track.is_some_and(|shown| shown != track) {
            self.behind.push_str(text);
            return Ok(());
        }
        self.track = Some(track);
        self.write(text).await
    }

    /// The track says nothing more: what the other one has said, or will say, follows below.
    async fn leave(&mut self, track: v1::Track) -> Result<(), Failure> {
        if self.track != Some(track) {
            return Ok(());
        }
        self.track = None;
        self.end_line().await?;
        let behind = std::mem::take(&mut self.behind);
        if !behind.is_empty() {
            self.terminal.aside("the other track:");
            self.track = Some(other(track));
            self.write(&behind).await?;
        }
        Ok(())
    }

    async fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.spinner.finish_and_clear();
        self.end_thought();
        self.shown = if text.ends_with('\n') { Shown::Line } else { Shown::Answer };
        self.terminal.answer(text.to_owned()).await
    }

    /// Leaves standard output at the begin of a line, however the answer ended.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        self.spinner.finish_and_clear();
        self.end_thought();
        self.end_line().await
    }

    fn end_thought(&mut self) {
        if self.shown == Shown::Thought {
            self.shown = Shown::Line;
            self.terminal.thought("\n\n");
        }
    }

    async fn end_line(&mut self) -> Result<(), Failure> {
        if self.shown == Shown::Answer {
            self.shown = Shown::Line;
            self.terminal.answer("\n".into()).await
        } else {
            Ok(())
        }
    }
}

fn other(track: v1::Track) -> v1::Track {
    if track == v1::Track::Slow { v1::Track::Fast } else { v1::Track::Slow }
}

fn explanation(routed: &v1::Routed) -> String {
    let track = match routed.track() {
        v1::Track::Slow => "slow",
        _ => "fast",
    };
    let first = format!("{track} track, {}, score {:.2}", routed.model, routed.score);
    routed.reasons.iter().fold(first, |text, reason| format!("{text}\n  - {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_lists_the_reasons() {
        let routed = v1::Routed {
            track: v1::Track::Slow.into(),
            score: 0.75,
            reasons: vec!["it is long".into(), "it asks for proof".into()],
            model: "big".into(),
            ..Default::default()
        };
        assert_eq!(
            explanation(&routed),
            "slow track, big, score 0.75\n  - it is long\n  - it asks for proof"
        );
    }
}
