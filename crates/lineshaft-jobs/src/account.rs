//! What is kept of what an attempt took: a dozen bytes in the journal, since there is one for each job.

use std::fmt;

use lineshaft_wire::Measures;
use lineshaft_wire::measures::MEASURES;
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Fields that the first version wrote. What came later stands behind them, where its bit is set.
const FIELDS: usize = 5;
/// The bit of `gil_us`.
const GIL: u8 = 1 << 6;

/// What an attempt took, and how long its job had been ready before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        Self { waited_ms, known, ran_us, cpu_us, rest: boxed(rest) }
    }

    /// What it took.
    pub fn measures(&self) -> Measures {
        let rest = self.rest.as_deref().copied().unwrap_or_default();
        let figures = [self.ran_us, self.cpu_us].into_iter().chain(rest);
        let mut all = [None; MEASURES];
        for (bit, (one, figure)) in (0..).zip(all.iter_mut().zip(figures)) {
            *one = (self.known >> bit & 1 == 1).then_some(figure);
        }
        all.into()
    }
}

/// As fields one behind the other, like those of any struct, so that what the first version wrote reads.
impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [first @ .., gil_us] = self.rest.as_deref().copied().unwrap_or_default();
        let has_gil = self.known & GIL > 0;
        let mut fields = serializer.serialize_tuple(FIELDS + usize::from(has_gil))?;
        fields.serialize_element(&self.waited_ms)?;
        fields.serialize_element(&self.known)?;
        fields.serialize_element(&self.ran_us)?;
        fields.serialize_element(&self.cpu_us)?;
        fields.serialize_element(&first.iter().any(|one| *one > 0).then_some(first))?;
        if has_gil {
            fields.serialize_element(&gil_us)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(FIELDS + 1, Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Account;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what an attempt took")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Account, A::Error> {
        let (waited_ms, known, ran_us, cpu_us) =
            (next(&mut fields)?, next(&mut fields)?, next(&mut fields)?, next(&mut fields)?);
        let first: Option<[u64; MEASURES - 3]> = next(&mut fields)?;
        let gil_us: u64 = if known & GIL > 0 { next(&mut fields)? } else { 0 };
        let [one, two, three, four] = first.unwrap_or_default();
        let rest = [one, two, three, four, gil_us];
        Ok(Account { waited_ms, known, ran_us, cpu_us, rest: boxed(rest) })
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(fields: &mut A) -> Result<T, A::Error> {
    fields.next_element()?.ok_or_else(|| A::Error::custom("an account that ends too soon"))
}

/// Nothing if all are 0.
fn boxed<const COUNT: usize>(figures: [u64; COUNT]) -> Option<Box<[u64; COUNT]>> {
    figures.iter().any(|one| *one > 0).then(|| Box::new(figures))
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
            gil_us: None,
        };
        check(returned, 5);
        check(Measures { cpu_us: None, collected_us: None, ..returned }, 5);
        check(Measures { peak_growth_bytes: Some(1 << 30), cache_hits: None, ..returned }, 13);
        check(Measures { cache_hits: Some(1), cpu_us: Some(u64::MAX), ..returned }, 18);
        check(Measures { gil_us: Some(0), ..returned }, 6);
        check(Measures { gil_us: Some(250_000), cache_hits: Some(1), ..returned }, 12);
    }
}
