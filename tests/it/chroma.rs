//! A real server of Chroma that searches the vectors of collections: it has what it should have,
//! whatever happens to it, and nothing that may not leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tandem_proto::error as reason;
use tandem_proto::v1::ingest_event::Event;
use tandem_proto::v1::{
    AskRequest, Content, DeleteCollectionRequest, IngestRequest, Label, Mirror, Policy,
    RemoveDocumentsRequest, Sampling, SearchMode, SearchRequest, SearchResponse,
};
use tandem_tests::{
    ChromaServer, Daemon, Failure, Fault, FaultProxy, LOOK_AGAIN, Setup, question, soon,
};
use tempfile::TempDir;
use tonic::Code;

use crate::embedding::import;
use crate::knowledge::{collections, counts, folder, ingest, name, of, write};

const QUESTION: &str = "When do I have to move out of my apartment?";

/// Settings under which vectors are searched there.
fn settings(host: &str, port: u16, more: &str) -> String {
    format!(
        "[knowledge]\nbackend = \"chroma\"\n[knowledge.chroma]\n\
         url = \"http://{host}:{port}\"\ntimeout = \"10s\"\n{more}\n"
    )
}

async fn start(settings: &str) -> Daemon {
    let daemon = Setup::real().config(settings).start().await;
    import(&daemon, "minilm").await.unwrap();
    daemon
}

async fn search(daemon: &Daemon, question: &str, private: bool) -> Result<SearchResponse, Failure> {
    let request = SearchRequest {
        collection: "notes".to_owned(),
        question: question.to_owned(),
        mode: SearchMode::Meaning.into(),
        private,
        ..SearchRequest::default()
    };
    Ok(soon("a search", daemon.client().knowledge().search(request)).await?.into_inner())
}

async fn mirror(daemon: &Daemon) -> (u64, Mirror) {
    let collection = collections(daemon).await.remove(0);
    (collection.chunks, collection.mirror.unwrap())
}

