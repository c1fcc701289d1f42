//! A question on its way, and the answer with everything that was said about it.

use tandem_client::Client;
use tandem_proto::v1::ask_event::Event;
use tandem_proto::v1::{AskEvent, AskRequest, Done, NoticeKind, Queued, Routed, Track, TrackDone};
use tonic::{IntoRequest, Streaming};

use crate::{Failure, soon};

/// A question with nothing else set.
pub fn question(prompt: &str) -> AskRequest {
    AskRequest { prompt: prompt.to_owned(), ..AskRequest::default() }
}

/// A question whose answer is arriving. Dropping it cancels the answer.
#[derive(Debug)]
pub struct Asking {
    stream: Streaming<AskEvent>,
    answer: Answer,
    over: bool,
}

/// An answer, or as much of it as came, and why no more did.
#[derive(Debug, Default)]
pub struct Answer {
    /// In the order in which they came; without gaps, the first a [`Routed`], or [`Queued`] before it.
    pub events: Vec<Event>,
    /// All deltas.
    pub text: String,
    /// Set when the answer did not end with [`Done`].
    pub error: Option<Failure>,
}

impl Asking {
    /// Asks. Fails when the question is refused at once.
    pub async fn begin(
        client: &Client,
        request: impl IntoRequest<AskRequest>,
    ) -> Result<Self, Failure> {
        let stream = soon("a question to be accepted", client.assistant().ask(request)).await?;
        Ok(Self { stream: stream.into_inner(), answer: Answer::default(), over: false })
    }

    /// Waits until the answer has at least `bytes` bytes, or has ended.
    pub async fn until_text(&mut self, bytes: usize) -> &Answer {
        while !self.over && self.answer.text.len() < bytes {
            self.next().await;
        }
        &self.answer
    }

    /// Waits until it was told that this is its place in the queue, or has ended.
    pub async fn until_place(&mut self, position: u32) -> &Answer {
        while !self.over && self.answer.places().last() != Some(&position) {
            self.next().await;
        }
        &self.answer
    }

    /// Waits for the end.
    pub async fn finish(mut self) -> Answer {
        while !self.over {
            self.next().await;
        }
        self.answer
    }

    async fn next(&mut self) {
        match soon("the next event of an answer", self.stream.message()).await {
            Ok(Some(AskEvent { number, event })) => {
                let event = event.expect("an event of a known kind");
                let answer = &mut self.answer;
                assert_eq!(number, answer.events.len() as u64, "numbers have no gaps");
                let begins = matches!(event, Event::Queued(_) | Event::Routed(_));
                assert_eq!(
                    answer.routed().is_none(),
                    begins,
                    "Routed comes first, behind nothing but Queued: {event:?}"
                );
                assert_eq!(answer.done(), None, "Done is the last event: {event:?}");
                if let Event::Delta(delta) = &event {
                    answer.text.push_str(&delta.text);
                }
                answer.events.push(event);
            }
            Ok(None) => {
                assert!(self.answer.done().is_some(), "ended without Done: {:?}", self.answer);
                self.over = true;
            }
            Err(status) => {
                assert_eq!(self.answer.done(), None, "failed after Done: {status}");
                self.answer.error = Some(status.into());
                self.over = true;
            }
        }
    }
}

impl Answer {
    /// The answer of a question that was refused.
    pub(crate) fn refused(error: Failure) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    /// The text of an answer that is complete: that of the track that counts.
    pub fn complete(&self) -> String {
        assert_eq!(self.error, None, "the answer is not complete: {self:?}");
        let counts = self.done().map(Done::track);
        counts.map(|track| self.said_by(track)).unwrap_or_default()
    }

    /// What a track has said and not taken back.
    pub fn said_by(&self, track: Track) -> String {
        let mut text = String::new();
        for event in &self.events {
            match event {
                Event::Delta(delta) if delta.track() == track => text.push_str(&delta.text),
                Event::Superseded(superseded) if superseded.track() == track => text.clear(),
                _ => {}
            }
        }
        text
    }

    /// The error of an answer that is not complete.
    pub fn failure(&self) -> &Failure {
        self.error.as_ref().unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    /// Its places in the queue, as far as they were told.
    pub fn places(&self) -> Vec<u32> {
        let place = |event: &Event| match event {
            Event::Queued(Queued { position, .. }) => Some(*position),
            _ => None,
        };
        self.events.iter().filter_map(place).collect()
    }

    /// How it was routed.
    pub fn routed(&self) -> Option<&Routed> {
        self.events.iter().find_map(|event| match event {
            Event::Routed(routed) => Some(routed),
            _ => None,
        })
    }

    /// The facts about the track that answered last.
    pub fn track_done(&self) -> Option<&TrackDone> {
        self.events.iter().rev().find_map(|event| match event {
            Event::TrackDone(done) => Some(done),
            _ => None,
        })
    }

    /// Its regular end.
    pub fn done(&self) -> Option<&Done> {
        self.events.iter().find_map(|event| match event {
            Event::Done(done) => Some(done),
            _ => None,
        })
    }

    /// What notices of this kind say.
    pub fn notices(&self, kind: NoticeKind) -> Vec<&str> {
        let of_this_kind = self.events.iter().filter_map(|event| match event {
            Event::Notice(notice) if notice.kind() == kind => Some(notice.message.as_str()),
            _ => None,
        });
        of_this_kind.collect()
    }
}
