//! `PagedVec` against `Vec`.

use lineshaft_structures::{PAGE_LEN, PagedVec};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push { count: usize },
    Change { index: u32, value: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = prop_oneof![0..4usize, PAGE_LEN - 2..PAGE_LEN + 2].prop_map(|count| Step::Push { count });
    let change =
        (0..5 * PAGE_LEN as u32, any::<u32>()).prop_map(|(index, value)| Step::Change { index, value });
    prop::collection::vec(prop_oneof![push, change], 0..12)
}

fn run(step: &Step, list: &mut PagedVec<u32>, model: &mut Vec<u32>) {
    match *step {
        Step::Push { count } => {
            for _ in 0..count {
                let value = model.len() as u32 * 3;
                assert_eq!(list.push(value) as usize, model.len());
                model.push(value);
            }
        }
        Step::Change { index, value } => {
            let (place, expected) = (list.get_mut(index), model.get_mut(index as usize));
            assert_eq!(place, expected);
            if let Some(place) = list.get_mut(index) {
                *place = value;
                model[index as usize] = value;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_paged_list_agrees_with_a_vec(steps in steps()) {
        let (mut list, mut model) = (PagedVec::new(), Vec::new());
        for step in &steps {
            run(step, &mut list, &mut model);
            prop_assert_eq!(list.len() as usize, model.len());
            prop_assert_eq!(list.is_empty(), model.is_empty());
        }
        prop_assert!(list.iter().eq(&model));
        prop_assert!(list.pages().eq(model.chunks(PAGE_LEN)));
        for (number, page) in model.chunks(PAGE_LEN).enumerate() {
            prop_assert_eq!(list.page(number as u32), Some(page));
        }
        prop_assert_eq!(list.page(list.page_count()), None);
    }
}
