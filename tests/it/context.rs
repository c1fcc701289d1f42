//! The account of what a model read: nothing of a conversation is lost in silence, nothing private
//! leaves, and the numbers are those of the engine.

use futures::future::join_all;
use tandem_proto::v1::{
    AskRequest, ContextEntry, ContextLedger, ContextOutcome, ContextPart, CountTokensRequest,
    Label, Policy, Sampling,
};
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Answer, Daemon, LOOK_AGAIN, Manner, RecordingApi, Setup, question, soon};

use super::knowledge::{content, ingest};

const WORDS: &str = "go on";

fn request(conversation: &str, prompt: &str, max_tokens: u32) -> AskRequest {
    let sampling =
        Sampling { temperature: Some(0.0), max_tokens: Some(max_tokens), ..Sampling::default() };
    AskRequest {
        conversation_id: conversation.to_owned(),
        sampling: Some(sampling),
        policy: Policy::Fast.into(),
        ..question(prompt)
    }
}

fn ledger(answer: &Answer) -> ContextLedger {
    assert_eq!(answer.error, None, "{answer:?}");
    answer.done().unwrap().context.clone().unwrap()
}

/// The entries about a turn; a turn has one.
fn of_turn(ledger: &ContextLedger, number: u64) -> ContextEntry {
    let is_it = |entry: &&ContextEntry| {
        let turn = matches!(entry.part(), ContextPart::Turn | ContextPart::RecalledTurn);
        turn && (entry.first..=entry.last).contains(&number)
    };
    let entries: Vec<_> = ledger.entries.iter().filter(is_it).collect();
    assert_eq!(entries.len(), 1, "turn {number} in {ledger:?}");
    entries[0].clone()
}

