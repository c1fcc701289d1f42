//! HTML and PDF.

use super::writer::{Lines, pdf};
use super::*;

#[test]
fn a_page_loses_its_chrome_and_keeps_its_text() {
    let text = "<!DOCTYPE html><html lang=en><head><title>The &amp; page</title><meta name=description content='About it'>\
        <style>p{}</style><script>if (a<b) '<p>no'</script></head><body><nav><p>menu</nav><header>logo</header>\
        <main><h1>One<a class=headerlink>¶</a></h1><p>Some <b>bold</b>\n text<br>here.<p>Next.<ul><li>a<li>b</ul><ol start=3><li>c</ol>\
        <h2>Two</h2><pre><code>fn main() {\n    x\n}\n</code></pre>\
        <table><thead><tr><th>A<th>B</thead><tr><td>1<td><p>2</p><tr><td>3<td>4</table>\
        <header>kept?</header><div aria-hidden=true>unseen</div></main><footer>legal</footer></body></html>";
    let reading = read_as(text, Format::Html);
    assert_eq!(reading.title.as_deref(), Some("The & page"));
    assert_eq!(reading.metadata.get("description").map(String::as_str), Some("About it"));
    assert_eq!(reading.metadata.get("language").map(String::as_str), Some("en"));
    assert_eq!(
        blocks(&reading),
        [
            (Kind::Heading, "One"),
            (Kind::Paragraph, "Some bold text here."),
            (Kind::Paragraph, "Next."),
            (Kind::Item, "a"),
            (Kind::Item, "b"),
            (Kind::Item, "3. c"),
            (Kind::Heading, "Two"),
            (Kind::Code, "fn main() {\n    x\n}"),
            (Kind::Table, "A | B\n--- | ---\n1 | 2\n3 | 4"),
            (Kind::Paragraph, "kept?"),
        ]
    );
    assert_eq!(above(&reading, "kept?"), ["One", "Two"]);
}

#[test]
fn the_title_in_the_head_of_a_page_is_kept_with_its_text() {
    let page = "<body><header><a href=/>logo</a><h1>The page</h1><p>menu</header>";
    for text in ["<p>Text", "<main><p>Text</main>"] {
        let reading = read_as(&format!("{page}{text}"), Format::Html);
        assert_eq!(blocks(&reading), [(Kind::Heading, "The page"), (Kind::Paragraph, "Text")]);
        assert_eq!(above(&reading, "Text"), ["The page"]);
    }
}

#[test]
fn lists_and_code_in_a_cell_stay_in_it() {
    let text = "<table><tr><th>A<th>B<tr><td><ul><li>x<li>y</ul><td><pre>z</pre></table><p>after<ol><li>one</ol>";
    let reading = read_as(text, Format::Html);
    assert_eq!(
        blocks(&reading),
        [
            (Kind::Table, "A | B\n--- | ---\nx y | z"),
            (Kind::Paragraph, "after"),
            (Kind::Item, "1. one")
        ]
    );
}

#[test]
fn a_page_whose_navigation_never_ends_is_read_whole() {
    let reading = read_as("<p>before<nav><p>text after<p>more", Format::Html);
    assert_eq!(reading.blocks.len(), 3);
    assert_eq!(reading.warnings.len(), 1);
}

#[test]
fn a_pdf_has_pages_paragraphs_and_headings() {
    let one: Lines<'_> = &[
        (24, 760, "Safety"),
        (11, 700, "Never open the lid while the en-"),
        (11, 687, "gine is running."),
        (11, 650, "A second paragraph."),
        (16, 600, "Cleaning"),
        (11, 580, "Use water. \\223No.\\224"),
    ];
    let reading =
        read(&pdf("Manual", &[one, &[(11, 700, "Page two.")]]), Format::Pdf, &Limits::default())
            .unwrap();
    assert_eq!(reading.title.as_deref(), Some("Manual"));
    assert_eq!(reading.metadata.get("author").map(String::as_str), Some("Ani"));
    assert_eq!(
        blocks(&reading),
        [
            (Kind::Heading, "Safety"),
            (Kind::Paragraph, "Never open the lid while the engine is running."),
            (Kind::Paragraph, "A second paragraph."),
            (Kind::Heading, "Cleaning"),
            (Kind::Paragraph, "Use water. “No.”"),
            (Kind::Paragraph, "Page two."),
        ]
    );
    assert_eq!(above(&reading, "Page two."), ["Safety", "Cleaning"]);
    let pages: Vec<_> = reading.blocks.iter().filter_map(|block| block.place.page).collect();
    assert_eq!(pages, [1, 1, 1, 1, 1, 2]);
}

#[test]
fn running_titles_of_a_pdf_are_left_out() {
    let texts: Vec<[(u32, u32, String); 3]> = (1..=6)
        .map(|page| {
            [
                (9, 800, "The manual".to_owned()),
                (11, 700, format!("Text {} of it.", "x".repeat(page))),
                (9, 40, format!("Page {page}")),
            ]
        })
        .collect();
    let lines: Vec<Vec<(u32, u32, &str)>> = texts
        .iter()
        .map(|page| page.iter().map(|(size, y, text)| (*size, *y, text.as_str())).collect())
        .collect();
    let pages: Vec<Lines<'_>> = lines.iter().map(Vec::as_slice).collect();
    let reading = read(&pdf("M", &pages), Format::Pdf, &Limits::default()).unwrap();
    assert_eq!(reading.blocks.len(), 6, "{reading:?}");
    assert!(reading.blocks.iter().all(|block| block.text.starts_with("Text x")), "{reading:?}");
}

#[test]
fn a_pdf_without_text_is_refused() {
    let refusal = read(&pdf("Scan", &[&[]]), Format::Pdf, &Limits::default()).unwrap_err();
    assert_eq!(refusal, Refusal::Empty);
    assert!(refusal.to_string().contains("text recognition"));
}
