//! What is measured of a question. Nothing depends on white space, on the order of options or on how
//! they are marked.

use crate::kind::{self, Kind};
use crate::options::{self, Parts};
use crate::text::{self, Text};
use crate::vocabulary::{self, CLASSES, Class, SUBJECTS, classes, pair};

pub(crate) mod tally;
mod token;

use tally::Tally;

/// Buckets for words and pairs of neighbours, as a power of two.
pub(crate) const BUCKET_BITS: u32 = 15;
/// Marks words of the last sentence.
const ASKED: u64 = 0x6173_6b65_6400_0000;
/// From here on, words of a subject, measured against the length of a question, name what it is about.
const SUBJECT_SHARE: f32 = 0.4;
/// The number of buckets.
pub(crate) const BUCKETS: usize = 1 << BUCKET_BITS;

/// Declares the measures and how a sentence says that one of them is high.
macro_rules! measures {
    ($($name:ident: $words:literal),* $(,)?) => {
        /// What is counted beside words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Measure { $($name),* }
        const MEASURE_WORDS: [&str; [$(Measure::$name),*].len()] = [$($words),*];
    };
}

measures! {
    Length: "its length",
    Words: "its number of words",
    Sentences: "its number of sentences",
    WordLength: "its long words",
    LongWords: "its share of long words",
    Numbers: "the numbers in it",
    NumberShare: "its share of numbers",
    DistinctNumbers: "the different numbers in it",
    Digits: "large numbers",
    Fractions: "decimals and fractions",
    Percents: "percentages",
    Money: "amounts of money",
    Operators: "operators",
    Formulas: "formulas",
    Variables: "variables",
    Questions: "several questions at once",
    Commas: "its many clauses",
    Quotes: "quotations",
    Brackets: "brackets",
    Names: "names",
    Capitals: "words in capitals",
    Blanks: "a blank to be filled",
    EndsAsQuestion: "that it ends with a question mark",
    CodeMarks: "code in it",
    ForeignLetters: "letters beyond English",
    Variety: "its varied words",
    Sizes: "the length of its sentences",
    Omitted: "its great length",
    Options: "its number of options",
    OptionLength: "its long options",
    OptionLongest: "its longest option",
    OptionSpread: "options of different length",
    OptionNumbers: "options that are numbers",
    OptionSummary: "options such as `all of the above`",
    OptionEcho: "options that repeat the question",
    OptionLikeness: "options that are alike",
    OptionVariety: "the varied words of its options",
    OptionShare: "how much of it is options",
}

/// Measures and, behind them, classes of words.
pub(crate) const DENSE: usize = MEASURE_WORDS.len() + CLASSES;

/// The place of a class of words.
pub(crate) const fn class_place(class: Class) -> usize {
    MEASURE_WORDS.len() + class as usize
}

/// How a sentence names what is measured at `place`.
pub(crate) fn name(place: usize) -> String {
    let class = || vocabulary::name(place - MEASURE_WORDS.len());
    MEASURE_WORDS.get(place).map_or_else(class, |words| (*words).to_owned())
}

/// A question, measured.
#[derive(Debug, Clone)]
pub struct Features {
    /// Which head scores it.
    pub(crate) kind: Kind,
    pub(crate) dense: [f32; DENSE],
    /// Buckets of words and pairs that occur, each once, and whether to count it as negative.
    pub(crate) buckets: Vec<(u16, bool)>,
}

impl Features {
    /// Measures a question. Of a long one, head and tail are looked at.
    #[must_use]
    pub fn of(prompt: &str) -> Self {
        let Text { text, omitted } = text::normalise(prompt);
        let parts = options::split(&text);
        let mut words = Words::new();
        let stem = Tally::of(parts.stem, |key| words.add(key));
        // What is asked for counts once more, apart from what is told before.
        Tally::of(last_sentence(parts.stem), |key| words.add(pair(ASKED, key)));
        let options: Vec<Tally> =
            parts.options.iter().map(|option| Tally::of(option, |key| words.add(key))).collect();
        let mut dense = [0.0; DENSE];
        measure(&mut dense, &parts, &stem, &options);
        set(&mut dense, Measure::Omitted, (omitted as f32 / 1024.0).ln_1p());
        Self { kind: kind::of(&parts, &stem), dense, buckets: words.buckets }
    }

    /// The kind of task that it is taken for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What each bucket weighs, so that long and short questions compare.
    pub(crate) fn bucket_weight(&self) -> f32 {
        1.0 / (self.buckets.len().max(8) as f32).sqrt()
    }

    /// What it is about, when many of its words say so.
    pub(crate) fn subject(&self) -> Option<&'static str> {
        let share = |class: Class| self.dense[class_place(class)];
        let (class, name) = SUBJECTS.iter().max_by(|a, b| share(a.0).total_cmp(&share(b.0)))?;
        (share(*class) >= SUBJECT_SHARE).then_some(*name)
    }
}

/// The set of words and pairs of a question.
pub(crate) struct Words {
    seen: Box<[u64; BUCKETS / 64]>,
    buckets: Vec<(u16, bool)>,
}

impl Words {
    fn new() -> Self {
        Self { seen: Box::new([0; BUCKETS / 64]), buckets: Vec::with_capacity(256) }
    }

    pub(crate) fn add(&mut self, key: u64) {
        let mixed = (key ^ key >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bucket = mixed >> (64 - BUCKET_BITS);
        let (word, bit) = ((bucket / 64) as usize, 1 << (bucket % 64));
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.buckets.push((bucket as u16, mixed & 1 == 1));
        }
    }
}