fn kept(ledger: &ContextLedger) -> u32 {
    let kept = |entry: &&ContextEntry| entry.outcome() == ContextOutcome::Kept;
    ledger.entries.iter().filter(kept).map(|entry| entry.tokens).sum()
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What the scripted engine was told with the question that ends with `end`.
fn told(daemon: &Daemon, end: &str) -> String {
    let log = daemon.home().engine_log();
    let last = log.iter().rposition(|line| line.ends_with(end)).unwrap();
    let begin = log[..=last].iter().rposition(|line| line.contains(" generate ")).unwrap();
    let id = log[begin].split(' ').nth(3).unwrap();
    let before = log.iter().find(|line| line.contains(&format!(" told {id} ")));
    format!("{}\n{}", before.map_or("", String::as_str), log[begin..=last].join("\n"))
}

/// A fact near the beginning of a conversation of any length.
async fn needle(daemon: &Daemon, run: u64) -> ContextOutcome {
    let mut numbers = Numbers(run);
    let id = daemon.conversation().await;
    let place = 1 + numbers.below(3);
    let turns = place + numbers.below(12);
    for turn in 1..=turns {
        let prompt = if turn == place {
            format!("Remember that the vault opens with {run}-4711")
        } else {
            let filler = usize::try_from(3 + numbers.below(60)).unwrap();
            format!("Chapter {turn} {}", "and so forth ".repeat(filler / 3))
        };
        let answer = daemon.ask_with(request(&id, prompt.trim(), 8)).await;
        assert_eq!(answer.complete(), WORDS);
    }
    let asked = format!("What does the vault open with in run {run}?");
    let answer = daemon.ask_with(request(&id, &asked, 8)).await;
    let ledger = ledger(&answer);
    assert_eq!(kept(&ledger), ledger.tokens, "{ledger:?}");
    assert_eq!(ledger.tokens, answer.track_done().unwrap().usage.unwrap().prompt_tokens);
    for turn in 1..=turns {
        let entry = of_turn(&ledger, turn);
        assert_ne!(entry.outcome(), ContextOutcome::Unspecified);
    }
    let outcome = of_turn(&ledger, place).outcome();
    let read = told(daemon, &asked).contains(&format!("{run}-4711"));
    assert_eq!(read, outcome == ContextOutcome::Kept, "run {run}: {ledger:?}");
    let summary = ledger.entries.iter().find(|entry| entry.part() == ContextPart::Summary);
    if outcome == ContextOutcome::Summarised {
        assert!(summary.is_some_and(|it| it.tokens > 0 && it.last >= place), "{ledger:?}");
    }
    outcome
}

#[tokio::test]
async fn a_fact_of_long_ago_is_read_recalled_summed_up_or_said_to_be_left_out() {
    for (number, strategy) in (0_u64..).zip(["recent", "summary", "retrieval", "mixed"]) {
        let daemon = Setup::scripted(&Script::always(Life::answering(WORDS)))
            .config(&format!("[memory]\ncontext_tokens = 260\ncontext_strategy = {strategy:?}\n"))
            .start()
            .await;
        let runs = (0..25).map(|run| needle(&daemon, number * 25 + run));
        let outcomes = join_all(runs).await;
        let lost = outcomes.iter().filter(|outcome| **outcome != ContextOutcome::Kept).count();
        match strategy {
            "retrieval" | "mixed" => assert_eq!(lost, 0, "{strategy}: {outcomes:?}"),
            _ => assert!(lost > 0, "{strategy}: the budget is small: {outcomes:?}"),
        }
    }
}

#[tokio::test]
async fn old_turns_are_summed_up_when_nobody_asks_anything_and_a_question_interrupts_that() {
    // Answers of turns end before the third word, the summary waits for it.
    let life = Life::answering("one two three four").but_after(3, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(life))
        .config("[memory]\ncontext_tokens = 260\ncontext_strategy = \"summary\"\n")
        .start()
        .await;
    let id = daemon.conversation().await;
    let ask = |turn: usize| {
        let prompt = format!("turn {turn} {}", "word ".repeat(60));
        let request = request(&id, prompt.trim(), 2);
        daemon.ask_with(request)
    };
    for turn in 1..=5 {
        assert_eq!(ask(turn).await.complete(), "one two");
    }
    let waits = || daemon.home().logged("wait");
    soon("a summary", async {
        while waits().is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let summary = waits()[0].split(' ').nth(3).unwrap().to_owned();
    let log = daemon.home().engine_log().join("\n");
    assert!(log.contains("What was said next:\nUser: turn 1 word"), "{log}");
    let answer = ask(6).await;
    assert_eq!(answer.complete(), "one two");
    let before = ledger(&answer);
    assert_eq!(of_turn(&before, 1).outcome(), ContextOutcome::Dropped);
    daemon.home().until_logged(&format!("life 1 cancel {summary}")).await;

    daemon.home().release();
    let with_summary = Box::pin(soon("a turn with a summary", async {
        for turn in 7.. {
            let answer = ask(turn).await;
            let ledger = ledger(&answer);
            if of_turn(&ledger, 1).outcome() == ContextOutcome::Summarised {
                return ledger;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        unreachable!()
    }))
    .await;
    let is_summary = |entry: &&ContextEntry| entry.part() == ContextPart::Summary;
    let entry = with_summary.entries.iter().find(is_summary).unwrap();
    assert_eq!((entry.outcome(), entry.tokens), (ContextOutcome::Kept, 4));
    assert_eq!(kept(&with_summary), with_summary.tokens);
    let told = daemon.home().logged("told").join("\n");
    assert!(told.contains("What was said before, in short: one two three four"), "{told}");
}

/// Questions that a provider answers in each conversation.
const ESCALATIONS: usize = 50;
const CONVERSATIONS: usize = 20;

#[tokio::test]
async fn of_a_thousand_questions_that_leave_none_takes_anything_private_along() {
    let api = RecordingApi::start(Manner::Answer).await;
    // Only a summary, which private turns are part of, gets to the third word.
    let life = Life::answering("so then canary-in-a-summary").but_unsure_of(0..2);
    let config = format!(
        "[memory]\ncontext_tokens = 1000\n[router]\nhandoff_tokens = 2\nslow_threshold = 1.0\n{}",
        api.provider()
    );
    let daemon = Setup::scripted(&Script::always(life)).config(&config).start().await;
    let secret = content("secret.txt", "The canary knows the name of the river.", Label::LocalOnly);
    let public = content("public.txt", "The name of the river is in an atlas.", Label::MayLeave);
    for document in [secret, public] {
        ingest(&daemon, document).await.unwrap();
    }
    let (daemon, api) = (&daemon, &api);
    join_all((0..CONVERSATIONS).map(|conversation| async move {
        let id = &daemon.conversation().await;
        let ask = |prompt: String, policy: Policy| {
            let request = request(id, &prompt, 2);
            daemon.ask_with(AskRequest { policy: policy.into(), ..request })
        };
        let mut numbers = Numbers(conversation as u64);
        let mut private = Vec::new();
        let mut turns = 0;
        for escalation in 0..ESCALATIONS {
            if numbers.below(3) == 0 {
                let secret = format!("canary-{conversation}-{escalation} is the name of the river");
                ask(secret, Policy::Private).await.complete();
                // With the secret in view, this is private as well.
                ask("canary of the river, again?".to_owned(), Policy::Fast).await.complete();
                private.extend([turns + 1, turns + 2]);
                turns += 2;
            }
            let policy = [Policy::Slow, Policy::Duo, Policy::Auto][escalation % 3];
            let prompt = format!("question {escalation}: what is the name of the river?");
            // Every other one has documents to answer from.
            let documents = if escalation % 2 == 0 { vec!["notes".to_owned()] } else { Vec::new() };
            let request = request(id, &prompt, 2);
            let answer = daemon
                .ask_with(AskRequest { policy: policy.into(), collections: documents, ..request })
                .await;
            assert_eq!(answer.complete(), "so it is", "{policy:?}");
            let ledger = ledger(&answer);
            for turn in &private {
                let outcome = of_turn(&ledger, *turn).outcome();
                assert_eq!(outcome, ContextOutcome::StaysLocal, "turn {turn}: {ledger:?}");
            }
            turns += 1;
        }
    }))
    .await;
    let bodies = api.bodies();
    assert!(bodies.len() >= CONVERSATIONS * ESCALATIONS, "{} requests", bodies.len());
    for body in &bodies {
        let body = String::from_utf8_lossy(body);
        assert!(body.contains("what is the name of the river?"), "{body}");
        assert!(!body.contains("canary"), "{body}");
    }
    for left in ["so it is", "in an atlas"] {
        assert!(bodies.iter().any(|body| String::from_utf8_lossy(body).contains(left)), "{left}");
    }
    let summed_up = || daemon.home().engine_log().join("\n").contains("What was said next:");
    soon("a summary with private turns", async {
        while !summed_up() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

async fn count(daemon: &Daemon, text: &str) -> u32 {
    let request = CountTokensRequest { text: text.to_owned(), ..CountTokensRequest::default() };
    daemon.client().inference().count_tokens(request).await.unwrap().into_inner().tokens
}

#[tokio::test]
async fn the_account_is_exact_with_the_real_model_and_a_full_context_keeps_its_beginning() {
    let config = "[memory]\ncontext_tokens = 1000\ncontext_strategy = \"retrieval\"\n";
    let daemon = Setup::real().config(config).start().await;
    let id = daemon.conversation().await;
    let (mut full, mut cached) = (0, 0);
    for turn in 0..30 {
        let prompt = match turn {
            0 => "The vault of the museum opens with the number 4711.".to_owned(),
            29 => "Which number does the vault of the museum open with?".to_owned(),
            _ => format!("Tell me about the planet number {turn}, {}", "please ".repeat(20).trim()),
        };
        let answer = daemon.ask_with(request(&id, &prompt, 16)).await;
        let usage = answer.track_done().unwrap().usage.unwrap();
        let ledger = ledger(&answer);
        assert!(!ledger.estimated && ledger.tokens <= 1000, "{ledger:?}");
        assert_eq!(ledger.tokens, usage.prompt_tokens, "{ledger:?}");
        assert_eq!(kept(&ledger), ledger.tokens, "{ledger:?}");
        let asked = ledger.entries.iter().find(|it| it.part() == ContextPart::Question).unwrap();
        assert_eq!(asked.tokens, count(&daemon, &prompt).await);
        let is_template = |entry: &&ContextEntry| entry.part() == ContextPart::Template;
        assert_eq!(ledger.entries.iter().filter(is_template).count(), 1, "{ledger:?}");
        if turn > 0 && of_turn(&ledger, 2.min(turn)).outcome() == ContextOutcome::Dropped {
            full += 1;
            cached += u32::from(usage.cached_tokens * 2 > usage.prompt_tokens);
        }
        if turn == 29 {
            assert_eq!(of_turn(&ledger, 1).part(), ContextPart::RecalledTurn, "{ledger:?}");
        }
    }
    assert!(
        full >= 5 && cached * 2 >= full,
        "{cached} of {full} turns found most of it in the cache"
    );
}

#[tokio::test]
async fn a_fact_is_found_again_in_conversations_with_the_real_model() {
    let daemon = Setup::real().config("[memory]\ncontext_tokens = 300\n").start().await;
    for run in 0..3_u64 {
        let id = daemon.conversation().await;
        let fact = format!("Remember: the ferry to Oslo leaves at gate {}.", 40 + run);
        daemon.ask_with(request(&id, &fact, 12)).await.complete();
        for turn in 0..4 + 2 * run {
            let filler = format!("What is {turn} plus {run}? {}", "Think well. ".repeat(12).trim());
            daemon.ask_with(request(&id, &filler, 12)).await.complete();
        }
        let answer =
            daemon.ask_with(request(&id, "At which gate leaves the ferry to Oslo?", 12)).await;
        let ledger = ledger(&answer);
        assert_eq!(of_turn(&ledger, 1).outcome(), ContextOutcome::Kept, "{ledger:?}");
        assert_eq!(kept(&ledger), answer.track_done().unwrap().usage.unwrap().prompt_tokens);
    }
}

#[tokio::test]
async fn the_command_tells_what_was_read_and_marks_what_is_local_only() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS))).start().await;
    let id = daemon.conversation().await;
    let first = ["ask", "--conversation", &id, "--label", "local-only", "one", "two"];
    assert!(daemon.home().tandem(&first).await.status.success());
    let output = daemon.home().tandem(&["ask", "--conversation", &id, "--explain", "three"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    for line in
        ["context: 10 tokens", "system prompt: 5 tokens", "turn 1: 4 tokens", "question: 1 tokens"]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
    let output = daemon.home().tandem(&["ask", "--json", "four"]).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["context"]["tokens"], &json["context"]["estimated"]),
        (&6.into(), &false.into())
    );
    assert_eq!(json["context"]["entries"][1]["part"], "question", "{json}");
    let conversation = tandem_proto::v1::GetConversationRequest { id };
    let got = daemon.client().conversations().get(conversation).await.unwrap().into_inner();
    // The second was answered with the first in view.
    assert!(got.turns.iter().all(|turn| turn.private), "{got:?}");
}
