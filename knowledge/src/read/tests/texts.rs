//! Plain text and Markdown, and how bytes become text.

use std::path::Path;

use super::*;

#[test]
fn markdown_keeps_headings_lists_code_and_tables() {
    let text = "---\ntitle: \"The guide\"\ntags:\n  - a\n  - b\nauthor: Ani\n---\n\n# One\n\nSome *words*\nand `code`.\n\n\
        ## Two\n\n- first\n- second\n  1. inner\n\n```sh\nls  -l\n\ncd\n```\n\n| A | B |\n|---|--:|\n| 1 | 2 |\n\n# Three\n\nEnd.\n";
    let reading = read_as(text, Format::Markdown);
    assert_eq!(reading.title.as_deref(), Some("The guide"));
    assert_eq!(reading.metadata.get("tags").map(String::as_str), Some("a, b"));
    assert_eq!(reading.metadata.get("author").map(String::as_str), Some("Ani"));
    assert_eq!(
        blocks(&reading),
        [
            (Kind::Heading, "One"),
            (Kind::Paragraph, "Some words and code."),
            (Kind::Heading, "Two"),
            (Kind::Item, "first"),
            (Kind::Item, "second"),
            (Kind::Item, "1. inner"),
            (Kind::Code, "ls  -l\n\ncd"),
            (Kind::Table, "A | B\n--- | ---\n1 | 2"),
            (Kind::Heading, "Three"),
            (Kind::Paragraph, "End."),
        ]
    );
    assert_eq!(above(&reading, "second"), ["One", "Two"]);
    assert_eq!(above(&reading, "End."), ["Three"]);
    let lines: Vec<_> = reading.blocks.iter().filter_map(|block| block.place.line).collect();
    assert_eq!(lines, [9, 11, 14, 16, 17, 18, 20, 26, 30, 32]);
}

#[test]
fn items_of_several_paragraphs_and_markup_inside_of_markdown_are_kept() {
    let reading = read_as(
        "- one\n\n  more\n\n  ```\n  x\n  ```\n- two\n\n<details><p>hidden <b>text</b></p></details>\n\nlast",
        Format::Markdown,
    );
    assert_eq!(
        blocks(&reading),
        [
            (Kind::Item, "one"),
            (Kind::Item, "more"),
            (Kind::Code, "x"),
            (Kind::Item, "two"),
            (Kind::Paragraph, "hidden text"),
            (Kind::Paragraph, "last"),
        ]
    );
}

#[test]
fn rows_of_badges_are_left_out() {
    let reading = read_as(
        "# Name\n\n[![build](https://x/b.svg)](https://x)\n[![docs](https://x/d.svg)](https://x)\n\nText.",
        Format::Markdown,
    );
    assert_eq!(blocks(&reading), [(Kind::Heading, "Name"), (Kind::Paragraph, "Text.")]);
}

#[test]
fn plain_text_has_paragraphs_underlined_headings_lists_and_code() {
    let text = "Title\n=====\n\nFirst line\nsecond line.\n\nPart\n----\n\n- one\n- two\n  goes on\n\n    code  here\n\n      more\n\nOther\n-----\nText";
    let reading = read_as(text, Format::Plain);
    assert_eq!(
        blocks(&reading),
        [
            (Kind::Heading, "Title"),
            (Kind::Paragraph, "First line second line."),
            (Kind::Heading, "Part"),
            (Kind::Item, "one"),
            (Kind::Item, "two goes on"),
            (Kind::Code, "    code  here"),
            (Kind::Code, "      more"),
            (Kind::Heading, "Other"),
            (Kind::Paragraph, "Text"),
        ]
    );
    assert_eq!(above(&reading, "Text"), ["Title", "Other"]);
    assert_eq!(reading.title.as_deref(), Some("Title"));
}

#[test]
fn lines_above_and_below_a_heading_are_another_level_than_one_below() {
    let text = "====\nBook\n====\n\n.. _place:\n\nPart\n====\n\nSection\n-------\nText\n\nPart 2\n======\nMore";
    let reading = read_as(text, Format::Plain);
    assert_eq!(reading.blocks.len(), 6);
    assert_eq!(above(&reading, "Text"), ["Book", "Part", "Section"]);
    assert_eq!(above(&reading, "More"), ["Book", "Part 2"]);
}

#[test]
fn every_encoding_gives_the_same_text() {
    let text = "Café – größer";
    let utf16 =
        |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let little = [&[0xff, 0xfe][..], &utf16(u16::to_le_bytes)].concat();
    let big = [&[0xfe, 0xff][..], &utf16(u16::to_be_bytes)].concat();
    let marked = [&[0xef, 0xbb, 0xbf][..], text.as_bytes()].concat();
    let latin = b"Caf\xe9 \x96 gr\xf6\xdfer";
    for bytes in [&little[..], &big, &marked, latin, text.as_bytes()] {
        let reading = read(bytes, Format::Plain, &Limits::default()).unwrap();
        assert_eq!(blocks(&reading), [(Kind::Paragraph, text)]);
        assert_eq!(reading.warnings.len(), usize::from(bytes == latin));
    }
    let page = b"<meta charset='iso-8859-2'><p>\xb1";
    assert_eq!(
        blocks(&read(page, Format::Html, &Limits::default()).unwrap()),
        [(Kind::Paragraph, "ą")]
    );
}

#[test]
fn what_is_no_text_is_refused() {
    for bytes in [&b"PK\x03\x04\0\0text"[..], b"\x01\x02\x03\x04", b"a\0b"] {
        assert_eq!(read(bytes, Format::Plain, &Limits::default()).unwrap_err(), Refusal::NotText);
    }
    for text in ["", " \n\t", "---\ntitle: x\n---\n", "<script>x</script>"] {
        assert_eq!(
            read(text.as_bytes(), Format::Html, &Limits::default())
                .map(|reading| reading.blocks.len())
                .unwrap_or_default(),
            usize::from(text.contains('-'))
        );
    }
    assert_eq!(read(b" \n", Format::Markdown, &Limits::default()).unwrap_err(), Refusal::Empty);
}

#[test]
fn formats_are_told_by_name_and_first_bytes() {
    let of = |path: &str, first: &[u8]| Format::of(Path::new(path), first);
    assert_eq!(of("a.MD", b"x"), Some(Format::Markdown));
    assert_eq!(of("a.html", b"%PDF-1.7\n\0"), Some(Format::Pdf));
    assert_eq!(of("README", b"words"), Some(Format::Plain));
    assert_eq!(of("page", b"\n<!DOCTYPE HTML><title>"), Some(Format::Html));
    assert_eq!(of("program", b"\x7fELF\0\0"), None);
    assert_eq!(of("a.png", b"\x89PNG"), None);
    assert_eq!(of("a.md", b"about %PDF-1.7 files"), Some(Format::Markdown));
}
