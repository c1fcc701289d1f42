//! What all have in common that speak HTTP to other servers.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, Url, redirect};

/// Longest quotation of a server's words, in characters.
pub(crate) const QUOTE_CHARS_MAX: usize = 300;

/// A client of that server. Building it reads the system's certificates from disk.
pub(crate) fn builder(url: &Url, connect_timeout: Duration) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        // A redirect could carry what is sent, and the key, to another host.
        .redirect(redirect::Policy::none());
    if is_on_this_machine(url) { builder.no_proxy() } else { builder }
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Why there are no more bytes of a body.
pub(crate) enum End {
    /// It was all.
    Complete,
    /// It is longer than allowed.
    TooLong,
    /// The connection ended.
    Cut,
}

/// At most `limit` bytes of a body, and why there are no more.
pub(crate) async fn read(mut response: Response, limit: usize) -> (Vec<u8>, End) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = limit - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return (body, End::TooLong);
                }
            }
            Ok(None) => return (body, End::Complete),
            Err(_) => return (body, End::Cut),
        }
    }
}

/// The innermost cause, which is the one that says something.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// A server's words, bounded, on one line and without the key.
pub(crate) fn quote(text: &str, key: Option<&str>) -> String {
    let text = match key {
        Some(key) => text.replace(key, "***"),
        None => text.to_owned(),
    };
    let mut words: String = text
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((end, _)) = words.char_indices().nth(QUOTE_CHARS_MAX) {
        words.truncate(end);
        words.push('…');
    }
    if words.is_empty() { "no explanation".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        let is_here = |url: &str| is_on_this_machine(&Url::parse(url).unwrap());
        for here in ["http://localhost:1", "http://127.9.9.9", "https://[::1]:8000/x"] {
            assert!(is_here(here), "{here}");
        }
        for there in ["http://10.0.0.1", "http://localhost.example", "http://[fe80::1]", "http://h"]
        {
            assert!(!is_here(there), "{there}");
        }
    }
}
