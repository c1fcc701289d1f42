//! Pulls during which nothing goes wrong.

use std::os::unix::fs::PermissionsExt as _;

use crate::Source;
use crate::origin::Origin;
use crate::pull::Stage;

use super::*;

#[tokio::test]
async fn a_file_comes_whole_over_several_connections() {
    let content = model(9 * MIB + 5, 1);
    let (server, place) = (Server::start(content.clone(), Manner::default()), Place::new());
    let target = Target { sha256: Some(hash(&content)), ..of(&server) };
    let path = place.pull(&target).await.unwrap();
    place.assert_has(&content);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let origin = Origin::of(&path).unwrap();
    assert_eq!((origin.source, origin.sha256), (server.url(), hash(&content)));
    assert_eq!(server.sent(), content.len() as u64 + 1, "each byte once, and one to ask");
    assert!(server.requests().len() >= 5, "{:?}", server.requests());

    let heard = place.heard.lock().unwrap();
    assert_eq!(heard.first().map(|it| it.stage), Some(Stage::Connecting));
    assert_eq!(heard.last().map(|it| it.stage), Some(Stage::Checking));
    assert!(heard.iter().any(|it| it.bytes_total == content.len() as u64));
    assert!(heard.iter().all(|it| it.note.is_empty() && it.bytes_done <= content.len() as u64));
}

#[tokio::test]
async fn what_is_there_already_is_not_fetched() {
    let (server, place) = (Server::start(model(MIB, 1), Manner::default()), Place::new());
    std::fs::write(place.dir.path().join("m.gguf"), "mine").unwrap();
    place.pull(&of(&server)).await.unwrap();
    assert_eq!(std::fs::read(place.dir.path().join("m.gguf")).unwrap(), b"mine");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_server_without_ranges_is_read_in_one_stream() {
    let content = model(5 * MIB, 1);
    let manner = Manner { ranges: false, ..Manner::default() };
    let (server, place) = (Server::start(content.clone(), manner), Place::new());
    place.pull(&of(&server)).await.unwrap();
    place.assert_has(&content);
    assert_eq!(server.requests().len(), 2, "one to ask and one to fetch");
}

#[tokio::test]
async fn a_file_on_this_machine_is_copied() {
    let (content, place) = (model(3 * MIB, 1), Place::new());
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("other name.gguf");
    std::fs::write(&original, &content).unwrap();
    let target = from(&[&format!("file:{}", original.display())]);
    place.pull(&target).await.unwrap();
    place.assert_has(&content);
    assert!(original.exists());
    let absent = from(&["file:/nowhere/m.gguf"]);
    let refused = Place::new().pull(&absent).await.unwrap_err();
    assert!(matches!(refused, Error::NotThere { .. }), "{refused}");
}

#[tokio::test]
async fn several_at_once_fetch_once() {
    let content = model(6 * MIB, 1);
    let (server, place) = (Server::start(content.clone(), Manner::default()), Place::new());
    let target = of(&server);
    // As two processes would; in one process, pulls are shared before they get here.
    let (one, other) = tokio::join!(place.pull(&target), place.pull(&target));
    one.unwrap();
    other.unwrap();
    place.assert_has(&content);
    assert!(server.sent() <= content.len() as u64 + 2, "{} bytes", server.sent());
}

#[test]
fn a_source_must_name_a_model() {
    let target = |text: &str| Target::of_source(text.parse::<Source>().unwrap());
    assert_eq!(target("hf:o/r/folder/m.GGUF").unwrap().file, "m.GGUF");
    for text in ["https://h/", "https://h/m.bin", "hf:o/r/.gguf", "s3://b/k", "file:/a/.m.gguf"] {
        assert!(matches!(target(text), Err(Error::Unusable(_))), "{text}");
    }
}
