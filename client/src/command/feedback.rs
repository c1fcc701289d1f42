//! `tandem feedback`: what answers were worth.

use clap::{Args, Subcommand};
use serde::Serialize;
use tandem_client::{Client, v1};

use crate::{context::Context, failure::Failure};

const EXAMPLES: &str = "\
Examples:
  tandem feedback up                                  the last answer was of use
  tandem feedback down 0199… --comment \"wrong year\"   the answer of this turn was not
  tandem feedback export > feedback.jsonl             for `tandem router train --data`

`tandem ask --json` prints the id of its turn. Verdicts stay on this machine. The export has the
questions of stored conversations that were judged; never those asked in private.";

/// Verdicts on answers.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Feedback {
    /// The answer was of use
    Up(Answer),
    /// The answer was of no use
    Down(Answer),
    /// Print judged questions, one JSON object a line
    Export,
}

/// Which answer.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Id of its turn [default: the last one that was answered]
    #[arg(value_name = "TURN_ID")]
    turn: Option<String>,
    /// The last answer, which is the default
    #[arg(long, conflicts_with = "turn")]
    last: bool,
    /// Conversation of the turn, if it was answered before the daemon started
    #[arg(long, value_name = "ID", requires = "turn")]
    conversation: Option<String>,
    /// What to remember about it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Serialize)]
struct Taken {
    turn_id: String,
    verdict: &'static str,
}

/// One judged question, as `tandem router train` reads it. The score of the track that did not answer
/// is not known.
#[derive(Serialize)]
struct Line {
    id: String,
    prompt: String,
    domain: &'static str,
    weak_score: Option<f64>,
    strong_score: Option<f64>,
}

impl Feedback {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connect().await?;
        match self {
            Self::Up(answer) => answer.judge(context, &client, v1::Verdict::Up, "up").await,
            Self::Down(answer) => answer.judge(context, &client, v1::Verdict::Down, "down").await,
            Self::Export => export(context, &client).await,
        }
    }
}

impl Answer {
    async fn judge(
        self,
        context: &Context,
        client: &Client,
        verdict: v1::Verdict,
        word: &'static str,
    ) -> Result<(), Failure> {
        let request = v1::FeedbackRequest {
            turn_id: self.turn.filter(|_| !self.last).unwrap_or_default(),
            conversation_id: self.conversation.unwrap_or_default(),
            verdict: verdict.into(),
            comment: self.comment.unwrap_or_default(),
        };
        let turn_id = client.assistant().feedback(request).await?.into_inner().turn_id;
        let taken = Taken { turn_id, verdict: word };
        context.terminal.result(&taken, |taken| format!("{} {}\n", taken.verdict, taken.turn_id))
    }
}

async fn export(context: &Context, client: &Client) -> Result<(), Failure> {
    let mut request = v1::ListFeedbackRequest::default();
    let (mut shown, mut hidden) = (0_u32, 0_u32);
    loop {
        let page = client.admin().list_feedback(request).await?.into_inner();
        for feedback in page.feedback {
            if feedback.prompt.is_empty() {
                hidden += 1;
                continue;
            }
            shown += 1;
            let line = serde_json::to_string(&Line::from(feedback)).unwrap_or_default() + "\n";
            context.terminal.answer(line).await?;
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request = v1::ListFeedbackRequest { page_token: page.next_page_token, page_size: 0 };
    }
    if hidden > 0 {
        context.terminal.notice(&format!(
            "note: {hidden} of {} verdicts are left out: their questions are private or not stored",
            hidden + shown
        ));
    }
    Ok(())
}

impl From<v1::Feedback> for Line {
    fn from(feedback: v1::Feedback) -> Self {
        let score = match feedback.verdict() {
            v1::Verdict::Up => Some(1.0),
            v1::Verdict::Down => Some(0.0),
            v1::Verdict::Unspecified => None,
        };
        let (weak_score, strong_score) = if feedback.slow { (None, score) } else { (score, None) };
        let (id, prompt) = (feedback.turn_id, feedback.prompt);
        Self { id, prompt, domain: "feedback", weak_score, strong_score }
    }
}
