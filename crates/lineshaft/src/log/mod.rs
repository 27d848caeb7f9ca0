//! The crate `lineshaft-log`, and what it takes the attempts and processes of this crate for: what attempts log is kept with
//! their jobs, and a crash waits for what was logged.

mod layer;
mod logged;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_ipc::crash;
pub use lineshaft_log::*;

pub use layer::tracing_layer;
pub use logged::{Logged, Unkept};

/// So long a crash waits for what was logged.
const PATIENCE: Duration = Duration::from_secs(1);

/// From now on a crash of this process (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) waits up to a second until what was logged
/// to this pipeline is written, in place of one that was named before. Then what the signal did before comes, so that the
/// exit status and a core are what they were. A signal that is ignored stays so.
pub fn flush_on_crash(pipeline: Arc<Pipeline>) -> io::Result<()> {
    crash::act_before(Some(Arc::new(move || {
        pipeline.flush_healthy(PATIENCE);
    })))
}
