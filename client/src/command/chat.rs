//! `tandem chat`: questions and answers, one after the other, in one conversation.

use std::{
    io::{self, BufRead as _, Read as _},
    path::PathBuf,
};

use clap::{Args, ValueEnum as _};
use rustyline::{DefaultEditor, error::ReadlineError};
use tandem_client::{Client, v1};
use tokio::task::spawn_blocking;

use super::turn::{self, Options, Policy};
use crate::{
    context::{Context, unless_interrupted},
    failure::Failure,
    prompt,
};

const EXAMPLES: &str = "\
Examples:
  tandem chat
  tandem chat --conversation 0199c0de-…  --policy private
  printf 'My name is Ada.\\nWhat is my name?\\n' | tandem chat

In a chat: /help, /new, /policy auto|fast|slow|duo|private, /quit. Ctrl-C cancels an answer; at the
prompt, Ctrl-C and Ctrl-D leave. Without a terminal every line is a question, and the first failure
ends the chat.";

const HELP: &str = "\
/new             begin a new conversation with the next question
/policy POLICY   who answers from now on: auto, fast, slow, duo or private
/quit            leave, as Ctrl-D does
Ctrl-C           cancels an answer; at the prompt it leaves";

/// A conversation, and how its questions shall be answered.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Chat {
    /// Continue this conversation instead of beginning one
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,

    #[command(flatten)]
    options: Options,
}

impl Chat {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { mut conversation, options } = self;
        let mut options = options.resolve()?;
        let terminal = context.terminal;
        unless_interrupted(async {
            let client = context.connect().await?;
            if let Some(id) = &conversation {
                turns(&client, id).await?;
            }
            Ok(())
        })
        .await?;
        let history = context.data_dir().join("history");
        let interactive = terminal.is_interactive();
        let mut input = Input::open(interactive, history).await?;
        loop {
            let (next, line) = unless_interrupted(input.next_line()).await?;
            input = next;
            let Some(line) = line else { return Ok(()) };
            let outcome = match Line::parse(&line) {
                Line::Empty => Ok(()),
                Line::Quit => return Ok(()),
                Line::Help => {
                    terminal.explain(HELP);
                    Ok(())
                }
                Line::Policy(policy) => {
                    options.policy = Some(policy);
                    terminal.notice(&format!("policy: {}", policy.name()));
                    Ok(())
                }
                Line::New => {
                    conversation = None;
                    terminal.notice("the next question begins a new conversation");
                    Ok(())
                }
                Line::Wrong(message) => Err(Failure::usage(message, "/help lists the commands")),
                Line::Question(question) => {
                    ask(context, &options, question, &mut conversation).await
                }
            };
            match outcome {
                Err(failure) if interactive && !failure.is_closed_pipe() => {
                    terminal.error(&failure);
                }
                outcome => outcome?,
            }
        }
    }
}

/// Asks in the conversation. The first question creates it, and leaves none behind when it fails.
async fn ask(
    context: &Context,
    options: &Options,
    question: String,
    conversation: &mut Option<String>,
) -> Result<(), Failure> {
    // Connecting is cheap, and a daemon that ended meanwhile is started again.
    let client = unless_interrupted(context.connect()).await?;
    let terminal = context.terminal;
    if let Some(id) = conversation {
        return turn::ask(terminal, &client, options, question, id.clone()).await;
    }
    let id = unless_interrupted(create(&client)).await?;
    terminal.notice(&format!("conversation {id}"));
    let outcome = turn::ask(terminal, &client, options, question, id.clone()).await;
    // What counts is how the question fared. A conversation that cannot be looked at stays.
    let discarded = outcome.is_err()
        && matches!(unless_interrupted(discard_if_empty(&client, &id)).await, Ok(true));
    *conversation = Some(id).filter(|_| !discarded);
    outcome
}

/// Deletes the conversation when nothing was said in it, and says whether it did.
async fn discard_if_empty(client: &Client, id: &str) -> Result<bool, Failure> {
    if turns(client, id).await? > 0 {
        return Ok(false);
    }
    client.conversations().delete(v1::DeleteConversationRequest { id: id.into() }).await?;
    Ok(true)
}

