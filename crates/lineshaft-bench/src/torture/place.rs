//! Where a torture keeps what it compares: beside the home, never in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::record::{Effect, Ledger, Line, Token};
use crate::error::{Error, Result};
use lineshaft_wire::JobId;

/// A home, and beside it what clients and bodies have written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    home: PathBuf,
}

impl Place {
    pub(super) fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// The same, with the directories for what is written.
    pub(super) fn make(home: impl Into<PathBuf>) -> Result<Self> {
        let place = Self::new(home);
        for directory in [place.ledgers(), place.effects()] {
            let what = format!("make {}", directory.display());
            fs::create_dir_all(&directory).map_err(Error::io(what))?;
        }
        Ok(place)
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// No client shall make jobs any more.
    pub(super) fn end(&self) -> Result<()> {
        let path = self.over();
        File::create(&path).map(drop).map_err(Error::io(format!("make {}", path.display())))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over().exists()
    }

    /// What a client was told goes to a file of its own.
    pub(super) fn ledger(&self, client: u32) -> Result<Appender> {
        Appender::open(self.ledgers().join(client.to_string()))
    }

    /// What a child's bodies do goes to a file of its own; process ids repeat, processes with their times do not.
    pub(super) fn effect(&self, pid: u32, started_us: u64) -> Result<Appender> {
        Appender::open(self.effects().join(format!("{pid}-{started_us}")))
    }

    pub(super) fn read_ledger(&self) -> Result<Ledger> {
        let mut ledger = Ledger::default();
        each_line(&self.ledgers(), |line| line.parse().map(|line: Line| ledger.add(line)))?;
        Ok(ledger)
    }

    /// How many jobs clients were told exist, and how many that they ended.
    pub(super) fn progress(&self) -> Result<(usize, usize)> {
        let ledger = self.read_ledger()?;
        Ok((ledger.acknowledged.len(), ledger.ended.len() + ledger.missing.len()))
    }

    /// The jobs of a client of whose ends it has not heard.
    pub(super) fn open_jobs(&self, client: u32) -> Result<BTreeMap<JobId, Token>> {
        let Ledger { acknowledged: mut open, ended, missing, .. } = self.read_ledger()?;
        open.retain(|_, token| token.client == client);
        ended.iter().map(|(job, _)| job).chain(&missing).for_each(|job| _ = open.remove(job));
        Ok(open)
    }

    pub(super) fn read_effects(&self) -> Result<Vec<Effect>> {
        let mut effects = Vec::new();
        each_line(&self.effects(), |line| line.parse().map(|effect| effects.push(effect)))?;
        Ok(effects)
    }

    fn ledgers(&self) -> PathBuf {
        self.home.with_extension("ledger")
    }

    fn over(&self) -> PathBuf {
        self.home.with_extension("over")
    }

    fn effects(&self) -> PathBuf {
        self.home.with_extension("effects")
    }
}

/// A file that only grows, by whole records.
#[derive(Debug)]
pub(super) struct Appender {
    file: File,
    path: PathBuf,
}

impl Appender {
    fn open(path: PathBuf) -> Result<Self> {
        let opened = File::options().create(true).append(true).open(&path);
        let file = opened.map_err(Error::io(format!("open {}", path.display())))?;
        Ok(Self { file, path })
    }

    /// Adds records with one write: they are there after any kill, or none of them is.
    pub(super) fn append(&mut self, records: impl IntoIterator<Item = impl ToString>) -> Result<()> {
        let lines: String = records.into_iter().map(|record| record.to_string() + "\n").collect();
        self.file.write_all(lines.as_bytes()).map_err(Error::io(format!("write {}", self.path.display())))
    }
}

/// Reads every whole line of every file in a directory.
fn each_line(directory: &Path, mut read: impl FnMut(&str) -> Result<(), String>) -> Result<()> {
    let failed = |what: &str, path: &Path| Error::io(format!("{what} {}", path.display()));
    for entry in fs::read_dir(directory).map_err(failed("read", directory))? {
        let path = entry.map_err(failed("read", directory))?.path();
        let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            read(line).map_err(|line| {
                Error::Wrong(format!("{} holds a line that does not read: {line}", path.display()))
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_but_for_a_line_without_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::make(directory.path().join("home")).unwrap();
        let job = lineshaft_wire::JobId::direct(1, 0, 7, 0);
        for pid in [1, 2] {
            let mut appender = place.effect(pid, 5).unwrap();
            let line = format!("begun {job} 3.{pid} 1 {pid} 17");
            appender.append([line.clone(), line]).unwrap();
            appender.file.write_all(b"returned 0").unwrap();
        }
        let effects = place.read_effects().unwrap();
        assert_eq!(effects.len(), 4);
        assert!(
            effects.iter().all(|effect| effect.job == job && u64::from(effect.pid) == effect.fence.counter)
        );
        place.ledger(1).unwrap().append(["nonsense"]).unwrap();
        let error = place.read_ledger().unwrap_err().to_string();
        assert!(error.contains("home.ledger/1 holds a line that does not read"), "{error}");
    }
}
