//! Input that wants to do harm: a typed error or text comes back, in bounded time and memory.
//! Broken PDFs are tested where they are read in daily use, in processes of their own: `tests/isolated.rs`.

use proptest::prelude::*;

use super::*;

const LEVELS: usize = 100_000;

fn outcome(text: &str, format: Format) -> Result<usize, Refusal> {
    read(text.as_bytes(), format, &Limits::default()).map(|reading| reading.blocks.len())
}

#[test]
fn deep_nesting_is_read_or_refused() {
    for (open, close) in [
        ("<div>", "</div>"),
        ("<b>", ""),
        ("<p><i>", ""),
        ("<h1>", ""),
        ("<nav>", "</nav>"),
        ("<pre>", "</pre>"),
    ] {
        let text = format!("{}deep{}", open.repeat(LEVELS), close.repeat(LEVELS));
        assert!(matches!(outcome(&text, Format::Html), Ok(1) | Err(Refusal::Empty)), "{open}");
    }
    for open in ["<ul><li>", "<ol>", "<table><tr><td>", "<dl><dd>"] {
        let text = format!("{}deep", open.repeat(LEVELS));
        assert_eq!(
            outcome(&text, Format::Html),
            Err(Refusal::TooDeep { nesting_max: 200 }),
            "{open}"
        );
    }
    for open in [">", "- ", "1. ", "> - ", "* > "] {
        let text = format!("{}deep", open.repeat(LEVELS));
        assert_eq!(
            outcome(&text, Format::Markdown),
            Err(Refusal::TooDeep { nesting_max: 200 }),
            "{open}"
        );
    }
    for text in
        ["[", "![", "*a ", "_a_", "**a ", "`", "<a ", "[](", "$", "\\", "&", "[^", "| ", "]("]
    {
        assert!(
            matches!(outcome(&text.repeat(LEVELS), Format::Markdown), Ok(_) | Err(Refusal::Empty)),
            "{text}"
        );
    }
}

#[test]
fn every_limit_is_a_refusal_that_names_it() {
    let small = Limits { bytes: 1000, text: 100, blocks: 5, nesting: 3 };
    let refusal = |text: &str, format| read(text.as_bytes(), format, &small).unwrap_err();
    assert_eq!(
        refusal(&"x".repeat(1001), Format::Plain),
        Refusal::TooManyBytes { bytes_max: 1000 }
    );
    for format in [Format::Plain, Format::Markdown, Format::Html] {
        assert_eq!(refusal(&"word ".repeat(50), format), Refusal::TooMuchText { text_max: 100 });
    }
    assert_eq!(
        refusal("a\n\nb\n\nc\n\nd\n\ne\n\nf", Format::Plain),
        Refusal::TooManyBlocks { blocks_max: 5 }
    );
    assert_eq!(
        refusal("<p>a<p>b<p>c<p>d<p>e<p>f", Format::Html),
        Refusal::TooManyBlocks { blocks_max: 5 }
    );
    assert_eq!(refusal("- - - - a", Format::Markdown), Refusal::TooDeep { nesting_max: 3 });
    let pdf = super::writer::pdf("x", &[&[(11, 700, &"word ".repeat(50))]]);
    let limits = Limits { text: 100, ..Limits::default() };
    assert_eq!(
        read(&pdf, Format::Pdf, &limits).unwrap_err(),
        Refusal::TooMuchText { text_max: 100 }
    );
}

#[test]
fn a_file_of_100_mb_is_refused_unread() {
    let bytes = vec![b' '; 100 << 20];
    for format in [Format::Plain, Format::Markdown, Format::Html, Format::Pdf] {
        assert_eq!(
            read(&bytes, format, &Limits::default()).unwrap_err(),
            Refusal::TooManyBytes { bytes_max: 64 << 20 }
        );
    }
}

#[test]
fn huge_tables_and_lines_are_read() {
    let rows = "| a | b |\n".repeat(100_000);
    assert_eq!(outcome(&format!("| A | B |\n|---|---|\n{rows}"), Format::Markdown), Ok(1));
    assert_eq!(
        outcome(&format!("<table>{}", "<tr><td>a<td>b".repeat(100_000)), Format::Html),
        Ok(1)
    );
    assert_eq!(outcome(&format!("<table><tr>{}", "<td>a".repeat(200_000)), Format::Html), Ok(1));
    assert_eq!(outcome(&format!("<p {}>text", "a=b ".repeat(100_000)), Format::Html), Ok(1));
    assert_eq!(outcome(&"x".repeat(5_000_000), Format::Plain), Ok(1));
}

#[test]
fn front_matter_of_megabytes_is_read() {
    let items = "  - item\n".repeat(500_000);
    let keys: String = (0..10_000).map(|number| format!("key{number}: value\n")).collect();
    let reading = read_as(&format!("---\nlist:\n{items}{keys}---\ntext"), Format::Markdown);
    assert!(reading.metadata.len() <= 64);
    assert!(reading.metadata.values().all(|value| value.len() <= 500));
}

#[test]
fn a_heading_of_megabytes_is_not_repeated_in_every_place() {
    let text = format!("# {}\n\n{}", "long ".repeat(200_000), "a\n\n".repeat(1000));
    let reading = read_as(&text, Format::Markdown);
    assert!(
        reading.blocks.iter().all(|block| block
            .place
            .headings
            .iter()
            .all(|heading| heading.len() <= 150))
    );
    assert!(reading.title.is_some_and(|title| title.len() <= 500));
}

const SEEDS: [&str; 4] = [
    "---\ntitle: x\n---\n# One\n\n- a\n- b\n\n> *q*\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n<div>h</div>\n[^1]: note\n",
    "<!DOCTYPE html><title>t</title><nav>m</nav><main><h1>a</h1><p>b<ul><li>c</ul><table><tr><th>d<td>e</table><pre>f</pre></main>&amp;&#x41;",
    "Title\n=====\n\nText\n\n- a\n- b\n\n    code\n\nPart\n----\n1. x\n",
    "\u{feff}Caf\u{e9} \u{1f600}\r\n\r\nSecond\u{c}third",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mutated_documents_are_read_or_refused(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..20),
        copies in 1..4_usize,
        format in prop::sample::select(vec![Format::Plain, Format::Markdown, Format::Html]),
    ) {
        let mut bytes = SEEDS[seed].repeat(copies).into_bytes();
        for (at, byte, change) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match change {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Ok(reading) = read(&bytes, format, &Limits::default()) {
            prop_assert!(!reading.blocks.is_empty());
            prop_assert!(reading.blocks.iter().all(|block| !block.text.trim().is_empty()));
            prop_assert!(reading.metadata.keys().all(|key| key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        for format in [Format::Plain, Format::Markdown, Format::Html] {
            let _ = read(&bytes, format, &Limits::default());
        }
    }

    #[test]
    fn no_word_of_plain_text_is_lost(words in prop::collection::vec("[a-z]{1,8}", 1..60), breaks in prop::collection::vec(0..4_usize, 60)) {
        let text: String = words.iter().zip(breaks).map(|(word, gap)| format!("{word}{}", [" ", "\n", "\n\n", "\n    "][gap])).collect();
        for format in [Format::Plain, Format::Markdown, Format::Html] {
            let reading = read_as(&text, format);
            let read: Vec<&str> = reading.blocks.iter().flat_map(|block| block.text.split_whitespace()).collect();
            prop_assert_eq!(&read, &words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
