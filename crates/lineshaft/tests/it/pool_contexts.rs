//! What items of a pool know of each other: nothing, though their worker has one context for many of them.

use std::sync::{Mutex, PoisonError};

use lineshaft::task::Context;

use crate::pool::pool;

const ITEMS: usize = 100;

/// What was left before, and leaves something.
#[lineshaft::task]
fn resumes() -> Option<u32> {
    let context = Context::current().unwrap();
    let before = context.resume_from().unwrap();
    context.checkpoint(&7).wait().unwrap();
    before
}

/// Whether an earlier item left something in a context that it kept.
#[lineshaft::task]
fn keeps() -> bool {
    static KEPT: Mutex<Vec<Context>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let context = Context::current().unwrap();
    let is_used = context.resume_from::<u32>().unwrap().is_some();
    kept.iter().for_each(|context| drop(context.checkpoint(&7).wait()));
    kept.push(context);
    is_used
}

#[test]
fn a_checkpoint_is_for_its_own_item() {
    assert_eq!(pool().map(|_| resumes::call(), 0..ITEMS).unwrap(), [None; ITEMS]);
}

#[test]
fn whoever_keeps_a_context_reaches_no_later_item() {
    assert_eq!(pool().map(|_| keeps::call(), 0..ITEMS).unwrap(), [false; ITEMS]);
}
