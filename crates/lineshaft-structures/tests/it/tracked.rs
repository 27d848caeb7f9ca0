//! `TrackedPages` and `TrackedFifo` against a `Vec` and a `VecDeque`, with a reader that keeps what is lent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lineshaft_structures::{PAGE_LEN, TrackedFifo, TrackedPages, split};
use proptest::prelude::*;

const LEN: u64 = PAGE_LEN as u64;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Change(u32, u32),
    Pop(usize),
    /// What is lent now is kept or lost; with `true` it is still held while the next steps run.
    Lend {
        kept: bool,
        held: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let few_or_a_page = || prop_oneof![0..4usize, PAGE_LEN - 2..PAGE_LEN + 2];
    let step = prop_oneof![
        few_or_a_page().prop_map(Step::Push),
        (0..4 * PAGE_LEN as u32, any::<u32>()).prop_map(|(index, value)| Step::Change(index, value)),
        few_or_a_page().prop_map(Step::Pop),
        (any::<bool>(), any::<bool>()).prop_map(|(kept, held)| Step::Lend { kept, held }),
    ];
    prop::collection::vec(step, 0..24)
}

/// Numbers in pages, all full but the last.
#[derive(Default)]
struct List(TrackedPages<Vec<u32>>);

impl List {
    fn push(&mut self, value: u32) {
        if self.0.iter().last().is_none_or(|last| last.len() == PAGE_LEN) {
            self.0.push(Vec::new());
        }
        self.0.change(self.0.count() - 1).unwrap().push(value);
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut u32> {
        let (page, offset) = split(index);
        self.0.change(page)?.get_mut(offset)
    }
}

/// A page as it was lent, and what it must still be.
type Held = Vec<(Arc<Vec<u32>>, Vec<u32>)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pages_lend_all_that_changed_and_what_is_lent_stays_as_it_was(steps in steps()) {
        let (mut list, mut model) = (List::default(), Vec::new());
        let (mut kept, mut held) = (BTreeMap::new(), Held::new());
        for step in &steps {
            match *step {
                Step::Push(count) => (0..count).for_each(|_| {
                    list.push(model.len() as u32);
                    model.push(model.len() as u32);
                }),
                Step::Change(index, value) => {
                    let (place, expected) = (list.get_mut(index), model.get_mut(index as usize));
                    assert_eq!(place, expected);
                    place.into_iter().for_each(|place| *place = value);
                    model.get_mut(index as usize).into_iter().for_each(|place| *place = value);
                }
                Step::Pop(_) => held.clear(),
                Step::Lend { kept: is_kept, held: is_held } => {
                    let lent = list.0.lend_changed();
                    prop_assert_eq!(list.0.changed_rows(), 0);
                    let number = |number: u32| u64::from(number);
                    take(lent.into_iter().map(|(page, rows)| (number(page), rows)), is_kept, is_held, &mut kept, &mut held);
                    list.0.settle(is_kept);
                    if is_kept {
                        prop_assert_eq!(joined(&kept), model.clone());
                    }
                }
            }
            prop_assert!(held.iter().all(|(lent, expected)| **lent == *expected));
            prop_assert!(list.0.iter().flatten().eq(&model));
            prop_assert_eq!(list.0.count(), model.len().div_ceil(PAGE_LEN));
        }
        let mut loaded = TrackedPages::new();
        list.0.iter().for_each(|page| loaded.push_kept(page.clone()));
        prop_assert_eq!((loaded.changed_rows(), loaded.iter().flatten().eq(&model)), (0, true));
        if let Some(last) = loaded.count().checked_sub(1) {
            let rows = loaded.change(last).unwrap().len() as u64;
            prop_assert_eq!(loaded.changed_rows(), rows);
        }
    }

    #[test]
    fn a_queue_lends_all_that_changed_and_a_full_page_once(steps in steps()) {
        let (mut list, mut model, mut next) = (TrackedFifo::new(), VecDeque::new(), 0u32);
        let (mut kept, mut held) = (BTreeMap::new(), Held::new());
        let mut times_kept = BTreeMap::<u64, u32>::new();
        for step in &steps {
            match *step {
                Step::Push(count) => (0..count).for_each(|_| {
                    assert_eq!(list.push_back(next), u64::from(next));
                    model.push_back(next);
                    next += 1;
                }),
                Step::Pop(count) => (0..count).for_each(|_| assert_eq!(list.pop_front(), model.pop_front().is_some())),
                Step::Change(..) => held.clear(),
                Step::Lend { kept: is_kept, held: is_held } => {
                    let lent = list.lend_changed();
                    let full = lent.iter().filter(|(_, rows)| is_kept && rows.len() == PAGE_LEN);
                    full.for_each(|(number, _)| *times_kept.entry(*number).or_default() += 1);
                    take(lent.into_iter(), is_kept, is_held, &mut kept, &mut held);
                    list.settle(is_kept);
                    kept.retain(|number, _| list.page_range().contains(number));
                    if is_kept {
                        let gone = (list.range().start % LEN) as usize;
                        prop_assert_eq!(&joined(&kept)[gone.min(joined(&kept).len())..], model.make_contiguous());
                    }
                }
            }
            prop_assert!(held.iter().all(|(lent, expected)| **lent == *expected));
            prop_assert!(list.iter().eq(&model));
            prop_assert_eq!(list.len() as usize, model.len());
            prop_assert_eq!(list.get(list.range().start), model.front());
        }
        prop_assert!(times_kept.values().all(|times| *times == 1), "{:?}", times_kept);
        let pages: Vec<Vec<u32>> = list.pages().map(|(_, rows)| rows.to_vec()).collect();
        let loaded = TrackedFifo::from_kept_pages(list.range(), pages.clone()).expect("its own pages fit");
        prop_assert_eq!((loaded.changed_rows(), loaded.iter().eq(&model)), (0, true));
        let other = list.range().start..list.range().end + 1;
        prop_assert!(TrackedFifo::from_kept_pages(other, pages).is_none());
    }
}

/// A reader that keeps what it is lent, or loses it, and may hold on to it for a while.
fn take(
    lent: impl Iterator<Item = (u64, Arc<Vec<u32>>)>,
    is_kept: bool,
    is_held: bool,
    kept: &mut BTreeMap<u64, Vec<u32>>,
    held: &mut Held,
) {
    for (number, rows) in lent {
        if is_kept {
            kept.insert(number, rows.to_vec());
        }
        if is_held {
            let expected = rows.to_vec();
            held.push((rows, expected));
        }
    }
}

fn joined(kept: &BTreeMap<u64, Vec<u32>>) -> Vec<u32> {
    kept.values().flatten().copied().collect()
}
