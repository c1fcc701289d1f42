//! Facts about the user that outlive a conversation, found when nobody asks anything.
//!
//! Small models invent, and mix up who did what. So no model writes a fact: it only says which of the
//! sentences in which users speak of themselves are worth keeping, and those are kept as they were said.
//! What users ask to have remembered is kept without asking a model.

use std::collections::BTreeMap;

use tandem_config::PersonalData;
use tandem_proto::v1::{Sampling, Turn};

use super::aside::{ask, free_worker};
use super::words::telling_words;
use crate::Result;
use crate::memory_store::memories::{Heard, Unheard};
use crate::redaction::Redaction;
use crate::router::Services;
use statements::{is_wish, statements};

mod statements;

/// What is never remembered, whatever the settings say of it.
const SECRETS: [PersonalData; 4] =
    [PersonalData::Secret, PersonalData::Card, PersonalData::Iban, PersonalData::NationalId];
/// Tokens of the judgement on one sentence.
const TOKENS_PER_SENTENCE: u32 = 16;

const SYSTEM: &str = "\
You sort what a user said. \"lasting\" is what stays true of the user for months: name, family, pets, home, \
work, health, tastes, habits, how answers should be. \"passing\" is what matters only now: a task, a \
question, a mood, a problem of today.";

/// Looks for facts in the next turn in which there may be any, with the local model, if one is up: none
/// is loaded for it. Whether there may be more turns to look at. Dropping it cancels what the model does.
pub(crate) async fn look_for_facts(services: &Services) -> Result<bool> {
    let Some(worker) = free_worker(services) else { return Ok(false) };
    let store = &services.store;
    let Some(unheard) = store.unheard().await? else { return Ok(false) };
    let Some(Found { number, turn_id, sentences }) = first_with_statements(&unheard) else {
        return Ok(false);
    };
    let known = store.memories().await?;
    let known: Vec<&str> = known.iter().map(|memory| memory.text.as_str()).collect();
    let (mut facts, sentences): (Vec<_>, Vec<_>) =
        news(sentences, &known).into_iter().partition(|sentence| is_wish(sentence));
    if !sentences.is_empty() {
        let tokens = u32::try_from(sentences.len()).unwrap_or(u32::MAX);
        let sampling = Sampling {
            max_tokens: Some(tokens.saturating_add(1).saturating_mul(TOKENS_PER_SENTENCE)),
            json_schema: schema(sentences.len()),
            ..Sampling::default()
        };
        let question = [SYSTEM.to_owned(), listed(&sentences)];
        let judgement = ask(&worker, &turn_id, question, sampling).await?;
        facts.extend(lasting(sentences, &judgement));
    }
    let heard = Heard { conversation: unheard.conversation, number, turn_id, facts };
    store.remember(heard, services.settings.memory.facts_max as usize).await?;
    Ok(true)
}

/// A turn that was looked at.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    number: u64,
    turn_id: String,
    sentences: Vec<String>,
}

/// The first turn in which users speak of themselves; the last one when they do so in none.
fn first_with_statements(unheard: &Unheard) -> Option<Found> {
    let secrets = Redaction::of(&SECRETS);
    let found = |(number, turn): &(u64, Turn)| Found {
        number: *number,
        turn_id: turn.id.clone(),
        sentences: statements(&turn.prompt)
            .filter(|sentence| secrets.find(sentence).is_empty())
            .map(str::to_owned)
            .collect(),
    };
    let mut last = None;
    for turn in unheard.turns.iter().map(found) {
        let speaks = !turn.sentences.is_empty();
        last = Some(turn);
        if speaks {
            break;
        }
    }
    last
}

/// The sentences that say more than each that is known, and than those before them.
fn news(sentences: Vec<String>, known: &[&str]) -> Vec<String> {
    let mut news: Vec<String> = Vec::new();
    for sentence in sentences {
        let mut others = known.iter().copied().chain(news.iter().map(String::as_str));
        if !others.any(|other| says_the_same(&sentence, other)) {
            news.push(sentence);
        }
    }
    news
}

/// Whether `other` has all that `sentence` tells, and both or neither deny it.
fn says_the_same(sentence: &str, other: &str) -> bool {
    let told = telling_words(sentence);
    told.is_subset(&telling_words(other)) && denies(sentence) == denies(other)
}

