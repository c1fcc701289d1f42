//! The status as a person reads it.

use std::{fmt::Write as _, time::Duration};

use super::{Actor, Admission, ClientLoad, Gpu, Ladder, Provider, Resources, Status, Turns};
use crate::report::{duration, model::size};

impl Status {
    /// The whole status for a person.
    pub(crate) fn text(&self) -> String {
        let up = duration(Duration::from_millis(self.uptime_ms));
        let mut text = format!(
            "tandemd {} · pid {} · up {up} · ready after {} ms\nsocket     {}\ndata       {}\n",
            self.version, self.pid, self.startup_ms, self.socket, self.data_dir,
        );
        if let Some(resources) = &self.resources {
            text += &resources.text();
        }
        if let Some(admission) = &self.admission {
            text += &admission.text();
        }
        if let Some(turns) = &self.turns {
            text += &turns.text();
        }
        if let Some(root) = &self.tree {
            text += "\nactors\n";
            root.write(&mut text, "", "", "");
        }
        text += "\nmodels\n";
        if self.models.is_empty() {
            text += "  none loaded; the first question loads one\n";
        }
        for model in &self.models {
            let engine = model.engine.as_ref();
            let summary =
                engine.map(|engine| format!(" · {}", engine.summary())).unwrap_or_default();
            let _ = writeln!(text, "  {}  {}{summary}", model.id, model.state);
            for engine in &model.other_engines {
                let _ = writeln!(text, "    and {}", engine.summary());
            }
            if let Some(engine) = engine {
                let _ = writeln!(text, "    settings: {}", engine.explained_settings());
                for notice in &engine.notices {
                    let _ = writeln!(text, "    notice: {notice}");
                }
            }
            if let Some(problem) = &model.problem {
                let _ = writeln!(text, "    problem: {problem}");
            }
        }
        text += "\nproviders\n";
        if self.providers.is_empty() {
            text += "  none configured; every answer comes from the fast track\n";
        }
        for provider in &self.providers {
            text += &provider.text();
        }
        if !self.caches.is_empty() {
            text += "\ncaches\n";
        }
        for cache in &self.caches {
            let _ = write!(text, "  {}", cache.text());
        }
        text
    }
}

impl Actor {
    /// Appends this actor's line behind `branch`, then those below it behind `trunk`.
    fn write(&self, text: &mut String, trunk: &str, branch: &str, below: &str) {
        let _ = write!(text, "{trunk}{branch}{} {}", mark(&self.health), self.name);
        if self.health != "serving" {
            let _ = write!(text, " · {}", self.health);
        }
        if self.uptime_ms > 0 {
            let _ = write!(text, " · {}", duration(Duration::from_millis(self.uptime_ms)));
        }
        if self.queue > 0 {
            let _ = write!(text, " · queue {}", self.queue);
        }
        if self.restarts > 0 {
            let _ = write!(text, " · restarts {}", self.restarts);
        }
        if let Some(exit) = &self.last_exit {
            let _ = write!(text, " · last exit: {}", exit.replace('\n', " "));
        }
        text.push('\n');
        let trunk = format!("{trunk}{below}");
        let last = self.children.len().saturating_sub(1);
        for (position, child) in self.children.iter().enumerate() {
            let (branch, below) =
                if position == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.write(text, &trunk, branch, below);
        }
    }
}

impl Provider {
    fn text(&self) -> String {
        let mut text = format!(
            "  {} {}  {} at {} · {} in flight · {} requests · {} failed\n",
            mark(&self.health),
            self.name,
            self.model,
            self.base_url,
            self.in_flight,
            self.requests,
            self.failures,
        );
        if let Some(why) = &self.breaker_reason {
            let _ = writeln!(text, "    {}: {why}{}", self.breaker.replace('_', " "), self.again());
        }
        if self.retries + self.hedges > 0 {
            let (retries, hedges) = (self.retries, self.hedges);
            let _ = writeln!(text, "    {retries} asked again · {hedges} asked early");
        }
        if let Some(error) = &self.last_error {
            let _ = writeln!(text, "    last error: {error}");
        }
        text
    }

    /// When it is asked again, as the end of a line.
    fn again(&self) -> String {
        match self.asked_again_in_ms {
            Some(pause) => format!(" · asked again in {}", duration(Duration::from_millis(pause))),
            None => " · the next answer decides".to_owned(),
        }
    }
}

