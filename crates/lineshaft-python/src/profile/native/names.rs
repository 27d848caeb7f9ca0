//! What native functions are called, and in which libraries they are.

use std::sync::{Arc, Mutex, PoisonError};

use lineshaft_insight::profile::{self, native_work};
use lineshaft_ipc::stacks::{functions_at, library_at};
use rustc_hash::FxHashMap;

/// Addresses whose functions are remembered; then all are forgotten.
const KNOWN_MAX: usize = 65_536;

/// Those of this process, since a function whose calls are profiled sees the same ones again and again.
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

type Known = FxHashMap<usize, Arc<[profile::Native]>>;

/// The functions of one profile.
pub(super) struct Names {
    /// An address in the interpreter.
    interpreter: usize,
    library: Option<String>,
    known: Known,
}

impl Names {
    pub(super) fn new(interpreter: usize) -> Self {
        Self { interpreter, library: None, known: Known::default() }
    }

    /// Asks for those that are not known yet, library by library: who has read the debug information of one forgets it
    /// after some others.
    pub(super) fn learn(&mut self, addresses: impl Iterator<Item = usize>) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let mut new: Vec<usize> = addresses.filter(|address| !self.known.contains_key(address)).collect();
        new.sort_unstable();
        new.dedup();
        for address in new {
            let functions = remembered(address).unwrap_or_else(|| remember(address));
            self.known.insert(address, functions);
        }
    }

    /// The functions at addresses of one stack that are the program's work, both the innermost first.
    pub(super) fn work(&mut self, addresses: &[usize]) -> Vec<profile::Native> {
        let Self { interpreter, library, known } = self;
        let library = library.get_or_insert_with(|| {
            functions(*interpreter + 1).pop().map(|function| function.library).unwrap_or_default()
        });
        let found = addresses.iter().filter_map(|address| known.get(address));
        native_work(found.flat_map(|functions| functions.iter().cloned()).collect(), library)
    }
}

fn remembered(address: usize) -> Option<Arc<[profile::Native]>> {
    // Not waited for: a forked child may have it as somebody had it who is not there.
    KNOWN.try_lock().ok()?.as_ref()?.get(&address).cloned()
}

fn remember(address: usize) -> Arc<[profile::Native]> {
    let functions: Arc<[profile::Native]> = functions(address).into();
    let known = match KNOWN.try_lock() {
        Ok(known) => Some(known),
        Err(std::sync::TryLockError::Poisoned(known)) => Some(PoisonError::into_inner(known)),
        Err(std::sync::TryLockError::WouldBlock) => None,
    };
    if let Some(mut known) = known {
        let known = known.get_or_insert_default();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(address, Arc::clone(&functions));
    }
    functions
}

/// More than one where some were inlined.
fn functions(address: usize) -> Vec<profile::Native> {
    let Some(mut library) = library_at(address) else { return Vec::new() };
    // With its version: what is linked with is a name without.
    if let Ok(path) = std::fs::canonicalize(&library.path) {
        library.path = path.to_string_lossy().into_owned();
    }
    let named = functions_at(address).into_iter().filter(|function| function.name != "?");
    let named: Vec<profile::Native> = named
        .map(|function| profile::Native { name: function.name, library: library.path.clone() })
        .collect();
    if named.is_empty() {
        return vec![profile::Native::unnamed(library.path, library.function - library.base)];
    }
    named
}
