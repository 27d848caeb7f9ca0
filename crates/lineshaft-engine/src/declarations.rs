//! What workers said of the tasks that they declare, for clients that know a task by its name alone.
//!
//! It is no part of the state: after a start nothing is known until workers attach again.

use std::sync::Arc;

use lineshaft_wire::message::Declared;
use rustc_hash::FxHashMap;

/// Tasks that are remembered; what comes on top of them is not.
const TASKS_MAX: usize = 10_000;

/// By task; the worker that attached last is right.
#[derive(Debug, Default)]
pub(crate) struct Declarations(FxHashMap<Arc<str>, Declared>);

impl Declarations {
    pub(crate) fn learn(&mut self, declared: Vec<Declared>) {
        for one in declared {
            if self.0.len() < TASKS_MAX || self.0.contains_key(&one.job.task) {
                self.0.insert(Arc::clone(&one.job.task), one);
            }
        }
    }

    pub(crate) fn get(&self, task: &str) -> Option<&Declared> {
        self.0.get(task)
    }
}