impl Resources {
    fn text(&self) -> String {
        let stalls =
            [("cpu", self.cpu_stalled), ("memory", self.memory_stalled), ("io", self.io_stalled)];
        let stalls: Vec<_> = stalls
            .into_iter()
            .filter_map(|(what, share)| Some(format!("{what} {:.0} %", share? * 100.0)))
            .collect();
        let stalled = if stalls.is_empty() {
            String::new()
        } else {
            format!(" · stalled: {}", stalls.join(", "))
        };
        let engines = match self.engines_memory_bytes {
            0 => String::new(),
            bytes => format!(" · engines {}", size(bytes)),
        };
        let mut text = format!(
            "memory     {} of {} available · daemon {}{engines}\ncpu        {:.0} % of {} cores\n",
            size(self.memory_available_bytes),
            size(self.memory_total_bytes),
            size(self.daemon_memory_bytes),
            self.cpu_used * 100.0,
            self.cores,
        );
        let sensors = self.sensors();
        if !sensors.is_empty() {
            let _ = writeln!(text, "sensors    {}", sensors.join(" · "));
        }
        for gpu in &self.gpus {
            let _ = writeln!(text, "gpu        {}", gpu.text());
        }
        let _ = writeln!(text, "pressure   {}{stalled}", self.pressure);
        if let Some(ladder) = &self.ladder {
            text += &ladder.text();
        }
        text
    }

    fn sensors(&self) -> Vec<String> {
        let runs = if self.on_battery { "running on it" } else { "not in use" };
        let battery = |charge| format!("battery {:.0} %, {runs}", charge * 100.0);
        let sensors = [
            self.temperature_celsius.map(|celsius| format!("{celsius:.0} °C")),
            self.battery_charge.map(battery),
            self.disk_free_bytes.map(|bytes| format!("disk {} free", size(bytes))),
        ];
        sensors.into_iter().flatten().collect()
    }
}