fn denies(sentence: &str) -> bool {
    const WORDS: [&str; 20] = [
        "not", "no", "never", "nobody", "nothing", "cannot", "without", "t", "nicht", "nie",
        "kein", "keine", "keinen", "ohne", "ne", "pas", "jamais", "nunca", "tidak", "bukan",
    ];
    super::context::words(sentence).any(|word| WORDS.contains(&word.as_str()))
}

/// What the model is shown.
fn listed(sentences: &[String]) -> String {
    let lines = (1..).zip(sentences).map(|(number, sentence)| format!("{number}. {sentence}\n"));
    lines.collect()
}

/// What the model may say: of each sentence one of two words.
fn schema(sentences: usize) -> String {
    let numbers = || (1..=sentences).map(|number| number.to_string());
    let kind = || serde_json::json!({ "enum": ["lasting", "passing"] });
    let properties: serde_json::Map<_, _> = numbers().map(|number| (number, kind())).collect();
    let required: Vec<_> = numbers().collect();
    serde_json::json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
    .to_string()
}

/// Those that the model wants kept. A judgement that was cut off keeps none.
fn lasting(sentences: Vec<String>, judgement: &str) -> Vec<String> {
    let judged: BTreeMap<String, String> = serde_json::from_str(judgement).unwrap_or_default();
    let is_lasting =
        |number: usize| judged.get(&number.to_string()).is_some_and(|it| it == "lasting");
    let numbered = (1..).zip(sentences);
    numbered.filter(|(number, _)| is_lasting(*number)).map(|(_, sentence)| sentence).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn turn(prompt: &str) -> Turn {
        Turn { id: prompt.to_owned(), prompt: prompt.to_owned(), ..Turn::default() }
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn turns_in_which_nobody_speaks_of_themselves_are_passed_over() {
        let questions = ["Why is the sky blue?", "I live in Rome.", "My cat is called Tom."];
        let mut unheard = Unheard {
            conversation: String::new(),
            turns: (3..).zip(questions.map(turn)).collect(),
        };
        let found = first_with_statements(&unheard).unwrap();
        assert_eq!((found.number, found.sentences), (4, owned(&["I live in Rome."])));
        unheard.turns.truncate(1);
        let found = first_with_statements(&unheard).unwrap();
        assert_eq!((found.number, found.sentences.len()), (3, 0), "it was looked at");
        unheard.turns.clear();
        assert_eq!(first_with_statements(&unheard), None);
    }

    #[test]
    fn a_sentence_with_a_secret_is_never_shown_to_the_model() {
        for secret in [
            "My password is hunter2-swordfish.",
            "My card is 4111 1111 1111 1111.",
            "I pay from DE89 3704 0044 0532 0130 00.",
        ] {
            let unheard = Unheard { conversation: String::new(), turns: vec![(0, turn(secret))] };
            let found = first_with_statements(&unheard).unwrap();
            assert_eq!(found.sentences, [""; 0], "{secret}");
        }
    }

    #[test]
    fn what_is_known_is_no_news_unless_it_is_denied() {
        let said = owned(&[
            "My dog is called Rex.",
            "I eat meat.",
            "I don't eat meat.",
            "My dogs are called Rex.",
            "I have a dog called Rex who likes fish.",
        ]);
        let news = news(said, &["I have a dog. He is called Rex.", "I eat meat and fish."]);
        assert_eq!(news, ["I don't eat meat.", "I have a dog called Rex who likes fish."]);
    }

    #[test]
    fn only_what_the_model_calls_lasting_is_kept_and_in_the_users_words() {
        let sentences = || owned(&["I live in Rome.", "I am tired.", "My name is Ada."]);
        let judged = r#"{"1": "lasting", "2": "passing", "3": "lasting"}"#;
        assert_eq!(lasting(sentences(), judged), ["I live in Rome.", "My name is Ada."]);
        for useless in ["", "{", r#"{"1": "lasting""#, r#"{"1": 1}"#, "[]", r#"{"4": "lasting"}"#] {
            assert_eq!(lasting(sentences(), useless), [""; 0], "{useless}");
        }
    }

    #[test]
    fn the_schema_asks_for_each_sentence() {
        let schema: serde_json::Value = serde_json::from_str(&schema(2)).unwrap();
        assert_eq!(schema["required"], serde_json::json!(["1", "2"]));
        assert_eq!(schema["properties"]["2"]["enum"][0], "lasting");
    }
}