async fn create(client: &Client) -> Result<String, Failure> {
    let request = v1::CreateConversationRequest::default();
    Ok(client.conversations().create(request).await?.into_inner().id)
}

/// How many turns a conversation has.
async fn turns(client: &Client, id: &str) -> Result<usize, Failure> {
    let request = v1::GetConversationRequest { id: id.into() };
    Ok(client.conversations().get(request).await?.into_inner().turns.len())
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Empty,
    Question(String),
    Help,
    New,
    Policy(Policy),
    Quit,
    Wrong(String),
}

impl Line {
    fn parse(line: &str) -> Self {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Self::Empty } else { Self::Question(line.into()) };
        };
        let (command, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (command, argument.trim()) {
            ("help", "") => Self::Help,
            ("new", "") => Self::New,
            ("quit", "") => Self::Quit,
            ("policy", policy) => match Policy::from_str(policy, true) {
                Ok(policy) => Self::Policy(policy),
                Err(_) => Self::Wrong("the policies are auto, fast, slow, duo and private".into()),
            },
            _ => Self::Wrong(format!("there is no command /{command}")),
        }
    }
}

/// Where lines come from. Reading blocks, so each line is read on a thread for blocking work,
/// which takes the input and gives it back.
enum Input {
    Editor(Box<DefaultEditor>, PathBuf),
    Pipe,
}

impl Input {
    async fn open(interactive: bool, history: PathBuf) -> Result<Self, Failure> {
        if !interactive {
            return Ok(Self::Pipe);
        }
        let opened = spawn_blocking(|| {
            let mut editor = DefaultEditor::new()?;
            // There is none before the first chat.
            let _ = editor.load_history(&history);
            Ok(Self::Editor(Box::new(editor), history))
        });
        opened.await.map_err(io::Error::other).map_err(Failure::Output)?.map_err(unreadable)
    }

    /// The next line, or nothing at the end of the input.
    async fn next_line(mut self) -> Result<(Self, Option<String>), Failure> {
        let read = spawn_blocking(move || self.read().map(|line| (self, line)));
        read.await.map_err(io::Error::other).map_err(Failure::Output)?
    }

    fn read(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Editor(editor, history) => match editor.readline("> ") {
                Ok(line) => {
                    if editor.add_history_entry(&line).unwrap_or(false) {
                        // A chat is worth more than its history.
                        let _ = editor.append_history(history);
                    }
                    Ok(Some(line))
                }
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => Ok(None),
                Err(error) => Err(unreadable(error)),
            },
            Self::Pipe => {
                let mut line = Vec::new();
                let limit = prompt::BYTES_MAX;
                io::stdin()
                    .lock()
                    .take(limit)
                    .read_until(b'\n', &mut line)
                    .map_err(Failure::Output)?;
                if line.len() as u64 == limit {
                    return Err(Failure::usage("a line is too long", "send shorter lines"));
                }
                let line = String::from_utf8(line)
                    .map_err(|_| Failure::usage("a line is not UTF-8 text", "convert the input"))?;
                Ok((!line.is_empty()).then_some(line))
            }
        }
    }
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure::Output(match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_questions_unless_they_begin_with_a_slash() {
        assert_eq!(Line::parse("  why? \n"), Line::Question("why?".into()));
        assert_eq!(Line::parse(" \n"), Line::Empty);
        assert_eq!(Line::parse("/help"), Line::Help);
        assert_eq!(Line::parse("/new "), Line::New);
        assert_eq!(Line::parse("/quit"), Line::Quit);
        assert_eq!(Line::parse("/policy Private"), Line::Policy(Policy::Private));
    }

    #[test]
    fn a_wrong_command_is_not_sent_as_a_question() {
        for line in ["/polcy fast", "/policy", "/policy trio", "/etc/passwd", "/quit now", "/"] {
            assert!(matches!(Line::parse(line), Line::Wrong(_)), "{line}");
        }
    }
}
