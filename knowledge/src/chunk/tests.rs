//! Chunks of written and of random documents.
#![allow(clippy::unwrap_used, clippy::format_collect, clippy::format_push_string, reason = "tests")]

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::{Kind, Place};

/// Counts as `WordPiece` does: a word has a token for every four letters begun, a sign is one.
fn tokens(text: &str) -> u32 {
    let mut tokens = 0;
    for word in text.split_whitespace() {
        for part in word.split_inclusive(|letter: char| !letter.is_alphanumeric()) {
            let letters = part.chars().filter(|letter| letter.is_alphanumeric()).count();
            let signs = part.chars().count() - letters;
            tokens += letters.div_ceil(4) + signs;
        }
    }
    u32::try_from(tokens).unwrap()
}

fn cut(blocks: &[Block], budget: Budget) -> Vec<Chunk> {
    let Ok(chunks) = chunk::<Infallible>(blocks, budget, |texts| {
        Ok(texts.iter().map(|text| tokens(text)).collect())
    });
    chunks
}

fn budget(tokens_max: u32, overlap: u32) -> Budget {
    Budget::new(tokens_max, overlap).unwrap().with_joint(0).unwrap()
}

/// Blocks with their places, from kinds and texts; a heading's level is the number of `#` in front of it.
fn document(parts: &[(Kind, String)]) -> Vec<Block> {
    let mut headings: Vec<(usize, String)> = Vec::new();
    let mut blocks = Vec::new();
    for (number, (kind, text)) in parts.iter().enumerate() {
        let level = text.len() - text.trim_start_matches('#').len();
        let text = text.trim_start_matches('#').to_owned();
        if *kind == Kind::Heading {
            headings.retain(|(above, _)| *above < level);
        }
        let above = headings.iter().map(|(_, heading)| heading.clone()).collect();
        let line = u32::try_from(number + 1).ok();
        blocks.push(Block {
            kind: *kind,
            text: text.clone(),
            place: Place { page: None, line, headings: above },
        });
        if *kind == Kind::Heading {
            headings.push((level, text));
        }
    }
    blocks
}

fn written(parts: &[(Kind, &str)]) -> Vec<Block> {
    document(&parts.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect::<Vec<_>>())
}

