//! From the format of an earlier major version to that of this one.
//!
//! There is one format per major version, and the steps from one to the next are here for good. Each is made on an
//! overlay, and the whole is carried out at once: an upgrade that fails has changed nothing, and what was there before is
//! kept beside the new files.

use super::rework::rework;
use crate::disk::{Disk, Locking, Overlay};
use crate::home::{self, FORMAT_VERSION};
use crate::{Error, Home};

/// The way from one format to the next.
#[derive(Debug)]
pub struct Step<D: Disk> {
    /// The format it begins with.
    pub from: u32,
    /// Makes the files of the next one; `FORMAT` is written by itself.
    pub run: fn(&Overlay<D>) -> Result<(), Error>,
}

/// What an upgrade came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// The format before.
    pub from: u32,
    /// The format now.
    pub to: u32,
    /// The files that were changed: what they were is below the directory for it.
    pub kept: Vec<String>,
}

/// Every step that there is. Format 1 is the first.
pub fn steps<D: Disk>() -> Vec<Step<D>> {
    Vec::new()
}

/// Brings a home to the format of this version; does nothing if it has that. What is changed is kept below the
/// directory `aside` of the home.
///
/// [`Error::Format`] for a newer format, or one that there is no way from.
pub fn upgrade<D: Disk>(disk: D, aside: &str, steps: &[Step<D>]) -> Result<Upgraded, Error> {
    if home::read_version(&disk)? == FORMAT_VERSION {
        return Ok(Upgraded { from: FORMAT_VERSION, to: FORMAT_VERSION, kept: Vec::new() });
    }
    let home = Home::open_any(Overlay::new(disk, Locking::Real))?;
    // It may have been upgraded while this waited to be the only one.
    let from = home::read_version(home.disk())?;
    let mut version = from;
    while version != FORMAT_VERSION {
        let step = steps.iter().find(|step| step.from == version && version < FORMAT_VERSION);
        let step = step.ok_or_else(|| home::no_way_from(version))?;
        (step.run)(home.disk())?;
        version += 1;
        home::write_version(home.disk(), version)?;
    }
    let kept = rework(&home, aside)?;
    Ok(Upgraded { from, to: version, kept })
}
