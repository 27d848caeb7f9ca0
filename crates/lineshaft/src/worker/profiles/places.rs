//! From addresses that were seen to calls of a profile.

use std::sync::{Arc, Mutex, PoisonError};

use lineshaft_insight::profile::{Call, Profile};
use lineshaft_ipc::stacks::{Function, functions_at};
use rustc_hash::FxHashMap;

/// Addresses whose functions are remembered; then all are forgotten.
const KNOWN_MAX: usize = 65_536;
/// What calls the bodies of tasks: nothing below it is the task's.
const BODY: &str = "__lineshaft_task_body";

/// Those of this process, since the same ones are seen again and again.
static KNOWN: Mutex<Option<FxHashMap<usize, Arc<[Function]>>>> = Mutex::new(None);

/// The calls at some addresses, the innermost first, as far as they are those of a task's body.
pub(super) fn calls(profile: &mut Profile, addresses: &[usize]) -> Vec<Call> {
    let mut calls = Vec::with_capacity(addresses.len());
    for address in addresses {
        for Function { name, file, line } in functions(*address).iter() {
            if name.contains(BODY) {
                return calls;
            }
            calls.push(Call { frame: profile.frame(name, file, 0), line: *line });
        }
    }
    calls
}

fn functions(address: usize) -> Arc<[Function]> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(functions) = known().get_or_insert_default().get(&address) {
        return Arc::clone(functions);
    }
    let functions: Arc<[Function]> = functions_at(address).into();
    let mut known = known();
    let known = known.get_or_insert_default();
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.insert(address, Arc::clone(&functions));
    functions
}
