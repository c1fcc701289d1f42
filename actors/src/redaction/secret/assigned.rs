//! Secrets that are written behind their names, as in `password = …` or "kata sandi saya …".

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::is_random;

/// A name of a secret, what joins it to its value, and the value.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    let password = r"pass(?:word|wd|phrase|code)?|pwd|kata[ _-]?sandi|\bsandi";
    let key = "api[ _-]?key|(?:secret|access|private|account|encryption|signing)[ _-]?(?:access[ _-]?)?key\
               |(?:auth|access|refresh|bearer|session|api|bot)[ _-]?token|client[ _-]?secret|kunci[ _-]?api";
    let other = "token|secret";
    let pin = r"\b(?:pin|otp|cvv2?|cvc)";
    let between = r"(?:-?nya)?(?:\s+(?:saya|kami|anda|wi-?fi|akun|e?mail|surel|admin|root|baru|atm|untuk\s+[^\s:=]{1,20}|for\s+(?:the\s+)?[^\s:=]{1,20})){0,2}";
    let join =
        r"(?:\s{0,3}(?<sign>:=|=>|=|:)\s{0,3}|\s{1,3}(?<word>is|adalah|ialah|yaitu|saya)\s{1,3})";
    let value = "(?:\"(?<double>[^\"\\n]+)\"|'(?<single>[^'\\n]+)'|`(?<tick>[^`\\n]+)`\
                 |(?<bare>[^\\s\"'`,;]+))";
    let pattern = format!(
        "(?i)(?:(?<password>{password})|(?<key>{key})|(?<other>{other})|(?<pin>{pin}))\
         [\"'`*]{{0,2}}{between}[\"'`*]{{0,2}}{join}{value}"
    );
    Regex::new(&pattern).expect("the pattern is valid")
});

/// What stands where a value would, and says that there is one, or what it has to be.
const WORDS: [&str; 62] = [
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "str",
    "int",
    "integer",
    "number",
    "text",
    "bytes",
    "bool",
    "boolean",
    "optional",
    "required",
    "empty",
    "default",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "value",
    "input",
    "env",
    "process",
    "self",
    "this",
    "config",
    "hidden",
    "redacted",
    "changeme",
    "minimum",
    "must",
    "not",
    "wrong",
    "incorrect",
    "invalid",
    "valid",
    "correct",
    "expired",
    "missing",
    "hashed",
    "encrypted",
    "the",
    "your",
    "and",
    "yang",
    "harus",
    "wajib",
    "salah",
    "minimal",
    "tidak",
    "benar",
    "lupa",
    "kosong",
    "rahasia",
    "reset",
    "forgotten",
    "unknown",
];

pub(super) fn find(text: &str, secret: &mut impl FnMut(Range<usize>)) {
    for found in ASSIGNED.captures_iter(text) {
        let quoted = ["double", "single", "tick"].iter().find_map(|name| found.name(name));
        let range = match (quoted, found.name("bare")) {
            (Some(value), _) => value.range(),
            (None, Some(value)) => {
                // The mark that ends a sentence is none of a value that an equals sign begins.
                let ends: &[char] = match found.name("sign") {
                    Some(_) => &['.', ':', ')', ']', '}', '*'],
                    None => &['.', ':', ')', ']', '}', '*', '!', '?'],
                };
                let bare = value.as_str().trim_end_matches(ends);
                value.start()..value.start() + bare.len()
            }
            (None, None) => continue,
        };
        let value = Value {
            text: &text[range.clone()],
            quoted: quoted.is_some(),
            said: found.name("word").is_some(),
            alone: text[range.end..]
                .trim_start_matches([' ', '.', '!', '*', '`'])
                .starts_with(['\n', '\r', ',', ';'])
                || text[range.end..].trim_matches([' ', '.', '!', '*', '`']).is_empty(),
        };
        if value.is_secret(&found) {
            secret(range);
        }
    }
}

/// Whether `text` is a value at all, and no example, variable or word about values.
pub(super) fn is_value(text: &str) -> bool {
    let lower = text.to_lowercase();
    let example = lower.starts_with("your")
        || lower.starts_with("my_")
        || lower.starts_with("xxx")
        || text.contains("...")
        || text.contains('…')
        || text.contains("${")
        || text.starts_with(['<', '$', '{', '%', '*', '[', '(', '&', '@']);
    let first = text.bytes().next();
    let one_letter = text.bytes().all(|byte| Some(byte) == first);
    !example && !one_letter && !WORDS.contains(&lower.as_str())
}

/// More than letters, or more than digits.
pub(super) fn is_mixed(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && !is_number(text)
        || text.bytes().any(|byte| b"!@#$%^&*+=?~".contains(&byte))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

struct Value<'a> {
    text: &'a str,
    quoted: bool,
    /// It is joined to its name by a word.
    said: bool,
    /// Nothing follows it on its line.
    alone: bool,
}

impl Value<'_> {
    fn is_secret(&self, found: &Captures<'_>) -> bool {
        if found.name("pin").is_some() {
            return (3..=8).contains(&self.text.len())
                && self.text.bytes().all(|byte| byte.is_ascii_digit())
                && (self.text.len() >= 4 || self.alone);
        }
        if !is_value(self.text) || (!self.quoted && self.is_code()) {
            return false;
        }
        if found.name("password").is_some() {
            self.is_password()
        } else if found.name("key").is_some() {
            self.text.len() >= 8 && is_mixed(self.text) && !self.text.contains(' ')
        } else {
            self.text.len() >= 10
                && self.text.bytes().any(|byte| byte.is_ascii_digit())
                && self.text.bytes().any(|byte| byte.is_ascii_alphabetic())
                && !self.text.contains(|c: char| c == ' ' || "()[]{}<>".contains(c))
                && (self.text.len() < 20 || is_random(self.text))
        }
    }

    fn is_password(&self) -> bool {
        if self.text.len() < 4 {
            return false;
        }
        // A sentence about passwords goes on; a password that is only letters stands alone.
        let plain = self.text.chars().all(char::is_alphabetic);
        match (self.quoted, self.said) {
            (true, _) => !self.text.contains(' ') || is_mixed(self.text),
            (false, true) => is_mixed(self.text) || is_number(self.text),
            (false, false) => !plain || self.alone,
        }
    }

    /// A call, an element, or a path of names.
    fn is_code(&self) -> bool {
        let mut names = self.text.split('.');
        let path = self.text.contains('.')
            && names.all(|name| {
                name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
        path || self.text.contains(['(', '[', '{'])
            || self.text.contains("::")
            || self.text.contains("->")
    }
}
