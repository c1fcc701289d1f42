//! Whether two questions that look alike to an embedding model are the same question. Those models
//! hardly see a "not", a year, or who did what to whom, so they only propose; this decides.
//!
//! A question is reduced to its essence, a list of words in one spelling each: politeness and grammar
//! are left out, and everything that can make a difference stays, in its order. Two questions mean the
//! same when nothing is different. So a cache misses many paraphrases, and is seldom wrong.

mod literal;
mod number;
mod words;

/// Longest question that is compared, in bytes: embedding models read the beginning of a text only.
const BYTES_MAX: usize = 500;

/// Whether one answer serves both questions.
pub(super) fn mean_the_same(one: &str, other: &str) -> bool {
    is_comparable(one) && is_comparable(other) && essence(one) == essence(other)
}

/// Whether a question can be told from others: short, and of one line, as line breaks have a meaning.
pub(crate) fn is_comparable(question: &str) -> bool {
    question.len() <= BYTES_MAX && !question.trim().contains(['\n', '\r'])
}

/// What a question says, in words that are spelled in one way only.
fn essence(question: &str) -> Vec<String> {
    let words = spell(question);
    let mut words = replace(bare(&words), words::PHRASES);
    if words.first().is_some_and(|first| words::ASK_WHETHER.contains(&first.as_str())) {
        words.insert(0, "whether".to_owned());
    }
    words = put_circumstances_last(words);
    words.retain(|word| word != "," && !words::FILLERS.contains(&word.as_str()));
    let words =
        words.into_iter().map(|word| match words::SAME.iter().find(|(of, _)| *of == word) {
            Some((_, spelling)) => (*spelling).to_owned(),
            None => singular(word),
        });
    put_owners_first(words.collect())
}

/// The words without the politeness around them.
fn bare(mut words: &[String]) -> &[String] {
    let openings = || words::OPENINGS.iter().chain(words::COURTESIES);
    while let Some(rest) = openings().find_map(|phrase| after(words, phrase)) {
        words = rest;
    }
    while let Some(rest) = words::COURTESIES.iter().find_map(|phrase| before(words, phrase)) {
        words = rest;
    }
    words
}

/// The words of a question, in lower case, without contractions and punctuation but for commas. What
/// is quoted, code or an abbreviation stays as it is written.
fn spell(question: &str) -> Vec<String> {
    let shouted = !question.chars().any(char::is_lowercase);
    let mut words = Vec::new();
    for piece in literal::pieces(question) {
        match piece {
            literal::Piece::Quoted(text) => words.push(format!("\u{ab}{text}\u{bb}")),
            literal::Piece::Plain(text) => {
                for word in text.split_whitespace() {
                    spell_word(word, shouted, &mut words);
                }
            }
        }
    }
    words
}

fn spell_word(word: &str, shouted: bool, words: &mut Vec<String>) {
    let is_edge = |c: char| !c.is_alphanumeric() && !"+#%$\u{20ac}\u{a3}".contains(c);
    let bare = word.trim_matches(is_edge);
    let bare = if word.starts_with(['-', '.']) && bare.starts_with(|c: char| c.is_ascii_digit()) {
        word.trim_end_matches(is_edge)
    } else {
        bare
    };
    if bare.is_empty() {
        if !word.chars().all(|c| ",.;:!?()[]{}\"'\u{2013}\u{2014}-".contains(c)) {
            words.push(word.to_owned());
        }
    } else if let Some(number) = number::spell(bare) {
        words.extend(number);
    } else if literal::is_code(bare)
        || (!shouted && literal::is_abbreviation(bare, words.is_empty()))
    {
        words.push(bare.to_owned());
    } else {
        let lower = bare.to_lowercase().replace('\u{2019}', "'");
        for part in lower.split(['-', '\u{2013}', '/']).filter(|part| !part.is_empty()) {
            expand(part, words);
        }
    }
    if word.ends_with(',') {
        words.push(",".to_owned());
    }
}

