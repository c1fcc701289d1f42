//! The one place that writes to standard output and standard error.
//!
//! Results go to standard output, everything else to standard error. What a model, a provider or
//! a file name sends to a terminal cannot move its cursor or change its settings.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::failure::Failure;

/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// Where output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    form: Form,
    stdout: Sink,
    stderr: Sink,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text, with notices and progress.
    Text,
    /// Text, results and errors only.
    Quiet,
    /// Results and errors only, as JSON.
    Json,
}

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    /// A program, which gets every byte as it is.
    Pipe,
    /// A terminal of a person who wants no colours.
    Plain,
    /// A terminal.
    Styled,
}

impl Sink {
    fn of(stream: &impl IsTerminal) -> Self {
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|value| value == "dumb");
        match (stream.is_terminal(), plain) {
            (false, _) => Self::Pipe,
            (true, true) => Self::Plain,
            (true, false) => Self::Styled,
        }
    }

    fn is_terminal(self) -> bool {
        self != Self::Pipe
    }

    /// The text as it may be written to this stream.
    fn safe(self, text: &str) -> Cow<'_, str> {
        if self.is_terminal() { printable(text) } else { text.into() }
    }
}

impl Terminal {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let form = match (json, quiet) {
            (true, _) => Form::Json,
            (false, true) => Form::Quiet,
            (false, false) => Form::Text,
        };
        Self { form, stdout: Sink::of(&io::stdout()), stderr: Sink::of(&io::stderr()) }
    }

    /// Whether results are JSON.
    pub(crate) fn json(self) -> bool {
        self.form == Form::Json
    }

    /// Whether a person waits for the results.
    pub(crate) fn is_watched(self) -> bool {
        self.stdout.is_terminal()
    }

    /// Whether notices appear amid the results, on the same terminal.
    pub(crate) fn mixes_notices(self) -> bool {
        self.form == Form::Text && self.stdout.is_terminal() && self.stderr.is_terminal()
    }

    /// Whether a person reads the results and can type.
    pub(crate) fn is_interactive(self) -> bool {
        self.stdout.is_terminal() && io::stdin().is_terminal()
    }

    /// Prints a result: one line of JSON, or text that ends with a newline.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = if self.json() { json_line(value)? } else { text(value) };
        self.write_out(&text)
    }

    /// Prints lines that are JSON already.
    pub(crate) fn raw(self, lines: &str) -> Result<(), Failure> {
        self.write_out(lines)
    }

    /// As [`Self::result`], in place of what the terminal showed before. A pipe gets one after
    /// the other.
    pub(crate) fn replace<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.stdout.is_terminal() && !self.json() {
            // Cursor home, clear to the end of the screen.
            io::stdout().write_all(b"\x1b[H\x1b[J").map_err(Failure::Output)?;
        }
        self.result(value, text)
    }

    /// Prints a piece of an answer as it stands. A reader that stops reading holds back the
    /// caller, not the runtime.
    pub(crate) async fn answer(self, text: String) -> Result<(), Failure> {
        let written = spawn_blocking(move || self.write_out(&text)).await;
        written.map_err(io::Error::other).map_err(Failure::Output)?
    }

    /// Passes bytes on to a program. A terminal gets them as text that cannot move its cursor.
    pub(crate) async fn bytes(self, bytes: Vec<u8>) -> Result<(), Failure> {
        if self.stdout.is_terminal() {
            return self.answer(String::from_utf8_lossy(&bytes).into_owned()).await;
        }
        let write = move || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&bytes).and_then(|()| stdout.flush())
        };
        let written = spawn_blocking(write).await.map_err(io::Error::other).flatten();
        written.map_err(Failure::Output)
    }

    /// Says something that is no result. Not with `--quiet`, and not with `--json`, where
    /// the result holds it.
    pub(crate) fn notice(self, text: &str) {
        if self.form == Form::Text {
            self.write_err(&format!("{}\n", self.stderr.safe(text)));
        }
    }

    /// Tells a program how far things are, which a person sees move. Only with `--json`; it comes as
    /// errors do, so that the result stays alone.
    pub(crate) fn progress<T: Serialize>(self, value: &T) {
        if self.json()
            && let Ok(line) = json_line(value)
        {
            self.write_err(&line);
        }
    }

    /// Says something that was asked for and is no result.
    pub(crate) fn explain(self, text: &str) {
        if !self.json() {
            self.write_err(&format!("{}\n", self.stderr.safe(text)));
        }
    }

    /// Says something that only a person at a terminal wants to know, in a dim colour.
    pub(crate) fn aside(self, text: &str) {
        match (self.form, self.stderr) {
            (Form::Text, Sink::Plain) => self.notice(text),
            (Form::Text, Sink::Styled) => {
                self.write_err(&format!("\x1b[2m{}\x1b[0m\n", printable(text)));
            }
            _ => {}
        }
    }

    /// Says a piece of what a model thinks, dim where there are colours.
    pub(crate) fn thought(self, text: &str) {
        match self.stderr {
            _ if self.json() => {}
            Sink::Styled => self.write_err(&format!("\x1b[2m{}\x1b[0m", printable(text))),
            sink => self.write_err(&sink.safe(text)),
        }
    }

    /// Reports a failure: `error: …` and `hint: …`, or JSON.
    pub(crate) fn error(self, failure: &Failure) {
        if failure.is_closed_pipe() {
            return;
        }
        let report = ErrorReport {
            error: ErrorDetails {
                reason: failure.reason(),
                message: failure.to_string(),
                hint: failure.hint(),
            },
        };
        if self.json() {
            if let Ok(line) = json_line(&report) {
                self.write_err(&line);
            }
            return;
        }
        let hint = report.error.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        let text = format!("error: {}\n{hint}", report.error.message);
        self.write_err(&self.stderr.safe(&text));
    }

    /// A spinner on standard error; hidden unless a person looks at it.
    pub(crate) fn spinner(self, message: &'static str) -> ProgressBar {
        if !self.shows_progress() {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner().with_message(message);
        spinner.enable_steady_tick(TICK);
        spinner
    }

    /// A bar on standard error from 0 to `length`; hidden unless a person looks at it.
    pub(crate) fn bar(self, length: u64) -> ProgressBar {
        if !self.shows_progress() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length);
        match ProgressStyle::with_template("{bar:32} {percent:>3} % {msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    fn shows_progress(self) -> bool {
        self.form == Form::Text && self.stderr.is_terminal()
    }

    fn write_out(self, text: &str) -> Result<(), Failure> {
        let text = self.stdout.safe(text);
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
    }

    #[allow(clippy::unused_self, reason = "the counterpart of `write_out`")]
    fn write_err(self, text: &str) {
        // There is nowhere left to report that standard error is closed.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

#[derive(Serialize)]
struct ErrorReport<'a> {
    error: ErrorDetails<'a>,
}

#[derive(Serialize)]
struct ErrorDetails<'a> {
    reason: &'a str,
    message: String,
    hint: Option<String>,
}

