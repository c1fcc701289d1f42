#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::failure::Failure;

fn engine(pid: u32) -> v1::EngineStatus {
    v1::EngineStatus {
        pid,
        memory_bytes: 512 << 20,
        threads: 2,
        sequences_max: 4,
        sequences_active: 1,
        ..v1::EngineStatus::default()
    }
}

/// A daemon that is busy on a machine that is short of memory.
fn busy() -> Reading {
    let provider = |name: &str, breaker: v1::Breaker, reason: &str| v1::ProviderStatus {
        name: name.into(),
        breaker: breaker.into(),
        breaker_reason: reason.into(),
        requests: 120,
        failures: 7,
        ..v1::ProviderStatus::default()
    };
    let status = v1::StatusResponse {
        version: "0.1.0".into(),
        pid: 42,
        uptime_ms: 3_600_000,
        models: vec![v1::Model {
            id: "smollm2-135m-instruct".into(),
            state: v1::ModelState::Loaded.into(),
            engine: Some(engine(43)),
            ..v1::Model::default()
        }],
        providers: vec![
            provider("cloud", v1::Breaker::Closed, ""),
            provider("other", v1::Breaker::Open, "5 failures in a row"),
        ],
        resources: Some(v1::ResourceStatus {
            memory_total_bytes: 4 << 30,
            memory_available_bytes: 256 << 20,
            daemon_memory_bytes: 40 << 20,
            engines_memory_bytes: 512 << 20,
            cpu_used: 0.425,
            cores: 2,
            cpu_stalled: Some(0.031),
            memory_stalled: Some(0.2),
            pressure: v1::Pressure::High.into(),
            disk_free_bytes: Some(46 << 30),
            battery_charge: Some(0.83),
            on_battery: true,
            temperature_celsius: Some(61.4),
            ladder: Some(v1::LadderStatus {
                rung: v1::Rung::ShorterContext.into(),
                reasons: vec!["256 MiB of 4096 MiB memory are available (less than 10 %)".into()],
                since_ms: 12_000,
                moves: 3,
            }),
            ..v1::ResourceStatus::default()
        }),
        admission: Some(v1::Admission {
            running: 1,
            running_max: 4,
            waiting: 2,
            waiting_max: 64,
            waiting_interactive: 1,
            waiting_batch: 1,
            refused: 3,
            ..v1::Admission::default()
        }),
        turns: Some(v1::TurnCounts {
            started: 12,
            answered_fast: 8,
            answered_slow: 3,
            failed: 1,
            ..v1::TurnCounts::default()
        }),
        ..v1::StatusResponse::default()
    };
    Reading { status, speeds: HashMap::from([("smollm2-135m-instruct".into(), 57.25)]) }
}

fn top(reading: Reading) -> Top {
    let mut top = Top::default();
    top.take(Ok(reading));
    top
}

/// What a terminal of this size shows.
fn shown(top: &mut Top, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(top, frame.area(), frame.buffer_mut())).unwrap();
    text(terminal.backend().buffer())
}

#[test]
fn everything_is_seen_on_a_terminal_of_80_by_24() {
    let shown = shown(&mut top(busy()), 80, 24);
    assert_eq!(shown, include_str!("busy.txt"), "\n{shown}");
}

#[test]
fn a_daemon_that_says_nothing_of_itself_is_shown_as_unknown() {
    let mut empty = top(Reading::default());
    let shown = shown(&mut empty, 80, 24);
    for what in ["waiting for the daemon", "not known", "none loaded", "none configured"] {
        assert!(shown.contains(what), "{what}:\n{shown}");
    }
    assert!(!shown.contains('▓'), "no rung is in effect:\n{shown}");
}

