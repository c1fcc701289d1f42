//! The same questions in another form. What is asked does not change.

use std::fmt::Write as _;

/// Writes the question of that number in another form.
type Perturb = &'static dyn Fn(usize, &str) -> String;

/// All forms with their names.
pub(super) const PERTURBATIONS: [(&str, Perturb); 16] = [
    ("as it is", &|_, prompt| prompt.to_owned()),
    ("options turned", &|number, prompt| options(prompt, "\n", turn(number), |i| upper(i) + ". ")),
    ("options in another order", &|number, prompt| {
        options(prompt, "\n", swap(number), |i| upper(i) + ". ")
    }),
    ("`(A)`", &|_, prompt| options(prompt, "\n", same, |i| format!("({}) ", upper(i)))),
    ("`A)`, in another order", &|number, prompt| {
        options(prompt, "\n", swap(number), |i| upper(i) + ") ")
    }),
    ("`a)`", &|_, prompt| options(prompt, "\n", same, |i| upper(i).to_lowercase() + ") ")),
    ("`A:`", &|_, prompt| options(prompt, "\n", same, |i| upper(i) + ": ")),
    ("`1.`", &|_, prompt| options(prompt, "\n", same, |i| format!("{}. ", i + 1))),
    ("`1)` on one line", &|_, prompt| options(prompt, " ", same, |i| format!("{}) ", i + 1))),
    ("`- `", &|_, prompt| options(prompt, "\n", same, |_| "- ".to_owned())),
    ("no letters", &|_, prompt| options(prompt, "\n", same, |_| String::new())),
    ("no letters, in another order", &|number, prompt| {
        options(prompt, "\n", swap(number), |_| String::new())
    }),
    ("`A.` on one line", &|_, prompt| options(prompt, " ", same, |i| upper(i) + ". ")),
    ("`(A)` on one line, in another order", &|number, prompt| {
        options(prompt, " ", swap(number), |i| format!("({}) ", upper(i)))
    }),
    ("`Question:`, `Options:`, `Answer:`", &|_, prompt| {
        let prompt = options(prompt, "\n", same, |i| upper(i) + ". ");
        let prompt = prompt.replacen("\nA. ", "\nOptions:\nA. ", 1);
        format!("Question: {prompt}\nAnswer:")
    }),
    ("spaces, tabs and empty lines", &noise),
];

/// The options of a question in the data's own form, `\nA. ` and so on, written in another one.
fn options(
    prompt: &str,
    between: &str,
    order: impl Fn(&mut Vec<&str>),
    mark: impl Fn(usize) -> String,
) -> String {
    let Some((stem, mut options)) = take_apart(prompt) else { return prompt.to_owned() };
    order(&mut options);
    let mut text = stem.to_owned();
    for (number, option) in options.iter().enumerate() {
        let _ = write!(text, "{between}{}{option}", mark(number));
    }
    text
}

fn take_apart(prompt: &str) -> Option<(&str, Vec<&str>)> {
    let (rest, d) = prompt.rsplit_once("\nD. ")?;
    let (rest, c) = rest.rsplit_once("\nC. ")?;
    let (rest, b) = rest.rsplit_once("\nB. ")?;
    let (stem, a) = rest.rsplit_once("\nA. ")?;
    Some((stem, vec![a, b, c, d]))
}

fn upper(number: usize) -> String {
    ["A", "B", "C", "D"].get(number).copied().unwrap_or("E").to_owned()
}

fn same(_: &mut Vec<&str>) {}

fn turn(number: usize) -> impl Fn(&mut Vec<&str>) {
    move |options| options.rotate_left(1 + number % 3)
}

fn swap(number: usize) -> impl Fn(&mut Vec<&str>) {
    move |options| {
        options.rotate_left(number % 4);
        options.swap(0, 1 + number / 4 % 3);
    }
}

fn noise(number: usize, prompt: &str) -> String {
    let mut text = " \n".to_owned();
    for (place, letter) in prompt.chars().enumerate() {
        text.push(letter);
        match (letter, (number + place) % 7) {
            (' ', 1) => text.push('\t'),
            (' ', 2) => text.push('\u{a0}'),
            ('\n', 0..=3) => text.push_str(" \n\n"),
            (' ', 0) | ('\n', _) => text.push_str("  "),
            _ => {}
        }
    }
    text + " \r\n\n"
}
