//! The protocols by which the router's score is measured: what is learned from, and what is held back.

#![allow(clippy::cast_precision_loss, reason = "numbers of questions are small")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use tandem_router::dataset::{Question, questions};
use tandem_router::evaluation::{Quality, Selection, judge};
use tandem_router::{Example, Features, Scorer, folds};

mod perturbation;

use perturbation::PERTURBATIONS;

/// Parts of the questions for cross-validation.
const FOLDS: usize = 5;
/// Labels of MMLU in the published figure that is compared with.
const FEW_LABELS: usize = 1531;
/// How often so many are drawn.
const DRAWS: usize = 5;
/// Domains of MMLU with doubtful grades.
const DOUBTFUL: [&str; 2] = ["high_school_mathematics", "moral_scenarios"];

/// One benchmark's questions.
#[derive(Debug)]
pub struct Benchmark {
    name: &'static str,
    questions: Vec<Question>,
    examples: Vec<Example>,
}

/// All of them.
#[derive(Debug)]
pub struct Benchmarks {
    all: Vec<Benchmark>,
}

impl Benchmarks {
    /// Reads the three files of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let all = [("MT-Bench", "mtbench"), ("GSM8K", "gsm8k"), ("MMLU", "mmlu")]
            .into_iter()
            .map(|(name, file)| {
                let path = folder.join(format!("public_{file}.jsonl"));
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let questions = questions(&text).with_context(|| path.display().to_string())?;
                let examples = Example::of(&questions);
                Ok(Benchmark { name, questions, examples })
            })
            .collect::<Result<_>>()?;
        Ok(Self { all })
    }
}

impl Benchmark {
    /// The row of a table for these scores, and one more for each other way of grading.
    fn rows(&self, protocol: &str, scores: &[f64]) -> Result<String> {
        let mut rows = String::new();
        let excluded_domains = DOUBTFUL.map(str::to_owned).to_vec();
        let has = |is: fn(&Question) -> bool| self.questions.iter().any(is);
        let mut selections = vec![("", Selection::default())];
        if has(|question| question.strong_score_regraded.is_some()) {
            let regraded = Selection { regraded: true, ..Selection::default() };
            selections.push((", regraded", regraded));
        }
        if has(|question| DOUBTFUL.contains(&question.domain.as_str())) {
            selections
                .push((", without two domains", Selection { excluded_domains, regraded: false }));
        }
        for (how, selection) in selections {
            let quality = self.judge(scores, &selection)?;
            let _ = writeln!(rows, "| {protocol} | {}{how} | {} |", self.name, cells(&quality));
        }
        Ok(rows)
    }

    fn judge(&self, scores: &[f64], selection: &Selection) -> Result<Quality> {
        let (scores, outcomes): (Vec<f64>, Vec<_>) = scores
            .iter()
            .zip(&self.questions)
            .filter_map(|(score, question)| Some((*score, selection.outcome(question)?)))
            .unzip();
        judge(&scores, &outcomes)
            .ok_or_else(|| anyhow!("{}: there is no gap to recover", self.name))
    }

    fn values(&self, scorer: &Scorer) -> Vec<f64> {
        self.examples.iter().map(|example| scorer.value(example.features())).collect()
    }
}

fn cells(quality: &Quality) -> String {
    format!(
        "{:.3} ({:.0}/{:.0}) | {:.3} ({:.0}/{:.0})",
        quality.apgr,
        quality.cpt50,
        quality.cpt80,
        quality.apgr_decile,
        quality.cpt50_decile,
        quality.cpt80_decile
    )
}

/// The table of all protocols.
pub fn protocols(benchmarks: &Benchmarks) -> Result<String> {
    let mut table =
        "| protocol | questions | APGR (CPT50/CPT80 in %) | as RouteLLM computes it |\n\
                     | --- | --- | --- | --- |\n"
            .to_owned();
    for benchmark in &benchmarks.all {
        let lengths: Vec<f64> =
            benchmark.questions.iter().map(|question| question.prompt.len() as f64).collect();
        table += &benchmark.rows("prompt length alone", &lengths)?;
        let untrained = benchmark.values(&Scorer::untrained());
        table += &benchmark.rows("nothing learned", &untrained)?;
        let others = benchmarks.all.iter().filter(|other| other.name != benchmark.name);
        let others: Vec<&Example> = others.flat_map(|other| &other.examples).collect();
        table +=
            &benchmark.rows("A: no label of the benchmark", &benchmark.values(&learn(&others)?))?;
    }
    let held_back = HeldBack::of(benchmarks)?;
    let same = held_back.scores(benchmarks, &|_, text| text.to_owned());
    for (benchmark, scores) in benchmarks.all.iter().zip(&same) {
        table += &benchmark.rows("B: cross-validation", scores)?;
    }
    let mmlu = benchmarks.all.last().context("there is no benchmark")?;
    let few = few_labels(mmlu)?;
    let _ = writeln!(table, "| MMLU with {FEW_LABELS} labels | MMLU | {few} |");
    table += &mmlu.rows("one domain left out", &without_domain(mmlu)?)?;
    Ok(table + "\n")
}

