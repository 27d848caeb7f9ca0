//! Records to a function.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Failure, Handler};
use crate::record::Record;

/// Calls a function with each record; an error is what it says to be wrong with that one.
pub struct Callable<F>(pub F);

impl<F: FnMut(&Record) -> Result<(), String> + Send> Handler for Callable<F> {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        for (done, record) in records.iter().enumerate() {
            let call = AssertUnwindSafe(|| (self.0)(record));
            let called = catch_unwind(call).unwrap_or_else(|_| Err("it panicked".to_owned()));
            called.map_err(|reason| Failure { done, refused: 1, reason })?;
        }
        Ok(())
    }
}
