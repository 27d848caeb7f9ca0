//! Who serves the home: one that answers, one that only holds the lock, and servers of homes that are gone.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lineshaft::home::Home;
use lineshaft::launch;
use rustix::fs::{FlockOperation, flock};

use super::finding::Finding;
use crate::context::Context;

pub(super) fn check(home: &Home, _: &mut Context) -> Vec<Finding> {
    let pid = launch::is_answering(home).then(|| launch::server_pid(home));
    let mut findings = vec![match pid {
        Some(pid) => Finding::fine("server", format!("process {} answers", name(pid))),
        None => silent(home),
    }];
    findings.extend(servers().into_iter().filter_map(|server| judge(&server, home, pid.flatten())));
    findings
}

fn name(pid: Option<u32>) -> String {
    pid.map_or_else(|| "of another container".to_owned(), |pid| pid.to_string())
}

/// Nobody answers: there is no server, unless somebody has the lock all the same.
fn silent(home: &Home) -> Finding {
    let path = home.path().join("LOCK");
    let is_free =
        File::open(&path).map_or(true, |file| flock(&file, FlockOperation::NonBlockingLockShared).is_ok());
    if is_free {
        return Finding::fine("server", "none runs: the first call starts one");
    }
    let owner = fs::read_to_string(&path).unwrap_or_default();
    let pid = owner.lines().find_map(|line| line.strip_prefix("pid=")).unwrap_or("unknown");
    let message = format!("process {pid} has the lock of the home, but no server answers");
    let fix = format!(
        "wait if it is starting or is a `store` command; else look at output/server.log, and `kill {pid}`"
    );
    Finding::problem("server", message, fix)
}

/// A server by its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    pid: u32,
    home: PathBuf,
}

/// Every process of this user that serves a home.
fn servers() -> Vec<Server> {
    let me = rustix::process::geteuid().as_raw();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mine = processes.filter(|process| process.metadata().is_ok_and(|found| found.uid() == me));
    let pids = mine.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| server_of(pid, &fs::read(format!("/proc/{pid}/cmdline")).ok()?)).collect()
}

fn server_of(pid: u32, command: &[u8]) -> Option<Server> {
    let words: Vec<&str> = std::str::from_utf8(command).ok()?.split('\0').collect();
    let serve = words.iter().position(|word| *word == "serve")?;
    if !words[..serve].iter().any(|word| word.contains("lineshaft")) {
        return None;
    }
    let home = words.windows(2).find(|pair| pair[0] == "--home")?[1];
    Some(Server { pid, home: home.into() }).filter(|server| server.home.is_absolute())
}

fn judge(server: &Server, home: &Home, answering: Option<u32>) -> Option<Finding> {
    let Server { pid, home: served } = server;
    // Not one that cannot be looked at.
    if served.try_exists().is_ok_and(|is_there| !is_there) {
        let message = format!("process {pid} serves {}, which is gone", served.display());
        return Some(Finding::warning("server", message, format!("kill {pid}")));
    }
    let is_second = is_same(served, home.path()) && answering.is_some_and(|answering| answering != *pid);
    let message = format!("process {pid} was started for this home too, and does not serve it");
    is_second.then(|| Finding::warning("server", message, format!("kill {pid}, unless it is just starting")))
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity::{Fine, Problem, Warning};
    use super::*;

    #[test]
    fn a_server_is_known_by_its_command() {
        let server = |words: &[&str]| server_of(7, words.join("\0").as_bytes()).map(|server| server.home);
        let home = Some(PathBuf::from("/srv/home"));
        assert_eq!(server(&["/usr/bin/lineshaft", "serve", "--home", "/srv/home", "--on-demand"]), home);
        assert_eq!(server(&["python", "-m", "lineshaft", "serve", "--home", "/srv/home"]), home);
        assert_eq!(server(&["/usr/bin/lineshaft", "serve"]), None);
        assert_eq!(server(&["httpd", "serve", "--home", "/srv/home"]), None);
    }

    #[test]
    fn servers_of_homes_that_are_gone_and_second_ones_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        let of = |home: &Path| Server { pid: 7, home: home.into() };
        let gone = judge(&of(&directory.path().join("gone")), &home, None).unwrap();
        assert_eq!((gone.severity, gone.fix.as_deref()), (Warning, Some("kill 7")));
        assert_eq!(judge(&of(home.path()), &home, Some(7)), None);
        assert!(judge(&of(home.path()), &home, Some(8)).is_some());
    }

    #[test]
    fn a_lock_without_a_server_is_a_problem_and_one_that_nobody_holds_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        assert_eq!(silent(&home).severity, Fine);
        fs::write(directory.path().join("LOCK"), "pid=4242\nhost=here\n").unwrap();
        assert_eq!(silent(&home).severity, Fine, "what a dead process wrote there says nothing");
        let held = File::open(directory.path().join("LOCK")).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let found = silent(&home);
        assert!(
            found.severity == Problem && found.message.starts_with("process 4242 has the lock"),
            "{found:?}"
        );
    }
}
