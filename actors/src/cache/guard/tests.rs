#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// Pairs of questions, and whether one answer serves both.
fn labelled() -> Vec<Pair> {
    let file = include_str!("../../../../tests/golden/questions.tsv");
    let pair = |line: &'static str| {
        let [label, cosine, one, other] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Pair { same: label == "same", cosine: cosine.parse().unwrap(), one, other }
    };
    file.lines().filter(|line| !line.starts_with('#')).map(pair).collect()
}

struct Pair {
    same: bool,
    /// Of their embeddings by all-MiniLM-L6-v2.
    cosine: f64,
    one: &'static str,
    other: &'static str,
}

/// In percent: how many of the pairs that are the same hit, and how many of the hits are right, where
/// a cosine from `least` on is a hit.
fn recall_and_precision(least: f64, guarded: bool) -> [u64; 2] {
    let hits =
        |pair: &Pair| pair.cosine >= least && (!guarded || mean_the_same(pair.one, pair.other));
    let (same, different): (Vec<_>, Vec<_>) = labelled().into_iter().partition(|pair| pair.same);
    let right = same.iter().filter(|pair| hits(pair)).count() as u64;
    let wrong = different.iter().filter(|pair| hits(pair)).count() as u64;
    [100 * right / same.len() as u64, 100 * right / (right + wrong)]
}

/// The table of docs/caches.md: least cosine, then recall and precision without and with the guard.
#[test]
fn similarity_alone_is_no_judge_and_with_the_guard_no_hit_is_false() {
    let measured = [0.8, 0.85, 0.9, 0.95, 0.98].map(|least| {
        (least, recall_and_precision(least, false), recall_and_precision(least, true))
    });
    let expected = [
        (0.8, [97, 52], [60, 100]),
        (0.85, [91, 55], [58, 100]),
        (0.9, [84, 59], [55, 100]),
        (0.95, [61, 67], [40, 100]),
        (0.98, [29, 66], [21, 100]),
    ];
    assert_eq!(measured, expected);
}

#[test]
fn no_labelled_pair_of_different_questions_is_taken_for_the_same() {
    let (same, different): (Vec<_>, Vec<_>) = labelled().into_iter().partition(|pair| pair.same);
    assert!(same.len() > 100 && different.len() > 100);
    for Pair { one, other, .. } in different {
        assert!(!mean_the_same(one, other), "{one:?} and {other:?}: {:?}", essence(one));
    }
    let found = same.iter().filter(|pair| mean_the_same(pair.one, pair.other)).count();
    assert!(2 * found > same.len(), "only {found} of {} paraphrases are found", same.len());
}

#[test]
fn the_essence_has_every_word_that_makes_a_difference() {
    for (question, expected) in [
        ("Could you please tell me what the capital of France is?", "france capital"),
        ("Can't I use 5kg of flour?", "whether can not use 5 flour kg"),
        ("In Rust, how do I read a file?", "how read file in rust"),
        ("What is the name of the capital of Peru?", "peru capital name"),
        ("Does `a` call HashMap::new?", "whether \u{ab}a\u{bb} call HashMap::new"),
        ("Is the WHO right?", "whether WHO right"),
        ("WHO IS RIGHT?", "who right"),
        ("Apakah aku tidak boleh makan?", "whether saya not boleh makan"),
        ("It's 1,000 miles, isn't it?", "it 1000 mile not it"),
    ] {
        assert_eq!(essence(question).join(" "), expected, "{question}");
    }
}

/// What the guard was once fooled by.
#[test]
fn words_of_politeness_and_grammar_count_where_they_mean_something() {
    for (one, other) in [
        ("Is hepatitis A curable?", "Is hepatitis curable?"),
        ("What is plan A?", "What is the plan?"),
        ("Is there a doctor?", "Is the doctor there?"),
        ("How to explain love?", "How to love?"),
        ("How do I say hello in Thai?", "How do I say thanks in Thai?"),
        ("How do I write please in Latin?", "How do I write in Latin?"),
        ("Is well water safe?", "Is water safe?"),
        ("Do cats that like dogs bite?", "Do cats like dogs that bite?"),
        ("How can I just win?", "How can I win?"),
        ("Is it okay to run?", "Is it to run?"),
    ] {
        assert!(!mean_the_same(one, other), "{one:?} and {other:?}: {:?}", essence(one));
    }
    for (one, other) in [
        ("Hello, please tell me how to say hello, thank you", "how do I say hello?"),
        ("A man, a plan?", "the man, the plan"),
        ("So, how many are there in all?", "How many are in all?"),
    ] {
        assert!(mean_the_same(one, other), "{:?} and {:?}", essence(one), essence(other));
    }
}

#[test]
fn long_questions_and_those_of_several_lines_are_not_compared() {
    let long = "word ".repeat(101);
    assert!(!mean_the_same(&long, &long));
    assert!(!mean_the_same("a\nb", "a\nb"));
    assert!(mean_the_same("a b\n", "a b"));
}

/// Changes of one word that turn a question into another one.
#[test]
fn a_word_that_is_swapped_added_or_left_out_makes_another_question() {
    let question = ["will", "ferry", "5", "carry", "old", "trucks", "before", "noon"];
    let whole = question.join(" ");
    for (at, word) in question.iter().enumerate() {
        let mut without = question.to_vec();
        without.remove(at);
        assert!(!mean_the_same(&whole, &without.join(" ")), "without {word}");
        for other in ["not", "never", "6", "Paris", "no", "tidak", "after"] {
            let mut changed = question.to_vec();
            changed[at] = other;
            assert!(!mean_the_same(&whole, &changed.join(" ")), "{other} for {word}");
            changed[at] = word;
            changed.insert(at, other);
            assert!(!mean_the_same(&whole, &changed.join(" ")), "{other} before {word}");
        }
        for with in at + 1..question.len() {
            let mut swapped = question.to_vec();
            swapped.swap(at, with);
            assert!(!mean_the_same(&whole, &swapped.join(" ")), "{word} swapped");
        }
    }
}

proptest! {
    #[test]
    fn any_text_means_the_same_as_itself_and_judging_is_symmetric(
        one in "\\PC{0,80}", other in "\\PC{0,80}",
    ) {
        prop_assert!(mean_the_same(&one, &one));
        prop_assert_eq!(mean_the_same(&one, &other), mean_the_same(&other, &one));
    }

    #[test]
    fn numbers_make_a_difference_wherever_they_stand(
        words in prop::collection::vec("[b-z]{4,8}", 1..6), a in 2_u32..9999, b in 2_u32..9999,
        at: prop::sample::Index,
    ) {
        prop_assume!(a != b);
        let with = |number: u32| {
            let mut words = words.clone();
            words.insert(at.index(words.len() + 1), number.to_string());
            words.join(" ")
        };
        prop_assert!(!mean_the_same(&with(a), &with(b)));
        prop_assert!(!mean_the_same(&with(a), &words.join(" ")));
    }

    #[test]
    fn a_negation_makes_a_difference_wherever_it_stands(
        words in prop::collection::vec("[b-z]{4,8}", 1..6), at: prop::sample::Index,
        no in prop::sample::select(vec![
            "not", "never", "no", "without", "none", "cannot", "don't", "tidak", "bukan", "jangan",
            "belum", "tanpa", "gak",
        ]),
    ) {
        let mut negated = words.clone();
        negated.insert(at.index(words.len() + 1), no.to_owned());
        prop_assert!(!mean_the_same(&negated.join(" "), &words.join(" ")));
    }
}