/// Takes a contraction apart.
fn expand(word: &str, words: &mut Vec<String>) {
    if let Some((_, whole)) = words::CONTRACTIONS.iter().find(|(short, _)| *short == word) {
        words.extend(whole.split(' ').map(str::to_owned));
        return;
    }
    if let Some(verb) = word.strip_suffix("n't") {
        words.extend([verb.to_owned(), "not".to_owned()]);
        return;
    }
    let endings = [("'re", "are"), ("'m", "am"), ("'ve", "have"), ("'ll", "will"), ("'d", "would")];
    if let Some((stem, ending)) =
        endings.iter().find_map(|(ending, whole)| Some((word.strip_suffix(ending)?, whole)))
    {
        words.extend([stem.to_owned(), (*ending).to_owned()]);
        return;
    }
    match word.strip_suffix("'s") {
        Some(stem) if words::BEFORE_IS.contains(&stem) => {
            words.extend([stem.to_owned(), "is".to_owned()]);
        }
        Some(owner) => words.push(owner.to_owned()),
        None => words.push(word.trim_end_matches('\'').to_owned()),
    }
}

/// Puts the right words in the place of each phrase. Of several that begin alike the first one counts.
fn replace(words: &[String], phrases: &[(&str, &str)]) -> Vec<String> {
    let mut replaced = Vec::with_capacity(words.len());
    let mut rest = words;
    while let Some((first, behind)) = rest.split_first() {
        let found = phrases.iter().find_map(|(phrase, with)| Some((after(rest, phrase)?, with)));
        if let Some((behind, with)) = found {
            replaced.extend(with.split_whitespace().map(str::to_owned));
            rest = behind;
        } else {
            replaced.push(first.clone());
            rest = behind;
        }
    }
    replaced
}

/// What follows a phrase, if the words begin with it.
fn after<'a>(words: &'a [String], phrase: &str) -> Option<&'a [String]> {
    phrase.split(' ').try_fold(words, |words, expected| {
        words.split_first().filter(|(word, _)| *word == expected).map(|(_, rest)| rest)
    })
}

/// What precedes a phrase, if the words end with it.
fn before<'a>(words: &'a [String], phrase: &str) -> Option<&'a [String]> {
    phrase.rsplit(' ').try_fold(words, |words, expected| {
        words.split_last().filter(|(word, _)| *word == expected).map(|(_, rest)| rest)
    })
}

/// `in python, how …` becomes `how … in python`.
fn put_circumstances_last(mut words: Vec<String>) -> Vec<String> {
    let begins = words.first().is_some_and(|first| words::CIRCUMSTANCES.contains(&first.as_str()));
    if let (true, Some(comma)) = (begins, words.iter().position(|word| word == ",")) {
        words.rotate_left(comma + 1);
    }
    words
}

/// `capital of france` becomes `france capital`, which is what `france's capital` is by then.
fn put_owners_first(mut words: Vec<String>) -> Vec<String> {
    while let Some(of) = words.iter().rposition(|word| word == "of") {
        words.remove(of);
        let is_end = |word: &String| words::CIRCUMSTANCES.contains(&word.as_str());
        let end = words.iter().skip(of).position(is_end).map_or(words.len(), |length| of + length);
        if of > 0 {
            words[of - 1..end].rotate_left(1);
        }
    }
    words
}

/// English nouns and verbs without the ending `s`. What is no English word is as good with it as
/// without, as long as that is so wherever it stands.
fn singular(word: String) -> String {
    let is_word = word.len() > 3 && word.bytes().all(|b| b.is_ascii_lowercase());
    if !is_word || words::WITH_S.contains(&word.as_str()) {
        return word;
    }
    let stem = |ending: &str| word.strip_suffix(ending);
    if let Some(stem) = stem("ies").filter(|stem| stem.len() > 2) {
        return format!("{stem}y");
    }
    for ending in ["ches", "shes", "sses", "xes", "zes"] {
        if stem(ending).is_some() {
            return stem("es").unwrap_or(&word).to_owned();
        }
    }
    match stem("s") {
        Some(stem) if !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word,
    }
}

#[cfg(test)]
mod tests;
