//! The order of a benchmark: look at both, choose the rival's best settings, measure in turn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::bandwidth::read_bandwidth;
use super::chat::Request;
use super::contender::Contender;
use super::plan::{Flags, Plan};
use super::prose::{Ruler, sentences};
use super::report::{Column, Machine, Report, Run, Section};
use super::rival::Rival;
use super::say;
use super::statistics::order;
use super::tandem::{Room, Tandem};
use super::workload::{Measure, Task, Workload};
use crate::gguf::weights_per_token;

/// Longest time for one run of one contender.
const RUN_MAX: Duration = Duration::from_mins(20);

/// What was found out before anything is measured.
struct Survey {
    machine: Machine,
    ruler: Ruler,
    /// What the rival runs with when it is told nothing, or as little as makes it run.
    defaults: Flags,
}

/// Runs a benchmark.
pub async fn run(plan: &Plan) -> Result<Report> {
    let survey = survey(plan).await?;
    let mut sections = Vec::new();
    for workload in &plan.workloads {
        sections.push(section(*workload, plan, &survey).await);
    }
    Ok(Report { machine: survey.machine, scale: plan.scale, repeats: plan.repeats, sections })
}

async fn survey(plan: &Plan) -> Result<Survey> {
    say("looking at the machine");
    let bandwidth = tokio::task::spawn_blocking(read_bandwidth).await?;
    let weights = weights_per_token(&plan.model)
        .with_context(|| format!("{} is no model", plan.model.display()))?;

    say("looking at tandem");
    let room = Room { context: 8192, sequences: 4 };
    let mut tandem = Tandem::start(&plan.model, room, &plan.settings).await?;
    let model = tandem.load(&plan.model).await?;
    let ruler = Ruler::new(tandem.count_tokens(sentences(0, Ruler::SAMPLE)).await?);
    tandem.stop().await?;
    let engine = model.engine.unwrap_or_default();

    let mut defaults = Flags::defaults();
    let mut rival_info = String::new();
    if plan.workloads.iter().any(|workload| workload.has_rival()) {
        say("looking at llama-server");
        let request = Request::new("You read.", &ruler.text(1, 400), 16);
        rival_info = match try_rival(plan, &defaults, &request).await {
            Ok(info) => info,
            Err(error) => {
                say(&format!("llama-server at its defaults: {error:#}"));
                defaults = defaults.with(&["--no-repack"]);
                "with its defaults it fails".clone_into(&mut defaults.name);
                let tried = try_rival(plan, &defaults, &request).await;
                tried.context("llama-server works neither at its defaults nor with --no-repack")?
            }
        };
    }
    let machine = Machine::new(plan, bandwidth, weights, &engine, rival_info);
    if let Some(difference) = machine.difference() {
        say(&format!("caution: {difference}"));
    }
    Ok(Survey { machine, ruler, defaults })
}

/// Returns what the rival says of the CPU once it has answered.
async fn try_rival(plan: &Plan, flags: &Flags, request: &Request) -> Result<String> {
    // Only in a longer log it says which features of the CPU it uses.
    let flags = flags.clone().with(&["-lv", "4"]);
    let rival = Rival::start(&plan.llama_server, &plan.model, 8192, &flags).await?;
    let mut reply = super::chat::Reply::expected();
    rival.chat(request, &mut reply).await?;
    let info = rival.system_info().unwrap_or_default();
    rival.stop().await?;
    Ok(info)
}

