//! Settings that are measured instead of guessed.

use tandem_proto::error as reason;
use tandem_proto::v1::tune_model_event::Event;
use tandem_proto::v1::{
    EngineStatus, ModelStats, ModelStatsRequest, SettingsSource, TuneModelRequest, Tuning,
};
use tandem_tests::script::{Life, Load, Script};
use tandem_tests::{Daemon, Failure, LOOK_AGAIN, Setup, soon, with_home};

const WORDS: &str = "as fast as can be";

fn life(prefill: u64, decode: u64) -> Life {
    Life::answering(WORDS).but_measuring(prefill, decode)
}

async fn tune(daemon: &Daemon) -> Result<Tuning, Failure> {
    let request = TuneModelRequest::default();
    let mut events = soon("tuning", daemon.client().models().tune(request)).await?.into_inner();
    let mut fraction = -1.0;
    loop {
        match soon("tuning", events.message()).await?.unwrap().event.unwrap() {
            Event::Progress(progress) => {
                assert!(progress.fraction > fraction, "{progress:?} after {fraction}");
                assert!(progress.stage.starts_with("measuring with "), "{progress:?}");
                fraction = progress.fraction;
            }
            Event::Tuned(tuning) => return Ok(tuning),
        }
    }
}

async fn stats(daemon: &Daemon) -> ModelStats {
    let mut models = daemon.client().models();
    let stats = models.stats(ModelStatsRequest::default()).await.unwrap().into_inner();
    assert_eq!(stats.models.len(), 1, "{stats:?}");
    stats.models[0].clone()
}

fn engine(stats: &ModelStats) -> &EngineStatus {
    stats.model.as_ref().unwrap().engine.as_ref().unwrap()
}

/// Settings and whether they were chosen.
fn trials(tuning: &Tuning) -> Vec<(&str, bool)> {
    tuning.trials.iter().map(|trial| (trial.settings.as_str(), trial.chosen)).collect()
}

/// Whatever is tried on this machine, with these two at the beginning; the second is better.
fn second_is_faster() -> Script {
    Script::lives([life(1000, 100), life(1000, 100), life(500, 50), life(2000, 200)])
}

#[tokio::test]
async fn the_fastest_settings_are_found_beside_the_serving_engine_and_used_from_the_next_load_on() {
    let mut daemon = Setup::scripted(&second_is_faster()).start().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let before = stats(&daemon).await;
    assert_eq!(engine(&before).settings_source(), SettingsSource::Default);
    assert_eq!((before.tuning, before.answers.unwrap().answers), (None, 1));

    let tuning = tune(&daemon).await.unwrap();
    assert_eq!(trials(&tuning)[..2], [("defaults", false), ("use_extra_bufts=false", true)]);
    assert_eq!((tuning.trials[1].prefill_us_128, tuning.trials[1].decode_us_1), (500, 50));
    assert!(tuning.trials[2..].iter().all(|trial| !trial.chosen), "{tuning:?}");
    let after = stats(&daemon).await;
    assert_eq!((engine(&after).settings.as_str(), engine(&after).restarts), ("defaults", 0));
    assert_eq!(after.tuning.as_ref(), Some(&tuning));
    assert_eq!(with_home(daemon.home().path()).len(), 2, "the trials are over");

    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0));
    daemon.restart().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let next = stats(&daemon).await;
    assert_eq!(engine(&next).settings, "use_extra_bufts=false");
    assert_eq!(engine(&next).settings_source(), SettingsSource::Measured);
    assert!(engine(&next).settings_reason.contains("fastest"), "{next:?}");
    assert_eq!(next.tuning, Some(tuning));
    let loads = daemon.home().logged("load");
    let last = "load use_extra_bufts=false flash_attention=true self_test=false";
    assert!(loads.last().unwrap().ends_with(last), "{loads:?}");
}

#[tokio::test]
async fn what_was_measured_with_other_threads_than_are_configured_is_not_used() {
    let mut daemon = Setup::scripted(&second_is_faster()).start().await;
    tune(&daemon).await.unwrap();
    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0));
    daemon.home().configure("[engine]\nthreads = 1\n");
    daemon.restart().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let stats = stats(&daemon).await;
    assert_eq!(engine(&stats).settings_source(), SettingsSource::Default);
    assert_eq!((engine(&stats).settings.as_str(), &stats.tuning), ("defaults", &None));
}

