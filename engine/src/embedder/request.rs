//! A request for embeddings that is being served.

use tandem_proto::engine::{Embedded, Embedding};

use crate::intake::Ticket;

/// A text, in tokens.
#[derive(Debug)]
pub struct Text {
    /// At least one, and no more than a sequence can have.
    pub tokens: Vec<u32>,
    /// The text goes on behind them.
    pub truncated: bool,
}

/// The model computed something that is no embedding.
#[derive(Debug, thiserror::Error)]
#[error("the model computes embeddings that are not numbers")]
pub struct Broken;

/// The texts of one request, and the embeddings that are known so far.
#[derive(Debug)]
pub struct Request {
    /// The daemon's name for it.
    pub id: u64,
    normalize: bool,
    texts: Vec<Text>,
    embeddings: Vec<Embedding>,
    /// Texts without an embedding, by length in tokens.
    waiting: Vec<usize>,
    /// Embeddings that are being computed.
    computing: usize,
    broken: bool,
    answered: bool,
    _ticket: Option<Ticket>,
}

impl Request {
    /// A request for the embeddings of `texts`, which holds its place in the backlog while it lives.
    pub fn new(
        id: u64,
        normalize: bool,
        texts: Vec<Text>,
        ticket: impl Into<Option<Ticket>>,
    ) -> Self {
        let mut waiting: Vec<usize> = (0..texts.len()).collect();
        waiting.sort_by_key(|&text| texts.get(text).map_or(0, |text| text.tokens.len()));
        let embeddings = vec![Embedding::default(); texts.len()];
        Self {
            id,
            normalize,
            texts,
            embeddings,
            waiting,
            computing: 0,
            broken: false,
            answered: false,
            _ticket: ticket.into(),
        }
    }

    /// Texts that wait for a batch.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Tokens of a text.
    pub fn tokens(&self, text: usize) -> &[u32] {
        self.texts.get(text).map_or(&[], |text| &text.tokens)
    }

    /// Takes the longest waiting text of at most `room` tokens.
    pub fn take_longest(&mut self, room: usize) -> Option<usize> {
        let fitting = self.waiting.partition_point(|&text| self.tokens(text).len() <= room);
        let text = self.waiting.remove(fitting.checked_sub(1)?);
        self.computing += 1;
        Some(text)
    }

    /// The embedding of a text that was taken.
    pub fn put(&mut self, text: usize, values: &[f32]) {
        self.computing -= 1;
        self.broken |= values.is_empty() || !values.iter().all(|value| value.is_finite());
        let scale = if self.normalize { inverse_length(values) } else { 1.0 };
        if let (Some(embedding), Some(text)) = (self.embeddings.get_mut(text), self.texts.get(text))
        {
            *embedding = Embedding {
                values: values.iter().map(|value| value * scale).collect(),
                tokens: u32::try_from(text.tokens.len()).unwrap_or(u32::MAX),
                truncated: text.truncated,
            };
        }
    }

    /// The answer, once, when there is nothing left to compute.
    pub fn take_outcome(&mut self) -> Option<Result<Embedded, Broken>> {
        if self.answered || !self.waiting.is_empty() || self.computing > 0 {
            return None;
        }
        self.answered = true;
        if self.broken {
            return Some(Err(Broken));
        }
        let embeddings = std::mem::take(&mut self.embeddings);
        Some(Ok(Embedded { id: self.id, embeddings }))
    }

    /// Whether there is nothing left to do.
    pub fn is_answered(&self) -> bool {
        self.answered
    }
}

/// What scales a vector to length 1; one without a length stays as it is.
fn inverse_length(values: &[f32]) -> f32 {
    let square: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    #[allow(clippy::cast_possible_truncation, reason = "a factor for 32-bit numbers")]
    let factor = square.sqrt().recip() as f32;
    if factor.is_finite() { factor } else { 1.0 }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A request for texts of these lengths.
    pub fn request(lengths: &[usize]) -> Request {
        let text = |&length: &usize| Text { tokens: vec![0; length], truncated: length > 9 };
        Request::new(1, true, lengths.iter().map(text).collect(), None)
    }

    #[test]
    fn the_longest_text_that_fits_is_taken_first() {
        let mut request = request(&[3, 7, 5]);
        assert_eq!(request.take_longest(6), Some(2));
        assert_eq!(request.take_longest(6), Some(0));
        assert_eq!(request.take_longest(6), None);
        assert_eq!(request.take_longest(7), Some(1));
    }

    #[test]
    fn embeddings_come_in_the_order_of_the_texts_with_length_one() {
        let mut request = request(&[3, 10]);
        let (first, second) =
            (request.take_longest(99).unwrap(), request.take_longest(99).unwrap());
        request.put(first, &[3.0, 4.0]);
        assert!(request.take_outcome().is_none(), "one is missing");
        request.put(second, &[0.0, -2.0]);
        let embeddings = request.take_outcome().unwrap().unwrap().embeddings;
        assert_eq!(embeddings[0].values, [0.0, -1.0]);
        assert!(!embeddings[0].truncated);
        assert_eq!(embeddings[1].values, [0.6, 0.8]);
        assert_eq!((embeddings[1].tokens, embeddings[1].truncated), (10, true));
        assert!(request.is_answered() && request.take_outcome().is_none());
    }

    #[test]
    fn a_vector_without_length_stays_as_it_is() {
        let mut request = request(&[1]);
        let text = request.take_longest(1).unwrap();
        request.put(text, &[0.0, 0.0]);
        assert_eq!(request.take_outcome().unwrap().unwrap().embeddings[0].values, [0.0, 0.0]);
    }

    #[test]
    fn what_is_not_a_number_is_no_embedding() {
        for values in [&[f32::NAN, 1.0][..], &[f32::INFINITY], &[]] {
            let mut request = request(&[1]);
            let text = request.take_longest(1).unwrap();
            request.put(text, values);
            assert!(request.take_outcome().unwrap().is_err());
        }
    }
}
