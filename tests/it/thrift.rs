//! An engine that is started anew for another context where the machine is short, and back again.

use tandem_proto::v1::{ModelState, ReloadRequest, StatusResponse};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, question, soon};

const ANSWER: &str = "it is still here";

/// Settings under which any machine is short, or never is, whatever else happens to it.
fn short(is_short: bool) -> String {
    let (share, never) =
        (if is_short { 1.0 } else { 0.0 }, "{ moderate = 1, high = 1, critical = 1, extreme = 1 }");
    format!(
        "[engine]\ncontext_tokens = 4096\nbatch_tokens = 512\n\
         [resources]\nsample_interval = \"200ms\"\n\
         [resources.pressure]\n\
         memory_available = {{ moderate = {share:?}, high = {share:?}, critical = 0, extreme = 0 }}\n\
         memory_stalled = {never}\nio_stalled = {never}\ncpu_stalled = {never}\n\
         temperature_celsius = {{ moderate = 200, high = 200, critical = 200, extreme = 200 }}\n\
         battery_charge = {{ moderate = 0, high = 0, critical = 0, extreme = 0 }}\n\
         [resources.ladder]\ndwell = \"100ms\"\ncalm = \"200ms\"\nsmaller_model = \"critical\"\n"
    )
}

async fn reload(daemon: &Daemon, settings: &str) {
    daemon.home().configure(settings);
    let mut admin = daemon.client().admin();
    soon("the reload", admin.reload(ReloadRequest {})).await.unwrap();
}

/// Waits for an engine that has loaded with this much context.
async fn until_context(daemon: &Daemon, tokens: u32) -> StatusResponse {
    let serves = |status: &StatusResponse| {
        status.models.iter().any(|model| {
            let context = model.engine.as_ref().map(|engine| engine.context_tokens);
            model.state() == ModelState::Loaded && context == Some(tokens)
        })
    };
    daemon.until(&format!("a context of {tokens} tokens"), serves).await
}

#[tokio::test]
async fn a_machine_that_is_short_gets_engines_with_less_context_and_no_answer_is_lost() {
    let script = Script::always(Life::answering(ANSWER));
    let daemon = Setup::scripted(&script).config(&short(false)).start().await;
    assert_eq!(daemon.ask_with(question("Who?")).await.complete(), ANSWER);
    until_context(&daemon, 4096).await;

    reload(&daemon, &short(true)).await;
    let status = until_context(&daemon, 2048).await;
    let engine = status.models[0].engine.clone().unwrap();
    assert_eq!((engine.restarts, engine.kv_cache.as_str()), (0, "q8_0"), "{engine:?}");
    assert_eq!(engine.settings, "context_tokens=2048 kv_cache=q8_0");
    assert!(engine.settings_reason.contains("available"), "{engine:?}");
    assert_eq!(daemon.ask_with(question("Who?")).await.complete(), ANSWER);
    daemon.home().until_logged("life 2 context tokens=2048 KV_TYPE_Q8_0").await;
    daemon.home().until_logged("life 2 adjust threads=1 batch_tokens=128").await;

    reload(&daemon, &short(false)).await;
    // Those that come while the engine is started anew wait for it.
    let mut lives = daemon.home().logged("start").len();
    while lives < 3 {
        assert_eq!(daemon.ask_with(question("Who?")).await.complete(), ANSWER);
        lives = daemon.home().logged("start").len();
    }
    let status = until_context(&daemon, 4096).await;
    let engine = status.models[0].engine.clone().unwrap();
    assert_eq!((engine.restarts, engine.settings_reason.as_str()), (0, ""), "{engine:?}");
}