#[tokio::test]
async fn a_daemon_that_nobody_asks_measures_by_itself_and_uses_it_from_the_next_load_on() {
    let daemon = Setup::scripted(&second_is_faster()).tuning_by_itself().start().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let measured = soon("the daemon to measure", async {
        loop {
            let stats = stats(&daemon).await;
            if stats.tuning.is_some() {
                return stats;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let tuning = measured.tuning.unwrap();
    assert_eq!(trials(&tuning)[..2], [("defaults", false), ("use_extra_bufts=false", true)]);
    assert_eq!(with_home(daemon.home().path()).len(), 2, "the trials are over");

    assert!(daemon.unload("").await.unwrap());
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let next = stats(&daemon).await;
    assert_eq!(engine(&next).settings, "use_extra_bufts=false");
    assert_eq!(engine(&next).settings_source(), SettingsSource::Measured);
    assert_eq!(next.tuning, Some(tuning));
}

#[tokio::test]
async fn settings_with_which_a_trial_dies_are_recorded_and_not_chosen() {
    let dies = life(1, 1).but_at_load(Load::Die("ILL".to_owned()));
    let script = Script::lives([life(1000, 100), dies, life(2000, 200)]);
    let daemon = Setup::scripted(&script).start().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let pid = daemon.engine().await.pid;
    let tuning = tune(&daemon).await.unwrap();
    assert_eq!(trials(&tuning)[..2], [("defaults", false), ("use_extra_bufts=false", true)]);
    assert!(tuning.trials[0].problem.contains("SIGILL"), "{tuning:?}");
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    assert_eq!((daemon.engine().await.pid, daemon.engine().await.restarts), (pid, 0));
}

#[tokio::test]
async fn a_tuning_that_nobody_waits_for_any_more_ends_its_engine_and_changes_nothing() {
    let hangs = life(1, 1).but_at_load(Load::Hang);
    let daemon = Setup::scripted(&Script::lives([life(1000, 100), hangs])).start().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let mut models = daemon.client().models();
    let mut events = models.tune(TuneModelRequest::default()).await.unwrap().into_inner();
    assert!(soon("progress", events.message()).await.unwrap().is_some());
    let load = "life 2 load use_extra_bufts=true flash_attention=true self_test=true";
    daemon.home().until_logged(load).await;
    let failure = tune(&daemon).await.unwrap_err();
    assert_eq!(failure.reason, reason::OVERLOADED, "{failure:?}");
    drop(events);
    daemon.until_processes(2).await;
    assert_eq!(stats(&daemon).await.tuning, None);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_not_measured() {
    let daemon = Setup::scripted(&second_is_faster()).start().await;
    let request = TuneModelRequest { id: "nobody".to_owned() };
    let mut events = daemon.client().models().tune(request).await.unwrap().into_inner();
    let failure = Failure::from(soon("a refusal", events.message()).await.unwrap_err());
    assert_eq!(failure.reason, reason::MODEL_NOT_FOUND, "{failure:?}");
}

#[tokio::test]
async fn a_real_model_is_measured_and_loaded_with_what_was_fastest() {
    let daemon = Setup::real().start().await;
    let output = daemon.home().tandem(&["model", "tune", "smollm2-135m-instruct"]).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("defaults") && text.contains("tokens/s"), "{text}");

    assert!(!daemon.ask("Say hello.").await.complete().is_empty());
    let stats = stats(&daemon).await;
    let tuning = stats.tuning.as_ref().unwrap();
    for trial in &tuning.trials {
        let times =
            [trial.decode_us_1, trial.decode_us_4, trial.decode_us_16, trial.prefill_us_128];
        assert!(times.iter().all(|time| *time > 0), "{trial:?}");
    }
    let chosen = tuning.trials.iter().find(|trial| trial.chosen).unwrap();
    assert_eq!(engine(&stats).settings, chosen.settings);
    assert_eq!(engine(&stats).settings_source(), SettingsSource::Measured);
    let answers = stats.answers.unwrap();
    assert!(answers.prefill_tokens_per_second > 0.0, "{answers:?}");
    assert!(answers.decode_tokens_per_second > 0.0, "{answers:?}");
    let output = daemon.home().tandem(&["model", "stats"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("measured: ") && text.contains("wrote"), "{text}");
}
