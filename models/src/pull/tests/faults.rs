//! Servers that fail, lie, or change their mind.

use super::*;

/// The refusal of a pull, of which nothing must be left.
async fn refused(place: &Place, target: &Target) -> Error {
    let error = place.pull(target).await.unwrap_err();
    assert_eq!(place.files(), Vec::<String>::new(), "{error}");
    error
}

#[tokio::test]
async fn connections_that_are_cut_cost_no_more_than_what_was_under_way() {
    let content = model(8 * MIB, 1);
    let manner = Manner { cut_after: Some(5 * MIB / 2), ..Manner::default() };
    let (server, mut place) = (Server::start(content.clone(), manner), Place::new());
    place.options.parallel = 1;
    place.pull(&of(&server)).await.unwrap();
    place.assert_has(&content);
    let lost = server.sent() - content.len() as u64;
    assert!((1..=4 * MIB as u64).contains(&lost), "{lost} bytes came in vain");
}

#[tokio::test]
async fn a_stream_without_ranges_that_is_cut_begins_again() {
    let content = model(6 * MIB, 1);
    let manner = Manner { ranges: false, cut_after: Some(5 * MIB / 2), ..Manner::default() };
    let (server, place) = (Server::start(content.clone(), manner), Place::new());
    let target = of(&server);
    let mend = async {
        server.until_sent(5 * MIB as u64 / 2).await;
        server.behave(|manner| manner.cut_after = None);
    };
    let (pulled, ()) = tokio::join!(place.pull(&target), mend);
    pulled.unwrap();
    place.assert_has(&content);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_asked_again() {
    let content = model(4 * MIB, 1);
    let (server, mut place) = (Server::start(content.clone(), Manner::default()), Place::new());
    place.options.idle = Duration::from_millis(200);
    place.options.parallel = 1;
    server.behave(|manner| manner.stall_after = Some(MIB));
    place.pull(&of(&server)).await.unwrap();
    place.assert_has(&content);
}

#[tokio::test]
async fn a_server_that_is_busy_for_a_while_is_waited_for() {
    let content = model(MIB, 1);
    for (status, headers) in [(503, ""), (429, "retry-after: 0\r\n"), (500, "")] {
        let refusal = Some((status, headers.to_owned()));
        let manner = Manner { refusal, refusals_left: 3, ..Manner::default() };
        let (server, place) = (Server::start(content.clone(), manner), Place::new());
        place.pull(&of(&server)).await.unwrap();
        place.assert_has(&content);
    }
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up() {
    let refusal = Some((503, String::new()));
    let manner = Manner { refusal, ..Manner::default() };
    let (server, place) = (Server::start(Vec::new(), manner), Place::new());
    let error = refused(&place, &of(&server)).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(server.requests().len(), 4);
    let nobody = refused(&place, &from(&["http://127.0.0.1:1/m.gguf"])).await;
    assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
}

#[tokio::test]
async fn who_may_not_fetch_is_told_what_to_do_at_once() {
    for (status, told) in [(404, "is not there"), (403, "anybody may read"), (400, "status 400")] {
        let manner = Manner { refusal: Some((status, String::new())), ..Manner::default() };
        let (server, place) = (Server::start(Vec::new(), manner), Place::new());
        let error = refused(&place, &of(&server)).await.to_string();
        assert!(error.contains(told), "{error}");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_its_server_says_never_gets_its_name() {
    let content = model(3 * MIB, 1);
    let manner = Manner { claimed_size: Some(content.len() + 100), ..Manner::default() };
    let (server, place) = (Server::start(content, manner), Place::new());
    let error = place.pull(&of(&server)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(!place.files().contains(&"m.gguf".to_owned()));
}

#[tokio::test]
async fn a_file_of_another_size_than_the_catalog_knows_is_not_fetched() {
    let content = model(2 * MIB, 1);
    let (server, place) = (Server::start(content, Manner::default()), Place::new());
    let error = refused(&place, &Target { size_bytes: Some(7), ..of(&server) }).await;
    assert!(matches!(error, Error::WrongSize { expected: 7, .. }), "{error}");
    assert!(server.sent() <= 1);
}

#[tokio::test]
async fn a_file_that_is_larger_than_the_disk_is_not_begun() {
    let content = model(MIB, 1);
    let manner = Manner { claimed_size: Some(1 << 40), ..Manner::default() };
    let (server, place) = (Server::start(content, manner), Place::new());
    let error = refused(&place, &of(&server)).await;
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    server.behave(|manner| manner.claimed_size = Some((1 << 40) + 1));
    let error = refused(&place, &of(&server)).await;
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test]
async fn damaged_bytes_are_thrown_away_and_the_next_source_is_asked() {
    let content = model(3 * MIB, 1);
    let mut damaged = content.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (bad, place) = (Server::start(damaged, Manner::default()), Place::new());
    let target = Target { sha256: Some(hash(&content)), ..of(&bad) };
    let error = refused(&place, &target).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");

    let good = Server::start(content.clone(), Manner::default());
    let target = Target { sources: from(&[&bad.url(), &good.url()]).sources, ..target };
    place.pull(&target).await.unwrap();
    place.assert_has(&content);
    assert!(place.note().contains("trying http://"), "{}", place.note());
}

#[tokio::test]
async fn what_is_no_model_does_not_get_the_name_of_one() {
    let page = b"<html>log in first</html>".to_vec();
    let (server, place) = (Server::start(page, Manner::default()), Place::new());
    let error = refused(&place, &of(&server)).await;
    assert!(error.to_string().contains("not a GGUF file"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_fetched_anew_and_that_is_said() {
    let (before, after) = (model(6 * MIB, 1), model(6 * MIB, 2));
    let manner = Manner { cut_after: Some(2 * MIB), ..Manner::default() };
    let (server, mut place) = (Server::start(before, manner), Place::new());
    place.options.parallel = 1;
    let target = of(&server);
    let change = async {
        server.until_sent(3 * MIB as u64).await;
        server.replace(after.clone(), Some("\"second\""));
    };
    let (pulled, ()) = tokio::join!(place.pull(&target), change);
    pulled.unwrap();
    place.assert_has(&after);
    assert!(place.note().contains("changed while it was fetched"), "{}", place.note());
}