/// The table of scores on questions in another form.
pub fn perturbed(benchmarks: &Benchmarks) -> Result<String> {
    let mut table = "| questions in another form |".to_owned();
    for benchmark in &benchmarks.all {
        let _ = write!(table, " {} |", benchmark.name);
    }
    table += "\n| --- | --- | --- | --- |\n";
    let held_back = HeldBack::of(benchmarks)?;
    for (name, perturb) in PERTURBATIONS {
        let _ = write!(table, "| {name} |");
        let scores = held_back.scores(benchmarks, perturb);
        for (benchmark, scores) in benchmarks.all.iter().zip(scores) {
            let quality = benchmark.judge(&scores, &Selection::default())?;
            let _ = write!(table, " {:.4} |", quality.apgr);
        }
        table.push('\n');
    }
    Ok(table)
}

/// Scorers each of which has not learned from one part of the questions, nor from near-duplicates.
struct HeldBack {
    /// The part of each question.
    folds: Vec<usize>,
    /// By part.
    scorers: Vec<Scorer>,
}

impl HeldBack {
    fn of(benchmarks: &Benchmarks) -> Result<Self> {
        let examples: Vec<&Example> = benchmarks.all.iter().flat_map(|one| &one.examples).collect();
        let folds = folds(&examples, FOLDS);
        let scorers = (0..FOLDS)
            .map(|fold| {
                let others = examples.iter().zip(&folds).filter(|(_, of)| **of != fold);
                learn(&others.map(|(example, _)| *example).collect::<Vec<_>>())
            })
            .collect::<Result<_>>()?;
        Ok(Self { folds, scorers })
    }

    /// Scores of all questions in another form, by the scorers that do not know them.
    fn scores(
        &self,
        benchmarks: &Benchmarks,
        perturb: &dyn Fn(usize, &str) -> String,
    ) -> Vec<Vec<f64>> {
        let questions = benchmarks.all.iter().flat_map(|one| &one.questions).enumerate();
        let mut scores = questions.zip(&self.folds).filter_map(|((number, question), fold)| {
            let features = Features::of(&perturb(number, &question.prompt));
            Some(self.scorers.get(*fold)?.value(&features))
        });
        let sizes = benchmarks.all.iter().map(|one| one.questions.len());
        sizes.map(|size| scores.by_ref().take(size).collect()).collect()
    }
}

/// Mean quality on all other questions after learning from few.
fn few_labels(benchmark: &Benchmark) -> Result<String> {
    let mut sum = [0.0; 6];
    for draw in 0..DRAWS {
        // Parts of somewhat more questions than there are to be labels, so that no near-duplicate of a
        // label is judged.
        let all: Vec<&Example> = benchmark.examples.iter().collect();
        let number = (all.len() / FEW_LABELS).max(2);
        let folds = folds(&all, number);
        let part = draw % number;
        let is_label = |place: usize| folds.get(place) == Some(&part);
        let labels: Vec<&Example> = (0..all.len())
            .filter(|place| is_label(*place))
            .filter_map(|place| all.get(place).copied())
            .take(FEW_LABELS)
            .collect();
        let scores = benchmark.values(&learn(&labels)?);
        let (scores, outcomes): (Vec<f64>, Vec<_>) = scores
            .iter()
            .zip(&benchmark.questions)
            .enumerate()
            .filter(|(place, _)| !is_label(*place))
            .filter_map(|(_, (score, question))| {
                Some((*score, Selection::default().outcome(question)?))
            })
            .unzip();
        let quality = judge(&scores, &outcomes).context("there is no gap to recover")?;
        let parts = [
            quality.apgr,
            quality.cpt50,
            quality.cpt80,
            quality.apgr_decile,
            quality.cpt50_decile,
            quality.cpt80_decile,
        ];
        sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part / DRAWS as f64);
    }
    let [apgr, cpt50, cpt80, apgr_decile, cpt50_decile, cpt80_decile] = sum;
    Ok(cells(&Quality { apgr, cpt50, cpt80, apgr_decile, cpt50_decile, cpt80_decile }))
}

/// Scores of each domain by a scorer that learned from all others.
fn without_domain(benchmark: &Benchmark) -> Result<Vec<f64>> {
    let mut domains: Vec<&str> =
        benchmark.questions.iter().map(|question| question.domain.as_str()).collect();
    domains.sort_unstable();
    domains.dedup();
    let mut scores = vec![0.0; benchmark.questions.len()];
    for domain in domains {
        let is_of = |question: &Question| question.domain == domain;
        let others: Vec<&Example> = benchmark
            .examples
            .iter()
            .zip(&benchmark.questions)
            .filter(|(_, question)| !is_of(question))
            .map(|(example, _)| example)
            .collect();
        let learned = learn(&others)?;
        let own = benchmark.examples.iter().zip(&benchmark.questions).zip(&mut scores);
        for ((example, _), score) in own.filter(|((_, question), _)| is_of(question)) {
            *score = learned.value(example.features());
        }
    }
    Ok(scores)
}

fn learn(examples: &[&Example]) -> Result<Scorer> {
    Scorer::untrained().learn(examples, |_| true).map_err(|_| anyhow!("training was broken off"))
}