/// The last sentence of what is asked, most often the question itself.
fn last_sentence(stem: &str) -> &str {
    let body = stem.trim_end_matches(['.', '?', '!', ' ', ':', '"']);
    let is_end = |(place, _): &(usize, &str)| {
        body.get(place + 1..).is_some_and(|rest| rest.starts_with([' ', '\n']))
    };
    let end = body.rmatch_indices(['.', '?', '!']).find(is_end);
    end.and_then(|(place, _)| body.get(place + 1..)).unwrap_or(body)
}

fn set(dense: &mut [f32; DENSE], measure: Measure, value: f32) {
    dense[measure as usize] = value;
}

fn measure(dense: &mut [f32; DENSE], parts: &Parts<'_>, stem: &Tally, options: &[Tally]) {
    let log = |count: usize| (count as f32).ln_1p();
    let share = |part: usize, whole: usize| part as f32 / whole.max(1) as f32;
    let all = options.iter().fold(stem.clone(), Tally::plus);
    set(dense, Measure::Length, log(stem.letters));
    set(dense, Measure::Words, log(stem.words));
    set(dense, Measure::Sentences, log(stem.sentences));
    set(dense, Measure::WordLength, share(all.word_letters, all.words));
    set(dense, Measure::LongWords, share(all.long_words, all.words));
    set(dense, Measure::Numbers, log(stem.numbers));
    set(dense, Measure::NumberShare, share(all.numbers, all.words + all.numbers));
    set(dense, Measure::DistinctNumbers, log(stem.distinct_numbers()));
    set(dense, Measure::Digits, stem.digits_max as f32);
    set(dense, Measure::Fractions, log(all.fractions));
    set(dense, Measure::Percents, log(all.percents));
    set(dense, Measure::Money, log(stem.money));
    set(dense, Measure::Operators, log(all.operators));
    set(dense, Measure::Formulas, log(all.formulas));
    set(dense, Measure::Variables, log(all.variables));
    set(dense, Measure::Questions, log(stem.questions));
    set(dense, Measure::Commas, log(stem.commas));
    set(dense, Measure::Quotes, log(stem.quotes));
    set(dense, Measure::Brackets, log(all.brackets));
    set(dense, Measure::Names, log(stem.names));
    set(dense, Measure::Capitals, log(stem.capitals));
    set(dense, Measure::Blanks, f32::from(parts.stem.contains("__")));
    set(dense, Measure::EndsAsQuestion, f32::from(parts.stem.ends_with('?')));
    set(dense, Measure::CodeMarks, log(kind::code_marks(parts.stem)));
    set(dense, Measure::ForeignLetters, share(all.foreign, all.word_letters));
    set(dense, Measure::Variety, share(stem.distinct_words(), stem.words));
    set(dense, Measure::Sizes, share(stem.words, stem.sentences.max(1)).ln_1p());
    if !options.is_empty() {
        measure_options(dense, parts, stem, options);
    }
    for (class, &count) in all.classes.iter().enumerate() {
        let is_subject = SUBJECTS.iter().any(|(subject, _)| *subject as usize == class);
        dense[MEASURE_WORDS.len() + class] = if is_subject {
            f32::from(count) / (all.words.max(4) as f32).sqrt()
        } else {
            f32::from(count).ln_1p()
        };
    }
}

fn measure_options(dense: &mut [f32; DENSE], parts: &Parts<'_>, stem: &Tally, options: &[Tally]) {
    let number = options.len() as f32;
    let letters: Vec<f32> = options.iter().map(|option| option.letters as f32).collect();
    let (total, longest) = letters.iter().fold((0.0, 0.0_f32), |(s, m), &l| (s + l, m.max(l)));
    let shortest = letters.iter().copied().fold(longest, f32::min);
    let mean = |of: &dyn Fn(&Tally) -> f32| options.iter().map(of).sum::<f32>() / number;
    let summaries = parts.options.iter().filter(|option| is_summary(option)).count();
    let mut pairs = 0.0;
    for (i, one) in options.iter().enumerate() {
        pairs += options.iter().skip(i + 1).map(|other| one.likeness(other)).sum::<f32>();
    }
    set(dense, Measure::Options, number);
    set(dense, Measure::OptionLength, (total / number).ln_1p());
    set(dense, Measure::OptionLongest, longest.ln_1p());
    set(dense, Measure::OptionSpread, (longest - shortest) / (total / number).max(1.0));
    set(
        dense,
        Measure::OptionNumbers,
        mean(&|option| {
            f32::from(u8::from(option.numbers > 0 && option.numbers * 2 >= option.words))
        }),
    );
    set(dense, Measure::OptionSummary, summaries as f32);
    set(dense, Measure::OptionEcho, mean(&|option| option.contained_in(stem)));
    set(dense, Measure::OptionLikeness, pairs / (number * (number - 1.0) / 2.0).max(1.0));
    set(dense, Measure::OptionVariety, mean(&|option| (option.distinct_words() as f32).ln_1p()));
    set(dense, Measure::OptionShare, total / (total + stem.letters as f32).max(1.0));
}

fn is_summary(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["of the above", "of these", "both ", "neither", "all of the", "none of the"]
        .iter()
        .any(|words| option.contains(words))
}

/// The bits of the classes of `key`, added to counts.
pub(crate) fn count_classes(counts: &mut [u16; CLASSES], key: u64) {
    let mut bits = classes(key);
    while bits != 0 {
        let class = bits.trailing_zeros() as usize;
        counts[class] = counts[class].saturating_add(1);
        bits &= bits - 1;
    }
}