fn json_line<T: Serialize>(value: &T) -> Result<String, Failure> {
    let line = serde_json::to_string(value).map_err(io::Error::from).map_err(Failure::Output)?;
    Ok(line + "\n")
}

/// The text without the control characters that terminals obey, except newline and tab.
fn printable(text: &str) -> Cow<'_, str> {
    // Covers C0 with escape, delete, and C1.
    let obeyed = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if text.contains(obeyed) { text.replace(obeyed, "").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn no_control_character_reaches_a_terminal_except_newline_and_tab() {
        let hostile = "a\x1b[2Jb\x1b]0;title\x07c\rd\x08e\u{9b}31mf\x7fg\0h\n\tü";
        assert_eq!(printable(hostile), "a[2Jb]0;titlecde31mfgh\n\tü");
        for code in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            let kept = matches!(code, '\n' | '\t');
            assert_eq!(printable(&code.to_string()).is_empty(), !kept, "{code:?}");
        }
    }

    #[test]
    fn a_pipe_gets_every_byte() {
        let coloured = "\x1b[31mred\x1b[0m\r\n";
        assert_eq!(Sink::Pipe.safe(coloured), coloured);
        assert_eq!(Sink::Styled.safe(coloured), "[31mred[0m\n");
        assert_eq!(Sink::Plain.safe(coloured), "[31mred[0m\n");
    }

    #[test]
    fn text_without_control_characters_is_not_copied() {
        assert!(matches!(printable("plain\n"), Cow::Borrowed("plain\n")));
    }

    #[test]
    fn an_error_in_json_has_reason_message_and_hint() {
        let failure = Failure::usage("what", "do this");
        let report = ErrorReport {
            error: ErrorDetails {
                reason: failure.reason(),
                message: failure.to_string(),
                hint: failure.hint(),
            },
        };
        let line = json_line(&report).unwrap();
        assert_eq!(
            line,
            "{\"error\":{\"reason\":\"USAGE\",\"message\":\"what\",\"hint\":\"do this\"}}\n"
        );
    }
}
