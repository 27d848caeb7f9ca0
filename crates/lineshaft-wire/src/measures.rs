//! What an attempt took, as far as its worker measured it.

use serde::{Deserialize, Serialize};

/// How many figures there are.
pub const MEASURES: usize = 6;

/// What an attempt took. `None` is not known, which is not 0: a worker in another language may measure less, and what
/// neighbours in a process share is nobody's alone.
///
/// On the wire it is an array, in the order of the fields: there is one for each job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub struct Measures {
    /// How long its body ran, microseconds.
    pub ran_us: Option<u64>,
    /// CPU time of its body, microseconds: of the whole process where that is the slot, else of its thread.
    pub cpu_us: Option<u64>,
    /// CPU time of processes that it started and waited for, microseconds.
    pub children_cpu_us: Option<u64>,
    /// How long its language's garbage collector held it up, microseconds.
    pub collected_us: Option<u64>,
    /// By how much the peak of its process's memory grew, bytes.
    pub peak_growth_bytes: Option<u64>,
    /// Calls that caches in its process answered for it.
    pub cache_hits: Option<u64>,
}

type Row = [Option<u64>; MEASURES];

impl Measures {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Row> for Measures {
    fn from([ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits]: Row) -> Self {
        Self { ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits }
    }
}

impl From<Measures> for Row {
    fn from(measures: Measures) -> Self {
        let Measures { ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits } =
            measures;
        [ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits]
    }
}