#[test]
fn a_machine_without_battery_and_sensors_has_no_line_for_them() {
    let mut reading = busy();
    let machine = reading.status.resources.as_mut().unwrap();
    (machine.battery_charge, machine.temperature_celsius) = (None, None);
    let shown = shown(&mut top(reading.clone()), 80, 24);
    assert!(!shown.contains("power"), "{shown}");

    let machine = reading.status.resources.as_mut().unwrap();
    machine.temperature_celsius = Some(55.0);
    let shown = super::tests::shown(&mut top(reading), 80, 24);
    assert!(shown.contains("power   55 °C"), "{shown}");
}

#[test]
fn a_machine_that_is_well_stands_on_the_first_rung() {
    let mut reading = busy();
    let machine = reading.status.resources.as_mut().unwrap();
    let rung = v1::Rung::Full.into();
    machine.ladder = Some(v1::LadderStatus { rung, ..v1::LadderStatus::default() });
    let shown = shown(&mut top(reading), 80, 24);
    assert!(shown.contains("├▓▓┤ full ◀"), "{shown}");
    assert_eq!(shown.matches('▓').count(), 2, "{shown}");
}

#[test]
fn a_small_terminal_shows_one_panel_at_a_time() {
    let mut top = top(busy());
    let machine = shown(&mut top, 44, 12);
    assert!(machine.contains("▸machine: pressure high") && !machine.contains("ladder:"));
    top.panel = Panel::Ladder;
    let ladder = shown(&mut top, 44, 12);
    assert!(ladder.contains("├▓▓┤ shorter context ◀"), "{ladder}");
    assert!(ladder.contains("256 MiB of 4096 MiB"), "the reasons stay:\n{ladder}");
}

#[test]
fn no_size_is_too_small() {
    for (width, height) in [(1, 1), (3, 2), (10, 4), (200, 3), (5, 100), (80, 23), (300, 100)] {
        for panel in [Panel::Machine, Panel::Models, Panel::History] {
            let mut top = Top { panel, help: true, ..top(busy()) };
            let lines = shown(&mut top, width, height).lines().count();
            assert_eq!(lines, usize::from(height), "{width} by {height}");
        }
    }
}

#[test]
fn what_is_moved_beyond_its_end_is_moved_back() {
    let mut top = Top { panel: Panel::Questions, scrolled: 50, ..top(busy()) };
    let shown = shown(&mut top, 80, 24);
    assert_eq!(top.scrolled, 2, "5 lines, of which 3 fit");
    assert!(shown.contains("│0 cancelled, 0 fell back"), "{shown}");
}

#[test]
fn a_daemon_that_is_lost_is_said_over_what_was_last_known() {
    let mut top = top(busy());
    top.take(Err(Failure::usage("no daemon listens at /s", "")));
    let shown = shown(&mut top, 80, 24);
    assert!(shown.starts_with("no answer, trying again: no daemon listens at /s\n"), "{shown}");
    assert!(shown.contains("smollm2-135m-instruct"), "{shown}");
}

#[test]
fn a_name_cannot_move_the_cursor() {
    let mut reading = busy();
    reading.status.models[0].id = "evil\u{1b}[2J\nname".into();
    let shown = shown(&mut top(reading), 80, 24);
    assert!(shown.contains("evil[2Jname"), "{shown}");
}

#[test]
fn a_printed_frame_has_room_for_all_rows() {
    let mut reading = busy();
    let model = reading.status.models[0].clone();
    reading.status.models = (0..30)
        .map(|number| v1::Model { id: format!("model-{number}"), ..model.clone() })
        .collect();
    let rows = rows(&reading);
    let shown = shown(&mut top(reading), 80, rows);
    assert!(shown.contains("model-0 ") && shown.contains("model-29 "), "{shown}");
    assert!(shown.contains("5 failures in a row"), "{shown}");
}

#[test]
fn a_bar_is_full_of_what_there_is() {
    assert_eq!(bar(0.0, 4), "░░░░");
    assert_eq!(bar(0.5, 4), "██░░");
    assert_eq!(bar(7.0, 4), "████");
    assert_eq!(bar(f64::NAN, 4), "░░░░");
}
