//! What a provider is given to read, and the account of it.
#![allow(clippy::unwrap_used, reason = "tests")]
use tandem_config::Memory as Settings;
use tandem_proto::v1::{ContextEntry, ContextOutcome, ContextPart, Role, Turn};

use super::super::context::{Memory, Passage};
use super::*;
use crate::memory_store::Summary;

const CANARY: &str = "canary";

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }

    fn text(&mut self, private: bool) -> String {
        let words = usize::try_from(self.below(40)).unwrap();
        let text = format!("river {}", "word ".repeat(words));
        if private { format!("{CANARY} {text}") } else { text }
    }
}

/// A conversation of any length, with private parts of all kinds.
fn any(numbers: &mut Numbers) -> Material {
    let unread = numbers.below(3);
    let mut flags = |count: u64| -> Vec<bool> {
        let count = numbers.below(count);
        (0..count).map(|_| numbers.below(2) == 0).collect()
    };
    let (memories, passages, turns) = (flags(4), flags(6), flags(30));
    let summary = numbers.below(2) == 0;
    Material {
        system: "Be brief.".to_owned(),
        memories: (0..)
            .zip(memories)
            .map(|(id, private)| Memory {
                id: format!("m{id}"),
                text: numbers.text(private),
                standing: id % 2 == 0,
                private,
            })
            .collect(),
        passages: (1..)
            .zip(passages)
            .map(|(number, private)| Passage {
                number,
                text: numbers.text(private),
                source: numbers.text(private),
                title: numbers.text(private),
                place: String::new(),
                private,
            })
            .collect(),
        summary: summary.then(|| {
            let private = numbers.below(2) == 0;
            Summary { text: numbers.text(private), covers: unread + 3, private }
        }),
        turns: (unread + 1..)
            .zip(turns)
            .map(|(number, private)| Numbered {
                number,
                turn: Turn {
                    prompt: numbers.text(private),
                    answer: numbers.text(private),
                    private,
                    ..Turn::default()
                },
            })
            .collect(),
        prompt: "Where is the river?".to_owned(),
        unread,
        ..Material::default()
    }
}

fn kept(ledger: &ContextLedger) -> u32 {
    let kept = |entry: &&ContextEntry| entry.outcome() == ContextOutcome::Kept;
    ledger.entries.iter().filter(kept).map(|entry| entry.tokens).sum()
}

fn turns_in(ledger: &ContextLedger) -> Vec<(u64, ContextOutcome)> {
    let is_turn = |entry: &&ContextEntry| {
        matches!(entry.part(), ContextPart::Turn | ContextPart::RecalledTurn)
    };
    let turns = ledger.entries.iter().filter(is_turn);
    let mut turns: Vec<_> = turns
        .flat_map(|entry| (entry.first..=entry.last).map(|number| (number, entry.outcome())))
        .collect();
    turns.sort_unstable();
    turns
}

#[tokio::test]
async fn a_provider_reads_nothing_private_and_each_part_is_accounted_for() {
    let mut numbers = Numbers(7);
    let rules = Rules::of(&Settings::default());
    let mut withheld = 0;
    for _ in 0..1000 {
        let material = any(&mut numbers);
        let private = material.turns.iter().map(|it| (it.number, it.turn.private));
        let private: Vec<(u64, bool)> = private.collect();
        let parts = material.memories.len() + material.passages.len();
        let last = material.unread + material.turns.len() as u64;
        let budget = Budget::new(u32::try_from(200 + numbers.below(4000)).unwrap(), None, 0);
        let reading = for_provider(material, rules, budget, &Luggage::default()).await.unwrap();
        assert!(!format!("{:?}", reading.messages).contains(CANARY));
        assert!(!reading.context.is_private());
        let ledger = reading.context.ledger(1);
        assert!(ledger.estimated && ledger.tokens <= budget.tokens);
        assert_eq!(kept(&ledger), ledger.tokens);
        let turns = turns_in(&ledger);
        let places: Vec<u64> = turns.iter().map(|(number, _)| *number).collect();
        assert_eq!(places, (1..=last).collect::<Vec<_>>(), "each turn once: {ledger:?}");
        for (number, private) in private {
            let (_, outcome) = turns[usize::try_from(number - 1).unwrap()];
            assert_eq!(outcome == ContextOutcome::StaysLocal, private, "{ledger:?}");
            withheld += u32::from(private);
        }
        let others = ledger
            .entries
            .iter()
            .filter(|entry| matches!(entry.part(), ContextPart::Memory | ContextPart::Passage));
        assert_eq!(others.count(), parts, "{ledger:?}");
    }
    assert!(withheld > 1000);
}

