//! How the daemon is found, started and stopped.

use std::{fs, fs::File, path::Path};

use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::unix::pipe, process::Command, time::timeout};

use crate::{DEADLINE, Outcome, run, server::Server, tandem};

/// Makes a program. Another process writes it: a file that this one has open for writing could be
/// inherited by a command that another test starts, and then not be run.
async fn install(program: &Path, script: &str) {
    let write = "printf %s \"$1\" >\"$0\" && chmod 700 \"$0\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", write]).arg(program).arg(script);
    assert!(shell.status().await.unwrap().success());
}

#[tokio::test]
async fn without_a_daemon_the_exit_code_is_3_and_the_hint_says_how_to_start_it() {
    let mut server = Server::start();
    server.kill();
    for arguments in [&["--no-autostart", "ask", "hello"][..], &["status"]] {
        let outcome = run(&server, arguments).await;
        assert!(outcome.stderr.starts_with("error: no daemon listens at "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("hint: start the daemon with `tandem service start`"));
        assert_eq!((outcome.stdout.as_str(), outcome.code), ("", 3));
    }
    let outcome = run(&server, &["--json", "service", "status"]).await;
    assert_eq!((&outcome.json()["running"], outcome.code), (&json!(false), 3));
}

#[tokio::test]
async fn a_daemon_that_ends_at_once_is_reported_with_its_last_words() {
    let mut server = Server::start();
    server.kill();
    let program = server.home().join("tandemd");
    let script = "#!/bin/sh\necho \"args: $@\"\necho 'settings are wrong' >&2\nexit 64\n";
    install(&program, script).await;

    let mut command = tandem(&server, &["ask", "hello"]);
    let output = command.env("TANDEMD", &program).output();
    let output = timeout(DEADLINE, output).await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let socket = server.socket();
    let expected = format!(
        "error: the daemon ended at once (exit status: 64)\n  args: --socket {}\n  settings are wrong\n",
        socket.display(),
    );
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert!(stderr.contains("hint: `tandem config check`"), "{stderr}");
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_started_and_awaited() {
    let mut server = Server::start();
    server.kill();
    // Says through one pipe that it was started, and stays until the other one is closed.
    let (started, hold) = (server.home().join("started"), server.home().join("hold"));
    assert!(Command::new("mkfifo").args([&started, &hold]).status().await.unwrap().success());
    let mut pipe = pipe::OpenOptions::new();
    pipe.read_write(true);
    let mut starts = pipe.open_receiver(&started).unwrap();
    let holds = pipe.open_sender(&hold).unwrap();
    let program = server.home().join("tandemd");
    let script =
        format!("#!/bin/sh\necho >'{}'\nexec cat '{}'\n", started.display(), hold.display());
    install(&program, &script).await;

    let mut command = tandem(&server, &["ask", "hello"]);
    let child = command.env("TANDEMD", &program).spawn().unwrap();
    timeout(DEADLINE, starts.read_u8()).await.unwrap().unwrap();
    server.revive();
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "You said: hello\n");
    assert_eq!(output.status.code(), Some(0));
    drop(holds);
}

#[tokio::test]
async fn stopping_waits_until_nobody_listens() {
    let server = Server::start();
    let running = run(&server, &["service", "start"]).await;
    assert!(running.stdout.starts_with("tandemd runs, pid 1, at "), "{}", running.stdout);
    let stopped = run(&server, &["service", "stop", "--json"]).await;
    assert_eq!(stopped.json()["changed"], true, "{}", stopped.stderr);
    let again = run(&server, &["service", "stop", "--json"]).await;
    assert_eq!((&again.json()["changed"], again.code), (&json!(false), 0));
}

/// What `tandem` does when no socket is named by a variable.
async fn run_by_settings(server: &Server, arguments: &[&str]) -> Outcome {
    let mut command = tandem(server, arguments);
    let output = timeout(DEADLINE, command.env_remove("TANDEM_SOCKET").output());
    output.await.unwrap().unwrap().into()
}

/// The lock on the data directory of a daemon that listens where `server` does.
fn lock(server: &Server) -> File {
    let path = server.home().join("daemon.lock");
    fs::write(&path, format!("7\n{}\n", server.socket().display())).unwrap();
    let lock = File::open(&path).unwrap();
    lock.lock().unwrap();
    lock
}

#[tokio::test]
async fn a_daemon_on_another_socket_is_found_by_its_lock() {
    let server = Server::start();
    let settings = server.home().join("tandem.toml");
    fs::write(settings, "[daemon]\nsocket = '/nobody/here.sock'\n").unwrap();
    assert_eq!(run_by_settings(&server, &["status"]).await.code, 3, "nobody holds the lock");

    let lock = lock(&server);
    let found = run_by_settings(&server, &["service", "status"]).await;
    assert!(found.stdout.starts_with("tandemd runs, pid 1, at "), "{}", found.stdout);
    assert!(found.stderr.starts_with("note: nobody listens at /nobody/here.sock; "));
    let named = run_by_settings(&server, &["--socket", "/nobody/here.sock", "status"]).await;
    assert_eq!(named.code, 3, "{}", named.stdout);

    let stopped = run_by_settings(&server, &["service", "stop", "--json"]).await;
    assert_eq!(stopped.json()["changed"], true, "{}", stopped.stderr);
    drop(lock);
}

#[tokio::test]
async fn a_daemon_is_found_although_its_settings_were_broken_since() {
    let server = Server::start();
    fs::write(server.home().join("tandem.toml"), "[router]\npolicy = 'fastest'\n").unwrap();
    let _lock = lock(&server);
    let found = run_by_settings(&server, &["status"]).await;
    assert!(found.stdout.contains("● root"), "{}", found.stdout);
    assert!(found.stderr.starts_with("warning: "), "{}", found.stderr);
    assert!(found.stderr.contains("router.policy"), "{}", found.stderr);
}

#[tokio::test]
async fn a_socket_path_that_cannot_be_one_is_refused() {
    let server = Server::start();
    let file = server.home().join("tandem.toml");
    fs::write(&file, "").unwrap();
    let refused = run(&server, &["--socket", file.to_str().unwrap(), "status"]).await;
    assert!(refused.stderr.contains("tandem.toml is not a socket\n"), "{}", refused.stderr);
    assert_eq!(refused.code, 3);

    let too_long = format!("/{}", "s".repeat(150));
    for command in [&["status"][..], &["service", "stop"], &["ask", "hi"]] {
        let outcome = run(&server, &[&["--socket", &too_long][..], command].concat()).await;
        assert!(outcome.stderr.contains("151 bytes"), "{command:?}: {}", outcome.stderr);
        assert_eq!(outcome.code, 2, "{command:?}");
    }
}

#[tokio::test]
async fn a_daemon_that_refuses_its_settings_is_a_usage_error() {
    let mut server = Server::start();
    server.kill();
    let program = server.home().join("tandemd");
    install(&program, "#!/bin/sh\necho 'tandemd: settings are wrong' >&2\nexit 2\n").await;
    let mut command = tandem(&server, &["ask", "hello"]);
    let output = timeout(DEADLINE, command.env("TANDEMD", &program).output());
    let outcome = Outcome::from(output.await.unwrap().unwrap());
    assert!(outcome.stderr.ends_with("\n  tandemd: settings are wrong\n"), "{}", outcome.stderr);
    assert_eq!(outcome.code, 2);
}
