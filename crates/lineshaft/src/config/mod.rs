//! Settings: which exist, and what each is set to, by whom.
//!
//! [`SETTINGS`] is the table; [`Settings`] reads the environment and the files around a program. The first one that
//! says something wins: the command line or the code, `LINESHAFT_*`, the project's files from the nearest upward, the
//! user's file, the default. Unknown keys are errors with file and line.

mod file;
mod table;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use strsim::osa_distance;

pub use file::{Place, TaskOption};
pub use table::{
    CACHE_BYTES, DURABILITY, Default, GC, GRACE, HISTORY_BYTES, HISTORY_DAYS, KIND, Kind, LISTEN, LOG,
    LOG_FILE, LOG_FILE_KEEP, LOG_FILE_SIZE, LOG_FORMAT, MEMORY_BYTES, PROCESSES, PYTHON, QUEUES, RECYCLE_AGE,
    RECYCLE_GROWTH, RECYCLE_JOBS, SETTINGS, SLOTS, Scope, Setting, URL, WATCHDOG, WORKER_LOG, setting,
};
pub use value::Value;

use crate::Error;
use file::{File, Owner};

/// A project's files in one directory, the first one winning.
const PROJECT_FILES: [(&str, Owner); 2] =
    [("lineshaft.toml", Owner::Ours), ("pyproject.toml", Owner::Shared)];
/// The user's file below `$XDG_CONFIG_HOME`.
const USER_FILE: &str = "lineshaft/config.toml";

/// Who set something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// This flag on the command line.
    Flag(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// This place in a file of the project or of the user.
    File(Place),
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(place) => place.fmt(f),
            Self::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A setting's value and who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value; `None` where the default is worked out when it is needed.
    pub value: Option<Value>,
    /// Who set it.
    pub origin: Origin,
}

/// What the environment and the files around a program say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    variables: BTreeMap<&'static str, OsString>,
    /// The nearest first, the user's last.
    files: Vec<(PathBuf, File)>,
}

impl Settings {
    /// Reads the project's files upward of `start`, the user's file, and the environment.
    pub fn find(start: &Path) -> Result<Self, Error> {
        let variables = SETTINGS.iter().filter_map(|setting| {
            let text = std::env::var_os(setting.variable).filter(|text| !text.is_empty())?;
            Some((setting.variable, text))
        });
        Self::read(start, user_file().as_deref(), variables.collect())
    }

    /// The same without the environment.
    pub(crate) fn in_files_of(start: &Path) -> Result<Self, Error> {
        Self::read(start, user_file().as_deref(), BTreeMap::new())
    }

    fn read(
        start: &Path,
        user: Option<&Path>,
        variables: BTreeMap<&'static str, OsString>,
    ) -> Result<Self, Error> {
        let project = start
            .ancestors()
            .flat_map(|directory| PROJECT_FILES.map(|(name, owner)| (directory.join(name), owner)));
        let user = user.map(|path| (path.to_owned(), Owner::Ours));
        let mut files = Vec::new();
        for (path, owner) in project.chain(user) {
            if let Some(file) = file::read(&path, owner)? {
                files.push((path, file));
            }
        }
        Ok(Self { variables, files })
    }

    /// What `setting` is; `given` is what the command line or the code says.
    pub fn get(&self, setting: &Setting, given: Option<Value>) -> Result<Found, Error> {
        if let Some(value) = given {
            return Ok(Found { value: Some(value), origin: Origin::Flag(setting.flag) });
        }
        if let Some(value) = self.variable(setting)? {
            return Ok(Found { value: Some(value), origin: Origin::Variable(setting.variable) });
        }
        if let Some((value, place)) = self.in_files(setting) {
            return Ok(Found { value: Some(value), origin: Origin::File(place) });
        }
        let value = match setting.default {
            Default::Text(text) => setting.kind.read(text),
            Default::Found(_) => None,
        };
        Ok(Found { value, origin: Origin::Default })
    }

    /// The options that files set for tasks, each from the nearest file that sets it, ordered by task and option.
    pub fn task_options(&self) -> Vec<TaskOption> {
        let mut nearest = BTreeMap::new();
        for option in self.files.iter().flat_map(|(_, file)| &file.tasks) {
            nearest.entry((&option.task, &option.option)).or_insert_with(|| option.clone());
        }
        nearest.into_values().collect()
    }

    /// The files that say something, the nearest first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    fn variable(&self, setting: &Setting) -> Result<Option<Value>, Error> {
        let Some(given) = self.variables.get(setting.variable) else { return Ok(None) };
        let read = given.to_str().and_then(|text| setting.kind.read(text));
        read.map(Some).ok_or_else(|| Error::BadOption {
            option: setting.variable.to_owned(),
            value: given.to_string_lossy().into_owned(),
            kind: setting.kind.what(),
            accepted: setting.kind.forms(),
        })
    }

    fn in_files(&self, setting: &Setting) -> Option<(Value, Place)> {
        let all = self.files.iter().flat_map(|(_, file)| &file.settings);
        let (_, value, place) = all.into_iter().find(|(found, ..)| found.key == setting.key)?;
        Some((from_its_directory(setting, value.clone(), place), place.clone()))
    }
}

