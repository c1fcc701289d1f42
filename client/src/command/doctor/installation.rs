//! Whether everything is where it should be. Blocking.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::Access;
use tandem_client::Autostart;
use tandem_config::Config;

use crate::report::doctor::Finding;

/// Below so much free disk, nothing new is stored.
const DISK_LEAST: u64 = 64 << 20;
/// Below so much free disk, no model can be added.
const DISK_LOW: u64 = 2 << 30;

/// The programs that belong together.
pub(super) fn programs(settings: Option<&Config>) -> Vec<Finding> {
    let daemon = match Autostart::program() {
        Ok(program) => program,
        Err(error) => {
            let fix = "install tandem anew, so that its three programs lie in one folder";
            return vec![Finding::problem(error.to_string(), fix)];
        }
    };
    let named = settings.and_then(|settings| settings.engine.binary.clone());
    let engine = named.unwrap_or_else(|| beside(&daemon, "tandem-engine"));
    [daemon, engine].iter().map(|program| executable(program)).collect()
}

fn beside(program: &Path, name: &str) -> PathBuf {
    fs::canonicalize(program).unwrap_or_else(|_| program.to_owned()).with_file_name(name)
}

fn executable(program: &Path) -> Finding {
    let shown = program.display();
    match fs::metadata(program) {
        Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {
            Finding::fine(format!("{shown} is there"))
        }
        Ok(_) => Finding::problem(
            format!("{shown} is no program"),
            format!("install it anew, or `chmod +x {shown}`"),
        ),
        Err(error) => Finding::problem(
            format!("{shown}: {error}"),
            "install tandem anew, so that its three programs lie in one folder",
        ),
    }
}

/// The folder of all data: whose it is, who can read it, how much fits.
pub(super) fn folder(data_dir: &Path) -> Vec<Finding> {
    let shown = data_dir.display();
    let mode = match fs::metadata(data_dir) {
        Ok(folder) if folder.is_dir() => folder.permissions().mode() & 0o777,
        Ok(_) => {
            let fix = "move it away, or set TANDEM_HOME to a folder";
            return vec![Finding::problem(format!("{shown} is not a folder"), fix)];
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::fine(format!("{shown} does not exist yet; the daemon makes it"))];
        }
        Err(error) => {
            let fix = "see that it belongs to you, or set TANDEM_HOME to a folder that does";
            return vec![Finding::problem(format!("{shown}: {error}"), fix)];
        }
    };
    let mut findings = Vec::new();
    if mode & 0o077 != 0 {
        findings.push(Finding::note(
            format!("others than you can enter {shown}, where conversations are kept"),
            format!("`chmod 700 {shown}`"),
        ));
    }
    if let Err(error) = rustix::fs::access(data_dir, Access::WRITE_OK) {
        findings.push(Finding::problem(
            format!("nothing can be written to {shown}: {error}"),
            "see that it belongs to you and its disk is not mounted to be read only",
        ));
    }
    match rustix::fs::statvfs(data_dir) {
        Ok(disk) => findings.push(room(disk.f_bavail.saturating_mul(disk.f_frsize), data_dir)),
        Err(error) => findings.push(Finding::note(
            format!("how much fits into {shown} is not known: {error}"),
            "look with `df`",
        )),
    }
    findings
}

fn room(free: u64, data_dir: &Path) -> Finding {
    let (mib, shown) = (free >> 20, data_dir.display());
    if free < DISK_LEAST {
        let fix = "free some, for example with `tandem memory compact` or `tandem cache clear`";
        Finding::problem(format!("the disk of {shown} is full: {mib} MiB are left"), fix)
    } else if free < DISK_LOW {
        let fix = "free some before you add a model";
        Finding::note(format!("the disk of {shown} has {mib} MiB left"), fix)
    } else {
        Finding::fine(format!("the disk of {shown} has {} GiB left", free >> 30))
    }
}

/// The model of the fast track, when it is named by its file.
pub(super) fn model(settings: &Config) -> Option<Finding> {
    let folder = &settings.models.dir;
    let there = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_model = |path: &Path| path.extension().is_some_and(|ending| ending == "gguf");
    let count = there.filter(|entry| is_model(&entry.path())).count();
    if settings.models.default.contains('/') || count > 0 {
        return (count > 0)
            .then(|| Finding::fine(format!("{count} model files in {}", folder.display())));
    }
    Some(Finding::note(
        format!("there is no model in {}, so that only providers can answer", folder.display()),
        "`tandem model pull smollm2-135m-instruct` fetches one; `tandem model list` shows others",
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_program_must_be_there_and_executable() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tandemd");
        assert!(executable(&program).is_problem());
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(executable(&program).is_problem());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!executable(&program).is_problem());
    }

    #[test]
    fn an_open_folder_is_told_and_a_file_in_its_place_is_a_problem() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        assert!(!folder(&data).iter().any(Finding::is_problem), "it is made later");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        let findings = folder(&data);
        assert!(findings[0].found.contains("others than you can enter"), "{findings:?}");
        assert!(!findings.iter().any(Finding::is_problem), "{findings:?}");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(folder(&data).len(), 1);

        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(folder(&file)[0].is_problem());
    }

    #[test]
    fn a_disk_is_full_low_or_fine() {
        let data = Path::new("/data");
        assert!(room(1 << 20, data).is_problem());
        assert!(room(1 << 30, data).fix.is_some() && !room(1 << 30, data).is_problem());
        assert_eq!(room(100 << 30, data).fix, None);
    }

    #[test]
    fn a_machine_without_models_is_told_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let settings = Config::defaults(home.path().to_owned(), "/socket".into());
        assert!(model(&settings).unwrap().fix.is_some());
        fs::create_dir(&settings.models.dir).unwrap();
        fs::write(settings.models.dir.join("some.gguf"), "").unwrap();
        assert_eq!(model(&settings).unwrap().fix, None);
    }
}
