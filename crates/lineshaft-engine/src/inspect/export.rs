//! Every job of a home, with everything kept of it.

use std::path::Path;

use bytes::Bytes;
use lineshaft_jobs::{JobView, Place, State};
use lineshaft_store::{Archive, ArchivedJob, Error as StoreError, JournalHandle};
use lineshaft_wire::message::Filter;
use lineshaft_wire::{JobId, JobRecord};

use super::Look;
use crate::Error;
use crate::core::reference;
use crate::query::{complete, store_filter};

/// A job and its payloads; one that does not read is an error.
#[derive(Debug)]
pub struct ExportedJob {
    /// What is known about it.
    pub record: JobRecord,
    /// Its encoded arguments.
    pub arguments: Result<Bytes, StoreError>,
    /// Its encoded result; empty if it has none.
    pub result: Result<Bytes, StoreError>,
    /// Its checkpoint; empty if it has none.
    pub checkpoint: Result<Bytes, StoreError>,
}

/// Something that an export comes to.
#[derive(Debug)]
pub enum Exported {
    /// A job.
    Job(Box<ExportedJob>),
    /// A block of the archive does not read: its jobs are missing.
    Unreadable(StoreError),
    /// What the attempts of a job left does not read: the job follows without that.
    Incomplete(JobId, StoreError),
}

/// Passes on the jobs of the home at `path` that match: archived ones, oldest first, then those in memory.
///
/// Errors if the home cannot be opened, or if `visit` fails.
pub fn export<E: From<Error>>(
    path: &Path,
    filter: &Filter,
    visit: impl FnMut(Exported) -> Result<(), E>,
) -> Result<(), E> {
    let (look, _) = Look::open(path).map_err(E::from)?;
    look.export(filter, visit)
}

impl Look {
    pub(crate) fn export<E: From<Error>>(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(Exported) -> Result<(), E>,
    ) -> Result<(), E> {
        let state = &self.state;
        let each = self.archive.each::<Foreign<E>>(&store_filter(filter), |found| {
            let exported = match found {
                Ok(job) if state.is_deleted(job.record.id) => return Ok(()),
                Ok(job) => Exported::Job(Box::new(of_archive(job))),
                Err(error) => Exported::Unreadable(error),
            };
            visit(exported).map_err(Foreign)
        });
        each.map_err(|Foreign(error)| error)?;
        for slot in slots(state, filter, self.archive.head().last_finish_number) {
            let view = state.view(slot);
            let id = view.record.id;
            let (job, missing) = self.of_memory(view);
            missing.into_iter().try_for_each(|error| visit(Exported::Incomplete(id, error)))?;
            visit(Exported::Job(Box::new(job)))?;
        }
        Ok(())
    }

    /// A job in memory, and why something of its attempts is missing.
    fn of_memory(&self, view: JobView) -> (ExportedJob, Option<StoreError>) {
        let journal = self.handle();
        let read = |place: Place| journal.read(reference(place));
        let [arguments, result, checkpoint] = [view.arguments, view.result, view.checkpoint].map(read);
        let bare = view.record.clone();
        let (record, missing) = match complete(view, read) {
            Ok(record) => (record, None),
            Err(error) => (bare, Some(error)),
        };
        (ExportedJob { record, arguments, result, checkpoint }, missing)
    }
}

fn of_archive(job: ArchivedJob) -> ExportedJob {
    let arguments = job.whole_arguments().cloned();
    let result = job.whole_result().cloned();
    ExportedJob { record: job.record, arguments, result, checkpoint: Ok(job.checkpoint) }
}

/// The slots of jobs that match and are not in the archive, whose newest finish number is `archived`.
fn slots(state: &State, filter: &Filter, archived: u64) -> Vec<u32> {
    let mut slots = state.finished_page(filter, u64::MAX, usize::MAX);
    slots.reverse();
    slots.retain(|slot| state.view(*slot).finish_number > archived);
    let mut from = Some(0);
    while let Some(start) = from {
        let page = state.page(filter, start, usize::MAX);
        slots.extend(page.slots);
        from = page.next;
    }
    slots
}

/// The visitor's error on its way through the archive, whose own errors are passed to the visitor.
struct Foreign<E>(E);

impl<E: From<Error>> From<StoreError> for Foreign<E> {
    fn from(error: StoreError) -> Self {
        Self(Error::from(error).into())
    }
}
