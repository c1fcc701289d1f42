//! Whether everything is where it should be. Blocking.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::Access;
use tandem_client::Autostart;
use tandem_config::{Config, default_cache_dir};

use crate::report::doctor::Finding;

const ENGINE: &str = "tandem-engine";
/// Below so much free disk, nothing new is stored.
const DISK_LEAST: u64 = 64 << 20;
/// Below so much free disk, no model can be added.
const DISK_LOW: u64 = 2 << 30;

/// The programs that belong together: what is found of the daemon's, and where the engine's is.
pub(super) fn programs(settings: Option<&Config>) -> (Vec<Finding>, Option<PathBuf>) {
    let daemon = match Autostart::program() {
        Ok(program) => program,
        Err(error) => {
            let fix = "install tandem anew, so that its three programs lie in one folder";
            return (vec![Finding::problem(error.to_string(), fix)], None);
        }
    };
    let named = settings.and_then(|settings| settings.engine.binary.clone());
    let engine = named.unwrap_or_else(|| {
        let engine = beside(&daemon, ENGINE);
        if engine.exists() { engine } else { extracted(&default_cache_dir()).unwrap_or(engine) }
    });
    (vec![executable(&daemon)], Some(engine))
}

fn beside(program: &Path, name: &str) -> PathBuf {
    fs::canonicalize(program).unwrap_or_else(|_| program.to_owned()).with_file_name(name)
}

/// The engine that a daemon which has it inside has put on the disk.
fn extracted(cache_dir: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(cache_dir.join("embedded")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join(ENGINE)).find(|engine| engine.is_file())
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
pub(super) fn data(data_dir: &Path) -> Vec<Finding> {
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

/// The folder of models: whether more can be added.
pub(super) fn models(folder: &Path, data_dir: &Path) -> Vec<Finding> {
    let shown = folder.display();
    // One that is not there is made with the first model.
    let Ok(found) = fs::metadata(folder) else { return Vec::new() };
    if !found.is_dir() {
        let fix = "move it away, or name a folder as models.dir";
        return vec![Finding::problem(format!("{shown} is not a folder"), fix)];
    }
    let mut findings = Vec::new();
    if let Err(error) = rustix::fs::access(folder, Access::WRITE_OK) {
        findings.push(Finding::note(
            format!("no model can be added to {shown}: {error}"),
            "see that it belongs to you, or name another folder as models.dir",
        ));
    }
    // On the disk of the data it was looked at with that.
    if fs::metadata(data_dir).is_ok_and(|data| data.dev() != found.dev())
        && let Ok(disk) = rustix::fs::statvfs(folder)
    {
        findings.push(room(disk.f_bavail.saturating_mul(disk.f_frsize), folder));
    }
    findings
}

/// The folder of the socket: whether the daemon can listen there.
pub(super) fn socket(socket: &Path) -> Option<Finding> {
    // The daemon makes the folder when the one above is there.
    let folder = socket.ancestors().skip(1).find(|folder| folder.exists())?;
    let obstacle = if folder.is_dir() {
        rustix::fs::access(folder, Access::WRITE_OK).err()?.to_string()
    } else {
        "not a folder".to_owned()
    };
    let (socket, folder) = (socket.display(), folder.display());
    Some(Finding::problem(
        format!("the daemon cannot listen at {socket}: {folder}: {obstacle}"),
        "set TANDEM_SOCKET, or daemon.socket in the settings, to a path in a folder of yours",
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
    fn an_engine_that_came_inside_the_daemon_is_found() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(extracted(cache.path()), None);
        let engine = cache.path().join("embedded/hash/tandem-engine");
        fs::create_dir_all(engine.parent().unwrap()).unwrap();
        fs::write(&engine, "").unwrap();
        assert_eq!(extracted(cache.path()), Some(engine));
    }

    #[test]
    fn an_open_folder_is_told_and_a_file_in_its_place_is_a_problem() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        assert!(!super::data(&data).iter().any(Finding::is_problem), "it is made later");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        let findings = super::data(&data);
        assert!(findings[0].found.contains("others than you can enter"), "{findings:?}");
        assert!(!findings.iter().any(Finding::is_problem), "{findings:?}");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(super::data(&data).len(), 1);

        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(super::data(&file)[0].is_problem());
    }

    #[test]
    fn a_disk_is_full_low_or_fine() {
        let data = Path::new("/data");
        assert!(room(1 << 20, data).is_problem());
        assert!(room(1 << 30, data).fix.is_some() && !room(1 << 30, data).is_problem());
        assert_eq!(room(100 << 30, data).fix, None);
    }

    #[test]
    fn a_folder_of_models_must_be_one() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("models");
        assert_eq!(models(&folder, home.path()), []);
        fs::write(&folder, "").unwrap();
        assert!(models(&folder, home.path())[0].is_problem());
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        assert_eq!(models(&folder, home.path()), []);
    }

    #[test]
    fn a_socket_where_nothing_can_be_made_is_a_problem() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(socket(&home.path().join("run/tandem.sock")), None);
        let refused = socket(Path::new("/dev/null/tandem.sock"));
        assert!(refused.is_some_and(|finding| finding.is_problem()));
    }
}
