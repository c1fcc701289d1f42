//! Pulls that end before the file is there, and the next ones, which go on.

use crate::pull::{PARALLEL_MAX, forget, unfinished_bytes};
use tokio::select;

use super::*;

/// Most that one end may cost.
const CHUNK_BYTES: u64 = 8 * MIB as u64;

impl Place {
    /// Pulls until so many more bytes were sent, and gives up. True when it was done before.
    async fn pull_for(&self, target: &Target, server: &Server, bytes: u64) -> bool {
        let enough = server.sent() + bytes;
        select! {
            pulled = self.pull(target) => {
                pulled.unwrap();
                true
            }
            () = server.until_sent(enough) => false,
        }
    }
}

#[tokio::test]
async fn a_pull_that_is_given_up_twenty_times_gets_there_and_loses_little() {
    let content = model(48 * MIB + 3, 1);
    // Slow enough that what is sent is what is read.
    let manner = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    let (server, place) = (Server::start(content.clone(), manner), Place::new());
    let target = Target { sha256: Some(hash(&content)), ..of(&server) };
    let mut random = 7_u64;
    let (mut most, mut kept) = (0, 0);
    for end in 1..=20 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = server.sent();
        let done = place.pull_for(&target, &server, random >> 33 & (2 * MIB as u64 - 1)).await;
        assert!(!done, "end {end} came too late");
        let now = unfinished_bytes(place.dir.path(), "m.gguf");
        assert!(now >= kept, "what was kept is never lost");
        most = most.max((server.sent() - before).saturating_sub(now - kept));
        kept = now;
    }
    assert!(most <= CHUNK_BYTES, "one end cost {most} bytes");
    server.behave(|manner| manner.pause = Duration::ZERO);
    place.pull(&target).await.unwrap();
    place.assert_has(&content);
    let lost = server.sent() - content.len() as u64;
    assert!(lost <= 20 * CHUNK_BYTES, "20 ends cost {lost} bytes");
    assert!(PARALLEL_MAX as u64 * MIB as u64 <= CHUNK_BYTES);
}

#[tokio::test]
async fn what_came_from_a_file_that_is_another_one_now_does_not_count() {
    let (before, after) = (model(6 * MIB, 1), model(6 * MIB, 2));
    let manner = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    let (server, place) = (Server::start(before, manner), Place::new());
    assert!(!place.pull_for(&of(&server), &server, 5 * MIB as u64).await);
    assert!(unfinished_bytes(place.dir.path(), "m.gguf") > 0);
    server.replace(after.clone(), Some("\"second\""));
    place.pull(&of(&server)).await.unwrap();
    place.assert_has(&after);
}

#[tokio::test]
async fn another_source_goes_on_where_the_hash_is_known() {
    let content = model(8 * MIB, 1);
    let slow = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    let first = Server::start(content.clone(), slow);
    let second = Server::start(content.clone(), Manner::default());
    for known in [true, false] {
        let place = Place::new();
        let sha256 = known.then(|| hash(&content));
        let target = |server: &Server| Target { sha256: sha256.clone(), ..of(server) };
        assert!(!place.pull_for(&target(&first), &first, 7 * MIB as u64).await);
        let kept = unfinished_bytes(place.dir.path(), "m.gguf");
        assert!(kept > 0);
        let before = second.sent();
        place.pull(&target(&second)).await.unwrap();
        place.assert_has(&content);
        let fetched = second.sent() - before;
        let expected = content.len() as u64 + 1 - if known { kept } else { 0 };
        assert!(fetched <= expected, "{fetched} of {expected}");
    }
}

#[tokio::test]
async fn a_damaged_journal_costs_what_came_and_nothing_else() {
    let content = model(6 * MIB, 1);
    let manner = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    let (server, place) = (Server::start(content.clone(), manner), Place::new());
    assert!(!place.pull_for(&of(&server), &server, 4 * MIB as u64).await);
    std::fs::write(place.dir.path().join(".m.gguf.pull.journal"), "0\n1\n2\n").unwrap();
    place.pull(&of(&server)).await.unwrap();
    place.assert_has(&content);
}

#[tokio::test]
async fn what_is_not_wanted_any_more_can_be_forgotten() {
    let manner = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    let (server, place) = (Server::start(model(4 * MIB, 1), manner), Place::new());
    assert!(!place.pull_for(&of(&server), &server, 2 * MIB as u64).await);
    assert!(forget(place.dir.path(), "m.gguf").unwrap());
    assert_eq!(place.files(), Vec::<String>::new());
    assert!(!forget(place.dir.path(), "m.gguf").unwrap());
}
