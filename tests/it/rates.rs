//! Clients that call more often than they may.

use std::time::Duration;

use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, ListModelsRequest, ReloadRequest, StatusRequest};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Asking, Daemon, Failure, Setup, question, soon};
use tonic::{Code, Request};

const WORDS: &str = "not so fast";

async fn limited(toml: &str) -> Daemon {
    Setup::scripted(&Script::always(Life::answering(WORDS))).config(toml).start().await
}

/// A question of a program that names itself for every call.
fn by(client: &str) -> Request<AskRequest> {
    let mut request = Request::new(question("hello"));
    request.metadata_mut().insert("tandem-client", client.parse().unwrap());
    request
}

async fn ask(daemon: &Daemon, client: &str) -> Result<String, Failure> {
    let asking = Asking::begin(daemon.client(), by(client)).await?;
    Ok(asking.finish().await.complete())
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_ask_again_and_another_is_answered() {
    let daemon = limited("[resources.rates.methods]\n\"Assistant/Ask\" = 2\n").await;
    for _ in 0..2 {
        assert_eq!(ask(&daemon, "eager").await.unwrap(), WORDS);
    }
    let failure = ask(&daemon, "eager").await.unwrap_err();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::ResourceExhausted, reason::RATE_LIMITED)
    );
    assert!(failure.retry_after.unwrap() > Duration::ZERO, "{failure:?}");
    assert!(failure.message.contains("eager calls Assistant/Ask"), "{failure:?}");
    assert_eq!(ask(&daemon, "patient").await.unwrap(), WORDS);
    // Another program, which names itself to nobody, is known by its process.
    let output = daemon.home().tandem(&["ask", "hello"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(daemon.status().await.admission.unwrap().refused, 1);
}

#[tokio::test]
async fn the_status_can_always_be_asked_for_and_new_rates_need_no_restart() {
    let daemon = limited("[resources.rates]\ndefault_per_minute = 1\n").await;
    let mut models = daemon.client().models();
    soon("the models", models.list(ListModelsRequest::default())).await.unwrap();
    let refused = soon("a refusal", models.list(ListModelsRequest::default())).await;
    assert_eq!(Failure::from(refused.unwrap_err()).reason, reason::RATE_LIMITED);
    for _ in 0..3 {
        soon("the status", daemon.client().admin().status(StatusRequest {})).await.unwrap();
        assert!(daemon.client().is_serving().await.unwrap());
    }
    daemon.home().configure("");
    soon("the reload", daemon.client().admin().reload(ReloadRequest {})).await.unwrap();
    soon("the models", models.list(ListModelsRequest::default())).await.unwrap();
}

#[tokio::test]
async fn a_rate_of_a_method_that_does_not_exist_is_a_mistake() {
    let daemon = limited("").await;
    daemon.home().configure("[resources.rates.methods]\n\"Assistant/Aks\" = 2\n");
    let refused = soon("the reload", daemon.client().admin().reload(ReloadRequest {})).await;
    let failure = Failure::from(refused.unwrap_err());
    assert_eq!(failure.reason, reason::SETTINGS_INVALID);
    assert!(failure.message.contains("\"Assistant/Aks\" is no method"), "{failure:?}");
}
