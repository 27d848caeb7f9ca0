//! The figures of `lineshaft bench`, and `lineshaft torture`: what this engine does on the reader's own machine, each
//! beside probes of the same disk and the same processors in the same minutes.
//!
//! [`run`] measures what [`Options`] name and gives a [`Report`]. A [`Figure`] has a key, a unit and a [`Goal`]; figures
//! that are measured together are a [`Group`](groups::Group), one file each in [`groups`]. [`stats`] is the arithmetic,
//! [`probe`] the disk without an engine and [`wakeup`] the processors. Servers and workers are processes of their own,
//! started by the command that was given; [`Cleanup`] ends them and removes what was written, whatever happens.
//!
//! [`torture`] kills those processes instead, and says whether any promise was broken.
//!
//! It is a client as any other: it does not know the journal, the rules of jobs, terminals or Python beyond the programs
//! in `python/` which it runs.

mod app;
mod bench;
mod cleanup;
mod error;
pub mod figure;
pub mod goal;
pub mod groups;
mod load;
pub mod probe;
mod processes;
mod programs;
mod report;
mod room;
mod scale;
mod select;
mod server;
pub mod stats;
pub mod torture;
pub mod wakeup;
pub mod worker;

pub use bench::{Options, Python, run};
pub use cleanup::Cleanup;
pub use error::Error;
pub use figure::{FIGURES, Figure};
pub use goal::Goal;
pub use report::{Line, Report};
pub use select::{Selection, names};
