//! The weights that come with tandem: what they say about everyday questions, and that the form of a
//! question does not change its score.

#![allow(clippy::unwrap_used, reason = "tests")]

use tandem_router::{Features, Kind, Scorer};

fn value(prompt: &str) -> f64 {
    Scorer::shipped().value(&Features::of(prompt))
}

/// Below the threshold that tandem comes with, by a margin.
const EASY: [&str; 22] = [
    "Hello!",
    "Good morning, how are you?",
    "thanks, that helps",
    "What is the capital of France?",
    "What does RSVP stand for?",
    "Who wrote Don Quixote?",
    "What time is it in Oslo?",
    "What is the meaning of the word serendipity?",
    "Give me a synonym for happy",
    "Write a haiku about the sea",
    "Tell me a joke",
    "Translate 'good night' into Spanish",
    "Correct the grammar of: he go to school yesterday",
    "Suggest a name for my cat",
    "Halo, apa kabar?",
    "Terima kasih banyak",
    "Apa ibu kota Indonesia?",
    "Siapa presiden pertama Indonesia?",
    "Apa arti kata gotong royong?",
    "Buatkan pantun tentang hujan",
    "Terjemahkan 'selamat pagi' ke bahasa Inggris",
    "Siapa nama penulis Laskar Pelangi?",
];

/// Above every easy one.
const HARD: [&str; 20] = [
    "Prove that the square root of 2 is irrational",
    "Prove step by step that the derivative of this polynomial has a root",
    "Derive the equation of motion of a double pendulum and justify each step",
    "Find all integer solutions of the equation x^2 - 7y^2 = 1 and prove that there are no others",
    "Implement a lock-free queue in Rust and explain why it has no race condition",
    "Refactor this code so that it is thread safe:\n```python\ndef add(x):\n    total.append(x)\n    return sum(total)\n```",
    "Design the architecture of a scalable chat service for 10 million users and compare two databases for it",
    "Debug this deadlock: two threads hold a mutex each and wait for the other. Propose a design that avoids it.",
    "Compare the legal strategies of both parties in detail, evaluate the trade-offs and justify which one should win",
    "Analyze the root cause of this outage step by step and write a comprehensive plan to prevent it",
    "A logic puzzle: three boxes hold gold, silver and nothing. Exactly one statement on them is true. If box A \
     says it is empty and box B says that A lies, which one has gold? Explain your reasoning step by step.",
    "Optimize this SQL query and explain why the index is not used: SELECT * FROM orders WHERE lower(name) = 'x'",
    "Evaluate critically whether induction can be justified without circular reasoning",
    "A train leaves at 9:40 with 120 km/h, another one 25 minutes later with 150 km/h. When does the second one \
     overtake the first, how far have both travelled by then, and how would the result change with a stop of 10 minutes?",
    "Buktikan bahwa akar dari 2 adalah bilangan irasional",
    "Buktikan teorema Pythagoras langkah demi langkah",
    "Rancang arsitektur sistem pembayaran yang aman, bandingkan dua strategi dan evaluasi risikonya secara mendalam",
    "Tulis fungsi Python untuk mencari lintasan terpendek dalam graf, lalu jelaskan kompleksitas algoritma itu",
    "Analisis penyebab krisis ekonomi 1998 secara mendalam dan bandingkan strategi kebijakan yang mungkin",
    "Sebuah kereta berangkat pukul 9 dengan kecepatan 80 km/jam dan kereta lain pukul 10 dengan kecepatan 120 km/jam. \
     Berapa jam sampai kereta kedua menyusul, dan berapa jarak total yang ditempuh keduanya?",
];

#[test]
fn everyday_questions_are_in_a_sensible_order() {
    let hardest_easy = EASY.map(|prompt| (value(prompt), prompt));
    let easiest_hard = HARD.map(|prompt| (value(prompt), prompt));
    let above = hardest_easy.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let below = easiest_hard.iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!(above.0 < below.0, "{above:?} is not below {below:?}");
}

#[test]
fn the_shipped_weights_are_trained_ones() {
    assert_ne!(*Scorer::shipped(), Scorer::untrained());
    assert!(Scorer::shipped().threshold(0.3).unwrap() < Scorer::shipped().threshold(0.1).unwrap());
}

#[test]
fn the_form_of_a_question_does_not_change_its_score() {
    let options = ["a valid contract", "an option contract", "a void promise", "no duty at all"];
    let stem = "A seller promised in writing to keep an offer open for 30 days. What was made?";
    let marked = |order: [usize; 4], between: &str, marks: [&str; 4]| {
        let marked =
            order.iter().zip(marks).map(|(at, mark)| format!("{between}{mark}{}", options[*at]));
        stem.to_owned() + &marked.collect::<String>()
    };
    let plain = value(&marked([0, 1, 2, 3], "\n", ["A. ", "B. ", "C. ", "D. "]));
    for other in [
        marked([2, 0, 3, 1], "\n", ["A. ", "B. ", "C. ", "D. "]),
        marked([1, 0, 2, 3], "\n", ["(A) ", "(B) ", "(C) ", "(D) "]),
        marked([0, 3, 2, 1], "\n", ["a) ", "b) ", "c) ", "d) "]),
        marked([0, 1, 2, 3], "\n", ["1. ", "2. ", "3. ", "4. "]),
        marked([3, 2, 1, 0], " ", ["(A) ", "(B) ", "(C) ", "(D) "]),
        marked([0, 1, 2, 3], "\n", ["", "", "", ""]),
        marked([0, 1, 2, 3], "\n \n\t", ["- ", "- ", "- ", "- "]),
    ] {
        assert_eq!(Features::of(&other).kind(), Kind::Choice, "{other}");
        // The order of additions may differ.
        assert!((value(&other) - plain).abs() < 1e-6, "{other}");
    }
}

#[test]
fn scores_are_in_range_for_anything() {
    let everything = "prove ``` integral A. B. C. D. 1) 2) 3) ? \u{fdfa} ".repeat(30_000);
    for prompt in ["", " ", "\u{e9}", "A.\nB.\nC.", &everything, &"\u{1f980}".repeat(100_000)] {
        let score = Scorer::shipped().score(prompt);
        assert!((0.0..=1.0).contains(&score.value));
        assert!(!score.reasons.is_empty());
    }
}

#[test]
fn reasons_name_kind_and_subject() {
    let prompt = "The court heard the plaintiff, who sued for negligence. The defendant is\nA. liable in tort\n\
                  B. not liable\nC. guilty of murder\nD. protected by the statute";
    let score = Scorer::shipped().score(prompt);
    assert!(
        score.reasons[0].starts_with("it is a multiple-choice question about law"),
        "{score:?}"
    );
    let score = Scorer::shipped().score("Prove the theorem of Pythagoras");
    assert!(
        score.reasons.iter().any(|reason| reason.contains("a proof that it asks for")),
        "{score:?}"
    );
}
