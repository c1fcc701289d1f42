//! What of new settings a running daemon takes over.

use super::Home;

#[test]
fn what_questions_are_answered_by_is_taken_over_and_the_rest_waits_for_a_restart() {
    let home = Home::new("");
    let running = home.load().unwrap();
    let new = home
        .with("TANDEM_ROUTER__POLICY", "fast")
        .with("TANDEM_ROUTER__RUNNING_MAX", "3")
        .with("TANDEM_MEMORY__TURNS_MAX", "5")
        .with("TANDEM_RESOURCES__RATES__DEFAULT_PER_MINUTE", "9")
        .with("TANDEM_RESOURCES__LADDER__REMOTE", "off")
        .with("TANDEM_RESOURCES__SAMPLE_INTERVAL", "2s")
        .with("TANDEM_MODELS__DEFAULT", "other")
        .with("TANDEM_MODELS__KEEP_ALIVE", "1s")
        .with("TANDEM_ENGINE__THREADS", "1")
        .with("TANDEM_PROVIDERS__BIG__MODEL", "large")
        .with("TANDEM_PROVIDERS__BIG__KIND", "openai")
        .load()
        .unwrap();
    let reloaded = running.reloaded(&new);
    let changed = [
        "memory.turns_max",
        "models.default",
        "resources.ladder.remote",
        "resources.rates.default_per_minute",
        "router.policy",
    ];
    assert_eq!(running.differences(&reloaded), changed);
    let waiting = reloaded.differences(&new);
    assert!(waiting.contains(&"engine.threads".to_owned()), "{waiting:?}");
    assert!(waiting.contains(&"resources.sample_interval".to_owned()), "{waiting:?}");
    assert!(waiting.contains(&"models.keep_alive".to_owned()), "{waiting:?}");
    assert!(waiting.contains(&"router.running_max".to_owned()), "{waiting:?}");
    assert!(waiting.contains(&"providers.big.model".to_owned()), "{waiting:?}");
    assert!(!waiting.contains(&"router.policy".to_owned()), "{waiting:?}");

    assert_eq!(reloaded.reloaded(&new), reloaded, "a second time changes nothing");
    assert_eq!(reloaded.reloaded(&running), running, "and everything can be taken back");
    assert_eq!(new.differences(&new), [""; 0]);
}
