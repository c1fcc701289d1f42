//! The caches: what is kept, and how often it was of use.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tandem_client::v1;

use super::{duration, filled, model::size};

/// All caches.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Caches {
    pub(crate) caches: Vec<Cache>,
}

/// One cache. Counts are since the daemon started.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cache {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) problem: Option<String>,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_max: u64,
    pub(crate) ttl_s: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) semantic_hits: u64,
    pub(crate) failures: u64,
}

/// What clearing came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cleared {
    pub(crate) bytes: u64,
}

impl From<v1::CacheStatsResponse> for Caches {
    fn from(stats: v1::CacheStatsResponse) -> Self {
        Self { caches: stats.caches.into_iter().map(Cache::from).collect() }
    }
}

impl From<v1::CacheStats> for Cache {
    fn from(stats: v1::CacheStats) -> Self {
        Self {
            name: stats.name,
            enabled: stats.enabled,
            problem: filled(stats.problem),
            entries: stats.entries,
            bytes: stats.bytes,
            bytes_max: stats.bytes_max,
            ttl_s: stats.ttl_s,
            hits: stats.hits,
            misses: stats.misses,
            semantic_hits: stats.semantic_hits,
            failures: stats.failures,
        }
    }
}

impl Caches {
    pub(crate) fn text(&self) -> String {
        self.caches.iter().map(Cache::text).collect()
    }
}

impl Cache {
    /// A line, and another one where something is wrong.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{:<10} ", self.name);
        if self.enabled {
            let _ = write!(
                text,
                "{} entries · {} of {} · kept for {} · {} hits",
                self.entries,
                size(self.bytes),
                size(self.bytes_max),
                duration(Duration::from_secs(self.ttl_s)),
                self.hits,
            );
            if self.semantic_hits > 0 {
                let _ = write!(text, " ({} in other words)", self.semantic_hits);
            }
            let _ = write!(text, " · {} misses", self.misses);
            if self.failures > 0 {
                let _ = write!(text, " · {} failures", self.failures);
            }
        } else {
            text += "off";
        }
        text.push('\n');
        if let Some(problem) = &self.problem {
            let _ = writeln!(text, "           problem: {}", problem.replace('\n', " "));
        }
        text
    }
}

impl Cleared {
    pub(crate) fn text(&self) -> String {
        format!("{} are free again\n", size(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> v1::CacheStats {
        v1::CacheStats {
            name: "answers".into(),
            enabled: true,
            entries: 3,
            bytes: 2 << 10,
            bytes_max: 16 << 20,
            ttl_s: 86_400,
            hits: 5,
            misses: 7,
            semantic_hits: 1,
            ..v1::CacheStats::default()
        }
    }

    #[test]
    fn a_cache_is_a_line_and_its_problem_another_one() {
        let line = Cache::from(stats()).text();
        assert!(line.starts_with("answers    3 entries · "), "{line}");
        assert!(
            line.ends_with("kept for 1 d 0 h · 5 hits (1 in other words) · 7 misses\n"),
            "{line}"
        );
        let problem = "was written with another key".to_owned();
        let text = Cache::from(v1::CacheStats { problem, ..stats() }).text();
        assert!(text.ends_with("\n           problem: was written with another key\n"), "{text}");
        let off = v1::CacheStats { name: "answers".into(), ..v1::CacheStats::default() };
        assert_eq!(Cache::from(off).text(), "answers    off\n");
    }

    #[test]
    fn the_json_has_a_key_for_every_number() {
        let json = serde_json::to_value(Cache::from(stats())).unwrap_or_default();
        assert_eq!((&json["semantic_hits"], &json["bytes"]), (&1.into(), &2048.into()));
        assert_eq!(json["problem"], serde_json::Value::Null);
    }
}