impl Gpu {
    fn text(&self) -> String {
        let memory = self.memory_used_bytes.zip(self.memory_total_bytes);
        let parts = [
            Some(self.name.clone()),
            self.used.map(|used| format!("{:.0} %", used * 100.0)),
            memory.map(|(used, total)| format!("{} of {} in use", size(used), size(total))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

impl Ladder {
    fn text(&self) -> String {
        let since = duration(Duration::from_millis(self.since_ms));
        let mut text = format!("rung       {} · for {since}", self.rung.replace('_', " "));
        if self.moves > 0 {
            let _ = write!(text, " · moves {}", self.moves);
        }
        text.push('\n');
        for reason in &self.reasons {
            let _ = writeln!(text, "           {reason}");
        }
        text
    }
}

impl Admission {
    fn text(&self) -> String {
        let mut text = format!(
            "admission  {} of {} running · {} of {} waiting",
            self.running, self.running_max, self.waiting, self.waiting_max,
        );
        let classes = [
            (self.waiting_interactive, "interactive"),
            (self.waiting_batch, "batch"),
            (self.waiting_background, "background"),
        ];
        let waiting: Vec<_> = classes
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, class)| format!("{count} {class}"))
            .collect();
        if !waiting.is_empty() {
            let _ = write!(text, " ({})", waiting.join(", "));
        }
        if self.refused > 0 {
            let _ = write!(text, " · {} refused", self.refused);
        }
        if self.draining {
            text += " · draining: nothing new is accepted";
        }
        text.push('\n');
        for ClientLoad { client, running, waiting } in &self.clients {
            let client = client.replace('\n', " ");
            let _ = writeln!(text, "           {client}: {running} running, {waiting} waiting");
        }
        text
    }
}

impl Turns {
    fn text(&self) -> String {
        let mut text = format!(
            "turns      {} started · {} fast · {} slow · {} failed · {} cancelled · {} resumed · {} fell back",
            self.started,
            self.answered_fast,
            self.answered_slow,
            self.failed,
            self.cancelled,
            self.resumed,
            self.fell_back,
        );
        for (count, what) in [(self.escalated, "escalated"), (self.answered_built_in, "built-in")] {
            if count > 0 {
                let _ = write!(text, " · {count} {what}");
            }
        }
        text + "\n"
    }
}

fn mark(health: &str) -> char {
    match health {
        "serving" => '●',
        "starting" => '○',
        "degraded" => '◐',
        "restarting" => '↻',
        "down" => '✗',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tandem_client::v1;

    use super::*;

    fn actor(name: &str, health: v1::Health, children: Vec<v1::ActorStatus>) -> v1::ActorStatus {
        v1::ActorStatus { name: name.into(), health: health.into(), children, ..Default::default() }
    }

    fn status() -> v1::StatusResponse {
        let mut worker = actor("inference_worker", v1::Health::Restarting, Vec::new());
        worker.restarts = 3;
        worker.last_exit = "signal 9".into();
        let mut router = actor("router", v1::Health::Serving, Vec::new());
        router.queue = 2;
        router.uptime_ms = 61_000;
        let loader = actor("model_loader", v1::Health::Degraded, vec![worker]);
        v1::StatusResponse {
            version: "0.1.0".into(),
            pid: 42,
            uptime_ms: 3_600_000,
            socket: "/run/s".into(),
            data_dir: "/data".into(),
            startup_ms: 45,
            tree: Some(actor("root", v1::Health::Serving, vec![loader, router])),
            resources: Some(v1::ResourceStatus {
                memory_total_bytes: 8 << 30,
                memory_available_bytes: 2 << 30,
                daemon_memory_bytes: 40 << 20,
                cpu_used: 0.425,
                cores: 2,
                cpu_stalled: Some(0.031),
                pressure: v1::Pressure::High.into(),
                engines_memory_bytes: 300 << 20,
                disk_free_bytes: Some(9 << 30),
                battery_charge: Some(0.55),
                on_battery: true,
                temperature_celsius: Some(71.6),
                gpus: vec![v1::GpuStatus {
                    name: "AMD".into(),
                    memory_total_bytes: 8 << 30,
                    memory_used_bytes: 1 << 30,
                    used: Some(0.37),
                }],
                ladder: Some(v1::LadderStatus {
                    rung: v1::Rung::SmallerModel.into(),
                    reasons: vec!["312 MiB of 4096 MiB memory are available".into()],
                    since_ms: 12_000,
                    moves: 1,
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn the_tree_shows_who_supervises_whom_and_who_is_in_trouble() {
        let text = Status::from(status()).text();
        let tree = "actors\n\
                    ● root\n\
                    ├─ ◐ model_loader · degraded\n\
                    │  └─ ↻ inference_worker · restarting · restarts 3 · last exit: signal 9\n\
                    └─ ● router · 1 min 1 s · queue 2\n";
        assert!(text.contains(tree), "{text}");
    }

    #[test]
    fn the_machine_is_shown_in_units_for_people() {
        let text = Status::from(status()).text();
        assert!(text.starts_with("tandemd 0.1.0 · pid 42 · up 1 h 0 min · ready after 45 ms\n"));
        assert!(text.contains("memory     2.00 GiB of 8.00 GiB available · daemon 40.00 MiB · engines 300.00 MiB\n"), "{text}");
        assert!(
            text.contains(
                "cpu        42 % of 2 cores\n\
                 sensors    72 °C · battery 55 %, running on it · disk 9.00 GiB free\n\
                 gpu        AMD · 37 % · 1.00 GiB of 8.00 GiB in use\n\
                 pressure   high · stalled: cpu 3 %\n\
                 rung       smaller model · for 12 s · moves 1\n           \
                 312 MiB of 4096 MiB memory are available\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn who_waits_is_shown_by_priority_and_by_client() {
        let mut status = status();
        let client = |client: &str, running, waiting| v1::ClientLoad {
            client: client.into(),
            running,
            waiting,
        };
        status.admission = Some(v1::Admission {
            running: 2,
            running_max: 2,
            waiting: 3,
            waiting_max: 16,
            waiting_interactive: 1,
            waiting_background: 2,
            refused: 7,
            clients: vec![client("backup", 1, 2), client("1000:42", 1, 1)],
            ..v1::Admission::default()
        });
        let text = Status::from(status).text();
        let shown = "admission  2 of 2 running · 3 of 16 waiting (1 interactive, 2 background) · 7 refused\n\
                     \x20          backup: 1 running, 2 waiting\n\
                     \x20          1000:42: 1 running, 1 waiting\n";
        assert!(text.contains(shown), "{text}");
    }

    #[test]
    fn a_provider_that_is_left_alone_says_why_and_how_long() {
        let mut status = status();
        let provider = |breaker: v1::Breaker, asked_again_in_ms| v1::ProviderStatus {
            name: "cloud".into(),
            health: v1::Health::Degraded.into(),
            breaker: breaker.into(),
            breaker_reason: "5 failures in a row".into(),
            asked_again_in_ms,
            retries: 2,
            ..Default::default()
        };
        status.providers =
            vec![provider(v1::Breaker::Open, Some(24_000)), provider(v1::Breaker::HalfOpen, None)];
        let status = Status::from(status);
        let text = status.text();
        assert!(text.contains("    open: 5 failures in a row · asked again in 24 s\n"), "{text}");
        assert!(text.contains("    half open: 5 failures in a row · the next answer decides\n"));
        assert!(text.contains("    2 asked again · 0 asked early\n"), "{text}");
        let json = serde_json::to_value(status).unwrap();
        assert_eq!(json["providers"][0]["breaker"], "open");
        assert_eq!(json["providers"][0]["asked_again_in_ms"], 24_000);
    }

    #[test]
    fn the_json_keeps_the_names_of_the_contract() {
        let json = serde_json::to_value(Status::from(status())).unwrap();
        assert_eq!(json["pid"], 42);
        assert_eq!(json["tree"]["children"][0]["health"], "degraded");
        assert_eq!(json["tree"]["children"][0]["children"][0]["last_exit"], "signal 9");
        assert_eq!(json["resources"]["pressure"], "high");
        assert_eq!(json["resources"]["io_stalled"], serde_json::Value::Null);
        assert_eq!(json["resources"]["ladder"]["rung"], "smaller_model");
        assert_eq!(json["resources"]["gpus"][0]["used"], 0.37);
        assert_eq!(json["models"], serde_json::json!([]));
    }
}
