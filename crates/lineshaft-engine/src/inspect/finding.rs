//! What a look at a home found wrong.

use lineshaft_store::{ArchivedJob, Error as StoreError};
use lineshaft_wire::JobId;
use lineshaft_wire::code::{self, Code};

use crate::Error;
use crate::open::Ahead;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The code of its page.
    pub code: Option<Code>,
    /// The file, relative to the home.
    pub file: Option<String>,
    /// Where in it.
    pub offset: Option<u64>,
    /// The first and the last commit concerned.
    pub lsns: Option<(u64, u64)>,
    /// A job that cannot be read whole because of it.
    pub job: Option<JobId>,
    /// What is wrong.
    pub what: String,
}

impl Finding {
    /// What an error tells.
    pub(crate) fn of(error: &Error) -> Self {
        let Error::Store(store) = error else {
            let lsns = if let Error::Commit { lsn, .. } = error { Some((*lsn, *lsn)) } else { None };
            return Self { code: error.code(), lsns, ..Self::saying(error.to_string()) };
        };
        Self::of_store(store)
    }

    pub(crate) fn of_store(error: &StoreError) -> Self {
        let finding = Self { code: error.code(), ..Self::saying(error.to_string()) };
        match error {
            StoreError::Damaged { file, offset, reason } => {
                let (file, what) = (Some(file.clone()), reason.clone());
                Self { file, offset: Some(*offset), what, ..finding }
            }
            StoreError::DamagedCommits { first_lsn, last_lsn, file, reason } => Self {
                file: Some(file.clone()),
                lsns: Some((*first_lsn, *last_lsn)),
                what: format!("commits {first_lsn} to {last_lsn} are damaged or missing: {reason}"),
                ..finding
            },
            StoreError::Copied { file, .. } => Self { file: Some(file.clone()), ..finding },
            StoreError::Io { path, .. } => Self { file: Some(path.clone()), ..finding },
            StoreError::NoCommit { lsn, .. } | StoreError::OutOfBody { lsn, .. } => {
                Self { lsns: Some((*lsn, *lsn)), ..finding }
            }
            _ => finding,
        }
    }

    /// The same of a job that needs what is missing.
    pub(crate) fn of_job(job: JobId, payload: &str, error: &StoreError) -> Self {
        let finding = Self::of_store(error);
        Self {
            job: Some(job),
            what: format!("{payload} of job {job} cannot be read: {}", finding.what),
            ..finding
        }
    }

    /// What a job of the history lacks.
    pub(crate) fn of_archived(job: &ArchivedJob) -> impl Iterator<Item = Self> + use<> {
        let errors = [job.whole_arguments().err(), job.whole_result().err()];
        let id = job.record.id;
        errors.into_iter().flatten().map(move |error| Self { job: Some(id), ..Self::of_store(&error) })
    }

    /// The archive has jobs of commits that the journal does not have.
    pub(crate) fn of_ahead(ahead: &Ahead) -> Self {
        let Ahead { jobs, head_lsn, last_lsn } = *ahead;
        let what = format!(
            "finished jobs of the history ended in commits {} to {last_lsn}, and the journal ends with {head_lsn}: the \
             next start takes them ({jobs}) out of the history, and they run again",
            head_lsn + 1
        );
        Self {
            code: Some(code::COMMITS_DAMAGED),
            file: Some("archive".to_owned()),
            lsns: Some((head_lsn + 1, last_lsn)),
            ..Self::saying(what)
        }
    }

    /// A day of the archive under the name of another one; it reads, but goes when that one goes.
    pub(crate) fn of_misnamed((file, right): &(String, String)) -> Self {
        let what = format!("it holds jobs of another day: with the server stopped, rename it to {right}");
        Self { code: Some(code::FILE_DAMAGED), file: Some(file.clone()), ..Self::saying(what) }
    }

    fn saying(what: String) -> Self {
        Self { code: None, file: None, offset: None, lsns: None, job: None, what }
    }
}
