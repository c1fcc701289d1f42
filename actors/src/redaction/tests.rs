//! What is masked comes back, whatever the text and however the answer is cut.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// Random numbers that are the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn of<'a>(&mut self, parts: &[&'a str]) -> &'a str {
        parts[self.below(parts.len())]
    }

    /// A text of values, near misses, placeholders and letters of many scripts, in any order.
    fn text(&mut self) -> String {
        const PARTS: [&str; 44] = [
            "budi@example.com",
            "Ana.Lee+x@mail.co.id",
            "+62 812-3456-7890",
            "081234567890",
            "(415) 555-2671",
            "4111 1111 1111 1111",
            "4111111111111111",
            "DE89 3704 0044 0532 0130 00",
            "sk-abcdefghij0123456789",
            "password=hunter2!",
            "password: \"two \\\" words 1\"",
            "AKIAIOSFODNN7EXAMPLE",
            "3171234505900001",
            "123-45-6789",
            "Budi Santoso",
            "budi",
            "Ayşe",
            "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
            "10.11.12.13",
            "[EMAIL_1]",
            "EMAIL_1",
            "[phone_2]",
            "[NAME",
            "SECRET\\_1",
            "\\[IBAN\\_1\\]",
            "[",
            "]",
            "\\",
            "_",
            "1",
            "12",
            "@",
            " ",
            " ",
            "\n",
            ".",
            "-",
            "é",
            "漢字",
            "🙂",
            "x",
            "EMAIL_",
            "_3",
            "Card 4",
        ];
        (0..self.below(14)).map(|_| self.of(&PARTS)).collect()
    }
}

fn everything() -> Redaction {
    use PersonalData::{Card, Email, Iban, Ip, Name, NationalId, Phone, Secret};
    let names = ["Budi", "Budi Santoso", "Ayşe"].map(str::to_owned).into();
    let redact_kinds = vec![Secret, Email, Iban, Card, NationalId, Phone, Ip, Name];
    Redaction::new(&Security { redact_kinds, names, ..Security::default() }).unwrap()
}

fn streamed(mask: &Mask, form: Form, text: &str, random: &mut Random) -> String {
    let mut restorer = mask.restorer(form);
    let mut whole = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = rest.ceil_char_boundary(random.below(rest.len() + 1));
        whole.push_str(&restorer.push(&rest[..cut]));
        rest = &rest[cut..];
    }
    whole + &restorer.finish()
}

#[test]
fn what_is_masked_comes_back_however_the_stream_is_cut() {
    let (redaction, mut random) = (everything(), Random(1));
    for round in 0..6000 {
        let texts = [random.text(), random.text()];
        let mask = redaction.mask(&texts.each_ref().map(|text| (Form::Text, text.as_str())));
        for text in &texts {
            let masked = mask.apply(Form::Text, text);
            assert_eq!(mask.restore(Form::Text, &masked), *text, "{round}: {masked:?}");
            assert_eq!(streamed(&mask, Form::Text, &masked, &mut random), *text, "{round}");
        }
    }
}

#[test]
fn nothing_that_was_found_is_left_in_any_text() {
    let (redaction, mut random) = (everything(), Random(2));
    let mut values = 0;
    for round in 0..6000 {
        let texts = [random.text(), random.text(), "budi@example.com".to_owned()];
        let mask = redaction.mask(&texts.each_ref().map(|text| (Form::Text, text.as_str())));
        let masked = texts.each_ref().map(|text| mask.apply(Form::Text, text));
        for text in &texts {
            for found in redaction.places(text) {
                values += 1;
                let value = &text[found.range];
                for masked in &masked {
                    let left = masked
                        .match_indices(value)
                        .any(|(at, value)| stands_alone(masked, &(at..at + value.len())));
                    assert!(!left, "{round}: {value:?} in {masked:?} of {texts:?}");
                }
            }
        }
    }
    assert!(values > 10_000, "{values}");
}

