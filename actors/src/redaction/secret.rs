//! Passwords, keys and tokens: by their form, or by what is said of them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tandem_config::PersonalData;

use super::{Found, before, is_word};

mod assigned;

use assigned::{is_mixed, is_value};

/// Longest private key, in bytes.
const PRIVATE_KEY_BYTES_MAX: usize = 16 << 10;

/// Tokens that say by their beginnings what they are.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"sk-[A-Za-z0-9_-]{16,}",
        r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
        r"whsec_[A-Za-z0-9+/=]{16,}",
        r"gh[pousr]_[A-Za-z0-9]{20,}",
        r"github_pat_[A-Za-z0-9_]{22,}",
        r"gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,}",
        r"(?:AKIA|ASIA)[A-Z0-9]{16}",
        r"AIza[A-Za-z0-9_-]{35}",
        r"ya29\.[A-Za-z0-9_-]{20,}",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"xapp-[A-Za-z0-9-]{10,}",
        r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}",
        r"hf_[A-Za-z0-9]{20,}",
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-[A-Za-z0-9_-]{16,}",
        r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        r"do[opr]_v1_[a-f0-9]{64}",
        r"gsk_[A-Za-z0-9]{20,}",
        r"r8_[A-Za-z0-9]{30,}",
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
        r"AGE-SECRET-KEY-1[0-9A-Z]{40,}",
        r"[0-9]{8,10}:[A-Za-z0-9_-]{35}",
        r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    ];
    Regex::new(&forms.join("|")).expect("the pattern is valid")
});

/// What is sent to prove who one is: in an address, a header or an argument, or said in short.
static SHOWN: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r#"[a-z]://[^\s/:@"']*:(?<address>[^\s/@"']{3,})@"#,
        r#"\s-u\s+[^\s:@"']+:(?<user>[^\s@"']{3,})"#,
        r#"--(?:password|passwd|passphrase|token|secret|api-key)[ =](?<flag>[^\s"'`,;]{4,})"#,
        r#"(?i:\b(?:pw|pwd|sandi)\s+)(?<word>[^\s"'`,;]{6,})"#,
        r"(?i:\botp(?:\s+(?:kamu|anda|saya|code))?\s+)(?<otp>\d{4,8})",
        r"(?i:\b(?:bearer|basic)[ \t]+)(?<header>[A-Za-z0-9._~+/-]{16,1024}={0,2})",
    ];
    Regex::new(&forms.join("|")).expect("the pattern is valid")
});

static KEY_BEGINS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
        .expect("the pattern is valid")
});
static KEY_ENDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----").expect("the pattern is valid")
});

/// Text without spaces that could be a key.
static RANDOM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{20,256}={0,2}").expect("the pattern is valid"));
/// What is said shortly before a key, and what before other random text.
static SAID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)key|token|secret|passw|credential|auth|kunci|sandi|rahasia")
        .expect("the pattern is valid")
});
static SAID_OF_OTHERS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\bsha|hash|commit|digest|checksum|uuid|\bid\b|public|fingerprint|primary|foreign|path")
        .expect("the pattern is valid")
});

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let mut secret = |range: Range<usize>| found.push(Found { kind: PersonalData::Secret, range });
    for token in TOKEN.find_iter(text) {
        let begins_word = !text[..token.start()].ends_with(is_word);
        if begins_word && letters(token.as_str()) >= 8 {
            secret(token.start()..token.end() + rest_of_word(&text[token.end()..]));
        }
    }
    for shown in SHOWN.captures_iter(text) {
        let is_secret = |name: &str, value: &str| match name {
            "header" => is_random(value),
            "word" => is_value(value) && is_mixed(value),
            _ => is_value(value),
        };
        let named = ["address", "user", "flag", "word", "otp", "header"].into_iter();
        let mut found = named.filter_map(|name| Some((name, shown.name(name)?)));
        if let Some((_, value)) = found.find(|(name, value)| is_secret(name, value.as_str())) {
            secret(value.range());
        }
    }
    private_keys(text, &mut secret);
    assigned::find(text, &mut secret);
    for random in RANDOM.find_iter(text) {
        if is_random(random.as_str()) && is_said(before(text, random.start(), 48), random.as_str())
        {
            secret(random.range());
        }
    }
}

/// Bytes that belong to the word that goes on with `text`; of a very long one, the beginning.
fn rest_of_word(text: &str) -> usize {
    const LETTERS_MAX: usize = 64;
    text.chars().take(LETTERS_MAX).take_while(|letter| is_word(*letter)).map(char::len_utf8).sum()
}

/// Blocks of private keys; one that does not end goes on as long as its lines look like it.
fn private_keys(text: &str, secret: &mut impl FnMut(Range<usize>)) {
    let mut ends = KEY_ENDS.find_iter(text).peekable();
    for begin in KEY_BEGINS.find_iter(text) {
        while ends.next_if(|end| end.start() < begin.end()).is_some() {}
        let end = ends.peek().map(regex::Match::end);
        let end = end.filter(|end| end - begin.start() <= PRIVATE_KEY_BYTES_MAX);
        secret(
            begin.start()..end.unwrap_or_else(|| {
                let body = text[begin.end()..].bytes().take(PRIVATE_KEY_BYTES_MAX);
                let is_body =
                    |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\\\r\n".contains(byte);
                begin.end() + body.take_while(is_body).count()
            }),
        );
    }
}

/// Whether `text` says of the `value` behind it that it is a key.
fn is_said(text: &str, value: &str) -> bool {
    let last = |pattern: &Regex| pattern.find_iter(text).last().map(|it| it.start());
    let (said, other) = (last(&SAID), last(&SAID_OF_OTHERS));
    // What is only of hexadecimal digits looks like a digest, whatever it is the digest of.
    let is_digest = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    said.is_some_and(|said| other.is_none_or(|other| other < said && !is_digest))
}

/// Whether `text` looks made by chance: letters and digits, with little that repeats.
fn is_random(text: &str) -> bool {
    /// Of random text of 20 letters and digits, in bits a letter; words have about 3.
    const ENTROPY_MIN: f64 = 3.4;
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && entropy(text) >= ENTROPY_MIN
}

/// Bits a byte, as often as each occurs.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    #[allow(clippy::cast_precision_loss, reason = "exact for any text in memory")]
    let length = text.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

/// How many different letters and digits there are. Examples such as `sk-xxxxxxxx` have few.
fn letters(text: &str) -> usize {
    let mut seen = [false; 256];
    for byte in text.bytes() {
        seen[usize::from(byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}
