//! The kinds of values that settings have: how each is read, shown and explained.

use std::{
    collections::BTreeMap, fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration,
};

use crate::{HedgeAfter, Secret, source::Node};

/// How a value of type `T` is written.
pub(crate) trait Kind<T> {
    /// The value that was written, or `None` when it is not one of this kind.
    fn read(&self, node: &Node) -> Option<T>;

    /// The value in TOML, or `None` to leave the key out.
    fn write(&self, value: &T) -> Option<String>;

    /// What may be written; ends the sentence "write …".
    fn allowed(&self) -> String;

    /// A value to show for a setting that is left out.
    fn example(&self) -> &'static str {
        ""
    }

    /// The value that was probably meant by one that cannot be read.
    fn meant(&self, _: &Node) -> Option<String> {
        None
    }

    /// What was written, for an error message.
    fn quote(&self, node: &Node) -> String {
        node.to_string()
    }
}

/// A whole number.
pub(crate) struct Integer<N>(pub(crate) RangeInclusive<N>);

impl<N: TryFrom<i64> + PartialOrd + Display> Kind<N> for Integer<N> {
    fn read(&self, node: &Node) -> Option<N> {
        N::try_from(node.integer()?).ok().filter(|number| self.0.contains(number))
    }

    fn write(&self, value: &N) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }
}

/// A number from 0 to 1.
pub(crate) struct Fraction;

impl Kind<f64> for Fraction {
    fn read(&self, node: &Node) -> Option<f64> {
        node.float().filter(|number| (0.0..=1.0).contains(number))
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn allowed(&self) -> String {
        "a number from 0 to 1".into()
    }
}

/// The natural logarithm of a probability.
pub(crate) struct LogProbability;

impl Kind<f64> for LogProbability {
    fn read(&self, node: &Node) -> Option<f64> {
        node.float().filter(|number| (-100.0..=0.0).contains(number))
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn allowed(&self) -> String {
        "a number from -100 to 0".into()
    }
}

/// A sampling temperature.
pub(crate) struct Temperature;

impl Kind<f64> for Temperature {
    fn read(&self, node: &Node) -> Option<f64> {
        node.float().filter(|number| (0.0..=5.0).contains(number))
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn allowed(&self) -> String {
        "a number from 0 to 5".into()
    }
}

/// How many get a feature: all, none, or a number from 0 to 1.
pub(crate) struct Share;

impl Kind<f64> for Share {
    fn read(&self, node: &Node) -> Option<f64> {
        node.boolean().map(|all| if all { 1.0 } else { 0.0 }).or_else(|| Fraction.read(node))
    }

    fn write(&self, value: &f64) -> Option<String> {
        match *value {
            value if value >= 1.0 => Some("true".into()),
            value if value <= 0.0 => Some("false".into()),
            value => Fraction.write(&value),
        }
    }

    fn allowed(&self) -> String {
        "true, false, or the share that gets it, a number from 0 to 1".into()
    }
}

/// An amount of money, kept in millionths.
pub(crate) struct Amount;

impl Amount {
    const MICROS: u32 = 1_000_000;
    const MAX: f64 = 1e9;
}

impl Kind<u64> for Amount {
    fn read(&self, node: &Node) -> Option<u64> {
        let amount = node.float().filter(|amount| (0.0..=Self::MAX).contains(amount))?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 10^15 and not below 0"
        )]
        Some((amount * f64::from(Self::MICROS)).round() as u64)
    }

    fn write(&self, value: &u64) -> Option<String> {
        let (whole, micros) = (value / u64::from(Self::MICROS), value % u64::from(Self::MICROS));
        let fraction = format!(".{micros:06}");
        Some(format!("{whole}{}", fraction.trim_end_matches('0').trim_end_matches('.')))
    }