#[test]
fn arguments_of_tools_stay_json_and_come_back() {
    let (redaction, mut random) = (everything(), Random(3));
    for round in 0..3000 {
        let (text, key) = (random.text(), random.text());
        let json = serde_json::json!({ key: [text, { "to": random.text(), "n": 1 }] });
        let written = json.to_string();
        let mask = redaction.mask(&[(Form::Json, &written)]);
        let masked = mask.apply(Form::Json, &written);
        assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "{round}: {masked}");
        for restored in
            [mask.restore(Form::Json, &masked), streamed(&mask, Form::Json, &masked, &mut random)]
        {
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&restored).unwrap(),
                json,
                "{round}"
            );
        }
    }
}

#[test]
fn a_value_has_one_placeholder_in_all_messages_of_a_turn() {
    let texts = [
        "I am budi@example.com, PHONE_1 is taken",
        "password: swordfish",
        "say swordfish to \
                 budi@example.com or 0812-3456-7890, not Swordfishes",
    ];
    let mask = everything().mask(&texts.map(|text| (Form::Text, text)));
    let masked = texts.map(|text| mask.apply(Form::Text, text));
    assert_eq!(
        masked,
        [
            "I am [EMAIL_1], PHONE_1 is taken",
            "password: [SECRET_1]",
            "say [SECRET_1] to [EMAIL_1] or [PHONE_2], not Swordfishes",
        ]
    );
    assert_eq!(mask.counts().to_string(), "1 secret, 1 e-mail address and 1 phone number");
    let answer =
        "Dear EMAIL_1 and [email\\_1], PHONE_1 [phone 2] \\[SECRET\\_1\\], email_1 [EMAIL_3]";
    assert_eq!(
        mask.restore(Form::Text, answer),
        "Dear budi@example.com and budi@example.com, PHONE_1 0812-3456-7890 swordfish, email_1 [EMAIL_3]"
    );
}

#[test]
fn text_is_held_back_no_longer_than_it_may_be_a_placeholder() {
    let mask = everything().mask(&[(Form::Text, "budi@example.com")]);
    let mut restorer = mask.restorer(Form::Text);
    let pushed = ["Write to [", "EMA", "IL_1", "] at", " once. E", "very", " EMAIL_1", ""];
    let known = pushed.map(|piece| restorer.push(piece));
    assert_eq!(known, ["Write to ", "", "", "budi@example.com at", " once. ", "Every", " ", ""]);
    assert_eq!(restorer.finish(), "budi@example.com");
}

#[test]
fn a_text_that_the_mask_does_not_know_gives_nothing_away() {
    let mask = everything().mask(&[(Form::Text, "budi@example.com")]);
    assert_eq!(mask.apply(Form::Text, "ana@example.com, budi@example.com"), "[EMAIL], [EMAIL_1]");
}

#[test]
fn only_the_kinds_that_are_asked_for_are_found() {
    let settings = Security { redact_kinds: vec![PersonalData::Phone], ..Security::default() };
    let text = "budi@example.com, 0812-3456-7890, password=hunter2!";
    let counts = Redaction::new(&settings).unwrap().find(text);
    assert_eq!(counts.iter().collect::<Vec<_>>(), [(PersonalData::Phone, 1)]);
    let counts = Redaction::new(&Security::default()).unwrap().find("10.11.12.13 and nothing else");
    assert!(counts.is_empty());
}

#[test]
fn a_megabyte_of_anything_is_looked_through() {
    let redaction = everything();
    for part in [
        "a",
        "a@",
        "a.a@a.",
        "1",
        "1 ",
        "12 ",
        "12-",
        "0812 ",
        "A1",
        "DE89 ",
        "sk-",
        "password=",
        "password is ",
        "-----BEGIN PRIVATE KEY-----",
        "://a:b",
        "key ",
        "abc1",
        "[",
        "[EMAIL_1",
        "eyJ",
        "::",
        "1.1.",
        "budi ",
        "é",
    ] {
        let text = part.repeat((1 << 20) / part.len());
        let mask = redaction.mask(&[(Form::Text, &text)]);
        let same = mask.restore(Form::Text, &mask.apply(Form::Text, &text)) == text;
        assert!(same, "{part:?}");
    }
}