fn sentences_of(count: usize) -> String {
    (0..count)
        .map(|number| format!("This is sentence number {number} of it. "))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[test]
fn a_short_document_is_one_chunk_as_it_was_written() {
    let blocks = written(&[
        (Kind::Heading, "#Tea"),
        (Kind::Paragraph, "Boil water. Wait."),
        (Kind::Item, "black"),
        (Kind::Item, "green"),
        (Kind::Code, "a\n\n  b"),
        (Kind::Table, "A | B\n--- | ---\n1 | 2"),
    ]);
    let chunks = cut(&blocks, budget(200, 20));
    assert_eq!(chunks.len(), 1);
    assert_eq!(
        chunks[0].text,
        "Tea\n\nBoil water. Wait.\n\nblack\ngreen\n\na\n\n  b\n\nA | B\n--- | ---\n1 | 2"
    );
    assert_eq!(chunks[0].embedded_text(), chunks[0].text);
}

#[test]
fn chunks_end_between_sentences_and_repeat_whole_ones() {
    let blocks = written(&[(Kind::Heading, "#Guide"), (Kind::Paragraph, &sentences_of(40))]);
    let one = tokens("This is sentence number 10 of it.");
    let chunks = cut(&blocks, budget(64, 2 * one + 1));
    assert!(chunks.len() > 3);
    for pair in chunks.windows(2) {
        assert!(pair[1].embedded_text().starts_with("Guide\nThis is sentence"), "{pair:?}");
        assert!(pair[0].text.ends_with("of it."));
        let last: Vec<&str> = pair[0].text.split_inclusive("it.").map(str::trim).collect();
        let repeated = format!("{} {}", last[last.len() - 2], last[last.len() - 1]);
        assert!(pair[1].text.starts_with(&repeated), "{pair:?}");
    }
    let apart = cut(&blocks, budget(64, 0));
    assert_eq!(apart.iter().map(|chunk| chunk.text.matches("This is").count()).sum::<usize>(), 40);
}

#[test]
fn a_section_begins_a_chunk_and_no_heading_ends_one() {
    let long = sentences_of(6);
    let blocks = written(&[
        (Kind::Heading, "#One"),
        (Kind::Paragraph, &long),
        (Kind::Heading, "##Two"),
        (Kind::Heading, "###Three"),
        (Kind::Paragraph, &long),
    ]);
    let chunks = cut(&blocks, budget(100, 20));
    assert_eq!(chunks.len(), 2);
    assert!(chunks[1].text.starts_with("Two\n\nThree\n\nThis is sentence number 0"), "{chunks:?}");
    assert_eq!(chunks[1].place.headings, ["One"]);
    assert_eq!(chunks[1].place.line, Some(3));
}

#[test]
fn short_sections_share_a_chunk() {
    let blocks = written(&[
        (Kind::Heading, "#A"),
        (Kind::Paragraph, "Yes."),
        (Kind::Heading, "#B"),
        (Kind::Paragraph, "No."),
    ]);
    assert_eq!(cut(&blocks, budget(100, 0)).len(), 1);
}

#[test]
fn every_part_of_a_table_begins_with_the_names_of_its_columns() {
    let rows: String = (0..50).map(|row| format!("\nrow {row} | value {row}")).collect();
    let blocks = written(&[
        (Kind::Paragraph, "See:"),
        (Kind::Table, &format!("Name | Value\n--- | ---{rows}")),
        (Kind::Paragraph, "End."),
    ]);
    let chunks = cut(&blocks, budget(80, 10));
    assert!(chunks.len() > 3);
    for (number, chunk) in chunks.iter().enumerate() {
        let text = chunk.text.strip_prefix("See:\n\n").unwrap_or(&chunk.text);
        assert!(text.starts_with("Name | Value\n--- | ---\nrow "), "{number}: {text}");
        assert_eq!(text.matches("Name").count(), 1);
    }
}

#[test]
fn names_of_columns_are_not_left_behind_alone() {
    let blocks = written(&[
        (Kind::Paragraph, &sentences_of(7)),
        (Kind::Table, "Name | Value\n--- | ---\nlonger row than the room | that is left"),
    ]);
    for tokens_max in 64..100 {
        for chunk in cut(&blocks, budget(tokens_max, 0)) {
            assert!(!chunk.text.ends_with("---"), "{tokens_max}: {}", chunk.text);
        }
    }
}

#[test]
fn what_is_too_long_is_cut_between_words_and_a_word_only_when_it_must() {
    let words: String = (0..300).map(|number| format!("word{number} ")).collect();
    let chunks = cut(&written(&[(Kind::Paragraph, words.trim())]), budget(64, 0));
    let rejoined = chunks.iter().map(|chunk| chunk.text.as_str()).collect::<Vec<_>>().join(" ");
    assert_eq!(rejoined, words.trim());
    let chunks = cut(&written(&[(Kind::Code, &"x".repeat(5000))]), budget(64, 0));
    assert_eq!(chunks.iter().map(|chunk| chunk.text.len()).sum::<usize>(), 5000);
    assert!(chunks.iter().all(|chunk| tokens(&chunk.embedded_text()) <= 64));
}

#[test]
fn too_small_a_budget_is_refused() {
    assert!(matches!(Budget::new(63, 0), Err(Error::Budget { tokens_max: 63, least: 64 })));
    assert!(Budget::new(64, 0).is_ok());
    assert!(Budget::new(64, 0).unwrap().with_reserved(2).is_err());
}

#[test]
fn counts_that_come_later_give_the_same_chunks() {
    let blocks = written(&[
        (Kind::Heading, "#A"),
        (Kind::Paragraph, &sentences_of(30)),
        (Kind::Code, &"y ".repeat(500)),
    ]);
    let mut segments = Segments::of(&blocks);
    loop {
        let counts: Vec<u32> = segments.uncounted().into_iter().map(tokens).collect();
        segments.count(&counts);
        if !segments.divide(budget(70, 10)) {
            break;
        }
    }
    assert_eq!(segments.pack(budget(70, 10)), cut(&blocks, budget(70, 10)));
}

/// Texts whose words are all different, so that what is repeated is known from what follows.
fn parts() -> impl Strategy<Value = Vec<(Kind, String)>> {
    let kinds = vec![Kind::Heading, Kind::Paragraph, Kind::Item, Kind::Code, Kind::Table];
    let part = (prop::sample::select(kinds), 1..60_usize, 1..4_usize, 1..30_usize);
    prop::collection::vec(part, 1..25).prop_map(|parts| {
        let mut word = 0;
        let mut words = |count: usize, length: usize, gap: &str| {
            let mut text = String::new();
            for place in 0..count {
                word += 1;
                let end = if place % 9 == 8 { "." } else { "" };
                text.push_str(&format!(
                    "{}W{word}{}{end}",
                    if place == 0 { "" } else { gap },
                    "x".repeat(length)
                ));
            }
            text
        };
        parts
            .into_iter()
            .map(|(kind, count, level, length)| match kind {
                Kind::Heading => {
                    (kind, format!("{}{}", "#".repeat(level), words(count.min(12), 1, " ")))
                }
                Kind::Paragraph | Kind::Item => (kind, words(count * 3, length, " ")),
                Kind::Code => (kind, words(count, length, "\n  ")),
                Kind::Table => {
                    let head = words(2, 1, " | ");
                    (kind, format!("{head}\n--- | ---\n{}", words(count, length, "\n")))
                }
            })
            .collect()
    })
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_lost_or_out_of_order_or_over_budget(parts in parts(), tokens_max in 66..220_u32, overlap in 0..60_u32) {
        let blocks = document(&parts);
        let budget = budget(tokens_max, overlap).with_reserved(2).unwrap();
        let chunks = cut(&blocks, budget);
        let whole: String = blocks.iter().map(|block| without_space(&block.text)).collect();
        let heads: Vec<String> = blocks
            .iter()
            .filter(|block| block.kind == Kind::Table)
            .map(|block| without_space(&block.text.lines().take(2).collect::<String>()))
            .collect();
        let mut done = 0;
        for (number, chunk) in chunks.iter().enumerate() {
            prop_assert_eq!(chunk.ordinal as usize, number);
            prop_assert!(tokens(&chunk.embedded_text()) + 2 <= tokens_max, "{} > {}: {}", tokens(&chunk.embedded_text()), tokens_max, chunk.text);
            let text = without_space(&chunk.text);
            let fits = |text: &str| (0..=done.min(text.len())).find(|back| whole.is_char_boundary(done - back) && whole[done - back..].starts_with(text));
            let headless = heads.iter().find_map(|head| text.strip_prefix(head.as_str()));
            let headless = headless.and_then(|text| Some((fits(text)?, text.len())));
            // The names of columns that are put in front of a part of a table are no overlap.
            let (back, length) = match (fits(&text), headless) {
                (Some(0), _) => (0, text.len()),
                (_, Some(found)) => found,
                (Some(back), None) => (back, text.len()),
                (None, None) => return Err(TestCaseError::fail(format!("lost before {text}"))),
            };
            prop_assert!(tokens(&whole[done - back..done]) <= overlap.max(1), "{} repeats {}", number, &whole[done - back..done]);
            prop_assert!(length > back, "{} has nothing new", number);
            done += length - back;
        }
        prop_assert_eq!(done, whole.len());
    }

    #[test]
    fn no_heading_is_left_behind(parts in parts(), tokens_max in 64..220_u32) {
        let blocks = document(&parts);
        // Headings that stand together are kept with what they name as far as a quarter of a chunk holds them
        // and, above a table, the names of its columns.
        let run = |first: usize| {
            let headings = blocks[first..].iter().take_while(|block| block.kind == Kind::Heading);
            let named = blocks[first..].iter().find(|block| block.kind != Kind::Heading);
            let table = named.filter(|block| block.kind == Kind::Table);
            let columns = table.map(|block| tokens(&block.text.lines().take(2).collect::<Vec<_>>().join("\n")));
            headings.map(|block| tokens(&block.text)).chain(columns)
        };
        let headings: Vec<String> = (0..blocks.len())
            .filter(|number| blocks[*number].kind == Kind::Heading && run(*number).sum::<u32>() <= tokens_max / 4)
            .map(|number| blocks[number].text.clone())
            .collect();
        let chunks = cut(&blocks, budget(tokens_max, 20));
        for chunk in chunks.iter().rev().skip(1) {
            let last = chunk.text.rsplit("\n\n").next().unwrap_or_default();
            let only = chunk.text.split("\n\n").all(|part| headings.iter().any(|heading| heading.contains(part)));
            prop_assert!(only || !headings.iter().any(|heading| heading == last), "{}", chunk.text);
        }
    }
}
