//! Tells the options of a multiple-choice question from what is asked, however they are laid out.

/// A question taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// What is asked, or the whole text when there are no options.
    pub(crate) stem: &'a str,
    /// In the order in which they stand, without letters or numbers.
    pub(crate) options: Vec<&'a str>,
}

/// Beginnings of lists that are followed at the same time.
const RUNS_MAX: usize = 16;
/// Options are A to J at most.
const OPTIONS_MAX: usize = 10;
/// Longer ones, in bytes on average, are rather paragraphs with numbers.
const NUMBERED_BYTES_MAX: usize = 240;
/// Options without any mark are recognised when there are as many as in most tests.
const UNMARKED: usize = 4;
/// Their greatest length in bytes.
const UNMARKED_BYTES_MAX: usize = 700;
/// How a line begins that gives a task; lines behind it are hardly options.
const TASKS: [&str; 22] = [
    "write",
    "rewrite",
    "translate",
    "summari",
    "given",
    "edit",
    "fix",
    "correct",
    "create",
    "compose",
    "draft",
    "implement",
    "explain",
    "describe",
    "generate",
    "make",
    "tulis",
    "buat",
    "terjemah",
    "ringkas",
    "jelaskan",
    "dear",
];

/// How a list is marked: all options of one list have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    open: u8,
    first: u8,
    close: u8,
}

/// `B)`, say.
#[derive(Debug, Clone, Copy)]
struct Mark {
    style: Style,
    /// 0 is the first option.
    index: usize,
    start: usize,
    /// Where the option's text begins.
    end: usize,
    begins_line: bool,
}

/// Takes a normalised text apart.
pub(crate) fn split(text: &str) -> Parts<'_> {
    let plain = || Parts { stem: without_heading(without_answer(text)), options: Vec::new() };
    marked(text).or_else(|| unmarked(text)).unwrap_or_else(plain)
}

/// A list of which each option has a letter or number. The last one counts, as lists before it
/// belong to the question.
fn marked(text: &str) -> Option<Parts<'_>> {
    let mut runs: Vec<Vec<Mark>> = Vec::new();
    for mark in marks(text) {
        for run in &mut runs {
            let style = run.first().map(|first| first.style);
            if style == Some(mark.style) && run.len() == mark.index && run.len() < OPTIONS_MAX {
                run.push(mark);
            }
        }
        if mark.index == 0 && runs.len() < RUNS_MAX {
            runs.push(vec![mark]);
        }
    }
    runs.iter().rev().find_map(|run| list(text, run))
}

/// The parts of a text with this list, if it is one of options.
fn list<'a>(text: &'a str, run: &[Mark]) -> Option<Parts<'a>> {
    let first = run.first()?;
    let pair = run.len() == 2 && run.iter().all(|mark| mark.begins_line);
    if run.len() < 3 && !pair {
        return None;
    }
    let stem = without_heading(text.get(..first.start)?);
    let ends = run.iter().skip(1).map(|mark| mark.start).chain([text.len()]);
    let options: Vec<_> = run
        .iter()
        .zip(ends)
        .filter_map(|(mark, end)| text.get(mark.end..end))
        .map(|option| without_answer(option).trim_matches([' ', '\n', '*']))
        .collect();
    let bytes: usize = options.iter().map(|option| option.len()).sum();
    let of_questions = options.iter().any(|option| option.contains('?'));
    let numbered = first.style.first == b'1' || first.style.close == b'-';
    let is_list =
        stem.is_empty() || numbered && (of_questions || bytes > NUMBERED_BYTES_MAX * options.len());
    (!is_list).then_some(Parts { stem, options })
}

/// Everything that looks like the mark of an option.
fn marks(text: &str) -> impl Iterator<Item = Mark> {
    let bytes = text.as_bytes();
    let begins_word = |start: &usize| {
        start
            .checked_sub(1)
            .and_then(|before| bytes.get(before))
            .is_none_or(u8::is_ascii_whitespace)
    };
    (0..bytes.len()).filter(begins_word).filter_map(move |start| mark(bytes, start))
}

/// The mark that begins at `start`: `A.`, `(a)`, `[1]`, `**A)**`, `A:`, and in front of a line also
/// `A -` and `A` alone.
fn mark(bytes: &[u8], start: usize) -> Option<Mark> {
    let at = |place: usize| bytes.get(place).copied();
    let begins_line = start == 0 || at(start - 1) == Some(b'\n');
    let mut place = start;
    while at(place) == Some(b'*') {
        place += 1;
    }
    let open = at(place).filter(|byte| matches!(byte, b'(' | b'[')).unwrap_or_default();
    place += usize::from(open != 0);
    let label = at(place)?;
    let first = match label {
        b'A'..=b'J' => b'A',
        b'a'..=b'j' => b'a',
        b'1'..=b'9' => b'1',
        _ => return None,
    };
    place += 1;
    while at(place) == Some(b'*') {
        place += 1;
    }
    let close = match at(place)? {
        byte @ (b')' | b']' | b'.' | b':') => byte,
        b' ' if begins_line && open == 0 && at(place + 1) == Some(b'-') => {
            place += 1;
            b'-'
        }
        b' ' if begins_line && open == 0 && first == b'A' => b' ',
        _ => return None,
    };
    place += 1;
    while at(place) == Some(b'*') {
        place += 1;
    }
    let is_apart = matches!(close, b')' | b']' | b' ')
        || at(place).is_none_or(|byte| byte.is_ascii_whitespace());
    let style = Style { open, first, close };
    let index = usize::from(label - first);
    is_apart.then_some(Mark { style, index, start, end: place, begins_line })
}

