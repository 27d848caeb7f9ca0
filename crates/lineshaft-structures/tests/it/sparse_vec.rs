//! `SparseVec` against a map.

use std::collections::BTreeMap;

use lineshaft_structures::{PAGE_LEN, SparseVec};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_sparse_vector_is_a_map_of_its_indexes(
        steps in prop::collection::vec((0..3 * PAGE_LEN as u32, prop::option::of(any::<u8>())), 0..64),
        rounding in prop_oneof![Just(1_u32), Just(PAGE_LEN as u32 / 2)],
    ) {
        let (mut values, mut model) = (SparseVec::new(), BTreeMap::new());
        for (index, value) in steps {
            let index = index - index % rounding;
            match value {
                Some(value) => {
                    values.set(index, value);
                    model.insert(index, value);
                }
                None => prop_assert_eq!(values.take(index), model.remove(&index)),
            }
            prop_assert_eq!(values.get(index), model.get(&index).copied());
        }
        for index in (0..4 * PAGE_LEN as u32).step_by(rounding.max(16) as usize) {
            prop_assert_eq!(values.get(index), model.get(&index).copied());
        }
    }
}
