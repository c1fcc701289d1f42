//! The panel of the machine.

use ratatui::{
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
};
use tandem_client::v1;

use super::bar;
use crate::report::model::size;

/// Cells of a bar.
const CELLS: u32 = 10;

/// Title and lines.
pub(super) fn panel(status: &v1::StatusResponse) -> (String, Vec<Line<'static>>) {
    let Some(machine) = &status.resources else {
        return ("machine".to_owned(), vec![Line::from("not known").dark_gray()]);
    };
    let (pressure, colour) = match machine.pressure() {
        v1::Pressure::Unspecified => ("pressure not known", Color::DarkGray),
        v1::Pressure::Low => ("pressure low", Color::Green),
        v1::Pressure::Moderate => ("pressure moderate", Color::Yellow),
        v1::Pressure::High => ("pressure high", Color::LightRed),
        v1::Pressure::Critical => ("pressure critical", Color::Red),
    };
    let mut lines = vec![
        gauge("cpu", machine.cpu_used, &format!("of {}", machine.cores), colour),
        gauge("memory", used(machine), &format!("of {}", size(machine.memory_total_bytes)), colour),
        line(
            "tandem",
            &format!(
                "{}, engines {}",
                size(machine.daemon_memory_bytes),
                size(machine.engines_memory_bytes)
            ),
        ),
        line("stalled", &stalled(machine)),
    ];
    if let Some(free) = machine.disk_free_bytes {
        lines.push(line("disk", &format!("{} free", size(free))));
    }
    lines.extend(power(machine));
    lines.extend(machine.gpus.iter().map(|gpu| {
        let memory = format!("{} of {}", size(gpu.memory_used_bytes), size(gpu.memory_total_bytes));
        let used = gpu.used.map(|used| format!(" {:.0} %", used * 100.0)).unwrap_or_default();
        line("gpu", &format!("{}{used}, {memory}", gpu.name))
    }));
    (format!("machine: {pressure}"), lines)
}

fn line(name: &str, text: &str) -> Line<'static> {
    Line::from(format!("{name:<8}{text}"))
}

fn gauge(name: &str, share: f64, whole: &str, colour: Color) -> Line<'static> {
    Line::from(vec![
        Span::raw(format!("{name:<8}")),
        Span::styled(bar(share, CELLS), Style::new().fg(colour)),
        Span::raw(format!(" {:>3.0} % {whole}", share * 100.0)),
    ])
}

/// The share of the memory that is not available.
#[allow(clippy::cast_precision_loss, reason = "shown as a whole number of percent")]
fn used(machine: &v1::ResourceStatus) -> f64 {
    if machine.memory_total_bytes == 0 {
        return 0.0;
    }
    1.0 - machine.memory_available_bytes as f64 / machine.memory_total_bytes as f64
}

fn stalled(machine: &v1::ResourceStatus) -> String {
    let stalls = [
        ("cpu", machine.cpu_stalled),
        ("memory", machine.memory_stalled),
        ("disk", machine.io_stalled),
    ];
    let known: Vec<_> = stalls
        .into_iter()
        .filter_map(|(what, share)| Some(format!("{what} {:.0}", share? * 100.0)))
        .collect();
    if known.is_empty() { "the kernel does not say".to_owned() } else { known.join(", ") + " %" }
}

/// Heat and battery, where there are sensors.
fn power(machine: &v1::ResourceStatus) -> Option<Line<'static>> {
    let battery = machine.battery_charge.map(|charge| {
        let from = if machine.on_battery { "on battery" } else { "mains, battery" };
        format!("{from} {:.0} %", charge * 100.0)
    });
    let heat = machine.temperature_celsius.map(|heat| format!("{heat:.0} °C"));
    let known: Vec<_> = battery.into_iter().chain(heat).collect();
    (!known.is_empty()).then(|| line("power", &known.join(", ")))
}
