//! What is stored, and whether it is well.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::{filled, model::size};

/// Files that are so many times larger than what is in them are worth a hint.
const WASTEFUL: u64 = 4;
/// Below so many bytes they never are.
const SMALL_BYTES: u64 = 8 << 20;

/// What a check came to.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    records: u64,
    collections: u64,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    advice: String,
    repaired: bool,
}

impl From<v1::CheckStorageResponse> for Check {
    fn from(response: v1::CheckStorageResponse) -> Self {
        let finding =
            |v1::StorageFinding { what, advice, repaired }| Finding { what, advice, repaired };
        Self {
            records: response.records,
            collections: response.collections,
            findings: response.findings.into_iter().map(finding).collect(),
        }
    }
}

impl Check {
    /// Whether nothing is broken any more.
    pub(crate) fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired)
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, advice, repaired } in &self.findings {
            let _ = if *repaired {
                writeln!(text, "mended: {what}")
            } else {
                writeln!(text, "broken: {what}\n  {advice}")
            };
        }
        let broken = self.findings.iter().filter(|finding| !finding.repaired).count();
        let collections = of_collections(self.collections);
        let _ = match broken {
            0 => writeln!(text, "{} records{collections}, all well", self.records),
            _ => writeln!(text, "{} records{collections}, {broken} broken", self.records),
        };
        text
    }
}

/// What a restore came to.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    records: u64,
    /// Folder of what was stored before.
    previous: String,
    collections: u64,
    /// Folder of the collections before, where they were replaced.
    previous_collections: Option<String>,
}

impl From<v1::RestoreResponse> for Restored {
    fn from(response: v1::RestoreResponse) -> Self {
        Self {
            records: response.records,
            previous: response.previous,
            collections: response.collections,
            previous_collections: filled(response.previous_collections),
        }
    }
}

impl Restored {
    pub(crate) fn text(&self) -> String {
        let collections = of_collections(self.collections);
        let folders = [Some(&self.previous), self.previous_collections.as_ref()];
        let folders: Vec<&str> = folders.into_iter().flatten().map(String::as_str).collect();
        format!(
            "restored {} records{collections}\nwhat was stored before is in {}; delete that when nothing \
             is missing\n",
            self.records,
            folders.join(" and ")
        )
    }
}

/// To be put behind the number of records.
fn of_collections(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => " and 1 collection of documents".to_owned(),
        count => format!(" and {count} collections of documents"),
    }
}

/// How much is stored.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    folder: String,
    disk_bytes: u64,
    logical_bytes: u64,
    conversation_bytes: u64,
    conversations: u64,
    turns: u64,
    usage_rows: u64,
    memories: u64,
    index_bytes: u64,
    committed_turns: u64,
    flushes: u64,
    collections: u64,
    collection_bytes: u64,
}

impl From<v1::StorageStatsResponse> for Stats {
    fn from(it: v1::StorageStatsResponse) -> Self {
        Self {
            folder: it.folder,
            disk_bytes: it.disk_bytes,
            logical_bytes: it.logical_bytes,
            conversation_bytes: it.conversation_bytes,
            conversations: it.conversations,
            turns: it.turns,
            usage_rows: it.usage_rows,
            memories: it.memories,
            index_bytes: it.index_bytes,
            committed_turns: it.committed_turns,
            flushes: it.flushes,
            collections: it.collections,
            collection_bytes: it.collection_bytes,
        }
    }
}

impl Stats {
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}\n{} conversations with {} turns, {}; {} memories, {} sums of usage\n{} on disk for {} of records, \
             {} for the search\n{} collections of documents, {} on disk\n{} turns were stored since the start, with {} flushes\n",
            self.folder,
            self.conversations,
            self.turns,
            size(self.conversation_bytes),
            self.memories,
            self.usage_rows,
            size(self.disk_bytes),
            size(self.logical_bytes),
            size(self.index_bytes),
            self.collections,
            size(self.collection_bytes),
            self.committed_turns,
            self.flushes,
        );
        let useful = self.logical_bytes.max(SMALL_BYTES);
        if self.disk_bytes > useful.saturating_mul(WASTEFUL) {
            text += "`tandem memory compact` gives most of the space back\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_says_what_is_broken_and_what_to_do() {
        let finding = |repaired| v1::StorageFinding {
            what: "a turn".into(),
            advice: "restore a backup".into(),
            repaired,
        };
        let check = |findings| {
            let response = v1::CheckStorageResponse { records: 7, findings, collections: 0 };
            Check::from(response)
        };
        assert_eq!(check(vec![]).text(), "7 records, all well\n");
        let mended = check(vec![finding(true)]);
        assert_eq!(mended.text(), "mended: a turn\n7 records, all well\n");
        assert!(mended.is_well());
        let broken = check(vec![finding(false), finding(true)]);
        assert!(!broken.is_well());
        assert!(broken.text().starts_with("broken: a turn\n  restore a backup\n"));
        assert!(broken.text().ends_with("7 records, 1 broken\n"));
        let all = Check { collections: 2, ..check(vec![]) };
        assert_eq!(all.text(), "7 records and 2 collections of documents, all well\n");
    }

    #[test]
    fn waste_is_pointed_out() {
        let stats = |disk_bytes| v1::StorageStatsResponse { disk_bytes, ..Default::default() };
        assert!(Stats::from(stats(100 << 20)).text().contains("compact"));
        assert!(!Stats::from(stats(20 << 20)).text().contains("compact"));
    }

    #[test]
    fn what_was_restored_and_where_the_rest_is_are_told() {
        let store = v1::RestoreResponse {
            records: 7,
            previous: "/data/store-before".to_owned(),
            ..Default::default()
        };
        let told = Restored::from(store.clone()).text();
        assert!(told.starts_with("restored 7 records\n"), "{told}");
        assert!(told.contains("is in /data/store-before;"), "{told}");
        let both = v1::RestoreResponse {
            collections: 1,
            previous_collections: "/data/knowledge-before".to_owned(),
            ..store
        };
        let told = Restored::from(both).text();
        assert!(told.starts_with("restored 7 records and 1 collection of documents\n"), "{told}");
        assert!(told.contains("is in /data/store-before and /data/knowledge-before;"), "{told}");
    }
}
