//! What is remembered of the user beyond conversations: found when nobody asks anything, told where it
//! matters, changed and forgotten by hand, and never told to a provider where it is private.

use std::process::Output;

use serde_json::Value;
use tandem_proto::v1::{
    AddMemoryRequest, AskRequest, ContextEntry, ContextOutcome, ContextPart,
    GetConversationRequest, ListMemoriesRequest, Memory, Policy, Sampling,
};
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Answer, Daemon, LOOK_AGAIN, Manner, RecordingApi, Setup, question, soon};

/// What the scripted engine says to everything. Of a list of sentences, the first is worth keeping.
const JUDGEMENT: &str = "{ \"1\": \"lasting\" }";
const REX: &str = "My dog is called Rex.";

fn listening(life: Life) -> Setup {
    Setup::scripted(&Script::always(life)).environment("TANDEM_MEMORY__FACTS", "true")
}

/// A question whose answer has two words.
fn request(conversation: &str, prompt: &str) -> AskRequest {
    let sampling = Sampling { temperature: Some(0.0), max_tokens: Some(2), ..Sampling::default() };
    AskRequest {
        conversation_id: conversation.to_owned(),
        sampling: Some(sampling),
        policy: Policy::Fast.into(),
        ..question(prompt)
    }
}

async fn memories(daemon: &Daemon) -> Vec<Memory> {
    let listed = daemon.client().memories().list(ListMemoriesRequest {}).await.unwrap();
    listed.into_inner().memories
}

