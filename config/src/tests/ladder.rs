//! The settings of what is given up when the machine is pressed.

use super::*;
use crate::{Degree, Ladder, PressureThresholds};

fn ladder(settings: &str) -> Ladder {
    Home::new(settings).load().unwrap().resources.ladder
}

#[test]
fn the_ladder_and_its_thresholds_can_be_set_and_are_shown_as_they_are() {
    let settings = "[resources.ladder]\nremote = 'extreme'\ntemplate = 'off'\ndwell = '10s'\n\
                    [resources.pressure]\n\
                    memory_available = { moderate = 0.3, high = 0.3, critical = 0.1, extreme = 0 }";
    let config = Home::new(settings).load().unwrap();
    let Ladder { rungs, dwell, calm } = &config.resources.ladder;
    assert_eq!(rungs[5..], [Some(Degree::Extreme), None]);
    assert_eq!((*dwell, *calm), (Duration::from_secs(10), Duration::from_secs(30)));
    let memory_available = [0.3, 0.3, 0.1, 0.0];
    let expected = PressureThresholds { memory_available, ..PressureThresholds::default() };
    assert_eq!(config.resources.pressure, expected);
    assert_eq!(Home::new(&config.to_toml()).load().unwrap().resources, config.resources);
}

#[test]
fn the_defaults_of_rungs_give_way_to_those_that_were_set() {
    assert!(ladder("").rungs.is_sorted());
    let later = ladder("[resources.ladder]\nsmaller_batch = 'critical'");
    let expected =
        ["moderate", "critical", "critical", "critical", "critical", "critical", "extreme"];
    assert_eq!(later.rungs.map(|it| it.unwrap().name()), expected);
    let sooner = ladder("[resources.ladder]\nremote = 'moderate'");
    let expected = ["moderate"; 6].into_iter().chain(["extreme"]).collect::<Vec<_>>();
    assert_eq!(sooner.rungs.map(|it| it.unwrap().name()).to_vec(), expected);
}

#[test]
fn a_rung_before_one_that_gives_up_less_is_refused() {
    let settings = "[resources.ladder]\nsmaller_model = 'off'\nquantized_kv = 'critical'\n\
                    remote = 'high'";
    let error = Home::new(settings).load().unwrap_err().to_string();
    assert!(error.contains(":4: resources.ladder.remote = \"high\" comes before"), "{error}");
    assert!(error.contains("resources.ladder.quantized_kv = \"critical\""), "{error}");
    assert!(error.contains("write \"critical\" or a harder pressure here, or \"off\""), "{error}");
}

#[test]
fn thresholds_that_are_out_of_order_out_of_range_or_not_all_there_are_refused() {
    for (signal, steps, fix) in [
        ("memory_available", "moderate = 0.1, high = 0.2, critical = 0, extreme = 0", "none more"),
        ("cpu_stalled", "moderate = 0.6, high = 0.5, critical = 1, extreme = 1", "none less"),
        ("cpu_stalled", "moderate = 0.6, high = 0.7, critical = 1, extreme = 2", "from 0 to 1"),
        ("cpu_stalled", "moderate = 0.6, high = 0.7, critical = 1", "four numbers"),
        ("io_stalled", "moderate = 0, high = 0, critical = 0, extreme = 0, more = 0", "four"),
    ] {
        let settings = format!("[resources.pressure]\n{signal} = {{ {steps} }}");
        let error = Home::new(&settings).load().unwrap_err().to_string();
        assert!(error.contains(&format!(":2: resources.pressure.{signal}")), "{error}");
        assert!(error.contains(fix), "{error}");
    }
}