async fn section(workload: Workload, plan: &Plan, survey: &Survey) -> Section {
    let mut section = Section::new(workload);
    section.columns.push(Column::new("tandem", String::new(), Contender::Tandem));
    if workload.has_rival() {
        let defaults = &survey.defaults;
        let contender = Contender::Rival(defaults.clone());
        section.columns.push(Column::new("llama-server, defaults", defaults.line(), contender));
        let chosen = choose(workload, plan, survey, &mut section).await;
        match chosen {
            None => (),
            Some((best, of)) if best == *defaults => {
                section.columns[1].name = format!("llama-server, defaults, the best of {of}");
            }
            Some((best, of)) => {
                let name = format!("llama-server, best of {of}");
                let line = format!("{}: {}", best.name, best.line());
                section.columns.push(Column::new(&name, line, Contender::Rival(best)));
            }
        }
    }
    for repeat in 0..plan.repeats {
        for index in order(repeat, section.columns.len()) {
            let column = &mut section.columns[index];
            let letter = workload.letter();
            let of = plan.repeats;
            let task = Task {
                plan,
                scale: plan.scale,
                ruler: survey.ruler,
                seed: 1000 * (repeat as u64 + 1) + 7,
            };
            say(&format!("{letter}: {}, repeat {} of {of}", column.name, repeat + 1));
            let run = once(workload, &column.contender, task).await;
            column.runs.push(run);
        }
    }
    section
}

/// Tries the rival's settings on less work. Returns the best and how many were tried.
async fn choose(
    workload: Workload,
    plan: &Plan,
    survey: &Survey,
    section: &mut Section,
) -> Option<(Flags, usize)> {
    let suitable = plan.candidates.iter().filter(|flags| flags.suit(workload)).cloned();
    let mut candidates: Vec<Flags> = suitable.collect();
    if candidates.is_empty() {
        return None;
    }
    if !survey.defaults.arguments.is_empty() {
        candidates = candidates.into_iter().map(|flags| flags.with(&["--no-repack"])).collect();
    }
    candidates.push(survey.defaults.clone());
    let count = candidates.len();
    let mut best: Option<(f64, Flags)> = None;
    for flags in candidates {
        say(&format!("{}: trying llama-server with {}", workload.letter(), flags.line()));
        let task =
            Task { plan, scale: plan.scale.for_tuning(), ruler: survey.ruler, seed: 500_009 };
        let run = once(workload, &Contender::Rival(flags.clone()), task).await;
        let score = run.measures().map(score);
        section.tried.insert(flags.name.clone(), run);
        if let Some(score) = score
            && best.as_ref().is_none_or(|(highest, _)| score > *highest)
        {
            best = Some((score, flags));
        }
    }
    best.map(|(_, flags)| (flags, count))
}

/// How good a run is, for comparison with another of the same workload: each headline counts alike.
fn score(measures: &[Measure]) -> f64 {
    let headlines = measures.iter().filter(|measure| measure.headline);
    headlines.map(|measure| measure.unit.advantage(measure.value, 1.0).ln()).sum()
}

async fn once(workload: Workload, contender: &Contender, task: Task<'_>) -> Run {
    let begun = Instant::now();
    let outcome = match tokio::time::timeout(RUN_MAX, workload.measure(contender, task)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("not done after {RUN_MAX:?}")),
    };
    match &outcome {
        Ok(measures) => {
            let headlines = measures.iter().filter(|measure| measure.headline);
            let numbers = headlines.map(|measure| {
                format!("{} {:.1} {}", measure.name, measure.value, measure.unit.symbol())
            });
            let numbers: Vec<String> = numbers.collect();
            say(&format!("   {:.0} s: {}", begun.elapsed().as_secs_f64(), numbers.join("; ")));
        }
        Err(error) => say(&format!("   failed: {error:#}")),
    }
    Run::new(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::Unit;

    #[test]
    fn a_higher_rate_and_a_shorter_time_score_higher() {
        let run = |rate, time| {
            let rate = Measure::headline("rate", Unit::TokensPerSecond, rate);
            score(&[rate, Measure::headline("time", Unit::Seconds, time)])
        };
        assert!(run(20.0, 1.0) > run(10.0, 1.0));
        assert!(run(10.0, 0.5) > run(10.0, 1.0));
    }

    #[test]
    fn what_is_no_headline_does_not_score() {
        assert!(score(&[Measure::new("rate", Unit::TokensPerSecond, 5.0)]).abs() < 1e-9);
    }
}
