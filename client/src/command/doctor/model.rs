//! Whether the default model is there and fits.

use std::{fs, path::Path};

use tandem_client::{Client, Error, v1};
use tandem_config::{Config, Models, hardware::Hardware};

use crate::report::{doctor::Finding, model::size};

/// What a daemon that runs knows of the default model; with `verify` it hashes the file, too.
pub(super) async fn ask(
    client: &Client,
    settings: &Config,
    hardware: &Hardware,
    verify: bool,
) -> Vec<Finding> {
    let mut models = client.models();
    // Another one than that of the settings may have been chosen.
    let model = match models.info(v1::ModelInfoRequest { id: String::new() }).await {
        Ok(model) => model.into_inner(),
        Err(status) => return vec![unknown(&Error::from(status))],
    };
    let mut findings = judge(&model, hardware, settings.providers.is_empty());
    if verify && !matches!(model.state(), v1::ModelState::Absent | v1::ModelState::Broken) {
        findings.push(match models.verify(v1::VerifyModelRequest { id: model.id }).await {
            Ok(verified) => genuine(verified.get_ref()),
            Err(status) => unknown(&Error::from(status)),
        });
    }
    findings
}

fn unknown(error: &Error) -> Finding {
    let hint = error.hint().unwrap_or_else(|| "`tandem model list` shows what there is".to_owned());
    Finding::problem(format!("the default model: {error}"), hint)
}

fn judge(model: &v1::Model, hardware: &Hardware, alone: bool) -> Vec<Finding> {
    let id = &model.id;
    let mut findings = Vec::new();
    match model.state() {
        v1::ModelState::Absent => findings.push(absent(
            &format!("the default model {id} is not on this machine"),
            &format!("`tandem model pull {id}` fetches it; `tandem model list` shows others"),
            alone,
        )),
        v1::ModelState::Broken => findings.push(Finding::problem(
            format!("the default model {id} cannot be used: {}", model.problem),
            format!("`tandem model verify {id}`, or name another one as models.default"),
        )),
        _ => {
            let bytes = size(model.size_bytes);
            findings.push(Finding::fine(format!("the default model {id} is there, {bytes}")));
        }
    }
    let memory = hardware.memory_usable_bytes();
    if model.memory_min_bytes > memory {
        let (least, memory) = (size(model.memory_min_bytes), size(memory));
        findings.push(Finding::problem(
            format!("the default model {id} wants {least} of memory, and there are {memory}"),
            "name a smaller one as models.default; `tandem model list` shows what there is",
        ));
    }
    findings
}

/// No model: providers can still answer, unless there are none.
fn absent(found: &str, fix: &str, alone: bool) -> Finding {
    if alone {
        Finding::problem(format!("{found}, and no provider is configured"), fix)
    } else {
        Finding::note(format!("{found}; only providers answer"), fix)
    }
}

fn genuine(verified: &v1::VerifyModelResponse) -> Finding {
    let id = &verified.id;
    if !verified.problem.is_empty() {
        let fix = format!("`tandem model rm {id}` and `tandem model pull {id}`");
        return Finding::problem(format!("the file of {id}: {}", verified.problem), fix);
    }
    let known = if verified.expected_sha256.is_empty() {
        "which nobody can compare"
    } else {
        "as it should be"
    };
    Finding::fine(format!("the file of {id} has SHA-256 {}, {known}", verified.sha256))
}

/// What the files alone tell, while no daemon runs.
pub(super) fn look(settings: &Config) -> Finding {
    let folder = &settings.models.dir;
    let there = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_model = |path: &Path| path.extension().is_some_and(|ending| ending == "gguf");
    let count = there.filter(|entry| is_model(&entry.path())).count();
    let (id, shown) = (&settings.models.default, folder.display());
    let named = Path::new(id);
    if named.is_absolute() {
        return if named.is_file() {
            Finding::fine(format!("{id} is there"))
        } else {
            Finding::problem(format!("{id} is not there"), "name another file as models.default")
        };
    }
    if count > 0 {
        return Finding::fine(format!("{count} model files in {shown}"));
    }
    let fix = if id == Models::AUTO {
        "`tandem model recommend --all` shows which suit this machine".to_owned()
    } else {
        format!("`tandem model pull {id}` fetches one; `tandem model list` shows others")
    };
    absent(&format!("there is no model in {shown}"), &fix, settings.providers.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::command::doctor::choices::tests::machine;

    fn model(state: v1::ModelState) -> v1::Model {
        v1::Model { id: "some".into(), state: state.into(), ..v1::Model::default() }
    }

    #[test]
    fn a_model_that_is_absent_is_a_problem_when_nobody_else_can_answer() {
        let absent = model(v1::ModelState::Absent);
        assert!(judge(&absent, &machine(), true)[0].is_problem());
        let note = &judge(&absent, &machine(), false)[0];
        assert!(!note.is_problem() && note.fix.as_ref().unwrap().contains("model pull some"));
        assert_eq!(judge(&model(v1::ModelState::Loaded), &machine(), true)[0].fix, None);
    }

    #[test]
    fn a_model_that_wants_more_memory_than_there_is_is_a_problem() {
        let large = v1::Model { memory_min_bytes: 6 << 30, ..model(v1::ModelState::Available) };
        let findings = judge(&large, &machine(), false);
        assert!(findings[1].is_problem(), "{findings:?}");
        assert!(findings[1].found.contains("wants 6.00 GiB of memory, and there are 4.00 GiB"));
        let fitting = v1::Model { memory_min_bytes: 2 << 30, ..large };
        assert_eq!(judge(&fitting, &machine(), false).len(), 1);
    }

    #[test]
    fn a_broken_or_damaged_model_is_a_problem() {
        let broken = v1::Model { problem: "cut off".into(), ..model(v1::ModelState::Broken) };
        assert!(judge(&broken, &machine(), false)[0].found.ends_with("cannot be used: cut off"));
        let verified = |problem: &str| v1::VerifyModelResponse {
            problem: problem.into(),
            ..v1::VerifyModelResponse::default()
        };
        assert!(genuine(&verified("it is damaged")).is_problem());
        assert_eq!(genuine(&verified("")).fix, None);
    }

    #[test]
    fn without_a_daemon_the_files_tell() {
        let home = tempfile::tempdir().unwrap();
        let mut settings = Config::defaults(home.path().to_owned(), "/socket".into());
        assert!(look(&settings).is_problem());
        settings.models.default = Models::AUTO.to_owned();
        assert!(look(&settings).fix.unwrap().contains("model recommend --all"));
        fs::create_dir(&settings.models.dir).unwrap();
        let file = settings.models.dir.join("some.gguf");
        fs::write(&file, "").unwrap();
        assert_eq!(look(&settings).fix, None);
        settings.models.default = file.display().to_string();
        assert_eq!(look(&settings).fix, None);
        settings.models.default = "/nowhere/some.gguf".into();
        assert!(look(&settings).is_problem());
    }
}
