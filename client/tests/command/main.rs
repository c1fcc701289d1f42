//! Runs the real `tandem` command against a scripted daemon on a unix socket.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

mod chat;
mod constraint;
mod daemon;
mod distribution;
mod experiment;
mod server;
mod top;

use server::Server;

/// Far more than any test needs; ends one that hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// What a command left behind.
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| unreachable!("{}", self.stdout))
    }
}

/// `tandem` with a home of its own, which speaks to `server`.
fn tandem(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", server.home())
        .env("TANDEM_HOME", server.home())
        .env("TANDEM_SOCKET", server.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(server: &Server, arguments: &[&str]) -> Outcome {
    run_with_input(server, arguments, "").await
}

async fn run_with_input(server: &Server, arguments: &[&str], input: &str) -> Outcome {
    let mut child = tandem(server, arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads no input may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap().into()
}

#[tokio::test]
async fn an_answer_goes_to_stdout_and_notices_to_stderr() {
    let server = Server::start();
    let outcome = run(&server, &["ask", "--explain", "hello", "there"]).await;
    assert_eq!(outcome.stdout, "You said: hello there\n");
    assert_eq!(
        outcome.stderr,
        "fast track, scripted, score 0.25\n  - the question is short\nnote: the model was loaded\n\
         context: 12 tokens\n  - question: 12 tokens\nconfidence 0.62\n"
    );
    assert_eq!(outcome.code, 0);
}

#[tokio::test]
async fn what_a_model_thinks_is_shown_on_stderr_and_only_when_asked_for() {
    let server = Server::start();
    let silent = run(&server, &["ask", "thoughtful"]).await;
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("Four.\n", ""));
    let open = run(&server, &["ask", "--show-reasoning", "thoughtful"]).await;
    assert_eq!((open.stdout.as_str(), open.stderr.as_str()), ("Four.\n", "Two and two.\n\n"));
}

#[tokio::test]
async fn on_a_terminal_a_notice_amid_an_answer_has_a_line_of_its_own() {
    let server = Server::start();
    let program = "import pty, sys; pty.spawn(sys.argv[1:])";
    for (option, expected) in [
        ("--no-autostart", "first\r\nnote: the model was loaded\r\n second\r\n"),
        ("--quiet", "first second\r\n"),
    ] {
        let mut terminal = Command::new("python3");
        terminal.args(["-c", program, env!("CARGO_BIN_EXE_tandem"), option, "ask", "noticed"]);
        terminal.env("TANDEM_HOME", server.home()).env_remove("TANDEM_SOCKET");
        terminal.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(DEADLINE, terminal.output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(expected), "{text:?}");
    }
}

#[tokio::test]
async fn quiet_leaves_only_the_answer() {
    let server = Server::start();
    let outcome = run(&server, &["-q", "ask", "hello"]).await;
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("You said: hello\n", ""));
}

#[tokio::test]
async fn an_answer_is_streamed_to_a_pipe_piece_by_piece() {
    let server = Server::start();
    let mut child = tandem(&server, &["ask", "gated"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 5];
    timeout(DEADLINE, stdout.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"first");

    server.open_gate();
    let mut rest = String::new();
    timeout(DEADLINE, stdout.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, " second\n");
    assert_eq!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_no_failure() {
    let server = Server::start();
    let mut child = tandem(&server, &["ask", "gated"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 5];
    timeout(DEADLINE, stdout.read_exact(&mut first)).await.unwrap().unwrap();
    drop(stdout);

    server.open_gate();
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn the_json_of_an_answer_is_one_object() {
    let server = Server::start();
    let outcome = run(&server, &["ask", "--json", "--explain", "--seed", "7", "hello"]).await;
    let expected = json!({
        "answer": "You said: hello",
        "track": "fast",
        "model": "scripted",
        "reasons": ["the question is short"],
        "score": 0.25,
        "tokens": {"prompt": 12, "cached": 3, "completion": 4},
        "time_to_first_token_ms": 20.0,
        "tokens_per_second": 50.0,
        "tool_calls": [],
        "confidence": 0.625,
        "cost_micros": null,
        "finish_reason": "stop",
        "conversation_id": null,
        "turn_id": "turn-1",
        "seed": 7,
        "notices": [{"kind": "waiting", "message": "the model was loaded"}],
        "stored": false,
        "context": {
            "tokens": 12,
            "estimated": false,
            "entries": [{
                "part": "question", "outcome": "kept",
                "first": null, "last": null, "name": null, "tokens": 12,
            }],
        },
        "cached": null,
        "citations": [],
        "degraded": null,
    });
    assert_eq!(outcome.json(), expected);
    assert_eq!((outcome.stderr.as_str(), outcome.code), ("", 0));
}

#[tokio::test]
async fn programs_are_told_of_the_wait_beside_the_answer_and_people_only_see_it() {
    let server = Server::start();
    let outcome = run(&server, &["ask", "--json", "queued"]).await;
    assert_eq!(outcome.json()["answer"], "You said: queued");
    let place = |position| {
        format!("{{\"queued\":{{\"position\":{position},\"waiting\":2,\"estimate_ms\":1500}}}}\n")
    };
    assert_eq!(outcome.stderr, place(2) + &place(1));

    // Without a terminal nobody looks at what moves.
    let outcome = run(&server, &["ask", "queued"]).await;
    assert_eq!(outcome.stdout, "You said: queued\n");
    assert!(!outcome.stderr.contains("waiting:"), "{}", outcome.stderr);
}

#[tokio::test]
async fn the_question_can_come_through_a_pipe() {
    let server = Server::start();
    let alone = run_with_input(&server, &["ask"], "from a pipe\n").await;
    assert_eq!(alone.stdout, "You said: from a pipe\n");
    let both = run_with_input(&server, &["ask", "review", "this"], "fn main() {}\n").await;
    assert_eq!(both.stdout, "You said: review this\n\nfn main() {}\n");
}

#[tokio::test]
async fn a_missing_question_is_a_usage_error() {
    let server = Server::start();
    let outcome = run(&server, &["ask"]).await;
    assert!(
        outcome.stderr.starts_with("error: there is no question\nhint: "),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, 2);
}

#[tokio::test]
async fn every_class_of_failure_has_its_exit_code_and_hint() {
    let server = Server::start();
    for (prompt, code, error, hint) in [
        ("fail: PROVIDER_FAILED", 1, "scripted PROVIDER_FAILED", "--policy fast"),
        ("fail: INVALID_ARGUMENT", 2, "scripted INVALID_ARGUMENT", ""),
        ("fail: PROMPT_TOO_LONG", 2, "scripted PROMPT_TOO_LONG", "shorten the prompt"),
        ("fail: SHUTTING_DOWN", 3, "scripted SHUTTING_DOWN", "tandem service start"),
        ("refuse", 4, "not yours", "as the user who runs the daemon"),
        ("fail: OVERLOADED", 5, "scripted OVERLOADED", "try again in 3 s"),
        ("fail: DEADLINE_EXCEEDED", 5, "scripted DEADLINE_EXCEEDED", "router.deadline"),
    ] {
        let outcome = run(&server, &["ask", prompt]).await;
        assert_eq!(outcome.code, code, "{prompt}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!("error: {error}\n")), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(hint), "{prompt}: {}", outcome.stderr);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    let server = Server::start();
    let outcome = run(&server, &["ask", "break off"]).await;
    assert_eq!(outcome.stdout, "half a\n");
    assert!(outcome.stderr.contains("error: scripted ENGINE_CRASHED\nhint: try again in 3 s"));
    assert_eq!(outcome.code, 1);
}

#[tokio::test]
async fn a_daemon_that_dies_while_it_answers_is_not_reachable() {
    let mut server = Server::start();
    let mut child = tandem(&server, &["ask", "gated"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 5];
    timeout(DEADLINE, stdout.read_exact(&mut first)).await.unwrap().unwrap();

    server.kill();
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("error: the connection to the daemon broke\nhint: "), "{stderr}");
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn failures_are_json_when_results_are() {
    let server = Server::start();
    let outcome = run(&server, &["--json", "ask", "fail: OVERLOADED"]).await;
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    let expected = json!({"error": {
        "reason": "OVERLOADED", "message": "scripted OVERLOADED", "hint": "try again in 3 s",
    }});
    assert_eq!((error, outcome.stdout.as_str(), outcome.code), (expected, "", 5));

    let outcome = run(&server, &["--json", "model", "lst"]).await;
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!((&error["error"]["reason"], outcome.code), (&json!("USAGE"), 2));
}

#[tokio::test]
async fn ctrl_c_cancels_the_turn_and_exits_with_130() {
    let mut server = Server::start();
    let mut child = tandem(&server, &["ask", "gated"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 5];
    timeout(DEADLINE, stdout.read_exact(&mut first)).await.unwrap().unwrap();

    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: cancelled\n");
    timeout(DEADLINE, server.answer_dropped()).await.unwrap();
}

#[tokio::test]
async fn models_are_listed_and_loaded() {
    let server = Server::start();
    let list = run(&server, &["model", "list", "--json"]).await.json();
    assert_eq!(list["models"][0]["id"], "scripted");
    assert_eq!(list["models"][0]["state"], "available");
    let loaded = run(&server, &["model", "load", "scripted"]).await;
    assert!(loaded.stdout.starts_with("scripted is loaded · pid 7 · "), "{}", loaded.stdout);
    assert_eq!((loaded.stderr.as_str(), loaded.code), ("", 0), "a pipe gets no progress bar");
    let pulled = run(&server, &["model", "pull", "scripted"]).await;
    assert_eq!((pulled.stdout.as_str(), pulled.code), ("scripted is here (-)\n", 0));
    assert_eq!(pulled.stderr, "it was changed\n", "a note is said once");
    let damaged = run(&server, &["model", "verify", "scripted"]).await;
    assert!(damaged.stdout.contains("should have"), "{}", damaged.stdout);
    assert!(damaged.stderr.contains("error: it is damaged"), "{}", damaged.stderr);
    assert_eq!(damaged.code, 1);
    let removed = run(&server, &["model", "rm", "scripted", "--json"]).await.json();
    assert_eq!(removed["bytes"], 5);
    let missing = run(&server, &["model", "info", "absent"]).await;
    assert!(missing.stderr.contains("hint: `tandem model list`"), "{}", missing.stderr);
    assert_eq!(missing.code, 1);
}

#[tokio::test]
async fn conversations_are_listed_over_all_pages() {
    let server = Server::start();
    let list = run(&server, &["conversation", "list", "--json"]).await.json();
    let ids: Vec<_> = list["conversations"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert_eq!(ids, ["c3", "c2", "c1"]);
    let created = run(&server, &["conversation", "create", "--title", "Tea"]).await;
    assert_eq!(created.stdout, "conversation-1\n");
}

#[tokio::test]
async fn the_status_can_be_read_and_watched() {
    let server = Server::start();
    let status = run(&server, &["status"]).await;
    assert!(status.stdout.contains("actors\n● root\n└─ ● router · queue 1\n"), "{}", status.stdout);
    let watched = run(&server, &["status", "--watch", "--json"]).await;
    let pids: Vec<_> = watched
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["pid"].clone())
        .collect();
    assert_eq!(pids, [1, 2]);
    let watched = run(&server, &["status", "--watch"]).await;
    assert_eq!(watched.stderr, "note: the daemon stopped\n");
}

#[tokio::test]
async fn wrong_settings_are_refused_with_exit_code_2() {
    let server = Server::start();
    let file = server.home().join("wrong.toml");
    fs::write(&file, "[router]\npolicy = \"fastest\"\n").unwrap();
    let outcome = run(&server, &["config", "check", file.to_str().unwrap()]).await;
    assert!(outcome.stderr.contains("router.policy"), "{}", outcome.stderr);
    assert_eq!(outcome.code, 2);
    let shown = run(&server, &["config", "show", "--json"]).await;
    assert_eq!(shown.json()["daemon"]["socket"], json!(server.socket()));
}

#[tokio::test]
async fn an_answer_that_was_cut_off_says_so() {
    let server = Server::start();
    let outcome = run(&server, &["ask", "too long"]).await;
    assert_eq!(
        outcome.stderr, "note: the answer was cut off at 4 tokens (--max-tokens)\n",
        "a pipe gets it too"
    );
    assert_eq!(run(&server, &["-q", "ask", "too long"]).await.stderr, "");
}

#[tokio::test]
async fn relative_paths_of_models_count_from_the_current_directory() {
    let server = Server::start();
    fs::write(server.home().join("x.gguf"), "").unwrap();
    let at_home = |arguments| {
        let mut command = tandem(&server, arguments);
        command.current_dir(server.home());
        command
    };
    let found = timeout(DEADLINE, at_home(&["ask", "--model", "x.gguf", "hi"]).status());
    assert!(found.await.unwrap().unwrap().success());
    let here = server.home().canonicalize().unwrap();
    assert_eq!(server.asked()[0].model, here.join("x.gguf").to_str().unwrap());

    let output = timeout(DEADLINE, at_home(&["model", "load", "./y.gguf"]).output());
    let output = output.await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(&format!("error: no such file: {}/y.gguf\n", here.display())));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn every_conversation_is_deleted_that_can_be() {
    let server = Server::start();
    let outcome = run(&server, &["conversation", "delete", "a", "nope", "b"]).await;
    assert_eq!(outcome.stdout, "deleted a, b\n");
    assert_eq!(outcome.stderr, "error: cannot delete nope: scripted CONVERSATION_NOT_FOUND\n");
    assert_eq!(outcome.code, 1);
    let outcome = run(&server, &["--json", "conversation", "delete", "nope", "b"]).await;
    let failed = json!([{
        "id": "nope",
        "reason": "CONVERSATION_NOT_FOUND",
        "message": "scripted CONVERSATION_NOT_FOUND",
    }]);
    assert_eq!(outcome.json(), json!({"deleted": ["b"], "failed": failed}));
    assert_eq!((outcome.stderr.as_str(), outcome.code), ("", 1));
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_and_not_taken_for_flags() {
    let server = Server::start();
    for arguments in [
        &["conversation", "list", "--limit", "0"][..],
        &["conversation", "list", "--limit", "1001"],
        &["ask", "--max-tokens", "-1", "hi"],
    ] {
        let outcome = run(&server, arguments).await;
        assert!(outcome.stderr.contains(" is not in "), "{}", outcome.stderr);
        assert_eq!(outcome.code, 2);
    }
    assert_eq!(run(&server, &["ask", "--temperature", "-1", "hi"]).await.code, 0);
    let sampling = server.asked()[0].sampling.clone().unwrap();
    assert_eq!(sampling.temperature, Some(-1.0), "its range is the daemon's to judge");
}

#[tokio::test]
async fn commands_of_other_programs_lead_to_those_of_tandem() {
    let server = Server::start();
    for (habit, command) in [
        ("start", "tandem service start"),
        ("stop", "tandem service stop"),
        ("run", "tandem chat"),
        ("serve", "tandem service start"),
        ("models", "tandem model list"),
        ("pull", "tandem model pull"),
    ] {
        let outcome = run(&server, &[habit]).await;
        assert!(outcome.stderr.contains(&format!("tip: here this is `{command}`")), "{habit}");
        assert_eq!(outcome.code, 2);
    }
    let elsewhere = run(&server, &["model", "start"]).await;
    assert!(!elsewhere.stderr.contains("tandem service start"), "{}", elsewhere.stderr);
}

#[tokio::test]
async fn settings_that_will_not_work_are_warned_of() {
    let server = Server::start();
    let file = server.home().join("odd.toml");
    fs::write(&file, "[engine]\nbinary = '/no/engine'\n").unwrap();
    let outcome = run(&server, &["config", "check", file.to_str().unwrap()]).await;
    assert_eq!(outcome.stderr, "warning: engine.binary = \"/no/engine\" does not exist\n");
    assert_eq!(outcome.code, 0);
}
