//! Addresses on the internet: of people, by e-mail, and of machines.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tandem_config::PersonalData;

use super::{Found, before, is_word, stands_alone};

/// Endings of file names, as in `icon@2x.png`, and of what is no address for other reasons.
const NO_DOMAINS: [&str; 12] =
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "json", "html", "service"];

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\w[\w.%+'-]*@(?:\w[\w-]*\.)+[A-Za-z]{2,24}").expect("the pattern is valid")
});

static IP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?-u)\b\d{1,3}(?:\.\d{1,3}){3}\b|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,36}(?:\.\d{1,3}){0,3}",
    )
    .expect("the pattern is valid")
});

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let emails = EMAIL.find_iter(text).map(|it| it.range()).filter(|it| is_email(text, it));
    found.extend(emails.map(|range| Found { kind: PersonalData::Email, range }));
    let ips = IP.find_iter(text).map(|it| it.range()).filter(|it| is_ip(text, it));
    found.extend(ips.map(|range| Found { kind: PersonalData::Ip, range }));
}

fn is_email(text: &str, range: &Range<usize>) -> bool {
    let address = &text[range.clone()];
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let ending = domain.rsplit_once('.').map_or(domain, |(_, ending)| ending);
    let after = &text[range.end..];
    // `git@host:path` is a place of code, and `a@b.mean()` a product of matrices.
    let is_code = local == "git" && after.starts_with(':') || after.starts_with('(');
    !is_code
        && !is_password(before(text, range.start, 256))
        && !NO_DOMAINS.iter().any(|it| it.eq_ignore_ascii_case(ending))
        && !after.starts_with(is_word)
}

/// Whether what follows `before` is the password in an address, as in `https://user:password@host`.
fn is_password(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    word.ends_with(':') && word.contains("://")
}

fn is_ip(text: &str, range: &Range<usize>) -> bool {
    let address = &text[range.clone()];
    let touches = |letter: char| letter == '.' || letter == ':' || letter == '-';
    let said = &text[..range.start];
    let after = &text[range.end..];
    if let Ok(ip) = address.parse::<Ipv4Addr>() {
        // A fifth number makes it something else, such as a version.
        let goes_on = said.ends_with(|c: char| c == '.' || is_word(c) || c == '-')
            || after.strip_prefix('.').is_some_and(|rest| rest.starts_with(is_word));
        return !goes_on && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_broadcast();
    }
    let Ok(ip) = address.parse::<Ipv6Addr>() else { return false };
    stands_alone(text, range)
        && !said.ends_with(touches)
        && address.bytes().filter(u8::is_ascii_hexdigit).count() >= 4
        && !ip.is_loopback()
}
