//! Errors of the engine and the store as failures of the command.

use lineshaft_engine::Error;
use lineshaft_store::Error as StoreError;

use crate::exit::{FAILED, Failure, NOT_FOUND};

pub(super) fn of_engine(error: &Error) -> Failure {
    match error {
        Error::NoHome { .. } => Failure::new(NOT_FOUND, error.to_string())
            .hint("check that --home or LINESHAFT_URL names the right one"),
        _ => Failure::new(FAILED, error.to_string()).error(error.code()),
    }
}

pub(super) fn of_store(error: &StoreError) -> Failure {
    Failure::new(FAILED, error.to_string()).error(error.code())
}