async fn until_remembered(daemon: &Daemon, count: usize) -> Vec<Memory> {
    soon(&format!("{count} memories"), async {
        loop {
            let memories = memories(daemon).await;
            if memories.len() >= count {
                return memories;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}

async fn add(daemon: &Daemon, text: &str, pinned: bool, private: bool) -> Memory {
    let request = AddMemoryRequest { text: text.to_owned(), pinned, private };
    daemon.client().memories().add(request).await.unwrap().into_inner()
}

/// The memories in the account of an answer, with what became of each.
fn told(answer: &Answer) -> Vec<(String, ContextOutcome)> {
    assert_eq!(answer.error, None, "{answer:?}");
    let ledger = answer.done().unwrap().context.clone().unwrap();
    let is_memory = |entry: &&ContextEntry| entry.part() == ContextPart::Memory;
    let entries = ledger.entries.iter().filter(is_memory);
    entries.map(|entry| (entry.name.clone(), entry.outcome())).collect()
}

#[tokio::test]
async fn what_users_say_of_themselves_is_found_and_told_where_it_matters() {
    let daemon = listening(Life::answering(JUDGEMENT)).start().await;
    let id = daemon.conversation().await;
    daemon.ask_with(request(&id, &format!("{REX} Why do dogs bark?"))).await.complete();
    let found = until_remembered(&daemon, 1).await;
    let [rex] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((rex.text.as_str(), rex.private, rex.by_hand), (REX, false, false));
    assert_eq!((&rex.conversation_id, rex.turn_id.is_empty()), (&id, false));
    let asked = format!("1. {REX}");
    assert!(daemon.home().engine_log().iter().any(|line| line.contains(&asked)), "as it was said");

    let kept = [(rex.id.clone(), ContextOutcome::Kept)];
    let other = daemon.conversation().await;
    for conversation in ["", &other] {
        let question = request(conversation, "What is my dog called?");
        let without = AskRequest { memories: Some(false), ..question.clone() };
        assert_eq!(told(&daemon.ask_with(question).await), kept);
        assert_eq!(told(&daemon.ask_with(without).await), []);
        let unrelated = request(conversation, "Why is the sky blue?");
        assert_eq!(told(&daemon.ask_with(unrelated).await), []);
    }
    let log = daemon.home().engine_log().join("\n");
    let said = format!("What the user told you before:\n- {REX}\n\nThe question:\nWhat is my dog");
    assert!(log.contains(&said), "{log}");
    assert!(memories(&daemon).await[0].used.is_some());

    let delete = ["conversation", "delete", &id];
    assert!(daemon.home().tandem(&delete).await.status.success());
    assert_eq!(memories(&daemon).await, [], "what was found goes with its conversation");
}

#[tokio::test]
async fn a_question_interrupts_the_search_for_facts_which_begins_anew() {
    let life = Life::answering(JUDGEMENT).but_after(3, Fate::Wait);
    let daemon = listening(life).start().await;
    let id = daemon.conversation().await;
    daemon.ask_with(request(&id, REX)).await.complete();
    let waits = || daemon.home().logged("wait");
    soon("the search for facts", async {
        while waits().is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let search = waits()[0].split(' ').nth(3).unwrap().to_owned();
    daemon.ask_with(request(&id, "Why is the sky blue?")).await.complete();
    daemon.home().until_logged(&format!("life 1 cancel {search}")).await;
    assert_eq!(memories(&daemon).await, []);
    daemon.home().release();
    assert_eq!(until_remembered(&daemon, 1).await[0].text, REX);
}

#[tokio::test]
async fn turns_of_an_earlier_daemon_are_looked_at_once_a_model_is_up() {
    let mut daemon = listening(Life::answering(JUDGEMENT)).start().await;
    let id = daemon.conversation().await;
    daemon.ask_with(request(&id, REX)).await.complete();
    daemon.kill().await;
    daemon.restart().await;
    daemon.ask_with(request("", "Why is the sky blue?")).await.complete();
    assert_eq!(until_remembered(&daemon, 1).await[0].conversation_id, id);
}

#[tokio::test]
async fn nothing_is_told_when_the_settings_say_so_unless_a_question_wants_it() {
    let daemon = Setup::scripted(&Script::always(Life::answering(JUDGEMENT)))
        .config("[memory]\ntell_facts = false\n")
        .start()
        .await;
    let rex = add(&daemon, REX, true, false).await;
    let question = request("", "What is my dog called?");
    assert_eq!(told(&daemon.ask_with(question.clone()).await), []);
    let wanted = AskRequest { memories: Some(true), ..question };
    assert_eq!(told(&daemon.ask_with(wanted).await), [(rex.id, ContextOutcome::Kept)]);
}

#[tokio::test]
async fn a_provider_is_told_what_may_leave_and_nothing_private() {
    let api = RecordingApi::start(Manner::Answer).await;
    let daemon = listening(Life::answering(JUDGEMENT)).config(&api.provider()).start().await;
    let private = AskRequest {
        policy: Policy::Private.into(),
        ..request(&daemon.conversation().await, "My river is called the canary river.")
    };
    daemon.ask_with(private).await.complete();
    assert!(until_remembered(&daemon, 1).await[0].private, "as its turn is");
    let boat = add(&daemon, "My boat on the river is the Aurora.", false, false).await;
    add(&daemon, "My house by the river has the number canary-4.", false, true).await;
    let pinned = add(&daemon, "My name is Canary.", true, true).await;

    let id = daemon.conversation().await;
    for policy in [Policy::Slow, Policy::Duo] {
        let prompt = "What is the name of my boat on the river?";
        let asked = AskRequest { policy: policy.into(), ..request(&id, prompt) };
        let answer = daemon.ask_with(asked).await;
        assert_eq!(answer.complete(), "so it is");
        let mut told = told(&answer);
        let left = told.iter().position(|entry| *entry == (boat.id.clone(), ContextOutcome::Kept));
        told.remove(left.unwrap());
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().all(|(_, outcome)| *outcome == ContextOutcome::StaysLocal), "{told:?}");
    }
    let local = daemon.ask_with(request(&id, "Where do I live?")).await;
    assert_eq!(told(&local), [(pinned.id, ContextOutcome::Kept)]);
    let conversation = GetConversationRequest { id };
    let turns = daemon.client().conversations().get(conversation).await.unwrap().into_inner().turns;
    assert!(turns.last().unwrap().private, "it was answered with something private in view");
    for body in api.bodies() {
        let body = String::from_utf8_lossy(&body).to_lowercase();
        assert!(body.contains("aurora") && !body.contains("canary"), "{body}");
    }
    assert_eq!(api.bodies().len(), 2);
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(all).unwrap()
}

async fn tandem(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.home().tandem(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

async fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let printed = tandem(daemon, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[tokio::test]
async fn the_command_adds_lists_finds_changes_pins_and_forgets() {
    let daemon = Setup::scripted(&Script::always(Life::answering("yes"))).start().await;
    let tea = tandem(&daemon, &["memory", "add", "I", "like", "green tea."]).await;
    let tea = tea.trim();
    let rex = json(&daemon, &["memory", "add", "--private", REX]).await;
    let rex = rex["id"].as_str().unwrap();
    let listed = json(&daemon, &["memory", "list"]).await;
    let texts = |listed: &Value| -> Vec<String> {
        let memories = listed["memories"].as_array().unwrap().iter();
        memories.map(|it| it["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&listed), [REX, "I like green tea."]);
    assert_eq!(listed["memories"][0]["private"], Value::Bool(true));
    assert_eq!(texts(&json(&daemon, &["memory", "list", "--limit", "1"]).await), [REX]);
    assert_eq!(texts(&json(&daemon, &["memory", "find", "which", "dog?"]).await), [REX]);

    let pinned = json(&daemon, &["memory", "pin", tea]).await;
    assert_eq!(pinned["changed"][0]["pinned"], Value::Bool(true));
    assert_eq!(texts(&json(&daemon, &["memory", "list"]).await)[0], "I like green tea.");
    let edit = ["memory", "edit", tea, "I", "like", "coffee."];
    assert_eq!(json(&daemon, &edit).await["pinned"], Value::Bool(true));
    let edited = json(&daemon, &["memory", "edit", rex, "--may-leave"]).await;
    assert_eq!((&edited["private"], &edited["text"]), (&Value::Bool(false), &REX.into()));
    let explained = daemon.home().tandem(&["ask", "--explain", "What", "is", "it?"]).await;
    assert!(text(&explained).contains(&format!("memory ({tea})")), "{}", text(&explained));
    tandem(&daemon, &["memory", "unpin", tea]).await;
    assert_eq!(texts(&json(&daemon, &["memory", "list"]).await).len(), 2);
    let stats = json(&daemon, &["memory", "stats"]).await;
    assert_eq!(stats["memories"], 2);

    let output = daemon.home().tandem(&["memory", "forget", tea, "nothing"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cannot forget nothing: no memory"), "{}", text(&output));
    assert_eq!(texts(&json(&daemon, &["memory", "list"]).await), [REX]);
    for wrong in [&["memory", "add", &"x".repeat(501)][..], &["memory", "edit", rex]] {
        let output = daemon.home().tandem(wrong).await;
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    }

    // Not even the files have it, once they were written anew.
    tandem(&daemon, &["memory", "forget", rex]).await;
    tandem(&daemon, &["memory", "compact"]).await;
    let store = daemon.home().path().join("store").join("db");
    let bytes = std::fs::read(store).unwrap();
    assert!(!bytes.windows(REX.len()).any(|window| window == REX.as_bytes()));
    assert_eq!(json(&daemon, &["memory", "check"]).await["findings"], Value::Array(vec![]));
}

#[tokio::test]
async fn a_backup_takes_memories_along() {
    let script = Script::always(Life::answering("yes"));
    let daemon = Setup::scripted(&script).start().await;
    add(&daemon, REX, true, true).await;
    let file = daemon.home().path().join("all.backup");
    tandem(&daemon, &["memory", "backup", file.to_str().unwrap()]).await;
    let other = Setup::scripted(&script).start().await;
    tandem(&other, &["memory", "restore", file.to_str().unwrap()]).await;
    assert_eq!(memories(&other).await, memories(&daemon).await);
    let refused = other.home().tandem(&["memory", "restore", file.to_str().unwrap()]).await;
    assert_eq!(refused.status.code(), Some(2), "what is remembered is not overwritten unasked");
}

#[tokio::test]
async fn the_real_model_sorts_what_was_said_and_what_is_kept_is_as_it_was_said() {
    let daemon = Setup::real().environment("TANDEM_MEMORY__FACTS", "true").start().await;
    let said =
        "I am a nurse. My dog is called Rex. My screen is dark. Remember that I live in Rome.";
    daemon.ask_with(request(&daemon.conversation().await, said)).await.complete();
    let found = until_remembered(&daemon, 1).await;
    assert!(found.iter().any(|it| it.text == "Remember that I live in Rome."), "{found:?}");
    assert!(found.iter().all(|it| said.contains(&it.text)), "{found:?}");
}

#[tokio::test]
async fn the_account_with_memories_is_exact_with_the_real_model() {
    let daemon = Setup::real().start().await;
    let pinned = add(&daemon, "Answer in one word.", true, false).await;
    let rex = add(&daemon, REX, false, false).await;
    let id = daemon.conversation().await;
    for (prompt, expected) in [
        ("What is the name of my dog?", vec![&pinned.id, &rex.id]),
        ("Why is the sky blue?", vec![&pinned.id]),
    ] {
        let answer = daemon.ask_with(request(&id, prompt)).await;
        let told: Vec<_> = told(&answer).into_iter().map(|(id, _)| id).collect();
        assert_eq!(told.iter().collect::<Vec<_>>(), expected);
        let ledger = answer.done().unwrap().context.clone().unwrap();
        let usage = answer.track_done().unwrap().usage.unwrap();
        assert_eq!((ledger.tokens, ledger.estimated), (usage.prompt_tokens, false), "{ledger:?}");
        let kept = ledger.entries.iter().filter(|it| it.outcome() == ContextOutcome::Kept);
        assert_eq!(kept.map(|it| it.tokens).sum::<u32>(), ledger.tokens, "{ledger:?}");
    }
}
