//! With a real server of Chroma.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::super::index::tests::{Library, suite};
use super::mark::Mark;
use super::*;

/// Far more than anything here takes, on any machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// A server with an empty folder; dropping it kills it.
struct Chroma {
    port: u16,
    _child: Child,
    _folder: TempDir,
}

impl Chroma {
    fn start() -> Self {
        let program = std::env::var_os("TANDEM_TEST_CHROMA").expect(
            "TANDEM_TEST_CHROMA is not set: it names the program of Chroma; `make test` sets it",
        );
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"])
            .arg(folder.path())
            .env("ANONYMIZED_TELEMETRY", "False")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { port, _child: child, _folder: folder }
    }

    /// What reaches it under this name of the machine.
    fn server(&self, host: &str) -> Server {
        let url = format!("http://{host}:{}", self.port);
        let timeout = Duration::from_secs(30);
        Server::new(tandem_config::Chroma { url, timeout, ..tandem_config::Chroma::default() })
    }

    fn mirror(&self, host: &str) -> Mirror {
        Mirror::new(Arc::new(Copies::new(self.server(host))))
    }
}

/// Waits until the copy has so many chunks, and all that it shall have.
async fn until_complete(mirror: &Mirror, chunks: u64) {
    let mut standing = mirror.0.standing.subscribe();
    let complete = |it: &Standing| {
        matches!(it.state, State::Serving { .. }) && (it.held, it.wanted) == (chunks, chunks)
    };
    timeout(DEADLINE, standing.wait_for(complete)).await.expect("a complete copy").unwrap();
}

/// Waits until the server itself has so many, and the mark in the folder says so.
async fn until_counted(server: &Server, dir: &TempDir, chunks: u64) {
    let counted = async || {
        let mark = Mark::read(dir.path()).unwrap().unwrap();
        (server.count(&mark.id).await.unwrap(), mark.held.count())
    };
    timeout(DEADLINE, async {
        while counted().await != (chunks, chunks) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("a count");
}

#[tokio::test]
async fn a_copy_answers_as_a_comparison_with_all_vectors_would() {
    let chroma = Chroma::start();
    let dir = tempfile::tempdir().unwrap();
    let mirror = chroma.mirror("127.0.0.1");
    let mut library = Library::open(dir.path(), Some(mirror.clone()));
    let _copier = mirror.keep("notes", dir.path().to_owned(), library.shelf.clone());
    let shelf = library.shelf.clone();
    let index = Mirrored { shelf: &shelf, mirror: &mirror };
    let settled = async |library: &Library| until_complete(&mirror, library.counts().0).await;
    suite(&mut library, &index, settled).await;
    until_counted(&chroma.server("127.0.0.1"), &dir, library.counts().0).await;
}

#[tokio::test]
async fn a_copy_elsewhere_has_only_what_may_leave_and_answers_the_same() {
    let chroma = Chroma::start();
    let dir = tempfile::tempdir().unwrap();
    // It leads back here, which nobody knows who reads it.
    let mirror = chroma.mirror("0.0.0.0");
    assert!(mirror.is_elsewhere());
    let mut library = Library::open(dir.path(), Some(mirror.clone()));
    let _copier = mirror.keep("notes", dir.path().to_owned(), library.shelf.clone());
    let shelf = library.shelf.clone();
    let index = Mirrored { shelf: &shelf, mirror: &mirror };
    let settled = async |library: &Library| until_complete(&mirror, library.counts().1).await;
    suite(&mut library, &index, settled).await;
    until_counted(&chroma.server("0.0.0.0"), &dir, library.counts().1).await;
}

#[tokio::test]
async fn what_the_server_did_or_lost_unnoticed_is_found_out_and_put_right() {
    let chroma = Chroma::start();
    let server = chroma.server("127.0.0.1");
    let dir = tempfile::tempdir().unwrap();
    let mirror = chroma.mirror("127.0.0.1");
    let mut library = Library::open(dir.path(), Some(mirror.clone()));
    let keep =
        |mirror: &Mirror, shelf: &Shelf| mirror.keep("notes", dir.path().to_owned(), shelf.clone());
    let copier = keep(&mirror, &library.shelf);
    library.put(&[1, 2, 3, 4, 5, 6], 0).await;
    until_complete(&mirror, 18).await;
    let before = Mark::read(dir.path()).unwrap().unwrap();

    // The daemon died before it wrote down what was acknowledged: additions, and removals.
    library.put(&[7], 0).await;
    until_complete(&mirror, 21).await;
    library.remove(&[1]).await;
    until_complete(&mirror, 18).await;
    drop(copier);
    library.remove(&[7]).await;
    before.write(dir.path()).unwrap();
    let mut behind = before.clone();
    behind.held.remove(&[16, 17, 18]);
    for mark in [before, behind] {
        mark.write(dir.path()).unwrap();
        let mirror = chroma.mirror("127.0.0.1");
        let _copier = keep(&mirror, &library.shelf);
        until_complete(&mirror, 15).await;
        until_counted(&server, &dir, 15).await;
    }

    // Somebody emptied it, and somebody put in what is not ours.
    let mark = Mark::read(dir.path()).unwrap().unwrap();
    server.remove(&mark.name).await.unwrap();
    let again = chroma.mirror("127.0.0.1");
    let copier = keep(&again, &library.shelf);
    until_complete(&again, 15).await;
    assert_ne!(Mark::read(dir.path()).unwrap().unwrap().id, mark.id);
    drop(copier);
    let mark = Mark::read(dir.path()).unwrap().unwrap();
    let strange = br#"{"ids":["strange"],"embeddings":[[1,0,0,0,0,0,0,0]]}"#.to_vec();
    server.upsert(&mark.id, strange).await.unwrap();
    assert_eq!(server.count(&mark.id).await.unwrap(), 16);
    let again = chroma.mirror("127.0.0.1");
    let _copier = keep(&again, &library.shelf);
    until_complete(&again, 15).await;
    until_counted(&server, &dir, 15).await;
}

#[tokio::test]
async fn copies_of_deleted_collections_are_removed_as_soon_as_the_server_is_there() {
    let chroma = Chroma::start();
    let dir = tempfile::tempdir().unwrap();
    let mirror = chroma.mirror("127.0.0.1");
    let mut library = Library::open(&dir.path().join("notes"), Some(mirror.clone()));
    let copier = mirror.keep("notes", dir.path().join("notes"), library.shelf.clone());
    library.put(&[1], 0).await;
    until_complete(&mirror, 3).await;
    drop((copier, library));

    let mark = Mark::read(&dir.path().join("notes")).unwrap().unwrap();
    let other = Mark::new(chroma.server("localhost").place());
    other.write(dir.path()).unwrap();
    remains::keep_mark(dir.path(), dir.path());
    remains::keep_mark(&dir.path().join("notes"), dir.path());
    let copies = Arc::new(Copies::new(chroma.server("127.0.0.1")));
    let _sweeper = remains::sweep(Arc::clone(&copies), dir.path().into());
    let kept = |name: &str| dir.path().join(format!("copy.{name}")).exists();
    timeout(DEADLINE, async {
        while kept(&mark.name) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the copy to be removed");
    assert!(kept(&other.name), "it is in another place");
    // It would be the same one if it were there.
    assert_ne!(copies.server.open(&mark.name).await.unwrap(), mark.id);
}
