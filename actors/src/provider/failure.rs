//! What went wrong with an API, as errors that say what to do. The key is never in them.

use std::time::{Duration, SystemTime};

use reqwest::{StatusCode, Url};
use serde_json::Value;
use tandem_config::Secret;

use super::breaker::REST_MAX;
use crate::{Error, http};

/// Longest time that an API may keep us away.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// How long an API is left alone whose quota is used up and that does not say for how long.
const QUOTA_PAUSE: Duration = Duration::from_mins(10);

/// What APIs call it that no request will be answered until someone pays or a new month begins.
const QUOTA_CODES: [&str; 3] =
    ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"];

/// Types of errors that asking again does not mend, as `OpenAI` and `Anthropic` call them.
const REFUSALS: [&str; 5] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
];

/// Words errors of one provider.
pub(super) struct Blame<'a> {
    /// Name in the configuration.
    pub(super) provider: &'a str,
    /// Where the key is kept.
    pub(super) secret: Option<&'a Secret>,
    /// The key itself, so that it can be taken out of what the API says.
    pub(super) key: Option<&'a str>,
}

impl Blame<'_> {
    /// The API failed; another time it may not.
    pub(super) fn failed(&self, problem: impl Into<String>) -> Error {
        let (provider, problem) = (self.provider.to_owned(), problem.into());
        Error::ProviderFailed { provider, problem, retry_after: None }
    }

    /// The API said no, and will again.
    pub(super) fn refused(&self, problem: impl Into<String>) -> Error {
        Error::ProviderRefused { provider: self.provider.to_owned(), problem: problem.into() }
    }

    /// The API does not accept the key, or there is none.
    pub(super) fn key_refused(&self, problem: impl Into<String>) -> Error {
        Error::ProviderKeyRefused { provider: self.provider.to_owned(), problem: problem.into() }
    }

    /// The API took longer than it may.
    pub(super) fn late(&self, problem: impl Into<String>) -> Error {
        Error::ProviderTimedOut { provider: self.provider.to_owned(), problem: problem.into() }
    }

    /// The answer stopped before its end.
    pub(super) fn cut(&self) -> Error {
        self.failed("the connection ended in the middle of the answer")
    }

    /// An answer with a status other than success.
    pub(super) fn status(
        &self,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Error {
        let (name, code) = (self.provider, status.as_u16());
        let body: Result<Value, _> =
            serde_json::from_slice(body).map_err(|_| String::from_utf8_lossy(body));
        let said = match &body {
            Ok(value) => self.message(value),
            Err(text) => self.quote(text),
        };
        // Hugging Face says so while it loads a model.
        let estimate = || body.as_ref().ok()?.get("estimated_time")?.as_f64();
        let retry_after = retry_after.or_else(|| {
            let estimate = Duration::try_from_secs_f64(estimate()?.ceil()).ok()?;
            Some(estimate.min(RETRY_AFTER_MAX))
        });
        match code {
            401 | 403 => self.key_refused(match self.secret {
                None => format!("it wants a key ({code}); set providers.{name}.api_key"),
                Some(secret) => format!(
                    "it does not accept the key {} ({code}); put a valid one there",
                    place(secret)
                ),
            }),
            300..=399 => self.refused(format!(
                "it answers with a redirect ({code}); \
                 set providers.{name}.base_url to the final address"
            )),
            402 | 429 if code == 402 || is_exhausted(retry_after, body.as_ref().ok()) => {
                Error::ProviderExhausted {
                    provider: name.to_owned(),
                    problem: format!("it answers {status}: {said}"),
                    retry_after: retry_after.unwrap_or(QUOTA_PAUSE),
                }
            }
            408 | 429 | 500.. => Error::ProviderFailed {
                provider: name.to_owned(),
                problem: format!("it answers {status}: {said}"),
                retry_after,
            },
            _ => self.refused(format!("it answers {status}: {said}")),
        }
    }

    /// An error object in place of an answer, or in the middle of one.
    pub(super) fn reported(&self, error: &Value) -> Error {
        let problem = format!("it reports: {}", self.message(error));
        let inner = error.get("error").unwrap_or(error);
        match inner.get("type").and_then(Value::as_str) {
            Some(kind) if REFUSALS.contains(&kind) => self.refused(problem),
            _ => self.failed(problem),
        }
    }

    /// The message in an error object of the API.
    fn message(&self, error: &Value) -> String {
        let error = error.get("error").unwrap_or(error);
        let message = ["message", "detail"].iter().find_map(|key| error.get(key)?.as_str());
        let several = || {
            let messages: Option<Vec<_>> = error.as_array()?.iter().map(Value::as_str).collect();
            messages.map(|messages| messages.join("; "))
        };
        match message.or(error.as_str()).map(str::to_owned).or_else(several) {
            Some(message) => self.quote(&message),
            None => self.quote(&error.to_string()),
        }
    }

    /// The API's words, bounded, on one line and without the key.
    pub(super) fn quote(&self, text: &str) -> String {
        http::quote(text, self.key)
    }

    /// A request that was not answered at all.
    pub(super) fn transport(&self, url: &Url, error: &reqwest::Error, connect: Duration) -> Error {
        if !error.is_connect() {
            return self.failed(format!(
                "the connection ended before the answer ({})",
                http::cause(error)
            ));
        }
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        self.failed(if error.is_timeout() {
            format!(
                "cannot connect to {host}:{port} within {connect:?}; \
                 raise providers.{}.connect_timeout or check the network",
                self.provider
            )
        } else {
            format!("cannot connect to {host}:{port} ({})", http::cause(error))
        })
    }
}

/// When a `Retry-After` header asks us to come back: seconds or an HTTP date.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let pause = match header.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