    fn allowed(&self) -> String {
        "an amount from 0 to 1000000000, such as 2.5, in the currency of router.budget.currency"
            .into()
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Kind<bool> for Flag {
    fn read(&self, node: &Node) -> Option<bool> {
        node.boolean()
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        "true or false".into()
    }
}

/// A span of time, to the millisecond.
pub(crate) struct Time(pub(crate) RangeInclusive<Duration>);

impl Time {
    const UNITS: [(&'static str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
}

impl Kind<Duration> for Time {
    fn read(&self, node: &Node) -> Option<Duration> {
        let milliseconds = match node.integer() {
            Some(seconds) => u64::try_from(seconds).ok()?.checked_mul(1_000)?,
            None => with_unit(node.text()?, &Self::UNITS)?,
        };
        Some(Duration::from_millis(milliseconds)).filter(|time| self.0.contains(time))
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(match value.subsec_millis() {
            0 => format!("\"{}s\"", value.as_secs()),
            _ => format!("\"{}ms\"", value.as_millis()),
        })
    }

    fn allowed(&self) -> String {
        let [from, to] =
            [self.0.start(), self.0.end()].map(|time| in_units(time.as_millis(), &Self::UNITS));
        format!("a time from {from} to {to}, such as \"300s\", \"5m\" or \"250ms\"")
    }
}

/// A span of time that may be left to the daemon.
pub(crate) struct AutoOrTime(pub(crate) RangeInclusive<Duration>);

impl Kind<HedgeAfter> for AutoOrTime {
    fn read(&self, node: &Node) -> Option<HedgeAfter> {
        if node.text() == Some("auto") {
            return Some(HedgeAfter::Auto);
        }
        Time(self.0.clone()).read(node).map(HedgeAfter::Time)
    }

    fn write(&self, value: &HedgeAfter) -> Option<String> {
        match value {
            HedgeAfter::Auto => Some(quoted("auto")),
            HedgeAfter::Time(time) => Time(self.0.clone()).write(time),
        }
    }

    fn allowed(&self) -> String {
        format!("\"auto\" or {}", Time(self.0.clone()).allowed())
    }
}

/// A number of bytes.
pub(crate) struct Size(pub(crate) RangeInclusive<u64>);

impl Size {
    const UNITS: [(&'static str, u64); 4] =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
}

impl<N: TryFrom<u64> + Display> Kind<N> for Size {
    fn read(&self, node: &Node) -> Option<N> {
        let bytes = match node.integer() {
            Some(bytes) => u64::try_from(bytes).ok()?,
            None => with_unit(node.text()?, &Self::UNITS)?,
        };
        self.0.contains(&bytes).then(|| N::try_from(bytes).ok())?
    }

    fn write(&self, value: &N) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        let [from, to] =
            [self.0.start(), self.0.end()].map(|&bytes| in_units(bytes.into(), &Self::UNITS));
        format!("a size from {from} to {to}, such as \"512MiB\", or a number of bytes")
    }
}

/// `300s` in units of 1. Zero needs no unit.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `value` in the largest unit that makes it a whole number. The smallest unit comes last and is 1.
fn in_units(value: u128, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| {
            value >= u128::from(*factor) && value.is_multiple_of(u128::from(*factor))
        })
        .map_or_else(
            || "0".into(),
            |(unit, factor)| format!("{}{unit}", value / u128::from(*factor)),
        )
}

/// One of some words.
pub(crate) struct OneOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<T> for OneOf<T> {
    fn read(&self, node: &Node) -> Option<T> {
        let text = node.text()?;
        self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }

    fn write(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, other)| other == value).map(|(word, _)| quoted(word))
    }

    fn allowed(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("one of {}", words.join(", "))
    }
}

/// Some of some words, or none.
pub(crate) struct AnyOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<Vec<T>> for AnyOf<T> {
    fn read(&self, node: &Node) -> Option<Vec<T>> {
        let value = |text: &&str| self.0.iter().find(|(word, _)| word == text).map(|(_, it)| *it);
        node.list()?.iter().map(value).collect()
    }

    fn write(&self, values: &Vec<T>) -> Option<String> {
        let word = |value: &T| self.0.iter().find(|(_, it)| it == value).map(|(it, _)| quoted(it));
        Some(format!("[{}]", values.iter().map(word).collect::<Option<Vec<_>>>()?.join(", ")))
    }

    fn allowed(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("a list of none or some of {}, in brackets", words.join(", "))
    }
}

/// Text whose length in bytes is in the range.
pub(crate) struct Text(pub(crate) RangeInclusive<usize>);

impl Kind<String> for Text {
    fn read(&self, node: &Node) -> Option<String> {
        node.text().filter(|text| self.0.contains(&text.len())).map(str::to_owned)
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        format!("text of {} to {} bytes", self.0.start(), self.0.end())
    }
}

/// A list of texts.
pub(crate) struct Texts {
    pub(crate) count_max: usize,
    /// Length of each in bytes.
    pub(crate) bytes: RangeInclusive<usize>,
}

impl Kind<Vec<String>> for Texts {
    fn read(&self, node: &Node) -> Option<Vec<String>> {
        let texts = node.list().filter(|texts| texts.len() <= self.count_max)?;
        let fits = |text: &str| self.bytes.contains(&text.len());
        texts.into_iter().map(|text| fits(text).then(|| text.to_owned())).collect()
    }

    fn write(&self, values: &Vec<String>) -> Option<String> {
        let texts: Vec<_> = values.iter().map(|text| quoted(text)).collect();
        Some(format!("[{}]", texts.join(", ")))
    }

    fn allowed(&self) -> String {
        let (from, to) = (self.bytes.start(), self.bytes.end());
        format!("a list of at most {} texts of {from} to {to} bytes, in brackets", self.count_max)
    }
}

/// The address of an API, kept without a slash at its end.
pub(crate) struct Address;

impl Kind<String> for Address {
    fn read(&self, node: &Node) -> Option<String> {
        let text = node.text()?.trim_end_matches('/');
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host_is_there = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !b"@?#\\\"<>".contains(&b));
        (host_is_there && plain).then(|| text.to_owned())
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        "an address that begins with http:// or https:// and has no user, password, query or fragment, \
         such as \"https://host/v1\""
            .into()
    }

    /// An address with a user or a query may hold a key.
    fn quote(&self, node: &Node) -> String {
        match node.text() {
            Some(text) if text.contains(['@', '?']) => "(not shown)".into(),
            _ => node.to_string(),
        }
    }
}

/// A path from the root: a settings file has no directory of its own.
pub(crate) struct AbsolutePath;

impl Kind<PathBuf> for AbsolutePath {
    fn read(&self, node: &Node) -> Option<PathBuf> {
        node.text()
            .filter(|text| !text.contains('\0'))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    fn write(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }

    fn allowed(&self) -> String {
        "a path that begins with /".into()
    }
}

/// Something that may be absent, and an example of it in TOML.
pub(crate) struct Optional<K>(pub(crate) K, pub(crate) &'static str);

impl<T, K: Kind<T>> Kind<Option<T>> for Optional<K> {
    fn read(&self, node: &Node) -> Option<Option<T>> {
        self.0.read(node).map(Some)
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        self.0.write(value.as_ref()?)
    }

    fn example(&self) -> &'static str {
        self.1
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }

    fn quote(&self, node: &Node) -> String {
        self.0.quote(node)
    }
}

/// Names with a value each, and an example of them in TOML. Empty is left out.
pub(crate) struct Each<K>(pub(crate) K, pub(crate) &'static str);

impl<T, K: Kind<T>> Kind<BTreeMap<String, T>> for Each<K> {
    fn read(&self, node: &Node) -> Option<BTreeMap<String, T>> {
        let Node::Table(table) = node else { return None };
        let entry = |(name, node): (&String, &Node)| Some((name.clone(), self.0.read(node)?));
        table.entries.iter().map(entry).collect()
    }

    fn write(&self, values: &BTreeMap<String, T>) -> Option<String> {
        let entry = |(name, value): (&String, &T)| {
            Some(format!("{} = {}", quoted(name), self.0.write(value)?))
        };
        let entries: Option<Vec<_>> = values.iter().map(entry).collect();
        let entries = entries.filter(|entries| !entries.is_empty())?;
        Some(format!("{{ {} }}", entries.join(", ")))
    }

    fn allowed(&self) -> String {
        format!("a table such as {}, each value being {}", self.1, self.0.allowed())
    }

    fn example(&self) -> &'static str {
        self.1
    }
}

/// The place of a secret.
pub(crate) struct SecretPlace;

impl Kind<Secret> for SecretPlace {
    fn read(&self, node: &Node) -> Option<Secret> {
        let Node::Table(table) = node else { return None };
        let mut entries = table.entries.iter();
        match (entries.next()?, entries.next()) {
            ((key, name), None) if key == "env" => name
                .text()
                .filter(|name| is_variable_name(name))
                .map(|name| Secret::Env(name.to_owned())),
            ((key, path), None) if key == "file" => AbsolutePath.read(path).map(Secret::File),
            ((key, name), None) if key == "keyring" => name
                .text()
                .filter(|name| is_keyring_name(name))
                .map(|name| Secret::Keyring(name.to_owned())),
            _ => None,
        }
    }

    fn write(&self, value: &Secret) -> Option<String> {
        Some(match value {
            Secret::Env(name) => format!("{{ env = {} }}", quoted(name)),
            Secret::File(path) => format!("{{ file = {} }}", quoted(&path.to_string_lossy())),
            Secret::Keyring(name) => format!("{{ keyring = {} }}", quoted(name)),
        })
    }

    fn allowed(&self) -> String {
        "where the key is kept, as { env = \"NAME\" }, { file = \"/path\" } or \
         { keyring = \"NAME\" }, and never the key itself, \
         which would spread with every copy of the settings"
            .into()
    }

    fn quote(&self, _: &Node) -> String {
        "(not shown)".into()
    }
}

/// Narrower than what systems allow, so that a key in the place of a name is seldom taken for one.
fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.starts_with(|c: char| !c.is_ascii_digit())
}

fn is_keyring_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
