//! What people write: durations, sizes, homes, ids, settings, configuration files.

use std::fs;
use std::path::Path;

use lineshaft::config::{SETTINGS, Settings};
use lineshaft::duration::{DURATION_MAX, format_duration, format_size, parse_duration, parse_size};
use lineshaft::home::{hide_password, resolve};
use lineshaft::{Error, JobId, JobState};

use crate::bounded;

/// A text wherever one can stand. What reads is written as something that reads as the same.
pub(crate) fn text(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    bounded((64 << 10) + 64 * text.len(), || {
        let reads = [duration(text), size(text), home(text), setting(text), id(text)];
        reads.contains(&true)
    })
}

fn duration(text: &str) -> bool {
    let Ok(duration) = parse_duration("timeout", text) else { return false };
    assert!(duration <= DURATION_MAX);
    let written = format_duration(duration);
    let again = parse_duration("timeout", &written).expect("what was written reads");
    assert_eq!(again.as_millis(), duration.as_millis());
    assert_eq!(format_duration(again), written);
    true
}

fn size(text: &str) -> bool {
    let Ok(bytes) = parse_size("memory", text) else { return false };
    assert_eq!(parse_size("memory", &format_size(bytes)).expect("what was written reads"), bytes);
    true
}

fn home(text: &str) -> bool {
    let shown = hide_password(text);
    assert_eq!(hide_password(&shown), shown, "a password is hidden at once");
    match resolve(Some(text), None, Path::new("/base")) {
        Ok(home) => {
            assert!(home.path.is_absolute());
            let path = home.path.to_str().expect("it was text");
            assert!(!path.contains('\0'));
            let again = resolve(Some(path), None, Path::new("/elsewhere"));
            // A path that looks like a url or an address was meant as one.
            assert!(again.is_ok_and(|again| again.path == home.path));
            true
        }
        Err(error) => {
            assert!(error.hint().is_some(), "{error}");
            false
        }
    }
}

fn setting(text: &str) -> bool {
    let mut reads = false;
    for setting in &SETTINGS {
        let Some(value) = setting.kind.read(text) else { continue };
        let written = value.to_string();
        let again = setting.kind.read(&written).expect("what was written reads");
        assert_eq!(again.to_string(), written, "{}", setting.key);
        reads = true;
    }
    reads
}

fn id(text: &str) -> bool {
    let state = text.parse::<JobState>().is_ok_and(|state| state.as_str() == text);
    let Ok(id) = text.parse::<JobId>() else { return state };
    assert_eq!(id.to_string().parse(), Ok(id));
    true
}

/// A configuration file: `lineshaft.toml`, or with an odd first byte `pyproject.toml`. It reads, or the error names a line
/// of it.
pub(crate) fn config(data: &[u8]) -> bool {
    let Some((owner, content)) = data.split_first() else { return false };
    let directory = tempfile::tempdir().expect("there is room for a file");
    let path = directory.path().join(["lineshaft.toml", "pyproject.toml"][usize::from(owner % 2)]);
    fs::write(&path, content).expect("there is room for a file");
    let found = bounded((1 << 20) + 1024 * content.len(), || Settings::find(directory.path()));
    let settings = match found {
        Ok(settings) => settings,
        Err(Error::Config { path: file, line, message, .. }) => {
            let lines = content.split(|byte| *byte == b'\n').count();
            assert!(file == path && (1..=lines).contains(&(line as usize)) && !message.is_empty());
            return false;
        }
        Err(error) => {
            assert!(std::str::from_utf8(content).is_err(), "{error}");
            return false;
        }
    };
    for setting in &SETTINGS {
        let found = settings.get(setting, None).expect("what the file says was read");
        let value = found.value.map(|value| value.to_string());
        let again = value.as_ref().map(|value| setting.kind.read(value).map(|value| value.to_string()));
        assert!(again.is_none_or(|again| again == value), "{}", setting.key);
    }
    for option in settings.task_options() {
        assert_eq!(option.place.file, path);
    }
    true
}
