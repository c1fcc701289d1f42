//! Sentences in which users say something of themselves that may last, by their words: no question, no
//! request, nothing of today, nothing that was pasted or quoted.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation as _;

use crate::turn::context::words;

/// What is longer was pasted.
const SAID_BYTES_MAX: usize = 2000;
/// Shortest and longest sentence.
const SENTENCE_BYTES: std::ops::RangeInclusive<usize> = 8..=250;
/// Most sentences of one turn.
const SENTENCES_MAX: usize = 8;
/// They stand around what somebody else said, or in code.
const QUOTES: [char; 10] = ['"', '“', '”', '„', '«', '»', '`', '{', '<', '>'];
/// Behind one of these, a sentence that says something may turn into a question.
const TURNS: [&str; 5] = [", ", "; ", " - ", " – ", " — "];

/// With one of these, a sentence is about who says it.
static FIRST_PERSON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = "\
        i my we our mine ich mein meine meinem meinen meiner meines mir mich wir unser unsere je mon mes nous \
        notre yo mi mis soy tengo vivo llamo nosotros nuestro nuestra saya aku kami 私 僕 我 俺 나 저 я мой моя \
        меня";
    words.split(' ').collect()
});

/// With one of these at its beginning, a sentence asks for something, or supposes something.
static REQUESTS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let english = "\
        what who whom whose where when why how which can could would will shall should may might do does did \
        is are was were am if suppose imagine pretend assume write tell give help explain show make \
        translate summarize summarise create list find fix describe suggest recommend compare convert \
        generate draft rewrite correct check remind let please act say";
    let others = "\
        was wer wo wann warum wieso wie welche welcher welches kann kannst könntest ist sind hast gibt wenn \
        falls schreib schreibe erkläre hilf gib zeig mach übersetze bitte stell nenne erzähl que qui où quand \
        pourquoi comment quel quelle peux pouvez est si écris explique aide donne montre traduis qué quién \
        dónde cuándo cómo cuál puedes escribe explica ayuda dame muestra traduce apa apakah siapa kapan \
        mengapa kenapa bagaimana bisakah tolong buatkan jelaskan tuliskan berapa jika kalau";
    [english, others].iter().flat_map(|words| words.split(' ')).collect()
});

/// With one of these, a sentence is about these days, or about what is being talked of.
static PASSING: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = "\
        today tonight tomorrow yesterday now already again twice later soon minute minutes hour hours moment \
        morning evening afternoon monday tuesday wednesday thursday friday saturday sunday weekend last next \
        tired hungry bored question answer essay letter mail email text draft script code bug error file \
        heute morgen gestern jetzt gleich bald gerade schon wieder montag dienstag mittwoch donnerstag \
        freitag samstag sonntag wochenende frage antwort brief fehler datei \
        aujourd hier demain maintenant déjà bientôt hoy mañana ayer ahora ya pronto \
        besok kemarin sekarang tadi nanti sudah";
    words.split(' ').collect()
});

/// What somebody does who wants something, behind "I" and what may stand between.
const WANTS: &str = "\
    want wanna need wonder wondering looking trying asking mean guess think understand möchte \
    brauche";
const BETWEEN: &str = "m am ll will ve have been just really was";
/// What happened once, where no ending shows it, behind "I".
const HAPPENED: &str = "\
    got found forgot lost sent bought broke slept made went saw met took ate had did said came \
    left gave threw fell felt wrote ran heard thought told won spilt";
/// With one of these, what happened may well matter still.
const LONG_AGO: &str = "born grew raised year years";
/// What may stand before the wish to have something remembered.
const POLITE: &str = "please bitte also and und por favor tolong";
/// Somebody wants to have it remembered, at the beginning of a sentence.
const REMEMBER: &str = "remember merk merke souviens recuerda ingat ingatlah";

/// The sentences of `said`, as they are, in which users speak of themselves.
pub(super) fn statements(said: &str) -> impl Iterator<Item = &str> {
    let own = if said.len() > SAID_BYTES_MAX { "" } else { said };
    own.unicode_sentences().filter_map(statement).take(SENTENCES_MAX)
}

/// Whether who said it wants to have it remembered: "remember that …".
pub(super) fn is_wish(sentence: &str) -> bool {
    let mut spoken = words(sentence).skip_while(|word| is_among(POLITE, word));
    spoken.next().is_some_and(|word| is_among(REMEMBER, &word))
}

/// The sentence, or what comes before the question in it.
fn statement(sentence: &str) -> Option<&str> {
    let sentence = sentence.trim();
    let stated = if sentence.ends_with(['?', '？']) {
        let ends = TURNS.iter().filter_map(|turn| sentence.find(turn));
        sentence.split_at(ends.min()?).0
    } else {
        sentence
    };
    let words: Vec<String> = words(stated).collect();
    let speaks = words.iter().any(|word| FIRST_PERSON.contains(word.as_str()));
    let fits = SENTENCE_BYTES.contains(&stated.len()) && !stated.contains(QUOTES);
    let lasts = is_wish(stated) || !(is_request(&words) || is_passing(&words));
    (fits && speaks && lasts).then_some(stated)
}

