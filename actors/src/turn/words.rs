//! The words of a text that say what it is about.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use super::context::words;

/// Words that say nothing of what a text is about, in the languages in which they are the commonest.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let english = "\
        a about all also am an and any are as at be been but by call called can could d did \
        do does don for from get good had has have he her his how i if in is it its just \
        know let like ll m make many me mine more much my named need no not of on or our \
        please re s say she should so some t tell than that the their them there they this \
        to too us use user ve very want was we were what when where which who why will with \
        would you your";
    let german = "\
        aber als auch auf aus bei bin bitte das dass dein deine dem den der des die doch du \
        ein eine einem einen einer er es für gibt habe hat heißt ich ihr im ist ja kann \
        kannst mein meine meinem meinen meiner mich mir mit nicht noch oder sein sich sie \
        sind um und uns unser unsere von warum wie wir wo zu zum zur";
    let romance = "\
        au avec ce con cómo dans de del el elle en est et il j je l la las le les lo los ma \
        mes mi mis moi mon ne nous para pas por pour que qui quoi qué se su suis sur tu un \
        una une vous y yo";
    let indonesian = "\
        ada adalah aku anda apa apakah bagaimana bisa dan dari dengan di ini itu kamu ke \
        nama saya siapa tidak untuk yang";
    [english, german, romance, indonesian].iter().flat_map(|words| words.split(' ')).collect()
});

/// The words of a text but the commonest, in a form in which most plurals are like their singulars.
pub(super) fn telling_words(text: &str) -> BTreeSet<String> {
    let telling = words(text).filter(|word| !COMMON.contains(word.as_str()));
    telling.map(|word| singular(&word)).collect()
}

/// Harman's S-stemmer: it takes off what plurals and verbs get, and nothing else.
fn singular(word: &str) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    let short = word.len() < 4;
    match word {
        _ if short => word.to_owned(),
        _ if ends(&["ies"]) && !ends(&["eies", "aies"]) => format!("{}y", &word[..word.len() - 3]),
        _ if ends(&["es"]) && !ends(&["aes", "ees", "oes"]) => word[..word.len() - 1].to_owned(),
        _ if ends(&["s"]) && !ends(&["us", "ss"]) => word[..word.len() - 1].to_owned(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        telling_words(text).into_iter().collect()
    }

    #[test]
    fn what_remains_is_what_a_text_is_about() {
        assert_eq!(told("What is the name of my dog?"), ["dog", "name"]);
        assert_eq!(told("Wie heißt mein Hund?"), ["hund"]);
        assert_eq!(told("I don't have any, so what?"), [""; 0]);
        assert_eq!(told("東京"), ["京", "東"]);
    }

    #[test]
    fn a_plural_is_like_its_singular() {
        assert_eq!(
            told("dogs houses cities bus class shoes"),
            ["bus", "city", "class", "dog", "house", "shoe"]
        );
        assert_eq!(
            told("dog house city bus class shoe"),
            told("dogs houses cities bus class shoes")
        );
    }
}
