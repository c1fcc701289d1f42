//! Many texts as requests that an engine takes, and their embeddings as one answer.

use tandem_proto::v1::Embedding;

/// Texts in one request to an engine.
const TEXTS_MAX: usize = 256;
/// Their bytes, unless one text alone has more. Small enough that others get their turn.
const BYTES_MAX: usize = 1 << 20;

/// What came of some texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embeddings {
    /// In the order of the texts.
    pub embeddings: Vec<Embedding>,
    /// Tokens that were read of all texts.
    pub tokens: u32,
}

impl Embeddings {
    /// Appends what came of the texts that follow.
    pub(super) fn extend(&mut self, more: Vec<Embedding>) {
        let tokens = more.iter().map(|embedding| embedding.tokens);
        self.tokens = tokens.fold(self.tokens, u32::saturating_add);
        self.embeddings.extend(more);
    }
}

/// Texts as requests of allowed size, in order.
pub(super) fn split(texts: Vec<String>) -> Vec<Vec<String>> {
    let mut requests: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        bytes += text.len();
        match requests.last_mut() {
            Some(last) if last.len() < TEXTS_MAX && bytes <= BYTES_MAX => last.push(text),
            _ => {
                bytes = text.len();
                requests.push(vec![text]);
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_the_order_and_pass_no_limit() {
        let lengths = (0..700).map(|number| number * 7919 % 50_000);
        let texts: Vec<String> = lengths.map(|length| "x".repeat(length)).collect();
        let requests = split(texts.clone());
        assert!(requests.len() > 10, "{}", requests.len());
        for request in &requests {
            assert!(request.len() <= TEXTS_MAX);
            assert!(request.iter().map(String::len).sum::<usize>() <= BYTES_MAX);
        }
        assert_eq!(requests.concat(), texts);
        assert_eq!(split(vec![String::new(); 257]).len(), 2);
    }

    #[test]
    fn a_text_above_the_limit_is_a_request_of_its_own() {
        let texts = ["a".to_owned(), "b".repeat(BYTES_MAX + 1), "c".to_owned()];
        assert_eq!(split(Vec::from(texts)).len(), 3);
        assert!(split(Vec::new()).is_empty());
    }

    #[test]
    fn answers_are_joined_and_their_tokens_summed() {
        let embedding = |tokens| Embedding { tokens, ..Embedding::default() };
        let mut all = Embeddings::default();
        all.extend(vec![embedding(3)]);
        all.extend(vec![embedding(4), embedding(5)]);
        assert_eq!((all.embeddings.len(), all.tokens), (3, 12));
    }
}