fn is_request(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str);
    let Some(first) = words.next() else { return true };
    if REQUESTS.contains(first) {
        return true;
    }
    if !["i", "we", "ich"].contains(&first) {
        return false;
    }
    let mut rest = words.skip_while(|word| is_among(BETWEEN, word));
    match rest.next() {
        None | Some("d" | "would") => true,
        Some(verb) => is_among(WANTS, verb),
    }
}

/// Whether a sentence is about today, or about what happened, or is being done.
fn is_passing(words: &[String]) -> bool {
    let has = |list: &str| words.iter().any(|word| is_among(list, word));
    if words.iter().any(|word| PASSING.contains(word.as_str())) {
        return true;
    }
    if has(LONG_AGO) {
        return false;
    }
    let mut rest = words.iter().map(String::as_str);
    if !matches!(rest.next(), Some("i" | "we")) {
        return has("was were");
    }
    let is = has("m am re are");
    let verb = rest.find(|word| !is_among(BETWEEN, word)).unwrap_or_default();
    let ends = |ending: &str| verb.len() > 4 && verb.ends_with(ending);
    has("was were") || is_among(HAPPENED, verb) || if is { ends("ing") } else { ends("ed") }
}

fn is_among(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(said: &str) -> Vec<&str> {
        statements(said).collect()
    }

    #[test]
    fn what_users_say_of_themselves_is_found() {
        for sentence in [
            "My dog is called Rex.",
            "I'm allergic to nuts",
            "I don't eat meat.",
            "I was born in Lagos.",
            "I moved to Oslo five years ago.",
            "I'm retired and learning Spanish.",
            "Remember that my sister lives in Rome.",
            "Please remember that I prefer metric units!",
            "Ich wohne seit 2019 in Bremen.",
            "Mein Hund heißt Bello.",
            "J'habite à Lyon et mon chat est noir.",
            "Tengo dos hijos.",
            "Nama saya Budi.",
            "私は東京に住んでいます。",
        ] {
            assert_eq!(found(sentence), [sentence]);
        }
        let said = "Hi! My name is Ada. Why is the sky blue? I live in Rome\nI have 2.5 dogs.";
        assert_eq!(found(said), ["My name is Ada.", "I live in Rome", "I have 2.5 dogs."]);
    }

    #[test]
    fn what_comes_before_a_question_is_found_too() {
        assert_eq!(found("I'm a vegetarian, what can I cook?"), ["I'm a vegetarian"]);
        assert_eq!(found("My dog is old - how long do dogs live?"), ["My dog is old"]);
        assert_eq!(found("If I had a dog, what would it eat?"), [""; 0]);
    }

    #[test]
    fn questions_requests_and_what_others_said_are_no_statements() {
        for other in [
            "",
            "Hello there, how are you?",
            "Where do I live?",
            "what is my name",
            "Write a poem about my dog.",
            "Can you help me with my homework",
            "I want you to write a letter to my boss.",
            "I'd like a recipe for my dinner.",
            "I am trying to fix my code.",
            "I have been wondering about my taxes.",
            "Imagine I am a pirate.",
            "The capital of Peru is Lima.",
            "She said \"I live in Rome\" yesterday.",
            "> I live in Rome and write mails",
            "for (let i = 0; i < 3; i++) { my(); }",
            "Schreibe meiner Mutter einen Brief.",
            "Kannst du mir mein Passwort sagen",
            "My laptop does not start today.",
            "I have an exam on Friday.",
            "Mein Zug fährt morgen.",
            "I missed my train.",
            "I forgot my umbrella at the office.",
            "I am preparing a talk.",
            "My flight was delayed.",
        ] {
            assert_eq!(found(other), [""; 0], "{other}");
        }
    }

    #[test]
    fn what_was_pasted_is_passed_over_and_there_is_a_limit() {
        assert_eq!(found(&"I live in Rome. ".repeat(200)), [""; 0]);
        assert_eq!(found(&"I live in Rome. ".repeat(20)).len(), SENTENCES_MAX);
        assert_eq!(found(&format!("I live in {}.", "x".repeat(300))), [""; 0]);
    }

    #[test]
    fn who_wants_something_remembered_says_so() {
        assert!(is_wish("Please remember that I prefer metric units!"));
        assert!(is_wish("Merke dir: ich wohne in Bremen."));
        assert!(!is_wish("I live in Rome."));
    }

    proptest! {
        #[test]
        fn a_statement_is_always_something_that_was_said(
            said in r#"(I|My|dog|is|\?|,|\.|!|"|é|東|\n| )[ -~ä東私]{0,120}"#,
        ) {
            for statement in statements(&said) {
                prop_assert!(said.contains(statement));
                prop_assert!(SENTENCE_BYTES.contains(&statement.len()));
                prop_assert!(!statement.ends_with('?') && !statement.contains('"'));
            }
        }
    }
}
