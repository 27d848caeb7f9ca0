//! One configuration file: what it sets, each with its line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Number, Value as Json};
use toml::de::{DeInteger, DeTable, DeValue};
use toml::{Spanned, map::Map};

use super::table::{SETTINGS, Setting, setting};
use super::{Value, did_you_mean};
use crate::Error;

/// A configuration file larger than this is not one.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Key of the table with options of tasks.
const TASKS: &str = "tasks";

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
}

/// An option that a file sets for a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOption {
    /// Name of the task.
    pub task: String,
    /// Name of the option.
    pub option: String,
    /// What it is set to.
    pub value: Json,
    /// Where.
    pub place: Place,
}

/// What one file sets.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) settings: Vec<(&'static Setting, Value, Place)>,
    pub(super) tasks: Vec<TaskOption>,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Other tools have their tables in it too: ours is `[tool.lineshaft]`.
    Shared,
    /// Ours alone: keys at the top level count as well.
    Ours,
}

/// Reads a file; `None` if there is none, or if it says nothing to us.
pub(super) fn read(path: &Path, owner: Owner) -> Result<Option<File>, Error> {
    let Some(text) = text_of(path)? else { return Ok(None) };
    parse(&text, path, owner)
}

fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() <= FILE_BYTES_MAX => {}
        _ => return Ok(None),
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("read {}", path.display()), error)),
    }
}

pub(super) fn parse(text: &str, path: &Path, owner: Owner) -> Result<Option<File>, Error> {
    // A project's file is mostly about other tools: only those that speak of us have to read.
    if owner == Owner::Shared && !text.contains("lineshaft") {
        return Ok(None);
    }
    let reader = Reader { text, path };
    let document = DeTable::parse(text).map_err(|error| reader.broken(&error))?;
    reader.file(document.get_ref(), owner)
}

type Table<'a> = Map<Spanned<std::borrow::Cow<'a, str>>, Spanned<DeValue<'a>>>;

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    fn file(&self, document: &Table<'_>, owner: Owner) -> Result<Option<File>, Error> {
        let mut file = File::default();
        let section = self.section(document)?;
        if owner == Owner::Ours {
            self.keys(document, "the file", &["tool"], &mut file)?;
        }
        if let Some(section) = section {
            self.keys(section, "[tool.lineshaft]", &[], &mut file)?;
        }
        Ok((owner == Owner::Ours || section.is_some()).then_some(file))
    }

    fn section<'a, 'b>(&self, document: &'a Table<'b>) -> Result<Option<&'a Table<'b>>, Error> {
        let Some(tool) = document.get("tool").and_then(|tool| tool.get_ref().as_table()) else {
            return Ok(None);
        };
        let Some(section) = tool.get("lineshaft") else { return Ok(None) };
        match section.get_ref().as_table() {
            Some(section) => Ok(Some(section)),
            None => Err(self.wrong(section.span().start, "[tool.lineshaft] is not a table", None)),
        }
    }

    fn keys(&self, table: &Table<'_>, owner: &str, others: &[&str], file: &mut File) -> Result<(), Error> {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let place = self.place(key.span().start);
            match setting(name) {
                Some(setting) => file.settings.push((setting, self.value(setting, owner, value)?, place)),
                None if name == TASKS => self.tasks(value, &mut file.tasks)?,
                None if others.contains(&name) => {}
                None => return Err(self.unknown(name, owner, key.span().start)),
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str, owner: &str, at: usize) -> Error {
        let known = || SETTINGS.iter().map(|setting| setting.key).chain([TASKS]);
        let guess =
            did_you_mean(key, known()).map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        let hint = format!("known keys: {}", known().collect::<Vec<_>>().join(", "));
        self.wrong(at, format!("unknown key `{key}` in {owner}{guess}"), Some(hint))
    }

    fn value(&self, setting: &Setting, owner: &str, given: &Spanned<DeValue<'_>>) -> Result<Value, Error> {
        let document = json(given.get_ref());
        // What JSON has no place for is a text there, but was written as none.
        let is_another_type = document.is_string() && given.get_ref().as_str().is_none();
        let read = if is_another_type { None } else { setting.kind.read_json(&document) };
        read.ok_or_else(|| {
            let shown = &self.text[given.span()];
            let message =
                format!("`{}` in {owner} is {shown}: this is not {}", setting.key, setting.kind.what());
            self.wrong(given.span().start, message, Some(format!("accepted: {}", setting.kind.forms())))
        })
    }

    fn tasks(&self, given: &Spanned<DeValue<'_>>, into: &mut Vec<TaskOption>) -> Result<(), Error> {
        let form = || Some("accepted: [tool.lineshaft.tasks.\"mail.send\"] with options below it".to_owned());
        let wrong = |at, message: String| self.wrong(at, message, form());
        let tasks = given.get_ref().as_table();
        for (task, options) in
            tasks.ok_or_else(|| wrong(given.span().start, "`tasks` is not a table".into()))?
        {
            let name = task.get_ref();
            let table = options.get_ref().as_table();
            let no_table =
                || wrong(task.span().start, format!("the options of task `{name}` are not a table"));
            for (option, value) in table.ok_or_else(no_table)? {
                into.push(TaskOption {
                    task: name.to_string(),
                    option: option.get_ref().to_string(),
                    value: json(value.get_ref()),
                    place: self.place(option.span().start),
                });
            }
        }
        Ok(())
    }

    fn place(&self, at: usize) -> Place {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = before.split(|byte| *byte == b'\n').count() as u32;
        Place { file: self.path.to_owned(), line }
    }

    fn wrong(&self, at: usize, message: impl Into<String>, hint: Option<String>) -> Error {
        let Place { file, line } = self.place(at);
        Error::Config { path: file, line, message: message.into(), hint }
    }

    fn broken(&self, error: &toml::de::Error) -> Error {
        let at = error.span().map_or(0, |span| span.start);
        self.wrong(at, format!("this is not TOML: {}", error.message()), None)
    }
}

