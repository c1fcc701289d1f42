//! Text of a wanted length that reads like English and is the same for the same seed.

const SUBJECTS: [&str; 10] = [
    "The old harbour",
    "A careful engineer",
    "Our northern neighbour",
    "The town library",
    "Every spring the river",
    "A letter from the south",
    "The second expedition",
    "This small museum",
    "The railway company",
    "A patient gardener",
];
const VERBS: [&str; 10] = [
    "describes",
    "repairs",
    "remembers",
    "collects",
    "explains",
    "protects",
    "replaces",
    "measures",
    "imagines",
    "carries",
];
const OBJECTS: [&str; 10] = [
    "seven wooden bridges",
    "the history of paper",
    "a map of the coast",
    "several quiet gardens",
    "the weather of last autumn",
    "an engine without a name",
    "letters that nobody sent",
    "the light above the valley",
    "two kinds of green glass",
    "the price of good tools",
];
const ENDINGS: [&str; 10] = [
    "before the first snow falls",
    "with great patience",
    "although nobody asked for it",
    "near the market square",
    "for the third time this year",
    "in the company of friends",
    "as the records of 1884 show",
    "while the ships are away",
    "because the roof was leaking",
    "without any help from the city",
];

/// Words in an order that a seed decides.
#[derive(Debug)]
struct Prose(u64);

impl Prose {
    fn pick(&mut self, words: &[&'static str; 10]) -> &'static str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        words[(self.0 >> 33) as usize % words.len()]
    }

    fn sentence(&mut self) -> String {
        let subject = self.pick(&SUBJECTS);
        let verb = self.pick(&VERBS);
        let object = self.pick(&OBJECTS);
        format!("{subject} {verb} {object} {}.", self.pick(&ENDINGS))
    }
}

/// This many sentences; different seeds differ from the first words on.
pub(super) fn sentences(seed: u64, count: usize) -> String {
    let mut prose = Prose(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut text = format!("Number {seed}.");
    for _ in 0..count {
        text.push(' ');
        text.push_str(&prose.sentence());
    }
    text
}

/// Knows how long sentences are for a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ruler {
    tokens_per_sentence: f64,
}

impl Ruler {
    /// Sentences whose tokens are counted to make a ruler.
    pub(super) const SAMPLE: usize = 200;

    /// A ruler for a model that has this many tokens for [`Self::SAMPLE`] sentences.
    pub(super) fn new(tokens: u32) -> Self {
        Self { tokens_per_sentence: f64::from(tokens) / Self::SAMPLE as f64 }
    }

    /// A text of about this many tokens.
    pub(super) fn text(self, seed: u64, tokens: u32) -> String {
        let count = f64::from(tokens) / self.tokens_per_sentence;
        sentences(seed, (count.round() as usize).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_for_the_same_seed_only() {
        assert_eq!(sentences(1, 20), sentences(1, 20));
        assert_ne!(sentences(1, 20), sentences(2, 20));
    }

    #[test]
    fn a_text_is_as_long_as_the_ruler_says() {
        let ruler = Ruler::new(15 * Ruler::SAMPLE as u32);
        assert_eq!(ruler.text(3, 150).matches('.').count(), 1 + 10);
        assert_eq!(ruler.text(3, 1).matches('.').count(), 1 + 1);
    }
}
