//! What an attempt took, as far as its worker measured it.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many figures there are.
pub const MEASURES: usize = 7;
/// So many are always there on the wire; those behind them only where one of them is known.
const ALWAYS: usize = 6;

/// What an attempt took. `None` is not known, which is not 0: a worker in another language may measure less, and what
/// neighbours in a process share is nobody's alone.
///
/// On the wire it is an array, in the order of the fields: there is one for each job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// For how long its thread had the lock of its language's interpreter, such as Python's GIL, microseconds: an estimate
    /// from looks.
    pub gil_us: Option<u64>,
}

type Row = [Option<u64>; MEASURES];

impl Measures {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Row> for Measures {
    fn from(row: Row) -> Self {
        let [ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits, gil_us] = row;
        Self { ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits, gil_us }
    }
}

impl From<Measures> for Row {
    fn from(measures: Measures) -> Self {
        let Measures { ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits, gil_us } =
            measures;
        [ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits, gil_us]
    }
}

impl Serialize for Measures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = Row::from(*self);
        let count = row.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        row[..count.max(ALWAYS)].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Measures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OfAnyLength)
    }
}

/// Figures that are not there are not known; those of later versions are left out.
struct OfAnyLength;

impl<'de> Visitor<'de> for OfAnyLength {
    type Value = Measures;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of figures")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut figures: A) -> Result<Measures, A::Error> {
        let mut row = Row::default();
        for figure in &mut row {
            let Some(one) = figures.next_element()? else { break };
            *figure = one;
        }
        while figures.next_element::<IgnoredAny>()?.is_some() {}
        Ok(row.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_later_is_there_where_it_is_known_and_what_comes_later_is_left_out() {
        let check = |measures: Measures, text: &str| {
            assert_eq!(serde_json::to_string(&measures).unwrap(), text);
            assert_eq!(serde_json::from_str::<Measures>(text).unwrap(), measures);
        };
        let ran = Measures { ran_us: Some(7), ..Measures::default() };
        check(Measures::default(), "[null,null,null,null,null,null]");
        check(ran, "[7,null,null,null,null,null]");
        check(Measures { gil_us: Some(5), ..ran }, "[7,null,null,null,null,null,5]");
        let read = |text: &str| serde_json::from_str::<Measures>(text).unwrap();
        assert_eq!(read("[7]"), ran);
        assert_eq!(read("[7,null,null,null,null,null,5,8,[9]]"), Measures { gil_us: Some(5), ..ran });
    }
}
