//! Nothing of a private question leaves the machine: the kernel would kill the daemon that tried.

use std::os::unix::process::ExitStatusExt as _;

use tandem_proto::v1::{AskRequest, Policy, Track};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, question};

const LOCAL: &str = "the local model has spoken";
/// The signal of a process that broke a filter of system calls.
const SIGSYS: i32 = 31;

/// Every question would go to this provider if nothing held it back.
const PROVIDERS: &str = "[router]\nslow_threshold = 0.0\n\
    [providers.near]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"near\"\n\
    [providers.far]\nbase_url = \"https://tandem.invalid/v1\"\nmodel = \"far\"\n";

fn asked(prompt: &str, policy: Policy, conversation: &str) -> AskRequest {
    let conversation_id = conversation.to_owned();
    AskRequest { policy: policy.into(), conversation_id, ..question(prompt) }
}

/// The filter is in force: a question for the slow track ends the daemon.
async fn is_killed_when_it_connects(mut daemon: Daemon, provider: &str) {
    let request = AskRequest { provider: provider.to_owned(), ..asked("say it", Policy::Slow, "") };
    let answer = daemon.ask_with(request).await;
    assert!(answer.done().is_none(), "{answer:?}");
    assert_eq!(daemon.ended().await.signal(), Some(SIGSYS));
}

#[tokio::test]
async fn private_and_fast_questions_are_answered_where_the_kernel_allows_no_connection() {
    for provider in ["near", "far"] {
        let script = Script::always(Life::answering(LOCAL));
        let daemon = Setup::scripted(&script).config(PROVIDERS).without_network().start().await;
        let conversation = daemon.conversation().await;
        for policy in [Policy::Private, Policy::Fast, Policy::Private] {
            for conversation in ["", &conversation] {
                let answer = daemon.ask_with(asked("a secret", policy, conversation)).await;
                assert_eq!(answer.complete(), LOCAL);
                assert_eq!(answer.done().unwrap().track(), Track::Fast);
            }
        }
        let output = daemon.home().tandem(&["ask", "--policy", "private", "a secret"]).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(daemon.turns(&conversation).await.len(), 3);
        is_killed_when_it_connects(daemon, provider).await;
    }
}

#[tokio::test]
async fn the_real_engine_asks_for_no_connection_either() {
    let daemon = Setup::real().config(PROVIDERS).without_network().start().await;
    let answer = daemon.ask_with(asked("The capital of France?", Policy::Private, "")).await;
    assert!(!answer.complete().is_empty());
    is_killed_when_it_connects(daemon, "near").await;
}

#[tokio::test]
async fn a_daemon_that_is_private_by_default_never_connects() {
    let script = Script::always(Life::answering(LOCAL));
    let settings = PROVIDERS.replace("[router]", "[router]\npolicy = \"private\"");
    let daemon = Setup::scripted(&script).config(&settings).without_network().start().await;
    for prompt in ["Prove step by step that there are infinitely many primes", "hello"] {
        assert_eq!(daemon.ask(prompt).await.complete(), LOCAL);
    }
    let status = daemon.status().await;
    assert_eq!(status.turns.unwrap().answered_fast, 2);
    is_killed_when_it_connects(daemon, "near").await;
}
