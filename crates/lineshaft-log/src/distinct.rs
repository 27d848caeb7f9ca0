//! Fields of which each name is there once.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::{Fields, Value};

/// Up to so many fields are looked through one by one.
const FEW: usize = 32;

/// Fields that become more, each name once: the last one counts, in the place of the first.
pub struct DistinctFields {
    fields: Fields,
    /// Where each name is, once there are many.
    places: Option<HashMap<Arc<str>, usize, FxBuildHasher>>,
}

impl DistinctFields {
    /// Begins with these, which are distinct already.
    #[inline]
    pub fn of(fields: Fields) -> Self {
        Self { fields, places: None }
    }

    /// All of them.
    pub fn into_fields(self) -> Fields {
        self.fields
    }

    /// Adds a field, in the place of an earlier one of that name. O(1), and one comparison per field while they are few.
    #[inline]
    pub fn add(&mut self, name: Arc<str>, value: Value) {
        if let Some(place) = self.place(&name) {
            self.fields[place].1 = value;
            return;
        }
        if let Some(places) = &mut self.places {
            places.insert(name.clone(), self.fields.len());
        }
        self.fields.push((name, value));
    }

    fn place(&mut self, name: &Arc<str>) -> Option<usize> {
        if self.fields.len() <= FEW {
            return self.fields.iter().position(|(other, _)| other == name);
        }
        let places = self.places.get_or_insert_with(|| {
            self.fields.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect()
        });
        places.get(name).copied()
    }
}

/// Distinct fields, and others that win over them.
pub fn overlaid(first: Fields, others: &Fields) -> Fields {
    if first.is_empty() {
        return others.clone();
    }
    let mut all = DistinctFields::of(first);
    others.iter().for_each(|(name, value)| all.add(name.clone(), value.clone()));
    all.into_fields()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(names: impl Iterator<Item = usize>, value: i64) -> Fields {
        names.map(|name| (name.to_string().into(), value.into())).collect()
    }

    #[test]
    fn the_last_of_a_name_counts_in_the_place_of_the_first_however_many_there_are() {
        for count in [2, FEW, FEW + 1, 3 * FEW] {
            let all = overlaid(numbered(0..count, 1), &numbered((1..=count).rev(), 2));
            let names: Vec<_> = all.iter().map(|(name, _)| name.parse::<usize>().unwrap()).collect();
            assert_eq!(names[..count], (0..count).collect::<Vec<_>>());
            assert_eq!(names[count..], [count]);
            let values: Vec<_> = all.iter().map(|(_, value)| value.clone()).collect();
            assert_eq!(values[0], 1.into());
            assert!(values[1..].iter().all(|value| *value == 2.into()));
        }
    }
}
