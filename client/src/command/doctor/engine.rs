//! Whether the engine runs here, and with what it computes.

use std::{path::Path, process::Stdio, time::Duration};

use tandem_config::hardware::GpuVendor;
use tokio::{process::Command, time::timeout};

use crate::report::doctor::Finding;

/// How long the engine may take to say its version; it loads nothing for that.
const DEADLINE: Duration = Duration::from_secs(10);

/// Starts the engine for a moment. Its version and build, or what is wrong with it.
pub(super) async fn version(program: &Path) -> Result<String, Finding> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let problem = |what: String| {
        let fix = "install tandem anew, with an engine for the processor of this machine";
        Finding::problem(format!("{shown} does not run: {what}"), fix)
    };
    let output = match timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(problem(error.to_string())),
        Err(_) => return Err(problem(format!("no answer in {} s", DEADLINE.as_secs()))),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let stderr = text(&output.stderr);
        let last = stderr.lines().last().map(|line| format!(", {line}")).unwrap_or_default();
        return Err(problem(format!("{}{last}", output.status)));
    }
    Ok(text(&output.stdout))
}

/// What follows from the version of the engine for a command of version `own`.
pub(super) fn judge(version: &str, own: &str) -> Finding {
    // "tandem-engine 0.1.0", and what it was built from.
    let first = version.lines().next().unwrap_or_default();
    if first.split_whitespace().nth(1) == Some(own) {
        return Finding::fine(format!("{first} runs"));
    }
    let fix = "install tandem anew, so that its three programs are of one version";
    Finding::note(format!("the engine is {first}, this command {own}"), fix)
}

/// Whether a graphics processor is of use to an engine that describes itself so.
pub(super) fn graphics(vendor: GpuVendor, name: Option<&str>, description: &str) -> Finding {
    let name = name.map_or_else(|| format!("a graphics processor by {vendor}"), str::to_owned);
    let (description, kinds) = (description.to_lowercase(), backends(vendor));
    if kinds.iter().any(|kind| description.contains(kind)) {
        return Finding::fine(format!("{name} can be used by the engine"));
    }
    let kinds = kinds.join(" or ");
    Finding::note(
        format!("{name} is not used: this engine was built for the CPU only"),
        format!(
            "use an engine that was built with {kinds} (docs/engine.md), or leave it: the CPU does it all"
        ),
    )
}

/// What llama.cpp calls its ways to compute there, in small letters.
fn backends(vendor: GpuVendor) -> &'static [&'static str] {
    match vendor {
        GpuVendor::Nvidia => &["cuda", "vulkan"],
        GpuVendor::Amd => &["rocm", "vulkan"],
        GpuVendor::Intel => &["vulkan"],
        GpuVendor::Apple => &["metal"],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn an_engine_that_fails_or_is_not_there_is_a_problem() {
        let finding = version(Path::new("/bin/false")).await.unwrap_err();
        assert!(finding.found.contains("does not run: exit status: 1"), "{finding:?}");
        let finding = version(Path::new("/nowhere/tandem-engine")).await.unwrap_err();
        assert!(finding.is_problem(), "{finding:?}");
        assert!(finding.found.starts_with("/nowhere/tandem-engine does not run: "), "{finding:?}");
    }

    #[test]
    fn an_engine_of_another_version_is_told() {
        assert_eq!(judge("tandem-engine 0.1.0 b6", "0.1.0").fix, None);
        assert!(judge("tandem-engine 0.0.9 b6", "0.1.0").found.contains("0.0.9 b6, this command"));
        assert!(judge("", "0.1.0").fix.is_some());
    }

    #[test]
    fn a_graphics_processor_is_of_use_to_an_engine_that_was_built_for_it() {
        let judge = |description| graphics(GpuVendor::Nvidia, Some("NVIDIA H200"), description);
        let unused = judge("tandem-engine 0.1.0 | CPU : AVX2 = 1");
        assert!(unused.found.starts_with("NVIDIA H200 is not used"), "{unused:?}");
        assert!(unused.fix.as_ref().unwrap().contains("cuda or vulkan") && !unused.is_problem());
        assert_eq!(judge("CUDA : ARCHS = 900 | CPU : AVX2 = 1").fix, None);
    }
}
