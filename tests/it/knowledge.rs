//! Documents: read, found, changed, removed, and nothing lost on the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_proto::error as reason;
use tandem_proto::v1::ingest_event::Event;
use tandem_proto::v1::{
    AskRequest, Collection, Content, ContextOutcome, ContextPart, Hit, IngestFinished,
    IngestRequest, Label, ListCollectionsRequest, ListDocumentsRequest, NoticeKind, Policy,
    Sampling, SearchMode, SearchRequest, Track,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Asking, Daemon, Failure, Manner, RecordingApi, Setup, question, soon};
use tempfile::TempDir;

use crate::embedding::import;

const LEASE: &str = "# Flat\n\n## Contract\n\nThe lease of the flat ends on the last day of March. It was signed for \
                     three years, with the right to go on for two more if the landlord is told in writing at least \
                     half a year before. The rent is due on the first of each month and rises with the index of \
                     prices, at most once a year. The deposit is three months of rent, kept at the bank in the old \
                     town, and comes back within six weeks after the keys were handed over and the meters were read.\
                     \n\n## Neighbours\n\nMrs Tanaka waters the plants while we are away.\n";
const BIKE: &str = "<html><head><title>Bike</title><script>var lease = 1;</script></head><body>\
                    <h1>Repairs</h1><p>The chain was replaced after two thousand kilometres.</p></body></html>";
const RECIPE: &str = "Resep nasi goreng: bawang merah, cabai, kecap manis dan nasi putih.\n";

/// A folder with a few documents.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("home")).unwrap();
    write(&folder, "home/flat.md", LEASE);
    write(&folder, "bike.html", BIKE);
    write(&folder, "recipe.txt", RECIPE);
    folder
}

pub(crate) fn write(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

pub(crate) fn of(folder: &TempDir) -> IngestRequest {
    IngestRequest {
        collection: "notes".to_owned(),
        paths: vec![folder.path().display().to_string()],
        ..IngestRequest::default()
    }
}

/// What an ingestion told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) finished: IngestFinished,
    refused: Vec<(String, String)>,
    notices: Vec<String>,
}

pub(crate) async fn ingest(daemon: &Daemon, request: IngestRequest) -> Result<Told, Failure> {
    let mut events = daemon.client().knowledge().ingest(request).await?.into_inner();
    let (mut told, mut done) = (Told::default(), 0);
    while let Some(event) = soon("an ingestion", events.message()).await? {
        match event.event.unwrap() {
            Event::Progress(progress) => {
                assert!(progress.done >= done && progress.done <= progress.documents);
                done = progress.done;
            }
            Event::Refused(refused) => told.refused.push((refused.source, refused.problem)),
            Event::Finished(finished) => told.finished = finished,
            Event::Notice(notice) => told.notices.push(notice),
        }
    }
    Ok(told)
}

pub(crate) fn counts(told: &Told) -> [u32; 5] {
    let it = &told.finished;
    [it.added, it.changed, it.unchanged, it.removed, it.refused]
}

pub(crate) async fn search(
    daemon: &Daemon,
    question: &str,
    mode: SearchMode,
) -> Result<Vec<Hit>, Failure> {
    let request = SearchRequest {
        collection: "notes".to_owned(),
        question: question.to_owned(),
        mode: mode.into(),
        ..SearchRequest::default()
    };
    Ok(soon("a search", daemon.client().knowledge().search(request)).await?.into_inner().hits)
}

pub(crate) async fn collections(daemon: &Daemon) -> Vec<Collection> {
    let mut knowledge = daemon.client().knowledge();
    let listed = knowledge.list_collections(ListCollectionsRequest {});
    soon("the collections", listed).await.unwrap().into_inner().collections
}