/// Waits until the server has every chunk once, by its own count and by the daemon's; how many.
async fn until_mirrored(daemon: &Daemon, chroma: &ChromaServer) -> u64 {
    soon("the copy to be complete", async {
        loop {
            let (chunks, it) = mirror(daemon).await;
            let complete = it.problem.is_empty() && (it.held, it.wanted) == (chunks, chunks);
            if complete && chroma.vectors().await == chunks {
                return chunks;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}

async fn until_vectors(chroma: &ChromaServer, vectors: u64) {
    soon("vectors in Chroma", async {
        while chroma.vectors().await != vectors {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

/// A folder with many documents of a line.
fn many(documents: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..documents {
        write(&folder, &format!("{number}.txt"), &format!("Document number w{number} of many.\n"));
    }
    folder
}

#[tokio::test]
async fn chroma_has_what_the_collection_has_until_it_is_removed_or_deleted() {
    let chroma = ChromaServer::start().await;
    let daemon = start(&settings("127.0.0.1", chroma.port(), "fallback = false")).await;
    let folder = folder();
    assert_eq!(counts(&ingest(&daemon, of(&folder)).await.unwrap()), [3, 0, 0, 0, 0]);
    // Right from now on, whatever has arrived there.
    let found = search(&daemon, QUESTION, false).await.unwrap();
    assert!(found.hits[0].text.contains("lease"), "{found:?}");
    let chunks = until_mirrored(&daemon, &chroma).await;
    let again = search(&daemon, QUESTION, false).await.unwrap();
    assert_eq!(again.notice, "");
    let sources = |it: &SearchResponse| {
        it.hits.iter().map(|hit| (hit.source.clone(), hit.line)).collect::<Vec<_>>()
    };
    assert_eq!(sources(&again), sources(&found));
    let listed = daemon.home().tandem(&["knowledge", "list"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&format!("mirrored {chunks}/{chunks}")), "{listed}");

    let bike = folder.path().join("bike.html").display().to_string();
    let request =
        RemoveDocumentsRequest { collection: "notes".to_owned(), sources: vec![bike.clone()] };
    daemon.client().knowledge().remove_documents(request).await.unwrap();
    let found = search(&daemon, "bicycle maintenance", false).await.unwrap();
    assert!(found.hits.iter().all(|hit| hit.source != bike), "{found:?}");
    assert_eq!(until_mirrored(&daemon, &chroma).await, chunks - 1);

    let request = DeleteCollectionRequest { collection: "notes".to_owned() };
    daemon.client().knowledge().delete_collection(request).await.unwrap();
    soon("the copy to be removed", async {
        while !chroma.collections().await.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_or_emptied_is_filled_again_and_nothing_is_there_twice() {
    let mut chroma = ChromaServer::start().await;
    let mut daemon = start(&settings("127.0.0.1", chroma.port(), "")).await;
    let folder = many(600);
    let mut events = daemon.client().knowledge().ingest(of(&folder)).await.unwrap().into_inner();
    let mut killed = false;
    let mut added = 0;
    while let Some(event) = soon("an ingestion", events.message()).await.unwrap() {
        match event.event.unwrap() {
            Event::Progress(it) if it.done > 0 && !killed => {
                chroma.kill().await;
                killed = true;
            }
            Event::Finished(it) => added = it.added,
            _ => {}
        }
    }
    assert!(killed);
    assert_eq!(added, 600);
    // Nobody serves, and the collection answers by itself.
    let found = search(&daemon, "document w17", false).await.unwrap();
    assert_eq!(found.hits.len(), 10);
    chroma.restart().await;
    assert_eq!(until_mirrored(&daemon, &chroma).await, 600);

    // The daemon dies amid the changes of which the server hears.
    for number in 0..300 {
        write(&folder, &format!("{number}.txt"), &format!("Document v{number}, changed.\n"));
    }
    let mut events = daemon.client().knowledge().ingest(of(&folder)).await.unwrap().into_inner();
    while let Some(event) = soon("an ingestion", events.message()).await.unwrap() {
        if let Some(Event::Progress(it)) = event.event
            && it.chunks > 0
        {
            break;
        }
    }
    daemon.kill().await;
    daemon.restart().await;
    ingest(&daemon, of(&folder)).await.unwrap();
    assert_eq!(until_mirrored(&daemon, &chroma).await, 600);

    chroma.empty().await;
    // Whoever asks is answered, and it is noticed.
    assert_eq!(search(&daemon, "document v17", false).await.unwrap().hits.len(), 10);
    assert_eq!(until_mirrored(&daemon, &chroma).await, 600);
    assert_eq!(search(&daemon, "document v17", false).await.unwrap().notice, "");
}

#[tokio::test]
async fn a_server_that_fails_is_named_unless_the_collection_answers_in_its_place() {
    let chroma = ChromaServer::start().await;
    for (fault, problem) in [
        (Fault::Status("500 Internal Server Error", "", "out of order"), "out of order"),
        (Fault::Status("401 Unauthorized", "", ""), "knowledge.chroma.token"),
        (Fault::Hang, "within 2s"),
        (Fault::Reset, "ended the connection"),
    ] {
        let fails = Arc::new(AtomicBool::new(false));
        let (it, what) = (Arc::clone(&fails), fault.clone());
        let plan = move |_| if it.load(Ordering::Relaxed) { what.clone() } else { Fault::None };
        let proxy = FaultProxy::start(Some(chroma.port()), plan).await;
        let more = "fallback = false\n";
        let config = settings("127.0.0.1", proxy.port(), more).replace("10s", "2s");
        let mut daemon = start(&config).await;
        ingest(&daemon, of(&folder())).await.unwrap();
        until_mirrored(&daemon, &chroma).await;

        fails.store(true, Ordering::Relaxed);
        let error = search(&daemon, QUESTION, false).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert_eq!(error.reason, reason::KNOWLEDGE_BACKEND_FAILED);
        assert!(error.message.contains(problem), "{fault:?}: {error:?}");
        assert!(error.message.contains("knowledge.chroma.fallback = true"), "{error:?}");
        let (_, it) = mirror(&daemon).await;
        assert!(it.problem.contains(problem), "{fault:?}: {it:?}");
        // What is read meanwhile is kept, and arrives.
        let more = tempfile::tempdir().unwrap();
        write(&more, "meter.txt", "The gas meter stands behind the washing machine.\n");
        ingest(&daemon, of(&more)).await.unwrap();
        fails.store(false, Ordering::Relaxed);
        until_mirrored(&daemon, &chroma).await;
        let found = search(&daemon, "Where is the gas meter?", false).await.unwrap();
        assert_eq!(name(&found.hits[0].source), "meter.txt");

        daemon.terminate();
        daemon.ended().await;
        fails.store(true, Ordering::Relaxed);
        daemon.home().configure(&config.replace("fallback = false", "fallback = true"));
        daemon.restart().await;
        let found = search(&daemon, QUESTION, false).await.unwrap();
        assert!(found.hits[0].text.contains("lease"), "{found:?}");
        assert!(found.notice.contains(problem), "{fault:?}: {found:?}");
        let output = daemon.home().tandem(&["knowledge", "search", "notes", QUESTION]).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && told.contains("own index was searched"), "{told}");
        chroma.empty().await;
    }
}

#[tokio::test]
async fn a_server_elsewhere_gets_no_text_nothing_local_only_and_no_private_question() {
    let chroma = ChromaServer::start().await;
    let proxy = FaultProxy::start(Some(chroma.port()), |_| Fault::None).await;
    // It leads to this machine, but no name of it says so.
    let daemon = start(&settings("0.0.0.0", proxy.port(), "fallback = false")).await;
    let content = |name: &str, text: &str, label: Label| IngestRequest {
        collection: "notes".to_owned(),
        contents: vec![Content {
            name: name.to_owned(),
            data: text.as_bytes().to_vec(),
            media_type: String::new(),
        }],
        label: label.into(),
        metadata: [("kind".to_owned(), name.to_owned())].into(),
        ..IngestRequest::default()
    };
    let secret = content("secret.txt", "The budget of the merger is canary.", Label::LocalOnly);
    ingest(&daemon, secret).await.unwrap();
    let public = content("public.txt", "The budget of the party is 50.", Label::MayLeave);
    ingest(&daemon, public).await.unwrap();
    until_vectors(&chroma, 1).await;

    let sources = async |private: bool| {
        let found = search(&daemon, "How much money is there?", private).await.unwrap();
        let mut sources: Vec<String> = found.hits.into_iter().map(|hit| hit.source).collect();
        sources.sort_unstable();
        sources
    };
    let questions = || proxy.sent().iter().filter(|sent| sent.text.contains("/query ")).count();
    assert_eq!(sources(true).await, ["public.txt", "secret.txt"]);
    for policy in [Policy::Private, Policy::Fast] {
        let asked = AskRequest {
            collections: vec!["notes".to_owned()],
            policy: policy.into(),
            sampling: Some(Sampling { max_tokens: Some(4), ..Sampling::default() }),
            ..question("How much money is there?")
        };
        assert!(daemon.ask_with(asked).await.done().is_some());
    }
    assert_eq!(questions(), 0);
    assert_eq!(sources(false).await, ["public.txt", "secret.txt"]);
    assert_eq!(questions(), 1);
    let sent: String = proxy.sent().into_iter().map(|sent| sent.text).collect();
    assert!(sent.contains("public.txt"), "its metadata is there to filter by");
    for kept in ["secret.txt", "canary", "merger", "party", "money"] {
        assert!(!sent.contains(kept), "{kept} was sent");
    }

    // What is no longer to leave is gone there.
    ingest(&daemon, content("public.txt", "The budget of the party is 50.", Label::LocalOnly))
        .await
        .unwrap();
    until_vectors(&chroma, 0).await;
    assert_eq!(sources(false).await, ["public.txt", "secret.txt"]);
}

#[tokio::test]
async fn a_server_that_nobody_started_is_waited_for() {
    let mut chroma = ChromaServer::start().await;
    chroma.kill().await;
    let daemon = start(&settings("127.0.0.1", chroma.port(), "fallback = false")).await;
    ingest(&daemon, of(&folder())).await.unwrap();
    let error = search(&daemon, QUESTION, false).await.unwrap_err();
    assert_eq!(error.reason, reason::KNOWLEDGE_BACKEND_FAILED);
    assert!(error.message.contains("cannot be reached"), "{error:?}");
    assert!(error.retry_after.is_some_and(|pause| pause > Duration::ZERO));
    let (chunks, it) = mirror(&daemon).await;
    assert!(it.held == 0 && chunks > 0 && !it.problem.is_empty(), "{it:?}");
    chroma.restart().await;
    until_mirrored(&daemon, &chroma).await;
    assert_eq!(search(&daemon, QUESTION, false).await.unwrap().notice, "");
}