/// Lines at the end that are alike, with bullets or without anything.
fn unmarked(text: &str) -> Option<Parts<'_>> {
    let text = without_answer(text);
    let lines: Vec<&str> = text.lines().collect();
    let (stem, options) = lines.split_at_checked(lines.len().checked_sub(UNMARKED)?)?;
    let last = stem.last()?;
    let opening = stem.first()?.to_ascii_lowercase();
    let is_task = TASKS.iter().any(|task| opening.starts_with(task)) && !last.ends_with('?');
    let bullet = |line: &str| line.strip_prefix(['-', '*', '\u{2022}']).map(str::len);
    let is_option = |line: &&str| {
        line.len() <= UNMARKED_BYTES_MAX
            && !line.ends_with(['?', '{', ';'])
            && !line.starts_with(['#', '`'])
    };
    if is_task || bullet(last).is_some() || !options.iter().all(is_option) {
        return None;
    }
    let length: usize = options.iter().map(|line| line.len() + 1).sum();
    let stem = text.get(..text.len().checked_sub(length)?)?;
    let options = options.iter().map(|line| line.trim_start_matches(['-', '*', '\u{2022}', ' ']));
    Some(Parts { stem: without_heading(stem), options: options.collect() })
}

/// The stem without the words that stand around it in tests.
fn without_heading(stem: &str) -> &str {
    let mut stem = stem.trim_matches([' ', '\n', '*']);
    for heading in ["question:", "q:"] {
        if let Some(rest) = strip_prefix_ignoring_case(stem, heading) {
            stem = rest.trim_start();
        }
    }
    for heading in ["options:", "choices:", "answer choices:", "options", "choices"] {
        let start = stem.len().saturating_sub(heading.len());
        let alone =
            start > 0 && stem.get(..start).is_some_and(|before| before.ends_with(['\n', ' ']));
        if alone && stem.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(heading)) {
            stem = stem.get(..start).unwrap_or_default().trim_end();
        }
    }
    stem
}

/// The text without a last line such as `Answer:`.
fn without_answer(text: &str) -> &str {
    let line = text.rfind('\n').map_or(0, |newline| newline + 1);
    let last = text.get(line..).unwrap_or_default();
    if strip_prefix_ignoring_case(last, "answer:").is_some_and(|rest| rest.len() < 4) {
        text.get(..line).unwrap_or_default().trim_end()
    } else {
        text
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [&str; 4] = ["the sun", "a moon", "Vitamin A. 3", "none of the above"];

    fn check(text: &str) {
        let parts = split(text);
        assert_eq!(parts.stem, "Which is it?", "{text}");
        assert_eq!(parts.options, OPTIONS, "{text}");
    }

    #[test]
    fn options_are_found_in_every_layout() {
        let layouts: [fn(usize) -> String; 9] = [
            |i| format!("\n{}. ", ["A", "B", "C", "D"][i]),
            |i| format!("\n({}) ", ["A", "B", "C", "D"][i]),
            |i| format!("\n{}) ", ["a", "b", "c", "d"][i]),
            |i| format!("\n{}: ", ["A", "B", "C", "D"][i]),
            |i| format!("\n**{}.** ", ["A", "B", "C", "D"][i]),
            |i| format!("\n{}. ", i + 1),
            |i| format!(" ({}) ", ["A", "B", "C", "D"][i]),
            |i| format!(" {}. ", i + 1),
            |_| "\n- ".to_owned(),
        ];
        for layout in layouts {
            let options: String =
                OPTIONS.iter().enumerate().map(|(i, option)| layout(i) + option).collect();
            check(&format!("Which is it?{options}"));
            check(&format!("Question: Which is it?\nOptions:{options}\nAnswer:"));
        }
        check(&format!("Which is it?\n{}", OPTIONS.join("\n")));
    }

    #[test]
    fn a_list_inside_the_question_is_no_option() {
        let parts = split("Consider:\n1. red\n2. blue\n3. green\nWhich is best?\nA. 1\nB. 2\nC. 3");
        assert_eq!(parts.options, ["1", "2", "3"]);
        assert!(parts.stem.ends_with("Which is best?"));
    }

    #[test]
    fn an_option_may_mention_another_one() {
        let parts = split("How? (A) Heat it. (B) As in (A) but slowly. (C) Cool it. (D) Wait.");
        assert_eq!(parts.options, ["Heat it.", "As in (A) but slowly.", "Cool it.", "Wait."]);
    }

    #[test]
    fn words_around_a_plain_question_are_no_part_of_it() {
        assert_eq!(split("Question: How many are there?\nAnswer:").stem, "How many are there?");
    }

    #[test]
    fn plain_questions_have_no_options() {
        for text in [
            "",
            "A",
            "What is vitamin A. B. Franklin asked.",
            "Write a letter\nwith four lines:\none\ntwo\nthree\nfour",
            "Sort these:\n1. Who wrote Faust?\n2. Who was Ada?\n3. What is a cell?",
            "fn main() {\n  let a = 1;\n  let b = 2;\n  let c = 3;\n}",
        ] {
            assert_eq!(split(text), Parts { stem: text, options: vec![] }, "{text}");
        }
    }
}
