//! Reads everything in a home, and checks that every part is whole and that the parts fit together.

use std::path::Path;

use lineshaft_jobs::Place;
use lineshaft_store::inspect::{
    CheckedFile, check_blobs, check_cold_files, check_logs, check_snapshots, directories,
};
use lineshaft_store::{Error as StoreError, FileDisk, Home, Journal, JournalHandle};

use super::{Disk, Finding, Holder, Look, check_is_home, overlay};
use crate::Error;
use crate::core::reference;

/// What was checked, and what is wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// Who works in the home, if somebody does: then what happens meanwhile is not checked.
    pub holder: Option<Holder>,
    /// The newest commit that was checked.
    pub head_lsn: u64,
    /// What was read.
    pub checked: Vec<Checked>,
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
}

/// One kind of thing that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its name, in the plural.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far a check is: bytes read, and the bytes of the whole home.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Checks the home at `path`.
///
/// On a stopped home nothing changes meanwhile. Beside a server what is found wrong is looked for again, and only what
/// is there the second time counts: files come and go.
///
/// Errors only if there is no home, or its files cannot be listed; damage is a finding.
pub fn verify(path: &Path, progress: Progress<'_>) -> Result<Report, Error> {
    check_is_home(path)?;
    let report = verify_once(path, progress)?;
    if report.holder.is_none() || report.findings.is_empty() {
        return Ok(report);
    }
    let mut again = verify_once(path, progress)?;
    again.findings.retain(|finding| report.findings.contains(finding));
    Ok(again)
}

fn verify_once(path: &Path, progress: Progress<'_>) -> Result<Report, Error> {
    let total = directories(&FileDisk::new(path))?.iter().map(|directory| directory.bytes).sum();
    let (look, home, holder) = match open(path) {
        Ok(opened) => opened,
        Err(error @ (Error::NoHome { .. } | Error::Store(StoreError::Io { .. }))) => return Err(error),
        // Not even the home opens: its FORMAT is what is wrong.
        Err(error) => return Ok(Report { findings: vec![Finding::of(&error)], ..Report::default() }),
    };
    let mut run = Run { report: Report { holder, ..Report::default() }, read: 0, total, progress };
    run.files(home.disk(), "snapshots", check_snapshots)?;
    run.files(home.disk(), "blobs", check_blobs)?;
    run.files(home.disk(), "cold files", check_cold_files)?;
    match look {
        Ok(mut look) => run.whole(&mut look),
        Err(error) => run.report.findings.insert(0, Finding::of(&error)),
    }
    run.logs(home.disk())?;
    Ok(run.report)
}

type Opened = (Result<Look, Error>, Home<Disk>, Option<Holder>);

/// The home, and a look at it if a start would work.
fn open(path: &Path) -> Result<Opened, Error> {
    let (home, holder) = overlay(path)?;
    if holder.is_some() {
        // Disturbed tries are repeated there.
        let look = Look::open(path).map(|(look, _)| look);
        return Ok((look, home, holder));
    }
    Ok((Look::of(&home), home, holder))
}

struct Run<'a> {
    report: Report,
    read: u64,
    total: u64,
    progress: Progress<'a>,
}

/// One of the checks of the store.
type CheckFiles = fn(&Disk, &mut dyn FnMut(CheckedFile)) -> Result<(), StoreError>;

impl Run<'_> {
    fn advance(&mut self, bytes: u64) {
        self.read += bytes;
        (self.progress)(self.read, self.total.max(self.read));
    }

    fn files(&mut self, disk: &Disk, what: &'static str, check: CheckFiles) -> Result<(), Error> {
        let mut checked = Checked { what, count: 0, bytes: 0 };
        check(disk, &mut |file| {
            (checked.count, checked.bytes) = (checked.count + 1, checked.bytes + file.bytes);
            self.advance(file.bytes);
            self.report.findings.extend(file.error.as_ref().map(Finding::of_store));
        })?;
        self.report.checked.push(checked);
        Ok(())
    }

    fn logs(&mut self, disk: &Disk) -> Result<(), Error> {
        let mut checked = Checked { what: "records that jobs logged", count: 0, bytes: 0 };
        check_logs(disk, &mut |part| {
            self.advance(part.bytes);
            match &part.error {
                Some(error) => self.report.findings.push(Finding::of_store(error)),
                None => checked.count += part.records,
            }
            checked.bytes += part.bytes;
        })?;
        self.report.checked.push(checked);
        Ok(())
    }

    /// What only makes sense where journal, state and archive open.
    fn whole(&mut self, look: &mut Look) {
        self.report.head_lsn = look.recovery.head.lsn;
        // Beside a server the archive goes on while this looks.
        let ahead = look.ahead.as_ref().filter(|_| self.report.holder.is_none());
        self.report.findings.extend(ahead.map(Finding::of_ahead));
        self.commits(look);
        self.blocks(look);
        self.payloads(look);
    }

    /// Every commit, those that a snapshot covers too: payloads lie in them.
    fn commits(&mut self, look: &mut Look) {
        let mut checked = Checked { what: "commits", count: 0, bytes: 0 };
        let mut after = look.recovery.oldest_lsn.saturating_sub(1);
        let head = look.recovery.head.lsn;
        while after < head {
            let visited = look.journal.replay::<StoreError>(after, |lsn, body| {
                after = lsn;
                (checked.count, checked.bytes) = (checked.count + 1, checked.bytes + body.len() as u64);
                self.advance(body.len() as u64);
                Ok(())
            });
            let Err(error) = visited else { break };
            // The one that does not read stands behind the last that did.
            after += 1;
            self.report.findings.push(Finding { lsns: Some((after, after)), ..Finding::of_store(&error) });
        }
        self.report.checked.push(checked);
    }

    fn blocks(&mut self, look: &Look) {
        let mut findings = Vec::new();
        let (count, bytes) = look.archive.verify(
            |bytes| self.advance(bytes),
            |block| match block {
                Ok(jobs) => findings.extend(jobs.iter().flat_map(Finding::of_archived)),
                Err(block) => findings.push(Finding::of_store(&block.error)),
            },
        );
        findings.extend(look.archive.misnamed().iter().map(Finding::of_misnamed));
        self.report.findings.extend(findings);
        self.report.checked.push(Checked { what: "blocks of the history", count, bytes });
    }

    /// Every payload that a job in memory needs.
    fn payloads(&mut self, look: &Look) {
        let journal = look.handle();
        let mut checked = Checked { what: "payloads", count: 0, bytes: 0 };
        for slot in look.state.occupied_slots() {
            for place in look.state.places_of(slot) {
                (checked.count, checked.bytes) = (checked.count + 1, checked.bytes + u64::from(place.length));
                if let Err(error) = journal.read(reference(place)) {
                    let name = name_of(place, look, slot);
                    let finding = Finding::of_job(look.state.job_id(slot), name, &error);
                    self.report.findings.push(finding);
                }
            }
        }
        self.report.checked.push(checked);
    }
}

fn name_of(place: Place, look: &Look, slot: u32) -> &'static str {
    let view = look.state.view(slot);
    match place {
        _ if place == view.arguments => "the arguments",
        _ if place == view.result => "the result",
        _ if place == view.checkpoint => "the checkpoint",
        _ => "error or output of an attempt",
    }
}
