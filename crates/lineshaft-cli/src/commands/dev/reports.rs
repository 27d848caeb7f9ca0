//! What the children of `dev` say: a line of JSON each time, on a Unix socket. Each line is answered by an end of line,
//! so that nobody ends before what it said was heard.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;

use serde_json::Value as Json;

use super::Event;
use crate::exit::{FAILED, Failure};

/// What a child says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Of which load.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Files that it is made of and has not named before.
    pub(super) files: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The app is loaded.
    Loaded { url: String, tasks: u64, warnings: Vec<String> },
    /// It is not, and why; a module that is missing may turn up in one of these directories.
    Failed { error: String, directories: Vec<PathBuf> },
    /// A body imported something.
    #[default]
    More,
}

/// Listens at `address` and passes on what children say.
pub(super) fn listen(address: &Path, events: &Sender<Event>) -> Result<(), Failure> {
    let listener = UnixListener::bind(address)
        .map_err(|error| Failure::new(FAILED, format!("cannot listen at {}: {error}", address.display())))?;
    let events = events.clone();
    thread::spawn(move || {
        for child in listener.incoming().flatten() {
            let events = events.clone();
            thread::spawn(move || hear(child, &events));
        }
    });
    Ok(())
}

fn hear(child: UnixStream, events: &Sender<Event>) {
    let Ok(mut answers) = child.try_clone() else { return };
    for line in BufReader::new(child).lines().map_while(Result::ok) {
        if let Some(report) = read(&line)
            && events.send(Event::Said(report)).is_err()
        {
            return;
        }
        // A child that has gone needs no answer.
        let _ = answers.write_all(b"\n");
    }
}

fn read(line: &str) -> Option<Report> {
    let mut document: Json = serde_json::from_str(line).ok()?;
    let paths = |document: &mut Json, key: &str| -> Vec<PathBuf> {
        serde_json::from_value(document[key].take()).unwrap_or_default()
    };
    let kind = match document["kind"].as_str()? {
        "loaded" => Kind::Loaded {
            url: document["url"].as_str()?.to_owned(),
            tasks: document["tasks"].as_u64()?,
            warnings: serde_json::from_value(document["warnings"].take()).ok()?,
        },
        "failed" => Kind::Failed {
            error: document["error"].as_str()?.to_owned(),
            directories: paths(&mut document, "directories"),
        },
        _ => Kind::More,
    };
    Some(Report { number: document["number"].as_u64()?, kind, files: paths(&mut document, "files") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_children_are_read_and_others_are_not() {
        let loaded =
            r#"{"number": 2, "kind": "loaded", "url": "/h", "tasks": 1, "warnings": [], "files": ["/a.py"]}"#;
        let kind = Kind::Loaded { url: "/h".into(), tasks: 1, warnings: vec![] };
        assert_eq!(read(loaded), Some(Report { number: 2, kind, files: vec!["/a.py".into()] }));
        let failed = r#"{"number": 3, "kind": "failed", "error": "no", "directories": ["/d"], "files": []}"#;
        let kind = Kind::Failed { error: "no".into(), directories: vec!["/d".into()] };
        assert_eq!(read(failed), Some(Report { number: 3, kind, files: vec![] }));
        assert_eq!(read("{"), None);
        assert_eq!(read("{\"kind\": \"loaded\"}"), None);
    }
}
