//! The home as files and as a server: backups, and the end.

use serde::{Deserialize, Serialize};

/// Asks that no file of the home is removed or written over which a copy of its present state needs: for a backup.
///
/// They are held until [`KeepFiles`] says that it is done, the connection ends, a minute passes without [`KeepFiles`],
/// or the disk has no room. A connection holds them once; asking again begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HoldFiles {}

/// Files are held. A copy taken from now on has everything up to commit `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesHeld {
    /// The newest commit that the copy is to have; everything answered before [`HoldFiles`] is in it or before it.
    pub lsn: u64,
    /// That commit's CRC, which checks the commits before it too.
    pub crc: u32,
    /// Number of the oldest segment that belongs to the copy.
    pub first_segment: u64,
    /// Number of the segment with that commit, the newest one that belongs to the copy.
    pub last_segment: u64,
    /// Where in that segment the commit ends: what follows does not belong to the copy.
    pub last_segment_bytes: u64,
}

/// Still copying what is held, or done with it. Answered by [`Done`](super::Done) if it was held all the time, else
/// refused with [`RefusalCode::WrongState`](super::RefusalCode::WrongState): the copy may lack something.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeepFiles {
    /// [`FilesHeld::lsn`].
    pub lsn: u64,
    /// Nothing needs to be held any more.
    pub done: bool,
}

/// Asks the server to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shutdown {
    /// Only if the server was started on demand.
    pub on_demand_only: bool,
}