/// A relative path in a file counts from the file.
fn from_its_directory(setting: &Setting, value: Value, place: &Place) -> Value {
    match (setting.kind, value) {
        (Kind::Path, Value::Text(path)) if !path.starts_with("~/") => {
            let directory = place.file.parent().unwrap_or(Path::new("/"));
            Value::Text(directory.join(path).to_string_lossy().into_owned())
        }
        (_, value) => value,
    }
}

fn user_file() -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = directory.or_else(|| Some(std::env::home_dir()?.join(".config")));
    Some(directory?.join(USER_FILE))
}

/// The word among `known` that `word` is a slip of, if there is one.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let slips = |other: &str| osa_distance(&word, &other.to_lowercase());
    let nearest = known.into_iter().map(|other| (slips(other), other)).min_by_key(|(slips, _)| *slips)?;
    // A third of the letters may be wrong, two at least: `graec` is `grace`.
    let letters = word.chars().count();
    (nearest.0 <= (letters / 3).max(2) && nearest.0 < letters).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(settings: &Settings, setting: &Setting, given: Option<Value>) -> (Option<String>, String) {
        let found = settings.get(setting, given).unwrap();
        (found.value.map(|value| value.to_string()), found.origin.to_string())
    }

    #[test]
    fn the_first_one_that_says_something_wins() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let inner = root.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let user = root.join("user.toml");
        let read = |variables: &[(&'static str, &str)]| {
            let variables = variables.iter().map(|(name, text)| (*name, OsString::from(text))).collect();
            Settings::read(&inner, Some(&user), variables).unwrap()
        };
        let expect = |value: &str, origin: String| (Some(value.to_owned()), origin);

        assert_eq!(found(&read(&[]), &GRACE, None), expect("30s", "default".into()));
        assert_eq!(found(&read(&[]), &PROCESSES, None), (None, "default".into()));

        fs::write(&user, "grace = \"1s\"\n").unwrap();
        assert_eq!(found(&read(&[]), &GRACE, None), expect("1s", format!("{}:1", user.display())));

        let outer = root.join("pyproject.toml");
        fs::write(&outer, "[tool.lineshaft]\nprocesses = 7\ngrace = \"2s\"\n").unwrap();
        assert_eq!(found(&read(&[]), &GRACE, None), expect("2s", format!("{}:3", outer.display())));

        let nearer = root.join("a/pyproject.toml");
        fs::write(&nearer, "[tool.lineshaft]\ngrace = \"3s\"\n").unwrap();
        assert_eq!(found(&read(&[]), &GRACE, None), expect("3s", format!("{}:2", nearer.display())));
        assert_eq!(found(&read(&[]), &PROCESSES, None), expect("7", format!("{}:2", outer.display())));

        let ours = root.join("a/lineshaft.toml");
        fs::write(&ours, "grace = \"4s\"\n").unwrap();
        assert_eq!(found(&read(&[]), &GRACE, None), expect("4s", format!("{}:1", ours.display())));

        let variables = read(&[("LINESHAFT_GRACE", "5s")]);
        assert_eq!(found(&variables, &GRACE, None), expect("5s", "LINESHAFT_GRACE".into()));
        let given = GRACE.kind.read("6s");
        assert_eq!(found(&variables, &GRACE, given), expect("6s", "--grace".into()));
    }

    #[test]
    fn options_of_tasks_come_from_the_nearest_file_that_sets_them() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a");
        fs::create_dir(&inner).unwrap();
        fs::write(root.path().join("lineshaft.toml"), "[tasks.send]\ntimeout = 1\nretries = 1\n").unwrap();
        fs::write(inner.join("lineshaft.toml"), "[tasks.send]\ntimeout = 2\n").unwrap();
        let settings = Settings::read(&inner, None, BTreeMap::new()).unwrap();
        let options: Vec<_> =
            settings.task_options().into_iter().map(|option| (option.option, option.value)).collect();
        assert_eq!(options, [("retries".to_owned(), 1.into()), ("timeout".to_owned(), 2.into())]);
    }

    #[test]
    fn a_variable_that_does_not_read_is_an_error_that_names_it() {
        let variables = [("LINESHAFT_PROCESSES", OsString::from("many"))].into();
        let settings = Settings::read(Path::new("/nowhere"), None, variables).unwrap();
        let error = settings.get(&PROCESSES, None).unwrap_err();
        assert_eq!(error.to_string(), "option `LINESHAFT_PROCESSES`: \"many\" is not such a number");
        assert_eq!(error.hint().unwrap(), "accepted: a number from 1 to 1,024");
    }

    #[test]
    fn relative_paths_in_a_file_count_from_the_file() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("lineshaft.toml"), "python = \"venv/bin/python\"\n").unwrap();
        let settings = Settings::read(root.path(), None, BTreeMap::new()).unwrap();
        let expected = root.path().join("venv/bin/python").display().to_string();
        assert_eq!(found(&settings, &PYTHON, None).0, Some(expected));
    }

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["grace", "processes", "queues"];
        for (word, expected) in [
            ("graec", Some("grace")),
            ("proceses", Some("processes")),
            ("Queue", Some("queues")),
            ("retention", None),
        ] {
            assert_eq!(did_you_mean(word, known), expected, "{word}");
        }
        assert_eq!(did_you_mean("ab", ["xy"]), None);
    }
}
