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
        .with("TANDEM_ENGINE__THREADS", "1")
        .with("TANDEM_PROVIDERS__BIG__MODEL", "large")
        .with("TANDEM_PROVIDERS__BIG__KIND", "openai")
        .load()
        .unwrap();
    let reloaded = running.reloaded(&new);
    assert_eq!(running.differences(&reloaded), ["memory.turns_max", "router.policy"]);
    let waiting = reloaded.differences(&new);
    assert!(waiting.contains(&"engine.threads".to_owned()), "{waiting:?}");
    assert!(waiting.contains(&"router.running_max".to_owned()), "{waiting:?}");
    assert!(waiting.contains(&"providers.big.model".to_owned()), "{waiting:?}");
    assert!(!waiting.contains(&"router.policy".to_owned()), "{waiting:?}");

    assert_eq!(reloaded.reloaded(&new), reloaded, "a second time changes nothing");
    assert_eq!(reloaded.reloaded(&running), running, "and everything can be taken back");
    assert_eq!(new.differences(&new), [""; 0]);
}
