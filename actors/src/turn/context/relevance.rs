//! How much each turn of a conversation has to do with a question: BM25 over the turns.

use std::collections::{BTreeSet, HashMap};

/// How soon a word that comes again counts for less.
const SATURATION: f64 = 1.2;
/// How much long turns are held back.
const LENGTH_WEIGHT: f64 = 0.75;
/// From here on scripts are written without spaces, and each character is taken for a word.
const UNSPACED_FROM: char = '\u{2e80}';

/// A score for each text, 0 when it shares no word with the question but those that most texts have.
pub(in crate::turn) fn scores(question: &str, texts: &[String]) -> Vec<f64> {
    // Sorted, so that sums are the same each time.
    let asked: BTreeSet<String> = words(question).collect();
    let texts: Vec<Counted> = texts.iter().map(|text| Counted::new(text, &asked)).collect();
    let count = as_f64(texts.len());
    let mean = texts.iter().map(|text| as_f64(text.words)).sum::<f64>() / count.max(1.0);
    let rare: Vec<(&String, f64)> = asked
        .iter()
        .filter_map(|word| {
            let with = texts.iter().filter(|text| text.found.contains_key(word)).count();
            let rarity = ((count - as_f64(with) + 0.5) / (as_f64(with) + 0.5)).ln();
            // A word of half of the texts tells nothing. In a few texts no word is rare.
            let telling = if texts.len() < 4 { rarity.max(0.1) } else { rarity };
            (with > 0 && telling > 0.0).then_some((word, telling))
        })
        .collect();
    let score = |text: &Counted| {
        let long = 1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * as_f64(text.words) / mean.max(1.0);
        let of = |(word, rarity): &(&String, f64)| {
            let times = as_f64(text.found.get(*word).copied().unwrap_or_default());
            rarity * times * (SATURATION + 1.0) / (times + SATURATION * long)
        };
        rare.iter().map(of).sum()
    };
    texts.iter().map(score).collect()
}

/// A text, as far as the question goes.
#[derive(Debug)]
struct Counted {
    words: usize,
    found: HashMap<String, usize>,
}

impl Counted {
    fn new(text: &str, asked: &BTreeSet<String>) -> Self {
        let mut counted = Self { words: 0, found: HashMap::new() };
        for word in words(text) {
            counted.words += 1;
            if asked.contains(&word) {
                *counted.found.entry(word).or_default() += 1;
            }
        }
        counted
    }
}

/// Words in lower case, without punctuation.
pub(in crate::turn) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .flat_map(|run| {
            let unspaced = |c: char| c >= UNSPACED_FROM;
            run.split_inclusive(unspaced).flat_map(move |piece| {
                let spaced = piece.trim_end_matches(unspaced);
                [spaced, &piece[spaced.len()..]]
            })
        })
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[allow(clippy::cast_precision_loss, reason = "numbers of words are far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(question: &str, texts: &[&str]) -> Option<usize> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let scores = scores(question, &texts);
        let best = (0..texts.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]))?;
        (scores[best] > 0.0).then_some(best)
    }

    const TEXTS: [&str; 6] = [
        "My cat is called Felix, and he is seven.",
        "The weather is nice. It is the best of the week.",
        "The door code of the cabin is 4711.",
        "What is the time? It is noon.",
        "東京は日本の首都です。",
        "What is the sum? It is the same.",
    ];

    #[test]
    fn a_question_finds_the_text_with_its_rare_words() {
        assert_eq!(best("What is the code of the door?", &TEXTS), Some(2));
        assert_eq!(best("How old is FELIX?", &TEXTS), Some(0));
        assert_eq!(best("日本の首都", &TEXTS), Some(4));
    }

    #[test]
    fn words_that_most_texts_have_find_nothing() {
        assert_eq!(best("What is the?", &TEXTS[1..4]), Some(2), "in a few texts they may");
        assert_eq!(best("is", &TEXTS), None);
        assert_eq!(best("zebra", &TEXTS), None);
        assert_eq!(best("", &TEXTS), None);
        assert_eq!(best("anything", &[]), None);
    }

    #[test]
    fn words_end_where_letters_end_and_where_scripts_change() {
        let split: Vec<_> = words("Ada's e-mail: ada_l, 東京x 5%").collect();
        assert_eq!(split, ["ada", "s", "e", "mail", "ada", "l", "東", "京", "x", "5"]);
    }
}
