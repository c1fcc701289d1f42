//! How much a question asks for a model that thinks longer, from what can be seen in its text.

/// 0: surely the fast track; 1: surely the slow track. Each reason is a sentence for a person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score {
    pub(super) value: f64,
    pub(super) reasons: Vec<String>,
}

/// A kind of work and how one recognises it.
struct Sign {
    weight: f64,
    reason: &'static str,
    words: &'static [&'static str],
}

/// Weights are first guesses, to be replaced by ones fitted to measured answers.
const SIGNS: [Sign; 4] = [
    Sign {
        weight: 0.35,
        reason: "it asks for reasoning in steps",
        words: &[
            "step by step",
            "prove",
            "proof",
            "derive",
            "explain why",
            "reason about",
            "trade-off",
            "tradeoff",
            "root cause",
            "contradiction",
            "justify",
        ],
    },
    Sign {
        weight: 0.3,
        reason: "it is about code",
        words: &[
            "```",
            "implement",
            "refactor",
            "stack trace",
            "segfault",
            "compile error",
            "algorithm",
            "regex",
            "sql query",
            "unit test",
            "race condition",
            "fn ",
            "def ",
            "class ",
        ],
    },
    Sign {
        weight: 0.3,
        reason: "it is about mathematics",
        words: &[
            "integral",
            "derivative",
            "equation",
            "theorem",
            "probability",
            "matrix",
            "solve for",
            "how many ways",
            "modulo",
            "polynomial",
        ],
    },
    Sign {
        weight: 0.25,
        reason: "it asks for a long or careful text",
        words: &[
            "analyze",
            "analyse",
            "compare",
            "design a",
            "architecture",
            "essay",
            "in detail",
            "comprehensive",
            "report on",
            "plan for",
            "strategy",
            "legal",
            "diagnos",
        ],
    },
];

/// Scores a question. Looks at no more than its first 64 KiB.
pub(super) fn score(prompt: &str) -> Score {
    let head = &prompt[..prompt.floor_char_boundary(64 << 10)];
    let text = head.to_lowercase();
    let mut value = 0.1_f64;
    let mut reasons = Vec::new();
    for sign in &SIGNS {
        if sign.words.iter().any(|word| text.contains(word)) {
            value += sign.weight;
            reasons.push(sign.reason.to_owned());
        }
    }
    let words = text.split_whitespace().count();
    if words > 150 {
        value += 0.2;
        reasons.push(format!("it is long ({words} words)"));
    }
    let questions = text.matches('?').count();
    if questions > 2 {
        value += 0.15;
        reasons.push(format!("it asks {questions} questions at once"));
    }
    if reasons.is_empty() {
        reasons.push("it is short and plain".to_owned());
    }
    Score { value: value.min(1.0), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_question_scores_low_and_says_why() {
        let score = score("What is the capital of France?");
        assert!(score.value < 0.2);
        assert_eq!(score.reasons, ["it is short and plain"]);
    }

    #[test]
    fn hard_questions_score_higher_than_plain_ones() {
        let plain = score("What time is it in Oslo?").value;
        for hard in [
            "Prove step by step that the derivative of this polynomial has a root",
            "Implement a lock-free queue and explain why it has no race condition",
            "Compare both designs in detail? What fails first? What would you change?",
        ] {
            assert!(score(hard).value > plain + 0.2, "{hard}");
        }
    }

    #[test]
    fn the_score_stays_in_range_for_anything() {
        let everything = "prove ``` integral analyze ? ? ? ".repeat(20_000);
        for prompt in ["", "é", &everything, &"🦀".repeat(100_000)] {
            assert!((0.0..=1.0).contains(&score(prompt).value));
        }
    }
}
