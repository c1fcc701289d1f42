//! How much of the personal data in a corpus is found, and how much of what is found is some.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;

use tandem_actors::redaction::{PersonalData, Redaction};
use tandem_config::{Config, Security};

const CORPUS: &str = include_str!("corpus.txt");

/// Of one kind: what was found and is some, what was found and is none, what was missed.
#[derive(Debug, Default)]
struct Tally {
    right: u32,
    wrong: u32,
    missed: u32,
}

impl Tally {
    fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.wrong).max(1))
    }

    fn recall(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.missed).max(1))
    }
}

/// A value of a kind, by the bytes where it begins and ends.
type Place = (PersonalData, usize, usize);

fn kind(word: &str) -> PersonalData {
    match word {
        "secret" => PersonalData::Secret,
        "email" => PersonalData::Email,
        "iban" => PersonalData::Iban,
        "card" => PersonalData::Card,
        "national_id" => PersonalData::NationalId,
        "phone" => PersonalData::Phone,
        "name" => PersonalData::Name,
        other => unreachable!("{other} is no kind"),
    }
}

/// The line without its marks, and what they mark.
fn read(line: &str) -> (String, Vec<Place>) {
    let (mut text, mut places) = (String::new(), Vec::new());
    let mut rest = line;
    while let Some((before, marked)) = rest.split_once('⟦') {
        let (marked, after) = marked.split_once('⟧').unwrap();
        let (word, value) = marked.split_once(':').unwrap();
        text.push_str(before);
        places.push((kind(word), text.len(), text.len() + value.len()));
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    (text, places)
}

#[test]
fn most_personal_data_is_found_and_little_else() {
    let names = ["Budi Santoso", "Siti", "Łukasz", "Mary Ann"].map(str::to_owned).into();
    let redaction = Redaction::new(&Security { names, ..Security::default() }).unwrap();
    let mut tallies: BTreeMap<PersonalData, Tally> = BTreeMap::new();
    let lines: Vec<&str> = CORPUS.lines().filter(|line| !line.starts_with("# ")).collect();
    assert!(lines.len() >= 200, "{}", lines.len());
    for line in lines {
        let (text, expected) = read(line);
        let found: Vec<Place> = redaction
            .places(&text)
            .into_iter()
            .map(|it| (it.kind, it.range.start, it.range.end))
            .collect();
        for place in &expected {
            let tally = tallies.entry(place.0).or_default();
            if found.contains(place) {
                tally.right += 1;
            } else {
                tally.missed += 1;
                println!("missed {:?} in {text}: {found:?}", place.0);
            }
        }
        for (kind, from, to) in found.iter().filter(|place| !expected.contains(place)) {
            tallies.entry(*kind).or_default().wrong += 1;
            println!("wrongly {kind:?} {:?} in {text}", &text[*from..*to]);
        }
    }
    for (kind, tally) in &tallies {
        let (precision, recall) = (tally.precision(), tally.recall());
        println!("{kind:?}: precision {precision:.3}, recall {recall:.3}, {tally:?}");
        assert!(precision >= 0.95 && recall >= 0.95, "{kind:?}: {tally:?}");
    }
    assert_eq!(tallies.len(), 7, "every kind is in the corpus");
}

#[test]
fn the_default_settings_mask_what_is_found() {
    let config = Config::defaults("/nowhere".into(), "/nowhere/socket".into());
    assert_eq!(config.security.redact, tandem_config::Redact::Mask);
    let redaction = Redaction::new(&config.security).unwrap();
    assert_eq!(redaction.find("ana@example.com and 10.1.2.3").to_string(), "1 e-mail address");
}
