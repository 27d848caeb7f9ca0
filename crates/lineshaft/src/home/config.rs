//! The `url` key of `lineshaft.toml` and `pyproject.toml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::Error;

/// Files that may hold `[tool.lineshaft]`, the first one winning within a directory.
const FILES: [&str; 2] = ["lineshaft.toml", "pyproject.toml"];
/// Keys of `[tool.lineshaft]`.
const KEYS: [&str; 1] = ["url"];
/// A configuration file larger than this is not one.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The url that the nearest file upward of `directory` names, and the file.
pub(super) fn find_url(directory: &Path) -> Result<Option<(String, PathBuf)>, Error> {
    for file in directory.ancestors().flat_map(|directory| FILES.map(|name| directory.join(name))) {
        if let Some(url) = url_in(&file)? {
            return Ok(Some((url, file)));
        }
    }
    Ok(None)
}

fn url_in(file: &Path) -> Result<Option<String>, Error> {
    let Some(text) = read(file)? else { return Ok(None) };
    parse(&text).map_err(|message| Error::Config { path: file.to_owned(), message })
}

fn read(file: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(file) {
        Ok(found) if found.is_file() && found.len() <= FILE_BYTES_MAX => {}
        _ => return Ok(None),
    }
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("read {}", file.display()), error)),
    }
}

fn parse(text: &str) -> Result<Option<String>, String> {
    // A project's file is mostly about other tools: only those that speak of us have to read.
    if !text.contains("lineshaft") {
        return Ok(None);
    }
    let document: Table =
        text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let Some(section) = document.get("tool").and_then(|tool| tool.get("lineshaft")) else { return Ok(None) };
    let Value::Table(section) = section else { return Err("[tool.lineshaft] is not a table".into()) };
    if let Some(unknown) = section.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("unknown key `{unknown}` in [tool.lineshaft]: known are {}", KEYS.join(", ")));
    }
    match section.get("url") {
        None => Ok(None),
        Some(Value::String(url)) => Ok(Some(url.clone())),
        Some(other) => Err(format!("`url` in [tool.lineshaft] is {}, expected a string", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Option<&str>, &str>) {
        let expected = expected.map(|url| url.map(str::to_owned)).map_err(str::to_owned);
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn the_url_is_read_and_what_is_not_ours_is_left_alone() {
        check("[tool.lineshaft]\nurl = \"jobs\"", Ok(Some("jobs")));
        check("[tool.lineshaft]", Ok(None));
        check("[tool.ruff]\nline-length = 100\n[project]\nname = \"lineshaft-app\"", Ok(None));
        check("this is = not [toml", Ok(None));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_errors() {
        check(
            "[tool.lineshaft]\nuri = \"jobs\"",
            Err("unknown key `uri` in [tool.lineshaft]: known are url"),
        );
        check("[tool.lineshaft]\nurl = 7", Err("`url` in [tool.lineshaft] is integer, expected a string"));
        check("[tool]\nlineshaft = 1", Err("[tool.lineshaft] is not a table"));
        assert!(parse("[tool.lineshaft\nurl = 7").unwrap_err().contains("TOML parse error at line 1"));
    }
}