#[tokio::test]
async fn what_changes_with_the_question_is_told_last() {
    let turn = |number: u64, prompt: &str| Numbered {
        number,
        turn: Turn { prompt: prompt.to_owned(), answer: "Yes.".repeat(40), ..Turn::default() },
    };
    let mut turns: Vec<_> = (2..40).map(|number| turn(number, "And then?")).collect();
    turns.insert(0, turn(1, "The zebra is called Emma."));
    let material = Material {
        system: "Be brief.".to_owned(),
        memories: [("Likes tea.", true), ("Has seen zebras.", false)]
            .map(|(text, standing)| Memory {
                id: text.to_owned(),
                text: text.to_owned(),
                standing,
                private: false,
            })
            .into(),
        passages: vec![Passage {
            number: 1,
            text: "Zebras sleep.".to_owned(),
            source: "zoo.md".to_owned(),
            title: "Zoo".to_owned(),
            place: "l. 3".to_owned(),
            private: false,
        }],
        summary: Some(Summary { text: "Animals.".to_owned(), covers: 20, private: false }),
        turns,
        prompt: "What is the zebra called?".to_owned(),
        ..Material::default()
    };
    let rules = Rules::of(&Settings::default());
    let budget = Budget::new(2000, None, 0);
    let reading = for_provider(material, rules, budget, &Luggage::default()).await.unwrap();
    let [system, .., question] = reading.messages.as_slice() else { unreachable!() };
    assert_eq!(
        (system.role(), system.content.as_str()),
        (
            Role::System,
            "Be brief.\n\nWhat the user told you before:\n- Likes tea.\n\n\
             What was said before, in short:\nAnimals."
        )
    );
    let recalled = "Yes.".repeat(40);
    assert_eq!(
        (question.role(), question.content.as_str()),
        (
            Role::User,
            format!(
                "What the user told you before:\n- Has seen zebras.\n\n\
                 Passages that may help:\n\n[1] zoo.md\nZebras sleep.\n\n\
                 From earlier in this conversation:\n\n\
                 User: The zebra is called Emma.\nAssistant: {recalled}\n\n\
                 The question:\nWhat is the zebra called?"
            )
            .as_str()
        )
    );
    let outcomes = turns_in(&reading.context.ledger(0));
    assert_eq!(outcomes[0], (1, ContextOutcome::Kept));
    assert_eq!(outcomes[1], (2, ContextOutcome::Summarised));
    assert_eq!(outcomes[38], (39, ContextOutcome::Kept));
    assert!(outcomes.iter().any(|(_, outcome)| *outcome == ContextOutcome::Dropped));
}

#[tokio::test]
async fn a_question_that_does_not_fit_is_refused_with_both_lengths() {
    let material = Material { prompt: "x".repeat(300), ..Material::default() };
    let rules = Rules::of(&Settings::default());
    let budget = Budget::new(100, Some(90), 0);
    let refused = for_provider(material, rules, budget, &Luggage::default()).await.unwrap_err();
    let problem = refused.to_string();
    assert!(matches!(refused, Error::PromptTooLong { .. }));
    assert!(problem.contains("150 tokens") && problem.contains("allows 90"), "{problem}");
}
