//! All settings as a page to read.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    Config, Provider,
    kind::Kind,
    schema::{self, Visitor},
};

impl Config {
    /// Every setting with its default, what it does and what it may be, in Markdown.
    pub fn reference() -> String {
        let mut writer = Writer { page: HEAD.to_owned(), path: String::new(), headed: false };
        schema::visit(&mut Self::documented(), &mut writer);
        writer.page
    }

    /// The defaults on a machine like any other.
    pub(crate) fn documented() -> Self {
        let mut config =
            Self::defaults("~/.local/share/tandem".into(), "$XDG_RUNTIME_DIR/tandem.sock".into());
        config.engine.templates = "~/.config/tandem/templates".into();
        config
    }
}

/// Begins the page.
const HEAD: &str = "\
# Settings

A setting comes from a flag, else from the environment (`router.policy` is `TANDEM_ROUTER__POLICY`), else from the settings file,
else from the profile, else from its default. The file is `tandem.toml`, `tandem.yaml` or `tandem.json` in `~/.config/tandem`, or the
one that `--config` names. The command `tandem config check` says all that is wrong with it, `tandem config show` what is in effect, and
`tandem config schema` prints a JSON Schema for editors. This page is made by `make docs` from the list that the program itself reads.
";

struct Writer {
    page: String,
    /// The table that is described.
    path: String,
    /// Whether its heading is there.
    headed: bool,
}

impl Writer {
    fn head(&mut self) {
        if self.headed {
            return;
        }
        self.headed = true;
        if !self.path.is_empty() {
            let _ = write!(self.page, "\n## `[{}]`\n", self.path);
        }
        self.page.push_str("\n| key | default | what it does | what it may be |\n");
        self.page.push_str("| --- | --- | --- | --- |\n");
    }

    fn row(&mut self, key: &str, default: String, what: &str, allowed: String) {
        self.head();
        let cells = [format!("`{key}`"), default, what.to_owned(), allowed];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(self.page, "| {} |", cells.join(" | "));
    }
}

impl Visitor for Writer {
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let outside = (std::mem::replace(&mut self.path, path), self.headed);
        self.headed = false;
        inside(self);
        (self.path, self.headed) = outside;
    }

    fn setting<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        let default = kind.write(slot).map_or_else(String::new, |value| format!("`{value}`"));
        self.row(key, default, what, kind.allowed());
    }

    fn required<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        _: &mut T,
        kind: &impl Kind<T>,
    ) {
        self.row(key, "must be written".to_owned(), what, kind.allowed());
    }

    fn tables<T: Default>(
        &mut self,
        name: &str,
        _: &mut BTreeMap<String, T>,
        inside: impl Fn(&mut T, &mut Self),
    ) {
        self.table(&format!("{name}.NAME"), |writer| inside(&mut T::default(), writer));
    }

    fn providers(&mut self, _: &mut BTreeMap<String, Provider>) {
        self.table("providers.NAME", |writer| {
            schema::visit_provider(&mut Provider::new("", ""), writer);
        });
    }
}