/// Whether "too many requests" means that none will be answered for long.
fn is_exhausted(retry_after: Option<Duration>, body: Option<&Value>) -> bool {
    let error = body.map(|body| body.get("error").unwrap_or(body));
    let names = ["code", "type"].map(|key| error.and_then(|error| error.get(key)?.as_str()));
    retry_after.is_some_and(|rest| rest > REST_MAX)
        || names.into_iter().flatten().any(|name| QUOTA_CODES.contains(&name))
}

fn place(secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => format!("in environment variable {name}"),
        Secret::File(path) => format!("in file {}", path.display()),
        Secret::Keyring(name) => format!("in the keyring under {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const PLAIN: Blame<'static> = Blame { provider: "far", secret: None, key: None };

    fn status(blame: &Blame<'_>, code: u16, body: &str) -> Error {
        blame.status(StatusCode::from_u16(code).unwrap(), None, body.as_bytes())
    }

    #[test]
    fn a_refused_key_is_named_by_its_place_only() {
        let secret = Secret::Env("FAR_KEY".into());
        let blame = Blame { provider: "far", secret: Some(&secret), key: Some("sk-123") };
        for code in [401, 403] {
            let error = status(&blame, code, r#"{"error":{"message":"bad key sk-123"}}"#);
            assert!(matches!(error, Error::ProviderKeyRefused { .. }));
            assert!(error.to_string().contains("environment variable FAR_KEY"), "{error}");
            assert!(!error.to_string().contains("sk-123"), "{error}");
        }
        assert!(status(&PLAIN, 401, "").to_string().contains("set providers.far.api_key"));
    }

    #[test]
    fn the_api_is_quoted_without_the_key_on_one_line_and_bounded() {
        let blame = Blame { key: Some("sk-123"), ..PLAIN };
        let error = status(&blame, 400, r#"{"error":{"message":"no\u0007 sk-123\r\n\nhere"}}"#);
        let expected =
            "provider \"far\" refused the request: it answers 400 Bad Request: no *** here";
        assert_eq!(error.to_string(), expected);
        let long = status(&PLAIN, 422, &"é".repeat(10_000)).to_string();
        assert_eq!(long.matches('é').count(), http::QUOTE_CHARS_MAX);
    }

    #[test]
    fn an_error_is_understood_in_every_common_form() {
        for body in [
            r#"{"error":{"message":"why"}}"#,
            r#"{"error":"why"}"#,
            r#"{"message":"why"}"#,
            r#"{"detail":"why"}"#,
            r#"{"error":["why"]}"#,
            r#"{"type":"error","error":{"type":"not_found_error","message":"why"}}"#,
            "why",
        ] {
            assert!(status(&PLAIN, 404, body).to_string().ends_with(": why"), "{body}");
        }
        assert!(status(&PLAIN, 404, "").to_string().ends_with(": no explanation"));
    }

    #[test]
    fn a_model_that_is_being_loaded_says_when_to_come_back() {
        let body = r#"{"error":"Model x is currently loading","estimated_time":19.2}"#;
        let error = status(&PLAIN, 503, body);
        let Error::ProviderFailed { problem, retry_after, .. } = &error else { unreachable!() };
        assert!(problem.ends_with("Model x is currently loading"), "{problem}");
        assert_eq!(*retry_after, Some(Duration::from_secs(20)));
        for odd in ["-1", "1e300", "\"soon\""] {
            let error = status(&PLAIN, 503, &format!(r#"{{"error":"x","estimated_time":{odd}}}"#));
            assert!(matches!(error, Error::ProviderFailed { retry_after: None, .. }), "{error:?}");
        }
    }

    #[test]
    fn an_error_in_place_of_an_answer_is_judged_by_its_type() {
        let reported = |kind: &str| {
            PLAIN.reported(&serde_json::json!({"error": {"type": kind, "message": "why"}}))
        };
        for kind in ["overloaded_error", "api_error", "rate_limit_error", "server_error", ""] {
            assert!(matches!(reported(kind), Error::ProviderFailed { .. }), "{kind}");
        }
        for kind in REFUSALS {
            assert!(matches!(reported(kind), Error::ProviderRefused { .. }), "{kind}");
        }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_a_failure() {
        for code in [408, 429, 500, 502, 503, 504, 529] {
            assert!(matches!(status(&PLAIN, code, ""), Error::ProviderFailed { .. }), "{code}");
        }
        for code in [301, 307, 400, 404, 413, 422] {
            assert!(matches!(status(&PLAIN, code, ""), Error::ProviderRefused { .. }), "{code}");
        }
    }

    #[test]
    fn a_used_up_quota_is_told_from_too_many_requests() {
        let rest = |code: u16, rest: Option<u64>, body: &str| {
            let code = StatusCode::from_u16(code).unwrap();
            let rest = rest.map(Duration::from_secs);
            match PLAIN.status(code, rest, body.as_bytes()) {
                Error::ProviderExhausted { retry_after, .. } => Some(retry_after.as_secs()),
                _ => None,
            }
        };
        let quota = r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#;
        assert_eq!(rest(429, None, "slow down"), None);
        assert_eq!(rest(429, Some(20), "slow down"), None);
        assert_eq!(rest(429, Some(21), "slow down"), Some(21));
        assert_eq!(rest(429, None, quota), Some(QUOTA_PAUSE.as_secs()));
        assert_eq!(rest(402, None, ""), Some(QUOTA_PAUSE.as_secs()));
        assert_eq!(rest(503, Some(3600), quota), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let seconds = |header| retry_after(header, now).map(|pause| pause.as_secs());
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "in the past");
        assert_eq!(seconds("18446744073709551615"), Some(RETRY_AFTER_MAX.as_secs()));
        assert_eq!(seconds("soon"), None);
    }
}
