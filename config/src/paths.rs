//! Where things are when nobody says otherwise.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf, absolute},
};

use crate::hardware;

/// Names of the settings file.
const CONFIG_FILES: [&str; 4] = ["tandem.toml", "tandem.yaml", "tandem.yml", "tandem.json"];

/// What the process was started with; passed in, so that tests need no process of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// All environment variables.
    pub(crate) variables: BTreeMap<OsString, OsString>,
    /// The user's home directory.
    pub(crate) home: PathBuf,
    /// Memory that there is for this process; `None` if that is not known.
    pub(crate) memory_bytes: Option<u64>,
}

impl Environment {
    /// That of this process. A user without a home gets `/`, where writing fails with a clear error.
    pub(crate) fn of_process() -> Self {
        Self {
            variables: env::vars_os().collect(),
            home: env::home_dir().unwrap_or_else(|| "/".into()),
            memory_bytes: hardware::memory_usable_bytes(),
        }
    }

    /// `$TANDEM_HOME`, else `$XDG_DATA_HOME/tandem`, else `~/.local/share/tandem`.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.own_path("TANDEM_HOME").unwrap_or_else(|| {
            self.xdg_dir("XDG_DATA_HOME").unwrap_or_else(|| self.home.join(".local/share/tandem"))
        })
    }

    /// `cache` in `$TANDEM_HOME`, else `$XDG_CACHE_HOME/tandem`, else `~/.cache/tandem`.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        let home = self.own_path("TANDEM_HOME").map(|home| home.join("cache"));
        home.or_else(|| self.xdg_dir("XDG_CACHE_HOME"))
            .unwrap_or_else(|| self.home.join(".cache/tandem"))
    }

    /// The settings files that there are in `$TANDEM_HOME`, else in `$XDG_CONFIG_HOME/tandem`, else in
    /// `~/.config/tandem`; `tandem.toml` when there is none.
    pub(crate) fn config_files(&self) -> Vec<PathBuf> {
        let folder = self
            .own_path("TANDEM_HOME")
            .or_else(|| self.xdg_dir("XDG_CONFIG_HOME"))
            .unwrap_or_else(|| self.home.join(".config/tandem"));
        let files = CONFIG_FILES.map(|name| folder.join(name));
        let there: Vec<_> = files.iter().filter(|file| file.exists()).cloned().collect();
        if there.is_empty() { files.into_iter().take(1).collect() } else { there }
    }

    /// A variable of tandem's own that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(&OsString::from(name))?.to_str().filter(|text| !text.is_empty())
    }

    /// `tandem.sock` in `$TANDEM_HOME`, else in `$XDG_RUNTIME_DIR/tandem`, else in the data
    /// directory. Only its user can enter any of them.
    pub(crate) fn socket(&self) -> PathBuf {
        self.own_path("TANDEM_HOME")
            .or_else(|| self.xdg_dir("XDG_RUNTIME_DIR"))
            .unwrap_or_else(|| self.data_dir())
            .join("tandem.sock")
    }

    /// A path in a variable of tandem's own; a relative one counts from the current directory.
    pub(crate) fn own_path(&self, name: &str) -> Option<PathBuf> {
        let path = Path::new(self.variables.get(&OsString::from(name))?);
        (!path.as_os_str().is_empty()).then(|| absolute(path).unwrap_or_else(|_| path.into()))
    }

    /// The folder `tandem` in a directory of the XDG standard, which ignores relative paths.
    fn xdg_dir(&self, name: &str) -> Option<PathBuf> {
        let directory = Path::new(self.variables.get(&OsString::from(name))?);
        directory.is_absolute().then(|| directory.join("tandem"))
    }
}