/// The JSON that is closest: dates become their text, a number that JSON has not becomes its text too.
fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map_or_else(|| Json::String(number.as_str().to_owned()), Json::Number),
        DeValue::Boolean(truth) => Json::Bool(*truth),
        DeValue::Datetime(when) => Json::String(when.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(entries) => {
            let entries = entries.iter();
            Json::Object(
                entries.map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect(),
            )
        }
    }
}

fn integer(number: &DeInteger<'_>) -> Json {
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => number.into(),
        Err(_) => Json::String(number.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, owner: Owner) -> Result<Option<File>, String> {
        parse(text, Path::new("/p/pyproject.toml"), owner).map_err(|error| error.to_string())
    }

    fn check_error(text: &str, expected: &str) {
        assert_eq!(read(text, Owner::Shared).unwrap_err(), format!("/p/pyproject.toml:{expected}"), "{text}");
    }

    #[test]
    fn settings_are_read_with_their_lines() {
        let file = read(
            "[project]\nname = \"x\"\n\n[tool.lineshaft]\nurl = \"jobs\"\nprocesses = 2\ngrace = 1.5\nqueues = [\"a\", \"b\"]\n",
            Owner::Shared,
        );
        let found: Vec<_> = file
            .unwrap()
            .unwrap()
            .settings
            .into_iter()
            .map(|(setting, value, place)| (setting.key, value.to_string(), place.line))
            .collect();
        let mut expected =
            [("url", "jobs", 5), ("processes", "2", 6), ("grace", "1s500ms", 7), ("queues", "a,b", 8)]
                .map(|(key, value, line)| (key, value.to_owned(), line));
        expected.sort_unstable();
        let mut found = found;
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for text in
            ["[tool.ruff]\nline-length = 100\n[project]\nname = \"lineshaft-app\"", "this is = not [toml"]
        {
            assert!(read(text, Owner::Shared).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn a_file_of_ours_has_its_keys_at_the_top_or_in_the_section() {
        let keys = |text| read(text, Owner::Ours).unwrap().unwrap().settings.len();
        assert_eq!((keys("url = \"jobs\""), keys("[tool.lineshaft]\nurl = \"jobs\""), keys("")), (1, 1, 0));
        let unknown = read("urk = 1", Owner::Ours).unwrap_err();
        assert_eq!(unknown, "/p/pyproject.toml:1: unknown key `urk` in the file: did you mean `url`?");
    }

    #[test]
    fn options_of_tasks_are_read_with_their_lines() {
        let file =
            read("[tool.lineshaft.tasks.\"mail.send\"]\ntimeout = \"2m\"\nretries = 3\n", Owner::Shared);
        let mut tasks = file.unwrap().unwrap().tasks;
        tasks.sort_by_key(|option| option.place.line);
        assert_eq!(
            (&*tasks[0].task, &*tasks[0].option, &tasks[0].value),
            ("mail.send", "timeout", &"2m".into())
        );
        assert_eq!((&*tasks[1].option, &tasks[1].value, tasks[1].place.line), ("retries", &3.into(), 3));
    }

    #[test]
    fn mistakes_name_file_line_and_what_was_meant() {
        check_error(
            "\n[tool.lineshaft]\ngraec = 3",
            "3: unknown key `graec` in [tool.lineshaft]: did you mean `grace`?",
        );
        check_error("[tool.lineshaft]\nzzz = 3", "2: unknown key `zzz` in [tool.lineshaft]");
        check_error(
            "[tool.lineshaft]\nurl = 7",
            "2: `url` in [tool.lineshaft] is 7: this is not a directory",
        );
        for value in ["99999999999999999999", "nan", "2026-01-31"] {
            check_error(
                &format!("[tool.lineshaft]\nurl = {value}"),
                &format!("2: `url` in [tool.lineshaft] is {value}: this is not a directory"),
            );
        }
        check_error(
            "[tool.lineshaft]\nprocesses = \"2\"",
            "2: `processes` in [tool.lineshaft] is \"2\": this is not such a number",
        );
        check_error("[tool]\nlineshaft = 1", "2: [tool.lineshaft] is not a table");
        check_error("[tool.lineshaft]\ntasks = 1", "2: `tasks` is not a table");
        check_error("[tool.lineshaft.tasks]\nsend = 1", "2: the options of task `send` are not a table");
        assert!(
            read("[tool.lineshaft\nurl = 7", Owner::Shared)
                .unwrap_err()
                .starts_with("/p/pyproject.toml:1: this is not TOML: ")
        );
    }
}
