//! What both servers are asked, and how their answers arrive.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    System,
    User,
    Assistant,
}

/// A part of a chat.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: String,
}

impl Message {
    pub(super) fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// A chat that is to go on with this many tokens.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) messages: Vec<Message>,
    pub(super) tokens: u32,
}

impl Request {
    /// A question after a system prompt.
    pub(super) fn new(system: &str, question: &str, tokens: u32) -> Self {
        let messages = vec![Message::new(Role::System, system), Message::new(Role::User, question)];
        Self { messages, tokens }
    }
}

/// An answer, or as much of it as has come.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) sent: Instant,
    /// When each piece came; a piece has one token or more.
    pub(super) pieces: Vec<Instant>,
    pub(super) text: String,
    /// Tokens that the server says it produced.
    pub(super) tokens: u32,
    count: watch::Sender<usize>,
}

impl Reply {
    /// An answer to a question that is sent now.
    pub(super) fn expected() -> Self {
        Self {
            sent: Instant::now(),
            pieces: Vec::new(),
            text: String::new(),
            tokens: 0,
            count: watch::Sender::new(0),
        }
    }

    /// How many pieces have come, for others to watch.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// A piece that came now. Those without text tell only that the server began.
    pub(super) fn push(&mut self, text: &str) {
        if !text.is_empty() {
            self.pieces.push(Instant::now());
            self.text.push_str(text);
            self.count.send_replace(self.pieces.len());
        }
    }

    /// Refuses an answer from which nothing can be measured.
    pub(super) fn checked(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.pieces.len() > 1, "an answer of {} pieces", self.pieces.len());
        anyhow::ensure!(self.tokens > 1, "an answer of {} tokens", self.tokens);
        Ok(self)
    }

    /// From the question to the first piece.
    pub(super) fn to_first(&self) -> Duration {
        self.pieces.first().map_or(Duration::MAX, |first| *first - self.sent)
    }

    /// When the last piece came.
    pub(super) fn end(&self) -> Instant {
        self.pieces.last().copied().unwrap_or(self.sent)
    }

    /// Tokens a second after the first one.
    pub(super) fn rate(&self) -> f64 {
        let first = self.pieces.first().copied().unwrap_or(self.sent);
        f64::from(self.tokens.saturating_sub(1)) / (self.end() - first).as_secs_f64()
    }

    /// The longest time without a piece, of those that reach into the given time.
    pub(super) fn longest_gap(&self, from: Instant, until: Instant) -> Duration {
        let gaps = self.pieces.windows(2).filter(|pair| pair[1] > from && pair[0] < until);
        // What was under way when nobody listened any more counts as far as it went.
        let open = self.pieces.last().map(|last| until.saturating_duration_since(*last));
        gaps.map(|pair| pair[1] - pair[0]).chain(open).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(sent: Instant, pieces: &[u64], tokens: u32) -> Reply {
        let pieces = pieces.iter().map(|ms| sent + Duration::from_millis(*ms)).collect();
        Reply { sent, pieces, tokens, ..Reply::expected() }
    }

    #[test]
    fn the_first_token_does_not_count_for_the_rate() {
        let reply = reply(Instant::now(), &[1000, 1250, 1500], 3);
        assert_eq!(reply.to_first(), Duration::from_secs(1));
        assert!((reply.rate() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn only_gaps_that_reach_into_the_time_count() {
        let sent = Instant::now();
        let at = |ms| sent + Duration::from_millis(ms);
        let reply = reply(sent, &[0, 500, 600, 900, 1000], 5);
        assert_eq!(reply.longest_gap(at(550), at(1000)), Duration::from_millis(300));
        assert_eq!(reply.longest_gap(at(400), at(700)), Duration::from_millis(500));
    }

    #[test]
    fn a_stall_that_lasts_to_the_end_counts() {
        let sent = Instant::now();
        let reply = reply(sent, &[0, 100], 2);
        let until = sent + Duration::from_millis(900);
        assert_eq!(reply.longest_gap(sent, until), Duration::from_millis(800));
    }

    #[test]
    fn an_answer_of_one_piece_cannot_be_measured() {
        assert!(reply(Instant::now(), &[1], 5).checked().is_err());
        assert!(reply(Instant::now(), &[1, 2], 5).checked().is_ok());
    }
}
