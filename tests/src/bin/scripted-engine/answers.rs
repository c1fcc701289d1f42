//! Answers to questions about tokens, where a word is a token.

/// Words by the number that stands for them.
#[derive(Debug)]
pub(crate) struct Vocabulary(Vec<String>);

impl Vocabulary {
    /// The words of the answer have the first numbers, in order, even where they repeat.
    pub(crate) fn new(answer: &[String]) -> Self {
        Self(answer.to_vec())
    }

    /// The numbers of a text's words; new words get new numbers.
    pub(crate) fn tokens(&mut self, text: &str) -> Vec<u32> {
        let number = |word: &str| {
            self.0.iter().position(|known| known == word).unwrap_or_else(|| {
                self.0.push(word.to_owned());
                self.0.len() - 1
            })
        };
        text.split_whitespace().map(number).map(|number| u32::try_from(number).unwrap()).collect()
    }

    /// The words with spaces between them.
    pub(crate) fn text(&self, tokens: &[u32]) -> String {
        let word = |token: &u32| self.0.get(*token as usize).map_or("?", String::as_str);
        tokens.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Length of a text in tokens.
pub(crate) fn count(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().count()).unwrap()
}
