//! What Prometheus reads.

use std::net::TcpListener;

use tandem_tests::script::{Life, Script};
use tandem_tests::{Home, Setup, soon};

#[tokio::test]
async fn metrics_say_what_status_says() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let setup = Setup::scripted(&Script::always(Life::answering("yes")));
    let config = format!("[telemetry]\nmetrics = \"127.0.0.1:{port}\"\n");
    let daemon = setup.config(&config).start().await;

    // Answers once all of the daemon is up.
    let machine = daemon.status().await.resources.unwrap();
    let page = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    let page = page.error_for_status().unwrap().text().await.unwrap();
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    };
    #[allow(clippy::cast_precision_loss, reason = "a metric is a float")]
    let total = machine.memory_total_bytes as f64;
    assert!((value("tandem_memory_total_bytes") - total).abs() < 1.0, "{page}");
    assert!(value("tandem_daemon_memory_bytes") > 0.0);
    let rung = value("tandem_rung{rung=\"template\"}");
    assert!((0.0..=1.0).contains(&rung));
    assert!(value("tandem_questions_running").abs() < f64::EPSILON);
    assert!(page.contains("# HELP tandem_rung"), "{page}");
}

#[tokio::test]
async fn a_daemon_whose_port_for_metrics_is_taken_says_so_and_ends() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::scripted(&Script::always(Life::answering("yes")));
    home.configure(&format!("[telemetry]\nmetrics = \"{address}\"\n"));
    let output = soon("the end", home.command("tandemd").output()).await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("telemetry.metrics"), "{said}");
}