pub(crate) fn name(source: &str) -> &str {
    Path::new(source).file_name().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn documents_are_found_by_words_and_by_meaning() {
    let mut daemon = Setup::real().start().await;
    import(&daemon, "minilm").await.unwrap();
    let folder = folder();
    let told = ingest(&daemon, of(&folder)).await.unwrap();
    assert_eq!(counts(&told), [3, 0, 0, 0, 0], "{told:?}");

    let hits = search(&daemon, "Mrs Tanaka", SearchMode::Words).await.unwrap();
    assert_eq!(name(&hits[0].source), "flat.md");
    assert_eq!(hits[0].headings.first().map(String::as_str), Some("Flat"), "{hits:?}");
    assert!(hits[0].line > 0 && hits[0].text.contains("plants"), "{hits:?}");
    assert_eq!(hits[0].label(), Label::LocalOnly);

    // Not one word of it stands there.
    let question = "When do I have to move out of my apartment?";
    for mode in [SearchMode::Meaning, SearchMode::Hybrid] {
        let hits = search(&daemon, question, mode).await.unwrap();
        assert!(hits[0].text.contains("lease"), "{mode:?}: {hits:?}");
        assert!(hits[0].similarity.unwrap() > 0.2, "{hits:?}");
    }
    let hits = search(&daemon, "bicycle maintenance", SearchMode::Meaning).await.unwrap();
    assert_eq!((name(&hits[0].source), hits[0].title.as_str()), ("bike.html", "Bike"));
    assert!(!hits.iter().any(|hit| hit.text.contains("var lease")), "{hits:?}");

    let [before] = &collections(&daemon).await[..] else { panic!("one collection") };
    assert_eq!((before.documents, before.dimensions), (3, 384));
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(collections(&daemon).await[0], *before);
    let hits = search(&daemon, question, SearchMode::Hybrid).await.unwrap();
    assert!(hits[0].text.contains("lease"), "{hits:?}");
}

#[tokio::test]
async fn only_what_changed_is_read_again() {
    let daemon = Setup::scripted(&Script::always(Life::answering("so be it"))).start().await;
    let folder = folder();
    let told = ingest(&daemon, of(&folder)).await.unwrap();
    assert_eq!(counts(&told), [3, 0, 0, 0, 0]);
    assert!(told.notices[0].contains("words only"), "{told:?}");
    assert_eq!(counts(&ingest(&daemon, of(&folder)).await.unwrap()), [0, 0, 3, 0, 0]);

    write(&folder, "recipe.txt", "Resep soto ayam: kunyit, serai dan ayam kampung.\n");
    write(&folder, "new.txt", "The gas meter stands behind the washing machine.\n");
    std::fs::remove_file(folder.path().join("bike.html")).unwrap();
    assert_eq!(counts(&ingest(&daemon, of(&folder)).await.unwrap()), [1, 1, 1, 1, 0]);
    assert!(search(&daemon, "nasi goreng", SearchMode::Words).await.unwrap().is_empty());
    assert!(search(&daemon, "chain", SearchMode::Words).await.unwrap().is_empty());
    let hits = search(&daemon, "serai", SearchMode::Words).await.unwrap();
    assert_eq!(name(&hits[0].source), "recipe.txt");

    // Who asks for meaning where there is none is told so.
    let error = search(&daemon, "serai", SearchMode::Meaning).await.unwrap_err();
    assert_eq!(error.reason, reason::COLLECTION_FAILED);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_is_there() {
    let daemon = Setup::scripted(&Script::always(Life::answering("so be it"))).start().await;
    let folder = folder();
    std::fs::write(folder.path().join("picture.txt"), b"\x89PNG\0\0\0\x01\0\xff").unwrap();
    std::fs::write(folder.path().join("broken.pdf"), b"%PDF-1.7 and nothing else").unwrap();
    let mut request = of(&folder);
    request.paths.push(folder.path().join("gone.md").display().to_string());
    let told = ingest(&daemon, request).await.unwrap();
    assert_eq!(counts(&told), [3, 0, 0, 0, 3], "{told:?}");
    let mut names: Vec<&str> = told.refused.iter().map(|(source, _)| name(source)).collect();
    names.sort_unstable();
    assert_eq!(names, ["broken.pdf", "gone.md", "picture.txt"]);
    assert_eq!(search(&daemon, "lease", SearchMode::Words).await.unwrap().len(), 1);

    for (collection, path) in [("../x", "/tmp"), ("notes", "relative")] {
        let (collection, paths) = (collection.to_owned(), vec![path.to_owned()]);
        let request = IngestRequest { collection, paths, ..IngestRequest::default() };
        let error = ingest(&daemon, request).await.unwrap_err();
        assert_eq!(error.reason, reason::INVALID_ARGUMENT);
    }
    let request = ListDocumentsRequest { collection: "none".to_owned(), ..Default::default() };
    let error = daemon.client().knowledge().list_documents(request).await.unwrap_err();
    assert_eq!(Failure::from(error).reason, reason::COLLECTION_NOT_FOUND);
}

#[tokio::test]
async fn labels_and_metadata_narrow_a_search() {
    let daemon = Setup::scripted(&Script::always(Life::answering("so be it"))).start().await;
    let content = |name: &str, text: &str| Content {
        name: name.to_owned(),
        data: text.as_bytes().to_vec(),
        media_type: String::new(),
    };
    for (label, year, name) in
        [(Label::LocalOnly, "2024", "a.txt"), (Label::MayLeave, "2025", "b.txt")]
    {
        let request = IngestRequest {
            collection: "notes".to_owned(),
            contents: vec![content(name, &format!("The budget of {year}."))],
            label: label.into(),
            metadata: [("year".to_owned(), year.to_owned())].into(),
            ..IngestRequest::default()
        };
        ingest(&daemon, request).await.unwrap();
    }
    let sources = async |filter: &[(&str, &str)], may_leave| {
        let request = SearchRequest {
            collection: "notes".to_owned(),
            question: "budget".to_owned(),
            filter: filter.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            may_leave,
            ..SearchRequest::default()
        };
        let found = daemon.client().knowledge().search(request).await.unwrap().into_inner();
        let mut sources: Vec<String> = found.hits.into_iter().map(|hit| hit.source).collect();
        sources.sort_unstable();
        sources
    };
    assert_eq!(sources(&[], false).await, ["a.txt", "b.txt"]);
    assert_eq!(sources(&[], true).await, ["b.txt"]);
    assert_eq!(sources(&[("year", "2024")], false).await, ["a.txt"]);
    assert!(sources(&[("year", "2024")], true).await.is_empty());
}

#[tokio::test]
async fn a_watched_folder_is_read_when_it_changes_and_after_a_restart() {
    let mut daemon = Setup::scripted(&Script::always(Life::answering("so be it"))).start().await;
    let folder = folder();
    ingest(&daemon, IngestRequest { watch: Some(true), ..of(&folder) }).await.unwrap();
    write(&folder, "meter.txt", "The gas meter stands behind the washing machine.\n");
    until_found(&daemon, "washing machine").await;

    daemon.terminate();
    daemon.ended().await;
    write(&folder, "boiler.txt", "The boiler needs three bar of pressure.\n");
    daemon.restart().await;
    until_found(&daemon, "boiler pressure").await;

    ingest(&daemon, IngestRequest { watch: Some(false), ..of(&folder) }).await.unwrap();
    assert!(collections(&daemon).await[0].watched.is_empty());
}

pub(crate) async fn until_found(daemon: &Daemon, question: &str) {
    let found = async {
        while search(daemon, question, SearchMode::Words).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(question, found).await;
}

#[tokio::test]
async fn an_ingestion_that_is_killed_goes_on_where_it_was() {
    let mut daemon = Setup::scripted(&Script::always(Life::answering("so be it"))).start().await;
    let folder = tempfile::tempdir().unwrap();
    let documents = 600_u32;
    for number in 0..documents {
        write(&folder, &format!("{number}.txt"), &format!("Document number w{number} of many.\n"));
    }
    let mut events = daemon.client().knowledge().ingest(of(&folder)).await.unwrap().into_inner();
    let mut acknowledged = 0;
    while acknowledged == 0 {
        if let Some(Event::Progress(it)) = events.message().await.unwrap().unwrap().event {
            acknowledged = it.done;
        }
    }
    daemon.kill().await;
    // What was told before the end of the stream counts, too.
    while let Ok(Some(event)) = events.message().await {
        if let Some(Event::Progress(it)) = event.event {
            acknowledged = it.done;
        }
    }
    daemon.restart().await;
    let told = ingest(&daemon, of(&folder)).await.unwrap();
    let [added, changed, unchanged, removed, refused] = counts(&told);
    assert_eq!((added + unchanged, changed, removed, refused), (documents, 0, 0, 0), "{told:?}");
    assert!(unchanged >= acknowledged, "{acknowledged} were acknowledged: {told:?}");
    assert_eq!(collections(&daemon).await[0].documents, u64::from(documents));
    for number in [0, 299, documents - 1] {
        let hits = search(&daemon, &format!("w{number}"), SearchMode::Words).await.unwrap();
        assert_eq!(hits.len(), 1, "{hits:?}");
    }
    assert_nothing_is_damaged(&daemon).await;
}

/// A document for the collection `notes`.
pub(super) fn content(name: &str, text: &str, label: Label) -> IngestRequest {
    IngestRequest {
        collection: "notes".to_owned(),
        contents: vec![Content {
            name: name.to_owned(),
            data: text.as_bytes().to_vec(),
            media_type: String::new(),
        }],
        label: label.into(),
        ..IngestRequest::default()
    }
}

fn asking(prompt: &str, policy: Policy) -> AskRequest {
    AskRequest { collections: vec!["notes".to_owned()], policy: policy.into(), ..question(prompt) }
}

#[tokio::test]
async fn an_answer_is_made_from_passages_and_says_which() {
    let daemon = Setup::real().start().await;
    import(&daemon, "minilm").await.unwrap();
    ingest(&daemon, of(&folder())).await.unwrap();
    let conversation_id = daemon.conversation().await;
    let sampling = Sampling { max_tokens: Some(40), ..Sampling::default() };
    let asked = AskRequest {
        conversation_id: conversation_id.clone(),
        sampling: Some(sampling),
        ..asking("When do I have to move out of my apartment?", Policy::Fast)
    };
    let answer = daemon.ask_with(asked).await;
    let done = answer.done().unwrap();
    let first = &done.citations[0];
    assert_eq!((first.number, name(&first.source)), (1, "flat.md"));
    assert!(first.text.contains("lease") && first.line > 0, "{first:?}");
    let ledger = done.context.as_ref().unwrap();
    let passages = ledger.entries.iter().filter(|entry| entry.part() == ContextPart::Passage);
    assert_eq!(
        passages.filter(|it| it.outcome() == ContextOutcome::Kept).count(),
        done.citations.len()
    );
    let kept = ledger.entries.iter().filter(|entry| entry.outcome() == ContextOutcome::Kept);
    let read = answer.track_done().unwrap().usage.unwrap().prompt_tokens;
    assert_eq!(kept.map(|entry| entry.tokens).sum::<u32>(), read, "{ledger:?}");

    // What has nothing to do with any of them is not invented.
    let asked = AskRequest {
        conversation_id: conversation_id.clone(),
        ..asking("Which enzyme unwinds the double helix of DNA?", Policy::Fast)
    };
    let answer = daemon.ask_with(asked).await;
    assert_eq!(answer.complete(), "The documents do not answer this question.");
    assert_eq!(answer.done().unwrap().track(), Track::BuiltIn);
    let why = answer.notices(NoticeKind::BuiltIn);
    assert!(why[0].contains("knowledge.relevance"), "{why:?}");
    let turns = daemon.turns(&conversation_id).await;
    assert_eq!(turns[1].1, "The documents do not answer this question.");

    let missing = AskRequest { collections: vec!["none".to_owned()], ..question("What?") };
    let refused = daemon.ask_with(missing).await;
    assert_eq!(refused.failure().reason, reason::COLLECTION_NOT_FOUND);
    let unknown = AskRequest { template: "poem".to_owned(), ..asking("What?", Policy::Fast) };
    let refused = Asking::begin(daemon.client(), unknown).await.err().unwrap();
    assert_eq!(refused.reason, reason::INVALID_ARGUMENT);
}

#[tokio::test]
async fn a_provider_reads_only_what_may_leave() {
    let api = RecordingApi::start(Manner::Answer).await;
    let daemon = Setup::scripted(&Script::always(Life::answering("so be it")))
        .config(&api.provider())
        .start()
        .await;
    let secret = "The budget of the merger is canary-4711.";
    ingest(&daemon, content("secret.txt", secret, Label::LocalOnly)).await.unwrap();
    // All that there is stays here: the slow track says so, and the other one answers.
    let refused = daemon.ask_with(asking("the budget", Policy::Slow)).await;
    assert_eq!(refused.failure().reason, reason::DOCUMENTS_STAY_HERE);
    let conversation_id = daemon.conversation().await;
    let asked = AskRequest {
        conversation_id: conversation_id.clone(),
        provider: "far".to_owned(),
        ..asking("the budget", Policy::Auto)
    };
    let answer = daemon.ask_with(asked).await;
    assert_eq!(answer.done().unwrap().track(), Track::Fast, "{answer:?}");
    assert!(api.bodies().is_empty());

    ingest(&daemon, content("public.txt", "The budget of the party is 50.", Label::MayLeave))
        .await
        .unwrap();
    let asked = AskRequest { conversation_id, ..asking("the budget", Policy::Slow) };
    let answer = daemon.ask_with(asked).await;
    let done = answer.done().unwrap();
    assert_eq!(done.track(), Track::Slow, "{answer:?}");
    let sources: Vec<&str> = done.citations.iter().map(|it| it.source.as_str()).collect();
    assert_eq!(sources, ["public.txt"]);
    let sent = String::from_utf8(api.bodies().concat()).unwrap();
    // Neither the document nor the turn that was answered from it.
    assert!(sent.contains("is 50") && !sent.contains("canary"), "{sent}");
    assert_eq!(sent.matches("the budget").count(), 1, "{sent}");
}

async fn assert_nothing_is_damaged(daemon: &Daemon) {
    let output = daemon.home().tandem(&["knowledge", "check", "notes"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("nothing is damaged"), "{output:?}");
}

#[tokio::test]
async fn the_command_does_all_of_it() {
    let daemon = Setup::scripted(&Script::always(Life::answering("so be it"))).start().await;
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = async |arguments: &[&str]| {
        let output = daemon.home().tandem(arguments).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let all = folder.path().display().to_string();
    let (code, said, told) =
        run(&["knowledge", "ingest", "notes", &all, "--meta", "of=home"]).await;
    assert_eq!((code, said.as_str()), (0, "notes: 3 added; 4 chunks stored\n"), "{told}");
    assert!(told.contains("words only"), "{told}");

    let (code, said, _) = run(&["knowledge", "search", "notes", "kecap", "manis"]).await;
    assert!(code == 0 && said.starts_with(&format!("[1] {}:1", path("recipe.txt"))), "{said}");
    let (_, said, _) = run(&["knowledge", "search", "notes", "kecap", "--where", "of=work"]).await;
    assert_eq!(said, "nothing found\n");

    let questions: PathBuf = folder.path().join("questions.jsonl");
    let line = serde_json::json!({
        "id": "1", "question": "Who waters the plants?",
        "relevant": [{"source": path("home/flat.md"), "contains": "Mrs Tanaka"}],
    });
    std::fs::write(&questions, format!("{line}\n")).unwrap();
    let questions = questions.display().to_string();
    let (code, said, told) = run(&["knowledge", "eval", "notes", &questions, "--json"]).await;
    assert_eq!(code, 0, "{told}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["evaluations"][0]["recall"]["mean"], 1.0, "{said}");

    let (code, _, told) = run(&["knowledge", "remove", "notes", &path("bike.html"), "none"]).await;
    assert!(code == 1 && told.contains("there is no document none"), "{told}");
    let (_, said, _) = run(&["knowledge", "list", "notes"]).await;
    assert!(said.contains("recipe.txt") && !said.contains("bike.html"), "{said}");
    assert_eq!(run(&["knowledge", "compact", "notes"]).await.0, 0);
    assert_nothing_is_damaged(&daemon).await;
    assert_eq!(run(&["knowledge", "delete", "notes"]).await.0, 0);
    let (_, said, _) = run(&["knowledge", "list"]).await;
    assert!(said.starts_with("no collections"), "{said}");
    let (code, _, told) = run(&["knowledge", "search", "notes", "kecap"]).await;
    assert!(code == 1 && told.contains("no collection \"notes\""), "{told}");
}
