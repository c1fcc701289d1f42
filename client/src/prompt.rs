//! The question: words of the command line, text from a pipe, or both.

use std::io::{self, IsTerminal as _, Read};

use tokio::task::spawn_blocking;

use crate::failure::Failure;

/// Most bytes of a question. The daemon's own limit, `daemon.prompt_bytes_max`, is usually lower.
pub(crate) const BYTES_MAX: u64 = 16 << 20;

/// Puts the question together. Reads standard input when it is a pipe or a word is `-`.
pub(crate) async fn read(words: Vec<String>, may_be_empty: bool) -> Result<String, Failure> {
    let asked_to_read = words.iter().any(|word| word == "-");
    let piped = if asked_to_read || !io::stdin().is_terminal() {
        let read = spawn_blocking(|| read_bounded(io::stdin().lock(), BYTES_MAX)).await;
        read.map_err(io::Error::other).map_err(Failure::Output)??
    } else {
        String::new()
    };
    match assemble(&words, &piped) {
        None if may_be_empty => Ok(String::new()),
        None => {
            let hint = "write it behind `tandem ask`, send it through a pipe, or use `tandem chat`";
            Err(Failure::usage("there is no question", hint))
        }
        Some(question) => Ok(question),
    }
}

fn read_bounded(input: impl Read, bytes_max: u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    input.take(bytes_max + 1).read_to_end(&mut bytes).map_err(Failure::Output)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("standard input is longer than {bytes_max} bytes");
        return Err(Failure::usage(message, "ask about a part of it"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage("standard input is not UTF-8 text", "convert it, for example with iconv")
    })
}

/// The words, an empty line, then what came through the pipe; either may be missing. `None` when both
/// are.
fn assemble(words: &[String], piped: &str) -> Option<String> {
    let words: Vec<_> = words.iter().map(String::as_str).filter(|word| *word != "-").collect();
    let words = words.join(" ");
    let piped = piped.trim_end_matches(['\n', '\r']);
    match (words.trim().is_empty(), piped.trim().is_empty()) {
        (false, false) => Some(format!("{words}\n\n{piped}")),
        (false, true) => Some(words),
        (true, false) => Some(piped.to_owned()),
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn assembled(words: &[&str], piped: &str) -> String {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        assemble(&words, piped).unwrap()
    }

    #[test]
    fn words_are_joined_and_piped_text_follows_after_an_empty_line() {
        assert_eq!(assembled(&["what", "is", "this?"], ""), "what is this?");
        assert_eq!(assembled(&["explain"], "fn main() {}\n"), "explain\n\nfn main() {}");
        assert_eq!(assembled(&[], "  indented\n\n"), "  indented");
        assert_eq!(assembled(&["-"], "from the pipe"), "from the pipe");
        assert_eq!(assembled(&["sum", "up", "-"], "text"), "sum up\n\ntext");
        assert_eq!(assembled(&["alone"], " \n"), "alone");
    }

    #[test]
    fn a_missing_question_is_noticed() {
        assert_eq!(assemble(&[], "\n"), None);
        assert_eq!(assemble(&["-".into()], ""), None);
    }

    #[test]
    fn input_that_is_too_long_or_not_text_is_refused() {
        assert_eq!(read_bounded(&b"1234"[..], 4).unwrap(), "1234");
        assert_eq!(read_bounded(&b"12345"[..], 4).unwrap_err().exit_code(), 2);
        assert_eq!(read_bounded(&b"\xff"[..], 4).unwrap_err().exit_code(), 2);
    }
}
