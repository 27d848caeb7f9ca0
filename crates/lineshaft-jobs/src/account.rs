//! What is kept of what an attempt took: a dozen bytes in the journal, since there is one for each job.

use lineshaft_wire::Measures;
use lineshaft_wire::measures::MEASURES;
use serde::{Deserialize, Serialize};

/// What an attempt took, and how long its job had been ready before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Milliseconds for which its job had been ready.
    pub waited_ms: u64,
    /// Which of the measures are known: a bit for each, in their order.
    known: u8,
    ran_us: u64,
    cpu_us: u64,
    /// The others, if one of them is more than 0.
    rest: Option<Box<[u64; MEASURES - 2]>>,
}

impl Account {
    /// Of an attempt that took this.
    pub fn new(waited_ms: u64, measures: Measures) -> Self {
        let all: [Option<u64>; MEASURES] = measures.into();
        let bits = (0..).zip(all).map(|(bit, one)| u8::from(one.is_some()) << bit);
        let known = bits.fold(0, |known, bit| known | bit);
        let [ran_us, cpu_us, rest @ ..] = all.map(Option::unwrap_or_default);
        let rest = rest.iter().any(|one| *one > 0).then(|| Box::new(rest));
        Self { waited_ms, known, ran_us, cpu_us, rest }
    }

    /// What it took.
    pub fn measures(&self) -> Measures {
        let [children_cpu_us, collected_us, peak_growth_bytes, cache_hits] =
            self.rest.as_deref().copied().unwrap_or_default();
        let mut all =
            [self.ran_us, self.cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits]
                .map(Some);
        for (bit, one) in (0..).zip(&mut all) {
            *one = one.filter(|_| self.known >> bit & 1 == 1);
        }
        all.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_told_from_nothing() {
        let check = |measures: Measures, bytes| {
            let account = Account::new(7, measures);
            assert_eq!((account.measures(), account.waited_ms), (measures, 7));
            assert_eq!(postcard::to_allocvec(&account).unwrap().len(), bytes, "{account:?}");
        };
        check(Measures::default(), 5);
        let returned = Measures {
            ran_us: Some(40),
            cpu_us: Some(38),
            children_cpu_us: Some(0),
            collected_us: Some(0),
            peak_growth_bytes: Some(0),
            cache_hits: Some(0),
        };
        check(returned, 5);
        check(Measures { cpu_us: None, collected_us: None, ..returned }, 5);
        check(Measures { peak_growth_bytes: Some(1 << 30), cache_hits: None, ..returned }, 13);
        check(Measures { cache_hits: Some(1), cpu_us: Some(u64::MAX), ..returned }, 18);
    }
}
